package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"onsale/internal/app"
	"onsale/internal/testenv"
	"onsale/internal/up"
)

var quiet = slog.New(slog.DiscardHandler)

// binaries are the programs under test, each built once and when it is first asked for.
var binaries built

type built struct {
	mu  sync.Mutex
	dir string
	err map[string]error // of what was built
}

func (b *built) path(t *testing.T, name string) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "onsale-bin-")
		if err != nil {
			t.Fatal(err)
		}
		b.dir, b.err = dir, map[string]error{}
	}
	if _, done := b.err[name]; !done {
		b.err[name] = nil
		if out, err := exec.Command("go", "build", "-o", b.dir+"/", "onsale/cmd/"+name).CombinedOutput(); err != nil {
			b.err[name] = fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	if err := b.err[name]; err != nil {
		t.Fatal(err)
	}
	return filepath.Join(b.dir, name)
}

func (b *built) remove() {
	if b.dir != "" {
		_ = os.RemoveAll(b.dir) // a temporary folder: nothing depends on its end
	}
}

// fleet is the four services as processes of their own, with what they need in this one.
type fleet struct {
	*up.Local
	t     *testing.T
	env   []string
	mu    sync.Mutex
	procs map[string]*process
}

type process struct {
	cmd   *exec.Cmd
	log   *bytes.Buffer
	ended chan struct{}
}

var serviceNames = []string{"api", "admitter", "payworker", "committer"}

// startFleet starts the servers and the four binaries.
func startFleet(t *testing.T) *fleet {
	t.Helper()
	l, err := up.Start(context.Background(), up.Config{
		Dir: dataDir(t), Listen: freeAddress(t), OpsListen: freeAddress(t), Services: "none", Durable: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{Local: l, t: t, procs: map[string]*process{}, env: environment(t, l)}
	t.Cleanup(func() {
		for _, name := range serviceNames {
			f.end(name, syscall.SIGTERM)
		}
		if err := l.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	for _, name := range serviceNames {
		f.start(name)
	}
	f.ready()
	return f
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// start starts a service.
func (f *fleet) start(name string) {
	f.t.Helper()
	p := &process{cmd: exec.Command(binaries.path(f.t, name)), log: &bytes.Buffer{}, ended: make(chan struct{})}
	p.cmd.Env = f.env
	if name == "api" {
		p.cmd.Env = append(p.cmd.Env, "OPS_LISTEN="+strings.TrimPrefix(f.AdminURL, "http://"))
	}
	p.cmd.Stdout, p.cmd.Stderr = io.Discard, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.ended)
	}()
	f.mu.Lock()
	f.procs[name] = p
	f.mu.Unlock()
}

// end ends a service and waits until it has.
func (f *fleet) end(name string, sig syscall.Signal) {
	f.t.Helper()
	f.mu.Lock()
	p := f.procs[name]
	f.mu.Unlock()
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(sig) // it may have ended by itself
	select {
	case <-p.ended:
	case <-time.After(40 * time.Second):
		f.t.Errorf("%s did not end after %s", name, sig)
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	if f.t.Failed() {
		f.t.Logf("%s:\n%s", name, p.log)
	}
}

// ready waits until the api is ready.
func (f *fleet) ready() {
	f.t.Helper()
	testenv.Within(f.t, startLimit, "ready api", func() bool { return app.Ready(context.Background(), f.AdminURL) == nil })
}
