package beacon_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"onsale/internal/beacon"
	"onsale/internal/beacon/double"
	"onsale/internal/sale"
)

var genesis = time.Date(2026, 3, 14, 18, 0, 0, 0, time.UTC)

// relay is a double with its own clock, which stands at the moment of round 5.
type relay struct {
	*double.Double
	url string
	now atomic.Int64 // Unix seconds
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	r := &relay{}
	r.now.Store(genesis.Add(4 * 3 * time.Second).Unix())
	chain, err := double.New(double.Config{
		Seed: bytes.Repeat([]byte("seed"), 8), Genesis: genesis, Period: 3 * time.Second,
		Now: func() time.Time { return time.Unix(r.now.Load(), 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Double = chain
	server := httptest.NewServer(chain)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func newClient(t *testing.T, timeout time.Duration, relays ...*relay) *beacon.Client {
	t.Helper()
	cfg := beacon.Config{Chain: relays[0].Chain().Hash, Timeout: timeout}
	for _, r := range relays {
		cfg.Relays = append(cfg.Relays, r.url)
	}
	client, err := beacon.NewClient(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestClient_Round(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	client := newClient(t, 30*time.Second, r)
	for round := uint64(1); round <= 5; round++ {
		v, err := client.Round(t.Context(), round)
		if err != nil {
			t.Fatal(err)
		}
		if want := r.Value(round); v.Round != round || v.Randomness != want.Randomness || !bytes.Equal(v.Signature, want.Signature) {
			t.Errorf("round %d is %+v, want %+v", round, v, want)
		}
	}
	if r.Requests() != 6 {
		t.Errorf("%d requests for 5 rounds, want 6: the chain is asked for once", r.Requests())
	}
	if chain, err := client.Chain(t.Context()); err != nil || chain.Hash != r.Chain().Hash || !chain.Genesis.Equal(genesis) {
		t.Errorf("%+v, %v", chain, err)
	}
}

// A caller can wait for the round: the error is its own, and goes away with time.
func TestClient_NotPublished(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	client := newClient(t, 30*time.Second, r)
	if _, err := client.Round(t.Context(), 6); !errors.Is(err, beacon.ErrNotPublished) {
		t.Errorf("%v, want ErrNotPublished", err)
	}
	r.now.Add(3)
	if _, err := client.Round(t.Context(), 6); err != nil {
		t.Error(err)
	}
	r.SetFaults(double.Faults{Late: time.Second})
	if _, err := client.Round(t.Context(), 6); !errors.Is(err, beacon.ErrNotPublished) {
		t.Errorf("late: %v, want ErrNotPublished", err)
	}
	for _, none := range []uint64{0, 1<<40 + 1} {
		if _, err := client.Round(t.Context(), none); sale.KindOf(err) != sale.Invalid || err == nil {
			t.Errorf("round %d: %v", none, err)
		}
	}
}

func TestClient_TooEarly(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path[len(req.URL.Path)-4:] == "info" {
			r.ServeHTTP(w, req)
			return
		}
		w.WriteHeader(http.StatusTooEarly)
	}))
	t.Cleanup(server.Close)
	client, err := beacon.NewClient(beacon.Config{Relays: []string{server.URL + "/"}, Chain: r.Chain().Hash, Timeout: 30 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Round(t.Context(), 6); !errors.Is(err, beacon.ErrNotPublished) {
		t.Errorf("%v, want ErrNotPublished", err)
	}
}

func TestClient_Faults(t *testing.T) {
	t.Parallel()
	elsewhere := newRelay(t)
	t.Cleanup(func() { // after all of the cases
		if elsewhere.Requests() != 0 {
			t.Error("a redirect was followed")
		}
	})
	for name, c := range map[string]struct {
		faults double.Faults
		want   error
	}{
		"500":              {double.Faults{Errors: 1}, beacon.ErrUnavailable},
		"wrong randomness": {double.Faults{Randomness: true}, beacon.ErrUntrusted},
		"wrong signature":  {double.Faults{Signature: true}, beacon.ErrUntrusted},
		"wrong round":      {double.Faults{Round: true}, beacon.ErrUntrusted},
		"wrong key":        {double.Faults{Info: true}, beacon.ErrUntrusted},
		"too long":         {double.Faults{TooLong: true}, beacon.ErrUnavailable},
		"redirect":         {double.Faults{Redirect: elsewhere.url}, beacon.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, sound := newRelay(t), newRelay(t)
			alone, both := newClient(t, 30*time.Second, r), newClient(t, 30*time.Second, r, sound)
			r.SetFaults(c.faults)
			if v, err := alone.Round(t.Context(), 3); !errors.Is(err, c.want) || v.Signature != nil {
				t.Errorf("%+v, %v, want %v and no value", v, err, c.want)
			}
			r.SetFaults(c.faults)
			if v, err := both.Round(t.Context(), 3); err != nil || v.Randomness != sound.Value(3).Randomness {
				t.Errorf("with a sound relay beside it: %+v, %v", v, err)
			}
			r.SetFaults(double.Faults{})
			if _, err := alone.Round(t.Context(), 3); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// A relay that never answers costs a timeout, and no more than the caller's patience.
func TestClient_Silence(t *testing.T) {
	t.Parallel()
	silent := newRelay(t)
	silent.SetFaults(double.Faults{Silent: true})
	if _, err := newClient(t, 10*time.Millisecond, silent).Round(t.Context(), 3); !errors.Is(err, beacon.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want ErrUnavailable after the timeout", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newClient(t, time.Minute, silent, silent).Round(ctx, 3); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the caller's end", err)
	}
}

// Of several reasons the caller gets the one to act on: to wait, or to look into a value that can't be trusted.
func TestClient_WhyNoneAnswered(t *testing.T) {
	t.Parallel()
	broken, lying := newRelay(t), newRelay(t)
	late := newRelay(t)
	broken.SetFaults(double.Faults{Errors: 1000})
	lying.SetFaults(double.Faults{Signature: true})
	late.SetFaults(double.Faults{Late: time.Hour})
	if _, err := newClient(t, 30*time.Second, broken, lying, late).Round(t.Context(), 3); !errors.Is(err, beacon.ErrNotPublished) {
		t.Errorf("%v, want ErrNotPublished", err)
	}
	if _, err := newClient(t, 30*time.Second, broken, lying).Round(t.Context(), 3); sale.CodeOf(err) != "beacon_untrusted" {
		t.Errorf("%v, want ErrUntrusted", err)
	}
}

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	good := beacon.Config{Relays: []string{"https://api.drand.sh", "http://127.0.0.1:1/x"}, Timeout: time.Second}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(c *beacon.Config){
		"no relay":     func(c *beacon.Config) { c.Relays = nil },
		"many relays":  func(c *beacon.Config) { c.Relays = make([]string, 9) },
		"no scheme":    func(c *beacon.Config) { c.Relays = []string{"api.drand.sh"} },
		"file":         func(c *beacon.Config) { c.Relays = []string{"file:///etc/passwd"} },
		"query":        func(c *beacon.Config) { c.Relays = []string{"https://api.drand.sh?x=1"} },
		"credentials":  func(c *beacon.Config) { c.Relays = []string{"https://a:b@api.drand.sh"} },
		"no timeout":   func(c *beacon.Config) { c.Timeout = 0 },
		"long timeout": func(c *beacon.Config) { c.Timeout = time.Hour },
	} {
		c := good
		change(&c)
		if _, err := beacon.NewClient(c, nil); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}
