package stack_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"onsale/internal/stack"
)

func TestServersNeverRunAsRoot(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	start(t, stack.Config{Dir: dir})
	for _, data := range []string{"postgres/data", "redis"} {
		owner := ownerOf(t, filepath.Join(dir, data))
		pids := processesIn(t, filepath.Join(dir, data))
		if len(pids) == 0 {
			t.Errorf("no server works in %s", data)
		}
		for _, pid := range pids {
			uid := ownerOf(t, filepath.Join("/proc", strconv.Itoa(pid))).Uid
			if uid == 0 || uid != owner.Uid {
				t.Errorf("process %d on %s runs as user %d, the data is of user %d", pid, data, uid, owner.Uid)
			}
			if group, err := syscall.Getpgid(pid); err != nil || group == syscall.Getpgrp() {
				t.Errorf("process %d would get this terminal's Ctrl-C (%v)", pid, err)
			}
		}
	}
	// Nothing else was given away.
	for _, name := range []string{".", "nats", "log", "lock"} {
		if uid := ownerOf(t, filepath.Join(dir, name)).Uid; int(uid) != os.Geteuid() {
			t.Errorf("%s belongs to user %d", name, uid)
		}
	}
}

func TestFolderOutOfReachIsRefused(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // everything runs as this user, who reaches its own folders
	}
	closed := tempDir(t)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := stack.Start(t.Context(), stack.Config{Dir: filepath.Join(closed, "data")})
	if err == nil || !strings.Contains(err.Error(), "can't reach "+closed) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("got %v", err)
	}
	if pids := processesIn(t, closed); len(pids) > 0 {
		t.Errorf("processes %v still run", pids)
	}
}
