package stack

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// childAttributes has the kernel signal the child when this process dies. The kernel forgets that wish
// when a process changes its credentials; Go asks for it after it has changed them.
func childAttributes(c command) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: c.orphaned, Credential: c.as.credential()}
}

// guard has nothing to do where the kernel does it.
func guard(int, syscall.Signal) (stop func(), err error) { return func() {}, nil }

// runningIn returns the servers whose working folder is dir: what a former stack may have left behind.
// Both servers work in their data folder, and unlike a pid in a file that can't be another process.
func runningIn(dir string) []int {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var pids []int
	for _, p := range processes {
		if cwd, err := os.Readlink(filepath.Join(p, "cwd")); err != nil || cwd != dir {
			continue
		}
		comm, err := os.ReadFile(filepath.Join(p, "comm"))
		if err != nil || !isServer(strings.TrimSpace(string(comm))) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(p)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
