package gate_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"onsale/internal/sale"
)

// backend is the application behind nginx: it notes what reaches it.
type backend struct {
	url string

	mu   sync.Mutex
	last http.Header
	path string
	n    int
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.last, b.path = r.Header, r.URL.RequestURI()
		b.n++
		if r.URL.Path == "/gala/broken" {
			http.Error(rw, "the application's own", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(rw, "%s with %q", r.Method, body)
	}))
	t.Cleanup(s.Close)
	b.url = s.URL
	return b
}

func (b *backend) seen() (n int, path string, header http.Header) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.n, b.path, b.last
}

// The configuration that is given to others, in a real nginx, before a real gate.
func TestNginx(t *testing.T) {
	t.Parallel()
	w, app := newWorld(t), newBackend(t)
	gate, stopGate := startReady(t, w, w.quick("gala"))
	nginx := startNginx(t, gate, app.url)
	seats := nginx + "/gala/seats?row=7"
	good := w.issue(t, 1, "gala", fan, 0)

	for _, x := range []struct {
		name    string
		headers []string
		status  int
		reason  string
	}{
		{"no pass", nil, 401, "bad_pass"},
		{"no pass, and the gate's word forged", []string{"Onsale-Subject", "me", "Onsale-Event", "gala", "Onsale-Reason", ""}, 401, "bad_pass"},
		{"no session", []string{"Authorization", "Bearer " + good}, 403, "foreign_pass"},
		{"another session", showing(good, another), 403, "foreign_pass"},
		{"another event", showing(w.issue(t, 1, "hamlet", fan, 0), fan), 403, "foreign_pass"},
		{"expired", showing(w.issue(t, 1, "gala", fan, time.Hour), fan), 401, "pass_expired"},
		{"another key", showing(w.issue(t, 2, "gala", fan, 0), fan), 401, "bad_pass"},
	} {
		got := get(t, seats, x.headers...)
		expect(t, x.name, got, x.status, x.reason)
		if challenge := got.header.Get("WWW-Authenticate"); (challenge != "") != (x.status == 401) {
			t.Errorf("%s: it is challenged with %q", x.name, challenge)
		}
	}
	if got := get(t, nginx+"/onsale-gate/gala", showing(good, fan)...); got.status != 404 {
		t.Errorf("the gate can be reached from outside: %d", got.status)
	}
	if n, path, _ := app.seen(); n > 0 {
		t.Fatalf("%d refused requests reached the application, the last for %s", n, path)
	}

	got := send(t, http.MethodPost, seats, "what the fan sends", append(showing(good, fan), "Onsale-Subject", "forged", "Onsale-Event", "forged")...)
	expect(t, "good", got, 200, "")
	n, path, header := app.seen()
	if n != 1 || path != "/gala/seats?row=7" || got.body != `POST with "what the fan sends"` {
		t.Errorf("%d requests reached the application, the last for %s: it answered %s", n, path, got.body)
	}
	if header.Get("Onsale-Subject") != sale.HashSession("gala", fan).String() || header.Get("Onsale-Event") != "gala" || header.Get("Onsale-Session") != "" {
		t.Errorf("the application is told %v", header)
	}
	if got := get(t, nginx+"/gala/broken", showing(good, fan)...); got.status != 500 || !strings.HasPrefix(got.body, "the application's own") {
		t.Errorf("the application's own error became %d %s", got.status, got.body)
	}

	w.change(func(w *world) { w.keys, w.at = []byte{2, 1}, w.at.Add(5*time.Second) })
	expect(t, "a new key", get(t, seats, showing(w.issue(t, 2, "gala", fan, 0), fan)...), 200, "")
	expect(t, "the old key beside it", get(t, seats, showing(good, fan)...), 200, "")
	w.change(func(w *world) { w.keys, w.at = []byte{3}, w.at.Add(5*time.Second) })
	newest := w.issue(t, 3, "gala", fan, 0)
	expect(t, "the newest key", get(t, seats, showing(newest, fan)...), 200, "")
	expect(t, "a key that was taken out", get(t, seats, showing(good, fan)...), 401, "bad_pass")

	w.change(func(w *world) { w.states["gala"] = sale.Closed })
	eventually(t, "refusal", func() bool { return get(t, seats, showing(newest, fan)...).status != 200 })
	expect(t, "a closed sale", get(t, seats, showing(newest, fan)...), 403, "sale_closed")

	before, _, _ := app.seen()
	stopGate()
	got = get(t, seats, showing(newest, fan)...)
	if after, _, _ := app.seen(); got.status != 503 || got.header.Get("Retry-After") == "" || after != before {
		t.Errorf("without a gate: %d %v, and %d requests reached the application", got.status, got.header, after-before)
	}
}

// startNginx runs nginx with the documented configuration, at addresses of the test's own, and returns its address.
func startNginx(t *testing.T, gate, app string) string {
	t.Helper()
	program := findNginx(t)
	dir, as := nginxFolder(t)
	raw, err := os.ReadFile("../../deploy/gateway/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	for try := 1; ; try++ {
		listen := freeAddress(t)
		conf := string(raw)
		for documented, ours := range map[string]string{"server 127.0.0.1:8090;": "server " + gate[len("http://"):] + ";", "server 127.0.0.1:9000;": "server " + app[len("http://"):] + ";", "listen 127.0.0.1:8088;": "listen " + listen + ";"} {
			if strings.Count(conf, documented) != 1 {
				t.Fatalf("deploy/gateway/nginx.conf does not say %q once", documented)
			}
			conf = strings.Replace(conf, documented, ours, 1)
		}
		write(t, dir, "onsale.conf", conf)
		write(t, dir, "main.conf", mainConf(dir))
		err := runNginx(t, as, program, dir, "http://"+listen)
		if err == nil {
			return "http://" + listen
		}
		log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
		// The port was free a moment ago; another test may have been faster.
		if try == 3 || !strings.Contains(string(log), "ddress already in use") {
			t.Fatalf("%v; it says: %s", err, log)
		}
	}
}

// mainConf is the smallest nginx: one process, its files in dir.
func mainConf(dir string) string {
	conf := "daemon off; master_process off; pid DIR/pid; error_log DIR/error.log info;\n" +
		"events { worker_connections 256; }\nhttp {\n access_log off;\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		conf += " " + kind + "_temp_path DIR/temp;\n"
	}
	return strings.ReplaceAll(conf+" include DIR/onsale.conf;\n}\n", "DIR", dir)
}

// runNginx starts nginx and waits until it serves, or returns why it does not. A shell stands between: it ends
// nginx, by its process id, when its own input ends, which it also does when this process dies.
func runNginx(t *testing.T, as *syscall.Credential, program, dir, url string) error {
	t.Helper()
	const shell = `"$@" & pid=$!; read -r _; kill "$pid" 2>/dev/null; wait "$pid"`
	if err := os.RemoveAll(filepath.Join(dir, "error.log")); err != nil { // of an earlier try
		return err
	}
	cmd := exec.Command("/bin/sh", "-c", shell, "sh", program, "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", filepath.Join(dir, "main.conf"))
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: as}
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := sync.OnceFunc(func() {
		input.Close()
		_ = cmd.Wait() // as a signal ended it
	})
	t.Cleanup(stop)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		resp, err := client.Get(url + "/gala/")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusUnauthorized && resp.Header.Get("Onsale-Reason") != "" {
				return nil
			}
		}
		if log, _ := os.ReadFile(filepath.Join(dir, "error.log")); strings.Contains(string(log), "[emerg]") {
			break
		}
	}
	stop()
	return errors.New("nginx does not serve")
}

func findNginx(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx", "/opt/homebrew/bin/nginx", "/usr/local/bin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no nginx on this machine: run scripts/setup nginx, or install it (Debian, Ubuntu: apt-get install nginx-light; macOS: brew install nginx)")
	return ""
}

// nginxFolder is a folder that nginx can write to, and whom it runs as: nobody, where the tests run as root.
func nginxFolder(t *testing.T) (string, *syscall.Credential) {
	t.Helper()
	dir, err := os.MkdirTemp("", "onsale-nginx-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if os.Geteuid() != 0 {
		return dir, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, uidErr := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(nobody.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr, os.Chown(dir, int(uid), int(gid))); err != nil {
		t.Fatal(err)
	}
	return dir, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
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
