package stack_test

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"onsale/internal/stack"
)

func startShell(t *testing.T, dir, script string, env ...string) *stack.Process {
	t.Helper()
	p, err := stack.StartProgram(dir, stack.Program{Name: "shell", Path: "/bin/sh", Args: []string{"-c", script}, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// A program gets its environment, and what it said last is told of its end.
func TestProgramThatEnds(t *testing.T) {
	t.Parallel()
	p := startShell(t, t.TempDir(), `echo "it says $WORD"; exit 3`, "WORD=adieu")
	<-p.Ended()
	if why := p.Why().Error(); !strings.Contains(why, "it says adieu") || !strings.Contains(why, "exit status 3") {
		t.Errorf("it ended because of: %s", why)
	}
}

// Close asks, Kill does not; after either the process is gone.
func TestProgramThatIsEnded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(*stack.Process) error
		asks bool
	}{{"close", (*stack.Process).Close, true}, {"kill", (*stack.Process).Kill, false}} {
		dir := t.TempDir()
		asked, ready := dir+"/asked", dir+"/ready"
		p := startShell(t, dir, `trap 'touch `+asked+`; exit 0' TERM; touch `+ready+`; while :; do sleep 0.05; done`)
		await(t, "the trap", func() bool { _, err := os.Stat(ready); return err == nil })
		if err := c.end(p); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := syscall.Kill(p.PID(), 0); err != syscall.ESRCH {
			t.Errorf("%s: process %s is still there (%v)", c.name, strconv.Itoa(p.PID()), err)
		}
		if _, err := os.Stat(asked); (err == nil) != c.asks {
			t.Errorf("%s: asked: %v", c.name, err)
		}
	}
}
