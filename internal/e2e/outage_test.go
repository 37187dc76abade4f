package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"onsale/internal/stack"
	"onsale/internal/up"
)

// TestTheLineOutlivesTheStores: with Redis and Postgres away, polls are answered, joins find a place and the node
// stays in service; what needs a store is refused, and says that it may pass.
func TestTheLineOutlivesTheStores(t *testing.T) {
	cfg := stack.Config{Dir: dataDir(t), Log: quiet, Progress: func(string) {}}
	redis, err := stack.StartRedis(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Close() }) // it may have been stopped
	postgres, err := stack.StartPostgres(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = postgres.Close() })
	l := start(t, up.Config{Dir: dataDir(t), RedisURL: redis.URL, DatabaseURL: postgres.URL})
	openSmall(t, l, "gala", 4)
	v := letIn(t, l, "gala")

	if err := redis.Close(); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	poll := call(t, "GET", l.BaseURL+"/v1/queue/gala/position", nil, "Authorization", "Bearer "+v.ticket)
	if poll.status != http.StatusOK || poll.text("state") != "admitted" || time.Since(began) > time.Second {
		t.Errorf("a poll: %d %s after %v", poll.status, poll.body, time.Since(began))
	}
	if a := call(t, "GET", l.BaseURL+"/v1/queue/gala", nil); a.status != http.StatusOK {
		t.Errorf("the public state: %d %s", a.status, a.body)
	}
	for range 2 {
		late := call(t, "POST", l.BaseURL+"/v1/queue/gala/join", map[string]string{"session": "a-session-that-comes-late"})
		if late.status != http.StatusCreated || late.text("ticket") == "" {
			t.Errorf("a join: %d %s", late.status, late.body)
		}
	}
	if a := v.hold(t, "A-1"); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("a hold: %d %s", a.status, a.body)
	}
	resp, err := http.Get(l.AdminURL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "redis") || !strings.Contains(string(body), "schema version") {
		t.Errorf("readyz: %d %s, %v", resp.StatusCode, body, err)
	}
}
