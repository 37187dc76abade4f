// Package e2e tests the whole: real binaries or a whole local system, real HTTP, real servers, and the audit.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/internal/admin"
	"onsale/internal/app"
	"onsale/internal/audit"
	"onsale/internal/testenv"
	"onsale/internal/up"
)

func TestMain(m *testing.M) {
	code := m.Run()
	binaries.remove()
	os.Exit(code)
}

// dataDir is a folder that Postgres can reach when the tests run as root; the test's own may not be.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "onsale-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir + "/data"
}

// startLocal starts everything in this process, with data that is not meant to survive.
func startLocal(t *testing.T, dir string) *up.Local {
	t.Helper()
	return start(t, up.Config{Dir: dir})
}

// startDurable starts everything in this process, with data that is there again the next time.
func startDurable(t *testing.T, dir string) *up.Local {
	t.Helper()
	return start(t, up.Config{Dir: dir, Durable: true})
}

func start(t *testing.T, cfg up.Config) *up.Local {
	t.Helper()
	cfg.Listen, cfg.OpsListen = "127.0.0.1:0", "127.0.0.1:0"
	if cfg.Services == "" {
		cfg.Services = "all"
	}
	l, err := up.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return l
}

// smallPlan is a plan of one row with so many seats, A-1, A-2 and so on.
func smallPlan(seats int) json.RawMessage {
	var row []map[string]any
	for i := range seats {
		row = append(row, map[string]any{"seat_guid": fmt.Sprintf("A-%d", i+1), "seat_number": fmt.Sprint(i + 1), "category": "All", "position": map[string]any{"x": 10.5 * float64(i), "y": 0}})
	}
	b, err := json.Marshal(map[string]any{
		"name": "Small", "categories": []any{map[string]any{"name": "All", "color": "#ff0000"}}, "size": map[string]any{"width": 10000, "height": 10},
		"zones": []any{map[string]any{"name": "Z", "position": map[string]any{"x": 0, "y": 0}, "rows": []any{map[string]any{"row_number": "A", "position": map[string]any{"x": 0, "y": 0}, "seats": row}}}},
	})
	if err != nil {
		panic(err)
	}
	return b
}

// openSmall puts a small event on sale.
func openSmall(t *testing.T, l *up.Local, id string, seats int) {
	t.Helper()
	createSmall(t, l, id, seats)
	if err := (admin.Client{URL: l.AdminURL, Token: l.AdminToken}).Move(t.Context(), id, "open"); err != nil {
		t.Fatal(err)
	}
}

func createSmall(t *testing.T, l *up.Local, id string, seats int) {
	t.Helper()
	err := (admin.Client{URL: l.AdminURL, Token: l.AdminToken}).Create(t.Context(), admin.CreateEvent{
		ID: id, Currency: "eur", Rate: 5000, Plan: smallPlan(seats), Prices: map[string]int64{"All": 4200},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// auditOf audits a system, and asks the double for all at once.
func auditOf(t *testing.T, l *up.Local, settle time.Duration) audit.Report {
	t.Helper()
	report, err := app.RunAudit(t.Context(), app.Audit{
		NATSURL: l.NATSURL, DatabaseURL: l.DatabaseURL, RedisURL: l.RedisURL, StripeKey: l.StripeKey, StripeURL: l.StripeURL,
	}, settle, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func mustBeClean(t *testing.T, r audit.Report) {
	t.Helper()
	for i, f := range r.Findings {
		if i == 20 {
			t.Errorf("and %d more", len(r.Findings)-i)
			break
		}
		t.Error(f)
	}
}

// answer is what the api said.
type answer struct {
	status int
	header http.Header
	body   []byte
	fields map[string]any
}

func (a answer) text(field string) string { s, _ := a.fields[field].(string); return s }

// call makes one request. Headers come in pairs; body nil sends none, a string is sent as it is, anything else
// as JSON.
func call(t *testing.T, method, url string, body any, headers ...string) answer {
	t.Helper()
	a, err := try(method, url, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return a
}

var client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 600, MaxConnsPerHost: 600}}

func try(method, url string, body any, headers ...string) (answer, error) {
	var raw []byte
	switch b := body.(type) {
	case nil:
	case string:
		raw = []byte(b)
	case []byte:
		raw = b
	default:
		var err error
		if raw, err = json.Marshal(b); err != nil {
			return answer{}, err
		}
	}
	req, err := http.NewRequest(method, url, bytes.NewReader(raw))
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return a, err
	}
	_ = json.Unmarshal(a.body, &a.fields) // what isn't an object has no fields
	return a, nil
}

// visitor is a fan with a session.
type visitor struct{ base, event, session, ticket, pass string }

// headers are those of a call with a pass.
func (v visitor) headers() []string {
	return []string{"Authorization", "Bearer " + v.pass, "Onsale-Session", v.session}
}

// letIn joins and polls until the pass is there.
func letIn(t *testing.T, l *up.Local, event string) visitor {
	t.Helper()
	v := visitor{base: l.BaseURL, event: event, session: uuid.NewString()}
	a := call(t, "POST", v.base+"/v1/queue/"+event+"/join", map[string]string{"session": v.session})
	if a.status != http.StatusCreated {
		t.Fatalf("join: %d %s", a.status, a.body)
	}
	v.ticket = a.text("ticket")
	v.poll(t)
	return v
}

// poll polls until there is a pass.
func (v *visitor) poll(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, "a pass for "+v.event, func() bool {
		a := call(t, "GET", v.base+"/v1/queue/"+v.event+"/position", nil, "Authorization", "Bearer "+v.ticket)
		v.pass = a.text("pass")
		return v.pass != ""
	})
}

func (v visitor) hold(t *testing.T, seats ...string) answer {
	t.Helper()
	return call(t, "POST", v.base+"/v1/events/"+v.event+"/holds", map[string]any{"seat_ids": seats, "session": v.session}, v.headers()...)
}

func (v visitor) checkout(t *testing.T, hold, method, key string, headers ...string) answer {
	t.Helper()
	return call(t, "POST", v.base+"/v1/holds/"+hold+"/checkout",
		map[string]any{"payment": map[string]string{"payment_method": method}, "idempotency_key": key}, append(v.headers(), headers...)...)
}
