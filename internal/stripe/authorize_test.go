package stripe

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onsale/internal/sale"
	"onsale/internal/stripe/double"
)

func TestAuthorize(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for method, want := range map[string]sale.Intent{
		visa:                          {Status: sale.IntentRequiresCapture},
		"pm_card_visa_chargeDeclined": {Status: sale.IntentRequiresPaymentMethod, Reason: "generic_decline"},
		"pm_card_chargeDeclinedInsufficientFunds": {Status: sale.IntentRequiresPaymentMethod, Reason: "insufficient_funds"},
		"pm_card_visa_chargeDeclinedExpiredCard":  {Status: sale.IntentRequiresPaymentMethod, Reason: "expired_card"},
		"pm_card_authenticationRequired":          {Status: sale.IntentRequiresAction},
		"pm_card_threeDSecure2Required":           {Status: sale.IntentRequiresAction},
	} {
		a := attempt(method)
		got, err := r.Authorize(t.Context(), a)
		if err != nil {
			t.Errorf("%s: %v", method, err)
			continue
		}
		if !strings.HasPrefix(got.ID, "pi_") || !strings.HasPrefix(got.ClientSecret, got.ID+"_secret_") {
			t.Errorf("%s: intent %q, secret %q", method, got.ID, got.ClientSecret)
		}
		want.ID, want.ClientSecret = got.ID, got.ClientSecret
		want.Amount, want.Currency, want.AttemptID, want.OrderID, want.EventID = a.Amount, "eur", a.ID.String(), a.OrderID.String(), "show"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", method, diff)
		}
		// Stripe says the same when it is asked later.
		if later, err := r.Retrieve(t.Context(), got.ID); err != nil || later != got {
			t.Errorf("%s: later %+v (%v), at first %+v", method, later, err, got)
		}
	}
}

func TestWhatStripeRefusesIsInvalid(t *testing.T) {
	t.Parallel()
	r := setup(t)
	_, err := r.Authorize(t.Context(), attempt("pm_card_of_another_system"))
	r.refused(err, sale.Invalid, "resource_missing")
	nothing := attempt(visa)
	nothing.Amount = 0
	_, err = r.Authorize(t.Context(), nothing)
	r.refused(err, sale.Invalid, "parameter_invalid_integer")
	_, err = r.Retrieve(t.Context(), "pi_none")
	r.refused(err, sale.Invalid, "resource_missing")
	if n := r.count(); n != 0 {
		t.Errorf("%d intents", n)
	}
}

func TestOneAttemptIsOneIntent(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.double.SetFaults(double.Faults{LatencyMS: 5, LatencyJitterMS: 10})
	a := attempt(visa)
	var mu sync.Mutex
	ids := map[string]int{}
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			i, err := r.Authorize(t.Context(), a)
			if err != nil {
				r.refused(err, sale.Unavailable, "payment_unknown") // its key is in use
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[i.ID]++
		})
	}
	all.Wait()
	again := r.authorized(a)
	if len(ids) != 1 || ids[again.ID] == 0 || r.count() != 1 {
		t.Errorf("intents %v, again %s, %d in all", ids, again.ID, r.count())
	}
}

func TestDeclineIsReplayed(t *testing.T) {
	t.Parallel()
	r := setup(t)
	a := attempt("pm_card_chargeDeclined")
	first, err := r.Authorize(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.Authorize(t.Context(), a); err != nil || again != first {
		t.Errorf("again %+v (%v), at first %+v", again, err, first)
	}
}

// TestStoredErrorIsReplayed: Stripe keeps a 500 under its key, so another try of it can't help; looking can.
func TestStoredErrorIsReplayed(t *testing.T) {
	t.Parallel()
	r := setup(t)
	a := attempt(visa)
	r.double.SetFaults(double.Faults{ErrorShare: 1})
	for range 2 {
		_, err := r.Authorize(t.Context(), a)
		r.refused(err, sale.Unavailable, "payment_unknown")
		r.double.SetFaults(double.Faults{})
	}
	if i, found, err := r.Find(t.Context(), a.ID); found || err != nil {
		t.Errorf("found %+v (%v)", i, err)
	}
}

// TestEffectWithoutAnswerIsFoundUnderItsKey cuts the connection after Stripe has taken the money.
func TestEffectWithoutAnswerIsFoundUnderItsKey(t *testing.T) {
	t.Parallel()
	r := setup(t)
	a := attempt(visa)
	r.double.SetFaults(double.Faults{TimeoutAfterShare: 1})
	_, err := r.Authorize(t.Context(), a)
	r.refused(err, sale.Unavailable, "payment_unknown")
	r.double.SetFaults(double.Faults{})
	found, ok, err := r.Find(t.Context(), a.ID)
	if !ok || err != nil {
		t.Fatalf("the effect is not found (%v)", err)
	}
	if i := r.authorized(a); i.ID != found.ID || r.count() != 1 {
		t.Errorf("asked again: %s, found: %s, %d in all", i.ID, found.ID, r.count())
	}
	r.double.SetFaults(double.Faults{TimeoutAfterShare: 1})
	_, err = r.Capture(t.Context(), a.ID, found.ID, 1)
	r.refused(err, sale.Unavailable, "payment_unknown")
	r.double.SetFaults(double.Faults{})
	if i, err := r.Capture(t.Context(), a.ID, found.ID, 1); err != nil || i.Status != sale.IntentSucceeded || i.Captured != a.Amount {
		t.Errorf("captured again: %+v (%v)", i, err)
	}
}

func TestRateLimitHasNoEffect(t *testing.T) {
	t.Parallel()
	r := setup(t)
	a := attempt(visa)
	i := r.authorized(a)
	r.double.SetFaults(double.Faults{RateLimitShare: 1})
	for name, call := range map[string]func() error{
		"authorize": func() error { _, err := r.Authorize(t.Context(), attempt(visa)); return err },
		"capture":   func() error { _, err := r.Capture(t.Context(), a.ID, i.ID, 1); return err },
		"cancel":    func() error { _, err := r.Cancel(t.Context(), a.ID, i.ID, 1); return err },
		"retrieve":  func() error { _, err := r.Retrieve(t.Context(), i.ID); return err },
		"find":      func() error { _, _, err := r.Find(t.Context(), a.ID); return err },
	} {
		if err := call(); sale.KindOf(err) != sale.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.double.SetFaults(double.Faults{})
	if now, err := r.Retrieve(t.Context(), i.ID); err != nil || now != i || r.count() != 1 {
		t.Errorf("now %+v (%v), before %+v, %d in all", now, err, i, r.count())
	}
	if _, err := r.Capture(t.Context(), a.ID, i.ID, 1); err != nil {
		t.Errorf("the refusal was stored under its key: %v", err)
	}
}

// TestWrongKeyIsTheOperatorsToMend: no order may die of it, and nobody may read it.
func TestWrongKeyIsTheOperatorsToMend(t *testing.T) {
	t.Parallel()
	r := serve(t, double.Config{SecretKey: "sk_test_the_right_one"}, testKey)
	_, err := r.Authorize(t.Context(), attempt(visa))
	r.refused(err, sale.Unavailable, "payment_unknown")
	restricted := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"error":{"type":"invalid_request_error","code":"secret_key_required","message":"This key may not do that."}}`)
	}))
	t.Cleanup(restricted.Close)
	_, err = New(Config{SecretKey: testKey, APIURL: restricted.URL, Timeout: time.Second}).Authorize(t.Context(), attempt(visa))
	r.refused(err, sale.Unavailable, "payment_unknown")
}

// Another build may ask for something else under the same key. What the first call did is not known from that: its money
// may be reserved, and a decline would leave it so.
func TestKeyThatWasUsedOtherwiseIsUnknown(t *testing.T) {
	t.Parallel()
	r := setup(t)
	a := attempt(visa)
	if _, err := r.Authorize(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	a.Amount++
	_, err := r.Authorize(t.Context(), a)
	r.refused(err, sale.Unavailable, "payment_unknown")
}

func TestNoAnswerIsUnknown(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "<html>bad gateway "+r.Header.Get("Authorization"), http.StatusBadGateway)
	}))
	t.Cleanup(proxy.Close)
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // until then the server doesn't see that the client has gone
		<-r.Context().Done()
	}))
	t.Cleanup(slow.Close)
	for name, url := range map[string]string{"closed": "http://" + closed.Addr().String(), "a proxy's page": proxy.URL, "silent": slow.URL} {
		c := New(Config{SecretKey: testKey, APIURL: url, Timeout: 300 * time.Millisecond})
		a := attempt(visa)
		for verb, call := range map[string]func() error{
			"authorize": func() error { _, err := c.Authorize(t.Context(), a); return err },
			"retrieve":  func() error { _, err := c.Retrieve(t.Context(), "pi_1"); return err },
			"capture":   func() error { _, err := c.Capture(t.Context(), a.ID, "pi_1", 1); return err },
			"cancel":    func() error { _, err := c.Cancel(t.Context(), a.ID, "pi_1", 1); return err },
			"find":      func() error { _, _, err := c.Find(t.Context(), a.ID); return err },
		} {
			err := call()
			if sale.KindOf(err) != sale.Unavailable || sale.CodeOf(err) != "payment_unknown" {
				t.Errorf("%s, %s: %v", name, verb, err)
			}
			discreet(t, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(Config{SecretKey: testKey, APIURL: slow.URL}).Authorize(ended, attempt(visa)); sale.KindOf(err) != sale.Unavailable {
		t.Errorf("after the caller has gone: %v", err)
	}
}
