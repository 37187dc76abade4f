package app

import (
	"runtime/debug"
	"testing"
)

// It is a setting of the whole process, so this test is by itself.
func TestCollect(t *testing.T) {
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	for gogc, want := range map[string]int{"200": 100, "": CollectOften} {
		debug.SetGCPercent(100)
		Collect(CollectOften, func(string) string { return gogc })
		if got := debug.SetGCPercent(100); got != want {
			t.Errorf("with GOGC=%q it collects at %d %%, want %d", gogc, got, want)
		}
	}
}
