package testenv

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"onsale/internal/stack"
)

func TestFoldersOfCrashedRunsAreRemoved(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	now := time.Now()
	folder := func(name string, files ...string) string {
		dir := filepath.Join(top, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	crashed := folder("onsale-test-1", "lock", "data")
	used := folder("onsale-test-2", "data")
	unlock, err := stack.Lock(used)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unlock(); err != nil {
			t.Error(err)
		}
	})
	beingMade := folder("onsale-test-3")
	neverLocked := folder("onsale-test-4")
	long := now.Add(-time.Hour)
	if err := os.Chtimes(neverLocked, long, long); err != nil {
		t.Fatal(err)
	}
	foreign := folder("other-1", "lock")
	target := folder("target", "lock")
	if err := os.Symlink(target, filepath.Join(top, "onsale-test-5")); err != nil {
		t.Fatal(err)
	}

	removeStale(top, now)

	for dir, want := range map[string]bool{
		crashed: false, neverLocked: false,
		used: true, beingMade: true, foreign: true, target: true, filepath.Join(target, "lock"): true,
	} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", filepath.Base(dir), err == nil, want)
		}
	}
}
