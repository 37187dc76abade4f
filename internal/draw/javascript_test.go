package draw_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/dop251/goja"
)

// The second implementation, which fans have in their browsers, agrees on every vector. The engine has no modules,
// so the word export is taken away; nothing else is.
func TestJavaScript_Vectors(t *testing.T) {
	t.Parallel()
	vm := goja.New()
	source := regexp.MustCompile(`(?m)^export `).ReplaceAllString(file(t, "../../web/draw.js"), "")
	for name, code := range map[string]string{"draw.js": `"use strict";` + source, "check.js": file(t, "testdata/check.js")} {
		if _, err := vm.RunScript(name, code); err != nil {
			t.Fatal(err)
		}
	}
	if err := vm.Set("vectors", file(t, vectorsFile)); err != nil {
		t.Fatal(err)
	}
	value, err := vm.RunString("check(JSON.parse(vectors))")
	if err != nil {
		t.Fatal(err)
	}
	var result struct {
		Checked  int      `json:"checked"`
		Problems []string `json:"problems"`
	}
	vm.SetFieldNameMapper(goja.TagFieldNameMapper("json", true))
	if err := vm.ExportTo(value, &result); err != nil {
		t.Fatal(err)
	}
	for i, problem := range result.Problems {
		if i == 20 {
			t.Fatalf("and %d more", len(result.Problems)-i)
		}
		t.Error(problem)
	}
	if result.Checked < 2000 {
		t.Errorf("only %d checks were made", result.Checked)
	}
}

func file(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
