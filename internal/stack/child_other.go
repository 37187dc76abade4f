//go:build unix && !linux

package stack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func childAttributes(c command) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: c.as.credential()}
}

// guard stands in for the parent-death signal that only Linux has: a shell that waits for the end of a
// pipe whose other end only this process holds, and then signals the child.
func guard(pid int, orphaned syscall.Signal) (stop func(), err error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("guard process %d: %w", pid, err)
	}
	cmd := exec.Command("/bin/sh", "-c", `read -r line; kill -"$1" "$2"`, "sh",
		strconv.Itoa(int(orphaned)), strconv.Itoa(pid))
	cmd.Stdin = reader
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	reader.Close()
	if err != nil {
		writer.Close()
		return nil, fmt.Errorf("guard process %d: %w", pid, err)
	}
	return func() {
		// Killed before the pipe is closed: its child has ended, and the pid may soon be another's.
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		writer.Close()
	}, nil
}

// runningIn returns the Postgres that a pid file in dir names, if that process is a Postgres.
func runningIn(dir string) []int {
	text, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return nil
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 1 {
		return nil
	}
	out, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
	if err != nil || !isServer(filepath.Base(strings.TrimSpace(string(out)))) {
		return nil
	}
	return []int{pid}
}
