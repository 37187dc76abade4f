package stripe

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/internal/sale"
	"onsale/internal/stack"
)

// official starts Stripe's own mock, which knows Stripe's OpenAPI document and refuses what that does not allow, and
// returns its address.
func official(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stripe-mock")
	build, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(build, "go", "build", "-o", path, "github.com/stripe/stripe-mock").CombinedOutput(); err != nil {
		t.Fatalf("build stripe-mock (`go mod download` fetches it): %v\n%s", err, out)
	}
	// Without an address of its own for HTTPS it takes a port that another one may have.
	dir := t.TempDir()
	mock, err := stack.StartProgram(dir, stack.Program{Name: "stripe-mock", Path: path, Args: []string{"-http-addr", "127.0.0.1:0", "-https-addr", "127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mock.Kill() }) // it may have ended
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for limit := time.After(time.Minute); ; {
		log, err := os.ReadFile(filepath.Join(dir, "log", "stripe-mock.log"))
		if err != nil {
			t.Fatal(err)
		}
		if _, after, ok := strings.Cut(string(log), "Listening for HTTP at address: "); ok {
			if at, _, whole := strings.Cut(after, "\n"); whole {
				return "http://" + strings.TrimSpace(at)
			}
		}
		select {
		case <-mock.Ended():
			t.Fatal(mock.Why())
		case <-limit:
			t.Fatalf("stripe-mock does not listen:\n%s", log)
		case <-look.C:
		}
	}
}

// TestStripeAcceptsEveryRequest sends each request that the adapter can make to Stripe's own mock.
func TestStripeAcceptsEveryRequest(t *testing.T) {
	t.Parallel()
	ctx, url := t.Context(), official(t)
	c := New(Config{SecretKey: testKey, APIURL: url, Timeout: patience})
	a := attempt(visa)
	all := func(sale.Intent) bool { return true }
	requests := map[string]func() error{
		"Authorize": func() error { return second(c.Authorize(ctx, a)) },
		"Retrieve":  func() error { return second(c.Retrieve(ctx, "pi_1")) },
		"Capture":   func() error { return second(c.Capture(ctx, a.ID, "pi_1", 1)) },
		"Cancel":    func() error { return second(c.Cancel(ctx, a.ID, "pi_1", 1)) },
		"Each":      func() error { return c.Each(ctx, all) },
		"Refund": func() error {
			return second(c.Refund(ctx, sale.Refund{ID: uuid.New(), OrderID: a.OrderID, IntentID: "pi_1", Amount: 100}))
		},
		"Refunds":    func() error { return second(c.Refunds(ctx, "pi_1")) },
		"EachRefund": func() error { return c.EachRefund(ctx, func(sale.Repayment) bool { return true }) },
		"Dispute":    func() error { return second(c.Dispute(ctx, "du_1")) },
		"Find": func() error {
			_, _, err := c.Find(ctx, uuid.New())
			return err
		},
	}
	for name, request := range requests {
		if err := request(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A method that is new must come to this test.
	for m := range reflect.TypeFor[*Client]().Methods() {
		if _, sent := requests[m.Name]; !sent && !slices.Contains([]string{"Verify"}, m.Name) { // that sends nothing
			t.Errorf("%s is not sent to Stripe's mock", m.Name)
		}
	}
	// The next page of a list is asked for only where there is one, and the mock has none.
	for _, list := range []string{"payment_intents?created[gte]=1&starting_after=pi_1", "refunds?created[gte]=1&starting_after=re_1", "refunds?payment_intent=pi_1&starting_after=re_1"} {
		if status, body := raw(t, url, "GET", "/v1/"+list+"&limit=100", nil); status != http.StatusOK {
			t.Errorf("the next page of %s: %d %s", list, status, body)
		}
	}
}

// TestStripeRefusesWhatItDoesNotKnow: the test above can fail.
func TestStripeRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	at := official(t)
	for name, r := range map[string]struct {
		method, path string
		form         url.Values
	}{
		"a parameter that isn't one":     {"POST", "/v1/payment_intents", url.Values{"amount": {"100"}, "currency": {"eur"}, "seats": {"2"}}},
		"a value that isn't one":         {"POST", "/v1/payment_intents", url.Values{"amount": {"100"}, "currency": {"eur"}, "capture_method": {"later"}}},
		"nothing of what is required":    {"POST", "/v1/payment_intents", url.Values{}},
		"a capture of a word":            {"POST", "/v1/payment_intents/pi_1/capture", url.Values{"amount_to_capture": {"all"}}},
		"a list by what can't be asked":  {"GET", "/v1/payment_intents?metadata[order_id]=1", nil},
		"a refund for no good reason":    {"POST", "/v1/refunds", url.Values{"payment_intent": {"pi_1"}, "reason": {"rain"}}},
		"a cancellation for no good end": {"POST", "/v1/payment_intents/pi_1/cancel", url.Values{"cancellation_reason": {"rain"}}},
	} {
		if status, body := raw(t, at, r.method, r.path, r.form); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

// raw makes a request without the adapter.
func raw(t *testing.T, base, method, path string, form url.Values) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testKey)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// second is the error of a call that answers something as well.
func second[T any](_ T, err error) error { return err }
