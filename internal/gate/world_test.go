package gate_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onsale/internal/gate"
	"onsale/internal/pass"
	"onsale/internal/sale"
)

const (
	fan     = "a-session-of-16+"
	another = "another-session-"
	ttl     = 10 * time.Minute
)

// world is what a gate sees: a clock, and an api with its keys and the states of its sales.
type world struct {
	url string

	mu     sync.Mutex
	at     time.Time
	keys   []byte // the first byte of each seed
	states map[string]sale.State
	queue  string // instead of the state, where it isn't empty
	down   bool
	asked  map[string]int // by path
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{at: time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC), keys: []byte{1}, states: map[string]sale.State{"gala": sale.Open}, asked: map[string]int{}}
	api := httptest.NewServer(w)
	t.Cleanup(api.Close)
	w.url = api.URL
	return w
}

// change changes the world.
func (w *world) change(how func(w *world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	how(w)
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) askedFor(path string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[path]
}

const jwksPath = "/.well-known/jwks.json"

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[r.URL.Path]++
	event, queue := strings.CutPrefix(r.URL.Path, "/v1/queue/")
	switch {
	case w.down:
		http.Error(rw, "away", http.StatusServiceUnavailable)
	case r.URL.Path == jwksPath:
		k, err := parseKeys(w.keys, time.Now)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(rw).Encode(map[string]any{"keys": k.JWKS()})
	case queue && w.queue != "":
		_, _ = io.WriteString(rw, w.queue)
	case queue && w.states[event] != "":
		_ = json.NewEncoder(rw).Encode(map[string]any{"state": w.states[event], "serving": 7, "joined": 9, "opens_at": nil})
	default:
		http.NotFound(rw, r)
	}
}

// redirect is a server that sends everyone elsewhere.
type redirect struct {
	url   string
	asked atomic.Int64
}

func newRedirect(t *testing.T, to string) *redirect {
	t.Helper()
	r := &redirect{}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		r.asked.Add(1)
		http.Redirect(rw, req, to, http.StatusFound)
	}))
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

func parseKeys(seeds []byte, now func() time.Time) (*pass.Keys, error) {
	var all []string
	for _, b := range seeds {
		all = append(all, base64.StdEncoding.EncodeToString(append([]byte{b}, make([]byte, 31)...)))
	}
	return pass.ParseKeys(strings.Join(all, ","), ttl, now)
}

// issue is a pass that was issued some time ago, signed with a key.
func (w *world) issue(t *testing.T, key byte, event, session string, ago time.Duration) string {
	t.Helper()
	at := w.now().Add(-ago)
	k, err := parseKeys([]byte{key}, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := k.Issue(event, sale.HashSession(event, session))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// quick is a gate that asks for states often, and for keys when it must.
func (w *world) quick(events ...string) gate.Config {
	return gate.Config{API: w.url, Events: events, KeysEvery: time.Hour, StateEvery: 5 * time.Millisecond}
}

// start runs a gate and returns its address and what ends it.
func start(t *testing.T, w *world, cfg gate.Config) (url string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- gate.Run(ctx, gate.Deps{Config: cfg, Listener: ln, Now: w.now, Log: slog.New(slog.DiscardHandler)})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the gate ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return "http://" + ln.Addr().String(), stop
}

// startReady waits until the gate knows the world.
func startReady(t *testing.T, w *world, cfg gate.Config) (url string, stop func()) {
	t.Helper()
	url, stop = start(t, w, cfg)
	eventually(t, "a gate that is ready", func() bool { return get(t, url+"/readyz").status == http.StatusOK })
	return url, stop
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) reason() string { return a.header.Get("Onsale-Reason") }

var client = &http.Client{Timeout: 20 * time.Second}

// get makes a request; headers come in pairs.
func get(t *testing.T, url string, headers ...string) answer {
	t.Helper()
	return send(t, http.MethodGet, url, "", headers...)
}

func send(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// showing are the headers of who shows a pass with a session.
func showing(token, session string) []string {
	return []string{"Authorization", "Bearer " + token, "Onsale-Session", session}
}

func expect(t *testing.T, what string, got answer, status int, reason string) {
	t.Helper()
	if got.status != status || got.reason() != reason {
		t.Errorf("%s: %d %q %s, want %d %q", what, got.status, got.reason(), got.body, status, reason)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	const limit = 20 * time.Second
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("there was no %s within %s", what, limit)
		}
		<-tick.C
	}
}
