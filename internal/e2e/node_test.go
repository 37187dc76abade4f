package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"onsale/internal/admin"
	"onsale/internal/app"
	"onsale/internal/testenv"
	"onsale/internal/up"
)

// common is one system that tests who run at the same time have together, each with events of its own: to start one
// takes seconds. It ends when nobody uses it any more.
var common struct {
	mu    sync.Mutex
	users int
	dir   string
	l     *up.Local
}

// together returns the common system, which the first who asks starts.
func together(t *testing.T) *up.Local {
	t.Helper()
	common.mu.Lock()
	defer common.mu.Unlock()
	if common.users == 0 {
		dir, err := os.MkdirTemp("", "onsale-e2e-")
		if err == nil {
			err = os.Chmod(dir, 0o711)
		}
		if err == nil {
			common.dir = dir
			common.l, err = up.Start(context.Background(), up.Config{Dir: dir + "/data", Listen: "127.0.0.1:0", OpsListen: "127.0.0.1:0", Services: "all"})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	common.users++
	t.Cleanup(func() {
		common.mu.Lock()
		defer common.mu.Unlock()
		if common.users--; common.users > 0 {
			return
		}
		if err := errors.Join(common.l.Close(), os.RemoveAll(common.dir)); err != nil {
			t.Error("end the common system:", err)
		}
	})
	return common.l
}

// create puts an event of forty seats into its lobby. What change leaves alone has sensible values.
func create(t *testing.T, l *up.Local, id string, change func(*admin.CreateEvent)) {
	t.Helper()
	e := admin.CreateEvent{ID: id, Currency: "eur", Rate: 100, Plan: smallPlan(40), Prices: map[string]int64{"All": 4200}}
	if change != nil {
		change(&e)
	}
	if err := operator(l).Create(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func operator(l *up.Local) admin.Client { return admin.Client{URL: l.AdminURL, Token: l.AdminToken} }

// move is open, pause, resume or close, and returns once the log says so.
func move(t *testing.T, l *up.Local, id, verb, state string) {
	t.Helper()
	if err := operator(l).Move(t.Context(), id, verb); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, state+" sale", func() bool { return queueOf(t, l.BaseURL, id).State == state })
}

// journal is a log that can be read while a process writes it.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// node is one binary that runs beside a system, against the same servers.
type node struct {
	base, ops string // where it serves; base is an api's alone
	t         *testing.T
	name      string
	env       []string
	cmd       *exec.Cmd
	log       *journal
	ended     chan struct{}
}

// startLimit is how long a process may take until it is ready.
const startLimit = 90 * time.Second

// environment is that of the tests, and over it a system's.
func environment(t *testing.T, l *up.Local) []string {
	t.Helper()
	raw, err := os.ReadFile(l.EnvFile)
	if err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(), strings.Split(strings.ReplaceAll(strings.TrimSpace(string(raw)), "'", ""), "\n")...)
}

// runNode starts a binary with a system's environment and some of its own, and waits until it is ready. It ends
// with the test.
func runNode(t *testing.T, l *up.Local, name string, env ...string) *node {
	t.Helper()
	n := &node{t: t, name: name, base: "http://" + freeAddress(t), ops: "http://" + freeAddress(t)}
	n.env = append(environment(t, l), "API_LISTEN="+strings.TrimPrefix(n.base, "http://"), "OPS_LISTEN="+strings.TrimPrefix(n.ops, "http://"))
	n.env = append(n.env, env...)
	n.run()
	return n
}

// run starts the binary, at the same addresses each time.
func (n *node) run() {
	n.t.Helper()
	cmd, log, ended := exec.Command(binaries.path(n.t, n.name)), &journal{}, make(chan struct{})
	cmd.Env, cmd.Stdout, cmd.Stderr = n.env, io.Discard, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	again := n.cmd != nil
	n.cmd, n.log, n.ended = cmd, log, ended
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}()
	if !again {
		n.t.Cleanup(func() {
			n.end(syscall.SIGTERM)
			if n.t.Failed() {
				n.t.Logf("%s on %s:\n%s", n.name, n.ops, n.log)
			}
		})
	}
	testenv.Within(n.t, startLimit, "ready "+n.name, func() bool { return app.Ready(context.Background(), n.ops) == nil })
}

// signal sends the process a signal; it may have ended.
func (n *node) signal(sig syscall.Signal) { _ = n.cmd.Process.Signal(sig) }

// end ends the process and waits until it has.
func (n *node) end(sig syscall.Signal) {
	n.t.Helper()
	n.signal(syscall.SIGCONT) // a stopped one would not hear
	n.signal(sig)
	select {
	case <-n.ended:
	case <-time.After(40 * time.Second):
		n.t.Errorf("%s did not end after %s", n.name, sig)
		_ = n.cmd.Process.Kill()
		<-n.ended
	}
}

// metric is the value of a counter without labels, as the node tells it.
func (n *node) metric(name string) float64 {
	n.t.Helper()
	a := call(n.t, "GET", n.ops+"/metrics", nil)
	for _, l := range strings.Split(string(a.body), "\n") {
		var v float64
		if _, err := fmt.Sscanf(l, name+" %g", &v); err == nil {
			return v
		}
	}
	n.t.Fatalf("there is no metric %s", name)
	return 0
}
