package entry_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/dop251/goja"

	"onsale/internal/entry"
)

// page runs web/pow.js in a JavaScript interpreter. It reads scripts and not modules, so the word export goes.
func page(t *testing.T, before string) *goja.Runtime {
	t.Helper()
	source, err := os.ReadFile("../../web/pow.js")
	if err != nil {
		t.Fatal(err)
	}
	vm := goja.New()
	vm.SetFieldNameMapper(goja.TagFieldNameMapper("json", true))
	script := before + "\n" + regexp.MustCompile(`(?m)^export `).ReplaceAllString(string(source), "")
	if _, err := vm.RunScript("pow.js", script); err != nil {
		t.Fatal(err)
	}
	return vm
}

func TestPage_FindsWhatTheServerTakes(t *testing.T) {
	t.Parallel()
	vm := page(t, "")
	solve, ok := goja.AssertFunction(vm.Get("solve"))
	if !ok {
		t.Fatal("pow.js has no function solve")
	}
	for _, v := range readVectors(t) {
		if v.Told.Difficulty > 8 {
			continue // an interpreter takes seconds; every step of it is in the easier ones
		}
		found, err := solve(goja.Undefined(), vm.ToValue(v.Event), vm.ToValue(v.Session), vm.ToValue(v.Told))
		if err != nil {
			t.Fatal(err)
		}
		var got entry.Solution
		if err := vm.ExportTo(found, &got); err != nil || got != v.Solution {
			t.Errorf("event %s, session %s, %d bits: %+v, %v; want %+v", v.Event, v.Session, v.Told.Difficulty, got, err, v.Solution)
		}
	}
}

// The vector takes thousands of tries; the page finds it from a number just before, and nothing earlier.
func TestPage_SearchesWhereItIsTold(t *testing.T) {
	t.Parallel()
	vm := page(t, "")
	v := readVectors(t)[2]
	if err := vm.Set("v", v); err != nil {
		t.Fatal(err)
	}
	for script, want := range map[string]string{
		`JSON.stringify(solve(v.event, v.session, v.told, parseInt(v.solution.nonce, 16) - 3))`:    `{"challenge":"` + v.Told.Challenge + `","nonce":"` + v.Solution.Nonce + `"}`,
		`String(solve(v.event, v.session, v.told, parseInt(v.solution.nonce, 16) - 3, 3))`:         "null",
		`String(solve(v.event, v.session, { challenge: "x", difficulty: 25 }))`:                    "null",
		`String(solve(v.event, v.session, { challenge: "x" }))`:                                    "null",
		`String(solve(v.event, v.session, { challenge: "x", difficulty: 24 }, 2 ** 32 - 2, 1000))`: "null",
	} {
		got, err := vm.RunString(script)
		if err != nil || got.String() != want {
			t.Errorf("%s = %v, %v; want %s", script, got, err, want)
		}
	}
}

func TestPage_AnswersAsAWorker(t *testing.T) {
	t.Parallel()
	vm := page(t, `function WorkerGlobalScope() {}
		var answers = [];
		var self = new WorkerGlobalScope();
		self.postMessage = (m) => answers.push(m);`)
	v := readVectors(t)[0]
	if err := vm.Set("v", v); err != nil {
		t.Fatal(err)
	}
	got, err := vm.RunString(`self.onmessage({ data: { event: v.event, session: v.session, challenge: v.told } });
		answers.map((a) => a.challenge + " " + a.nonce).join()`)
	if want := v.Solution.Challenge + " " + v.Solution.Nonce; err != nil || got.String() != want {
		t.Errorf("the worker answers %v, %v; want %s", got, err, want)
	}
}
