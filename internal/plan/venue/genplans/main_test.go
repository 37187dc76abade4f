package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"onsale/internal/plan"
)

func TestRun_WritesEveryPlan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var stdout bytes.Buffer
	if err := run([]string{"-out", dir}, &stdout); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"theatre.json", "arena.json", "stadium.json"} {
		file, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := plan.Parse(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !strings.Contains(stdout.String(), "theatre.json: 800 seats") {
		t.Errorf("output = %q, want the number of seats", stdout.String())
	}
}

func TestRun_ReportsAMissingFolder(t *testing.T) {
	t.Parallel()
	if err := run([]string{"-out", filepath.Join(t.TempDir(), "none")}, &bytes.Buffer{}); !os.IsNotExist(err) {
		t.Errorf("run = %v, want that the folder does not exist", err)
	}
}
