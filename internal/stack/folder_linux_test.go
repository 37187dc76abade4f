package stack_test

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"onsale/internal/stack"
)

// A child that is being started has copies of all descriptors until it runs its program: a folder is free
// although such a copy of its lock is still open.
func TestUnlockFreesTheFolderUnderACopyOfTheLock(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	unlock, err := stack.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	another, err := syscall.Dup(descriptorOf(t, filepath.Join(dir, "lock")))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(another)
	if _, err := stack.Lock(dir); err == nil {
		t.Fatal("it was locked twice")
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	unlock, err = stack.Lock(dir)
	if err != nil {
		t.Fatalf("after the unlock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

func descriptorOf(t *testing.T, path string) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || target != path {
			continue
		}
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	t.Fatalf("no descriptor of %s is open", path)
	return 0
}
