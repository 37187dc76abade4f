package stripe

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/internal/pace"
	"onsale/internal/sale"
	"onsale/internal/stripe/double"
)

// pacedAt is a client of a rig's double that is paced by itself.
func (r *rig) pacedAt(rate float64, burst int, timeout time.Duration) (*Client, *pace.Pacer) {
	l := pace.Limit{Rate: rate, Burst: burst}
	p := pace.New(pace.Config{Limit: l, Store: pace.NewBucket(l, time.Now), Call: timeout, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	return New(Config{SecretKey: testKey, APIURL: r.url, Timeout: timeout, Pacer: p}), p
}

func TestEveryCallHasItsClass(t *testing.T) {
	t.Parallel()
	for call, want := range map[string]pace.Class{
		"POST /v1/payment_intents":              pace.Begin,
		"GET /v1/payment_intents?limit=100":     pace.Begin,
		"GET /v1/payment_intents/search?query=": pace.Begin,
		"GET /v1/refunds?payment_intent=pi_1":   pace.Begin,
		"POST /v1/payment_intents/pi_1/capture": pace.Finish,
		"POST /v1/payment_intents/pi_1/cancel":  pace.Finish,
		"POST /v1/refunds":                      pace.Finish,
		"GET /v1/payment_intents/pi_1":          pace.Finish,
		"GET /v1/disputes/du_1":                 pace.Finish,
	} {
		method, path, _ := strings.Cut(call, " ")
		if got := classOf(httptest.NewRequest(method, path, nil)); got != want {
			t.Errorf("%s is %s", call, got)
		}
	}
}

// TestWaitingIsNoPartOfTheCallsTime: ten calls at ten a second, and each may take 400 ms.
func TestWaitingIsNoPartOfTheCallsTime(t *testing.T) {
	t.Parallel()
	r := setup(t)
	c, _ := r.pacedAt(10, 1, 400*time.Millisecond)
	began := time.Now()
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if i, err := c.Authorize(t.Context(), attempt(visa)); err != nil || i.Status != sale.IntentRequiresCapture {
				t.Errorf("%+v (%v)", i, err)
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("ten calls took %v: they were not paced, and this test tests nothing", took)
	}
}

// TestCallsOwnTimeIsBounded all the same, its body's too.
func TestCallsOwnTimeIsBounded(t *testing.T) {
	t.Parallel()
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(slow.Close)
	c, _ := (&rig{T: t, url: slow.URL}).pacedAt(10, 1, 200*time.Millisecond)
	_, err := c.Retrieve(t.Context(), "pi_1")
	if sale.KindOf(err) != sale.Unavailable || sale.CodeOf(err) != "payment_unknown" {
		t.Error(err)
	}
}

// TestBodiesAreSentWhole, with their length, also when a call is made again.
func TestBodiesAreSentWhole(t *testing.T) {
	t.Parallel()
	var tries atomic.Int32
	var first atomic.Pointer[string]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		if err != nil || r.ContentLength != int64(len(sent)) || r.TransferEncoding != nil {
			t.Errorf("%s %s: %d bytes were announced, in %v; %d came (%v)", r.Method, r.URL, r.ContentLength, r.TransferEncoding, len(sent), err)
		}
		if (r.URL.Path == "/v1/payment_intents") != (len(sent) > 0) {
			t.Errorf("%s %s: %q", r.Method, r.URL, sent)
		}
		body := string(sent)
		if tries.Add(1) == 1 {
			first.Store(&body)
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if again := *first.Load(); tries.Load() == 2 && body != again {
			t.Errorf("the second try sent %q, the first %q", body, again)
		}
		fmt.Fprint(w, `{"id": "pi_1"}`)
	}))
	t.Cleanup(server.Close)
	c, _ := (&rig{T: t, url: server.URL}).pacedAt(1000, 1000, patience)
	for _, call := range []func() (sale.Intent, error){
		func() (sale.Intent, error) { return c.Authorize(t.Context(), attempt(visa)) },
		func() (sale.Intent, error) { return c.Capture(t.Context(), uuid.New(), "pi_1", 1) },
		func() (sale.Intent, error) { return c.Retrieve(t.Context(), "pi_1") },
	} {
		if i, err := call(); err != nil || i.ID != "pi_1" {
			t.Errorf("%+v (%v)", i, err)
		}
	}
	if n := tries.Load(); n != 4 {
		t.Errorf("%d calls, want 3 and one again", n)
	}
}

// TestNoTurnInTimeIsNoCall, and the error says so.
func TestNoTurnInTimeIsNoCall(t *testing.T) {
	t.Parallel()
	r := setup(t)
	c, p := r.pacedAt(0.01, 1, time.Second)
	a := attempt(visa)
	if _, err := c.Authorize(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	for name, call := range map[string]func() error{
		"authorize": func() error { _, err := c.Authorize(ctx, attempt(visa)); return err },
		"capture":   func() error { _, err := c.Capture(ctx, a.ID, "pi_1", 1); return err },
		"refunds":   func() error { _, err := c.Refunds(ctx, "pi_1"); return err },
	} {
		err := call()
		r.refused(err, sale.Unavailable, sale.CodePaced)
		if ctx.Err() != nil {
			t.Errorf("%s: the refusal came too late to be told", name)
		}
	}
	if n := r.count(); n != 1 {
		t.Errorf("%d intents", n)
	}
	if p.Rate() != 0.01 {
		t.Errorf("the rate is %g", p.Rate())
	}
}

// TestRefusedCallIsMadeAgain under its key, while there is time, and the rate falls.
func TestRefusedCallIsMadeAgain(t *testing.T) {
	t.Parallel()
	r := setup(t)
	c, p := r.pacedAt(1000, 1000, patience)
	r.double.SetFaults(double.Faults{RateLimit: 8})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if i, err := c.Authorize(t.Context(), attempt(visa)); err != nil || i.Status != sale.IntentRequiresCapture {
				t.Errorf("%+v (%v)", i, err)
			}
		})
	}
	all.Wait()
	if r.double.RateLimited() == 0 || p.Rate() >= 1000 {
		t.Errorf("%d refusals, and the rate is %g", r.double.RateLimited(), p.Rate())
	}
	r.double.SetFaults(double.Faults{})
	if n := r.count(); n != 20 {
		t.Errorf("%d intents of 20 attempts", n)
	}
	// With no time left it is refused, and said to have had no effect.
	r.double.SetFaults(double.Faults{RateLimitShare: 1})
	ctx, cancel := context.WithTimeout(t.Context(), patience/2)
	defer cancel()
	_, err := c.Capture(ctx, uuid.New(), "pi_none", 1)
	r.refused(err, sale.Unavailable, sale.CodePaced)
}

// TestWhatStripeSaysOfTheNextTry is followed.
func TestWhatStripeSaysOfTheNextTry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header, value, code string
		calls               int64
		slower              bool
	}{
		"no more":          {"Stripe-Should-Retry", "false", "rate_limit", 1, true},
		"after a second":   {"Retry-After", "1", "rate_limit", 2, true},
		"a locked object":  {"", "", "lock_timeout", 2, false},
		"one object's own": {"Stripe-Rate-Limited-Reason", "resource-specific", "rate_limit", 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			var first, second time.Time
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if calls.Add(1) == 1 {
					first = time.Now()
					if c.header != "" {
						w.Header().Set(c.header, c.value)
					}
					w.WriteHeader(http.StatusTooManyRequests)
					_, _ = w.Write([]byte(`{"error":{"type":"invalid_request_error","code":"` + c.code + `"}}`))
					return
				}
				second = time.Now()
				_, _ = w.Write([]byte(`{"id":"pi_1","object":"payment_intent","status":"succeeded"}`))
			}))
			t.Cleanup(server.Close)
			client, p := (&rig{T: t, url: server.URL}).pacedAt(100, 10, patience)
			i, err := client.Retrieve(t.Context(), "pi_1")
			if calls.Load() != c.calls || (c.calls == 2) != (err == nil && i.Status == sale.IntentSucceeded) {
				t.Errorf("%d calls, %+v (%v)", calls.Load(), i, err)
			}
			if slower := p.Rate() < 100; slower != c.slower {
				t.Errorf("the rate is %g", p.Rate())
			}
			if c.header == "Retry-After" && second.Sub(first) < time.Second {
				t.Errorf("called again after %v", second.Sub(first))
			}
		})
	}
}
