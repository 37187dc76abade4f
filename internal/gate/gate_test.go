package gate_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"onsale/internal/gate"
	"onsale/internal/pass"
	"onsale/internal/sale"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.change(func(w *world) { w.states["hamlet"] = sale.Paused })
	url, _ := startReady(t, w, w.quick("gala", "hamlet"))
	good := w.issue(t, 1, "gala", fan, 0)
	for _, x := range []struct {
		name, path string
		headers    []string
		status     int
		reason     string
	}{
		{"good", "/check", showing(good, fan), 204, ""},
		{"good, at its event", "/check/gala", showing(good, fan), 204, ""},
		{"good, with a path behind", "/check/gala/hamlet/seats?event=hamlet", showing(good, fan), 204, ""},
		{"good, bearer in small letters", "/check", []string{"Authorization", "bearer " + good, "Onsale-Session", fan}, 204, ""},
		{"a paused sale", "/check/hamlet", showing(w.issue(t, 1, "hamlet", fan, 0), fan), 204, ""},
		{"nearly expired", "/check", showing(w.issue(t, 1, "gala", fan, ttl-time.Second), fan), 204, ""},
		{"nothing", "/check", nil, 401, "bad_pass"},
		{"no pass", "/check", []string{"Onsale-Session", fan}, 401, "bad_pass"},
		{"no session", "/check", []string{"Authorization", "Bearer " + good}, 403, "foreign_pass"},
		{"another scheme", "/check", []string{"Authorization", "Basic " + good, "Onsale-Session", fan}, 401, "bad_pass"},
		{"altered", "/check", showing(good[:len(good)-1]+"!", fan), 401, "bad_pass"},
		{"two passes", "/check", append(showing(good, fan), "Authorization", "Bearer x"), 401, "bad_pass"},
		{"two sessions", "/check", append(showing(good, fan), "Onsale-Session", another), 401, "bad_pass"},
		{"expired", "/check", showing(w.issue(t, 1, "gala", fan, ttl+pass.Leeway), fan), 401, "pass_expired"},
		{"of the future", "/check", showing(w.issue(t, 1, "gala", fan, -time.Minute), fan), 401, "bad_pass"},
		{"another session's", "/check", showing(good, another), 403, "foreign_pass"},
		{"another event's", "/check/hamlet", showing(good, fan), 403, "foreign_pass"},
		{"another event's, by a path that walks", "/check/hamlet/../gala", showing(good, fan), 403, "foreign_pass"},
		{"another event's, by a path that walks in disguise", "/check/hamlet%2f..%2fgala", showing(good, fan), 403, "unknown_event"},
		{"an event that isn't guarded", "/check", showing(w.issue(t, 1, "macbeth", fan, 0), fan), 403, "foreign_pass"},
		{"an event that isn't guarded, at its own", "/check/macbeth", showing(w.issue(t, 1, "macbeth", fan, 0), fan), 403, "unknown_event"},
		{"signed by nobody known", "/check", showing(w.issue(t, 9, "gala", fan, 0), fan), 401, "bad_pass"},
	} {
		got := get(t, url+x.path, x.headers...)
		expect(t, x.name, got, x.status, x.reason)
		challenge := got.header.Get("WWW-Authenticate")
		if want := `Bearer error="invalid_token", error_description="` + x.reason + `"`; x.status == 401 && challenge != want || x.status != 401 && challenge != "" {
			t.Errorf("%s: it is challenged with %q", x.name, challenge)
		}
		if got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: it may be kept: %q", x.name, got.header.Get("Cache-Control"))
		}
		if told := got.header.Get("Onsale-Subject") + got.header.Get("Onsale-Event"); (told != "") != (x.status == 204) {
			t.Errorf("%s: the backend is told %q", x.name, told)
		}
	}
	got := send(t, http.MethodPost, url+"/check/gala/holds", "a body", showing(good, fan)...)
	expect(t, "good, with the method of what is asked for", got, 204, "")
	if got.header.Get("Onsale-Subject") != sale.HashSession("gala", fan).String() || got.header.Get("Onsale-Event") != "gala" {
		t.Errorf("the backend is told %v", got.header)
	}
}

// A new key works at once, though the gate has just had the set without it; one that was taken out ends with the
// next set.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url, _ := startReady(t, w, w.quick("gala"))
	old, fresh := w.issue(t, 1, "gala", fan, 0), w.issue(t, 2, "gala", fan, 0)
	expect(t, "the key", get(t, url+"/check", showing(old, fan)...), 204, "")
	expect(t, "the key to come", get(t, url+"/check", showing(fresh, fan)...), 401, "bad_pass")
	w.change(func(w *world) { w.keys, w.at = []byte{2, 1}, w.at.Add(5*time.Second) })
	expect(t, "the new key", get(t, url+"/check", showing(fresh, fan)...), 204, "")
	expect(t, "the old key beside it", get(t, url+"/check", showing(old, fan)...), 204, "")
	w.change(func(w *world) { w.keys, w.at = []byte{3}, w.at.Add(5*time.Second) })
	expect(t, "the next key", get(t, url+"/check", showing(w.issue(t, 3, "gala", fan, 0), fan)...), 204, "")
	expect(t, "a key that was taken out", get(t, url+"/check", showing(old, fan)...), 401, "bad_pass")
}

// Without any pass of a new key, a key that was taken out ends too, though its passes were seen before.
func TestKeysAreFetchedAtIntervals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := w.quick("gala")
	cfg.KeysEvery = 5 * time.Millisecond
	url, _ := startReady(t, w, cfg)
	old := w.issue(t, 1, "gala", fan, 0)
	expect(t, "the key", get(t, url+"/check", showing(old, fan)...), 204, "")
	w.change(func(w *world) { w.keys = []byte{2} })
	eventually(t, "refusal of a key that was taken out", func() bool { return get(t, url+"/check", showing(old, fan)...).status == 401 })
}

// Passes with made-up keys can't be used to flood the api, and don't keep anyone else waiting.
func TestUnknownKeysFetchSeldom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url, _ := startReady(t, w, w.quick("gala"))
	before := w.askedFor(jwksPath)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for key := range byte(20) {
				expect(t, "a made-up key", get(t, url+"/check", showing(w.issue(t, 100+key, "gala", fan, 0), fan)...), 401, "bad_pass")
			}
		})
	}
	all.Wait()
	if n := w.askedFor(jwksPath) - before; n != 1 {
		t.Errorf("160 passes of unknown keys had the keys fetched %d times", n)
	}
	w.change(func(w *world) { w.at = w.at.Add(5 * time.Second) })
	get(t, url+"/check", showing(w.issue(t, 100, "gala", fan, 0), fan)...)
	if n := w.askedFor(jwksPath) - before; n != 2 {
		t.Errorf("later they were fetched %d times in all", n)
	}
}

func TestClosedSale(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.change(func(w *world) { w.states["hamlet"] = sale.Open })
	url, _ := startReady(t, w, w.quick("gala", "hamlet"))
	gala, hamlet := w.issue(t, 1, "gala", fan, 0), w.issue(t, 1, "hamlet", fan, 0)
	expect(t, "while it is open", get(t, url+"/check", showing(gala, fan)...), 204, "")
	for _, state := range []sale.State{sale.Paused, sale.SoldOut} {
		asked := w.askedFor("/v1/queue/gala")
		w.change(func(w *world) { w.states["gala"] = state })
		eventually(t, "further look at the state", func() bool { return w.askedFor("/v1/queue/gala") > asked+1 })
		expect(t, "while it is "+string(state), get(t, url+"/check", showing(gala, fan)...), 204, "")
	}
	w.change(func(w *world) { w.states["gala"] = sale.Closed })
	eventually(t, "refusal", func() bool { return get(t, url+"/check", showing(gala, fan)...).status != 204 })
	expect(t, "when it is closed", get(t, url+"/check", showing(gala, fan)...), 403, "sale_closed")
	expect(t, "another session, when it is closed", get(t, url+"/check", showing(gala, another)...), 403, "foreign_pass")
	expect(t, "the other sale", get(t, url+"/check", showing(hamlet, fan)...), 204, "")

	// A node that lags does not open it again.
	asked := w.askedFor("/v1/queue/hamlet")
	w.change(func(w *world) { w.states["gala"] = sale.Open })
	eventually(t, "further look at the states", func() bool { return w.askedFor("/v1/queue/hamlet") > asked+3 })
	expect(t, "once it was closed", get(t, url+"/check", showing(gala, fan)...), 403, "sale_closed")
}

// With the api away the gate goes on with what it knows.
func TestApiAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := w.quick("gala")
	cfg.KeysEvery = 5 * time.Millisecond
	url, _ := startReady(t, w, cfg)
	w.change(func(w *world) { w.down = true })
	keys, states := w.askedFor(jwksPath), w.askedFor("/v1/queue/gala")
	eventually(t, "attempt to reach the api", func() bool { return w.askedFor(jwksPath) > keys+1 && w.askedFor("/v1/queue/gala") > states+1 })
	expect(t, "good", get(t, url+"/check", showing(w.issue(t, 1, "gala", fan, 0), fan)...), 204, "")
	expect(t, "expired", get(t, url+"/check", showing(w.issue(t, 1, "gala", fan, time.Hour), fan)...), 401, "pass_expired")
	expect(t, "unknown key", get(t, url+"/check", showing(w.issue(t, 2, "gala", fan, 0), fan)...), 401, "bad_pass")
	w.change(func(w *world) { w.down, w.keys = false, nil }) // a set that can't be read changes nothing
	keys = w.askedFor(jwksPath)
	eventually(t, "look at the keys", func() bool { return w.askedFor(jwksPath) > keys+1 })
	expect(t, "good", get(t, url+"/check", showing(w.issue(t, 1, "gala", fan, 0), fan)...), 204, "")
	w.change(func(w *world) { w.keys, w.states["gala"] = []byte{1}, sale.Closed })
	eventually(t, "refusal", func() bool { return get(t, url+"/check", showing(w.issue(t, 1, "gala", fan, 0), fan)...).status == 403 })
}

// What the gate never knew it refuses, as something that may pass, and it lives meanwhile.
func TestNotReady(t *testing.T) {
	t.Parallel()
	for name, missing := range map[string]func(w *world){
		"keys": func(w *world) { w.keys = nil }, "the state": func(w *world) { delete(w.states, "gala") }, "everything": func(w *world) { w.down = true },
		"a state in the answer": func(w *world) { w.queue = `{"status":"open"}` }, "an answer": func(w *world) { w.queue = `<html>{"state":"open"}` },
		"the end of the answer": func(w *world) { w.queue = `{"state":"open"}` + strings.Repeat(" ", 1<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.change(missing)
			url, _ := start(t, w, w.quick("gala"))
			eventually(t, "second attempt", func() bool { return w.askedFor(jwksPath) > 1 || w.askedFor("/v1/queue/gala") > 1 })
			good := w.issue(t, 1, "gala", fan, 0)
			if got := get(t, url+"/healthz"); got.status != 200 {
				t.Errorf("/healthz: %d", got.status)
			}
			if got := get(t, url+"/readyz"); got.status != 503 || !strings.HasPrefix(got.body, "not ready: ") {
				t.Errorf("/readyz: %d %s", got.status, got.body)
			}
			got := get(t, url+"/check", showing(good, fan)...)
			expect(t, "good", got, 503, "gate_not_ready")
			if got.header.Get("Retry-After") == "" {
				t.Error("it is not said when to try again")
			}
			w.change(func(w *world) { w.down, w.queue, w.keys, w.states["gala"] = false, "", []byte{1}, sale.Open })
			eventually(t, "gate that got ready", func() bool { return get(t, url+"/readyz").status == 200 })
			expect(t, "good, at last", get(t, url+"/check", showing(good, fan)...), 204, "")
			if got := get(t, url+"/metrics"); got.status != 200 || !strings.Contains(got.body, `onsale_gate_checks_total{answer="admitted"}`) {
				t.Errorf("/metrics: %d", got.status)
			}
		})
	}
}

// Keys come from where the operator said, not from where that may point.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	w, attacker := newWorld(t), newWorld(t)
	redirects := newRedirect(t, attacker.url+jwksPath)
	cfg := w.quick("gala")
	cfg.JWKS = redirects.url
	url, _ := start(t, w, cfg)
	eventually(t, "second attempt", func() bool { return redirects.asked.Load() > 1 })
	expect(t, "good", get(t, url+"/check", showing(w.issue(t, 1, "gala", fan, 0), fan)...), 503, "gate_not_ready")
	if attacker.askedFor(jwksPath) > 0 {
		t.Error("a redirect was followed")
	}
}

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	good := gate.Config{API: "https://tickets.example.com", JWKS: "http://[::1]:1/keys", Events: []string{"gala"}, KeysEvery: 1, StateEvery: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(c *gate.Config){
		"no api": func(c *gate.Config) { c.API = "" }, "an api without a scheme": func(c *gate.Config) { c.API = "tickets.example.com" },
		"a file as keys": func(c *gate.Config) { c.JWKS = "file:///etc/keys" }, "no events": func(c *gate.Config) { c.Events = nil },
		"a bad event": func(c *gate.Config) { c.Events = []string{"Gala/.."} }, "an event twice": func(c *gate.Config) { c.Events = []string{"gala", "gala"} },
		"too many events": func(c *gate.Config) { c.Events = make([]string, 65) }, "no interval of keys": func(c *gate.Config) { c.KeysEvery = 0 },
		"no interval of states": func(c *gate.Config) { c.StateEvery = -1 },
	} {
		c := good
		spoil(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}
