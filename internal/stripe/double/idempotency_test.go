package double_test

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"onsale/internal/stripe/double"
)

const form = "amount=100&currency=usd&confirm=true&payment_method_types[]=card&payment_method="

func TestIdempotentReplay(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	for _, tc := range []struct {
		name, body string
		faults     double.Faults
		status     int
	}{
		{"success", form + "pm_card_visa", double.Faults{}, 200},
		{"decline", form + "pm_card_chargeDeclined", double.Faults{}, 402},
		{"server error", form + "pm_card_visa", double.Faults{ErrorShare: 1}, 500},
	} {
		r.d.SetFaults(tc.faults)
		first, body := r.raw("POST", "/v1/payment_intents", testKey, tc.name, tc.body)
		r.d.SetFaults(double.Faults{})
		if first.StatusCode != tc.status || first.Header.Get("Idempotent-Replayed") != "" {
			t.Fatalf("%s: got %d %s", tc.name, first.StatusCode, body)
		}
		second, again := r.raw("POST", "/v1/payment_intents", testKey, tc.name, tc.body)
		if second.StatusCode != tc.status || again != body || second.Header.Get("Idempotent-Replayed") != "true" ||
			second.Header.Get("Original-Request") != first.Header.Get("Request-Id") {
			t.Errorf("%s: replay differs: %d %s, first %d %s", tc.name, second.StatusCode, again, first.StatusCode, body)
		}
	}
	if got := r.count(); got != 2 { // one succeeded, one declined, none by the 500
		t.Errorf("%d intents, want 2", got)
	}
}

func TestIdempotencyKeyMismatch(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	p := params("pm_card_visa")
	p.SetIdempotencyKey("attempt-1")
	in, err := r.intents.New(p)
	if err != nil {
		t.Fatal(err)
	}
	p.Amount = stripe.Int64(2600)
	_, err = r.intents.New(p)
	if e := stripeError(t, err, 400, ""); e.Type != stripe.ErrorTypeIdempotency {
		t.Errorf("other parameters: %+v", e)
	}
	c := &stripe.PaymentIntentCaptureParams{}
	c.SetIdempotencyKey("attempt-1")
	_, err = r.intents.Capture(in.ID, c)
	if e := stripeError(t, err, 400, ""); e.Type != stripe.ErrorTypeIdempotency {
		t.Errorf("other path: %+v", e)
	}
	// The order in which parameters are sent is no difference.
	first, body := r.raw("POST", "/v1/payment_intents", testKey, "k", "amount=100&currency=usd")
	second, again := r.raw("POST", "/v1/payment_intents", testKey, "k", "currency=usd&amount=100")
	if first.StatusCode != 200 || second.StatusCode != 200 || body != again {
		t.Errorf("other order: %d %s, %d %s", first.StatusCode, body, second.StatusCode, again)
	}
}

func TestRefusedBeforeExecutionIsNotStored(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	if resp, _ := r.raw("POST", "/v1/payment_intents", testKey, "k", "amount=0&currency=usd"); resp.StatusCode != 400 {
		t.Fatalf("invalid: %d", resp.StatusCode)
	}
	r.raw("POST", "/v1/payment_intents", "sk_test_wrong_key_here", "k", "amount=100&currency=usd")
	r.d.SetFaults(double.Faults{RateLimitShare: 1})
	p := params("pm_card_visa")
	p.SetIdempotencyKey("k")
	_, err := r.intents.New(p)
	stripeError(t, err, 429, stripe.ErrorCodeRateLimit)
	if got := r.stats().Keys; got != 0 {
		t.Errorf("%d keys stored", got)
	}
	r.d.SetFaults(double.Faults{})
	if in, err := r.intents.New(p); err != nil || in.Status != "requires_capture" {
		t.Errorf("same key afterwards: %+v, %v", in, err)
	}
}

func TestWrongStateIsStored(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	in := r.pay("pm_card_authenticationRequired")
	c := &stripe.PaymentIntentCaptureParams{}
	c.SetIdempotencyKey("capture")
	_, err := r.intents.Capture(in.ID, c)
	stripeError(t, err, 400, stripe.ErrorCodePaymentIntentUnexpectedState)
	r.raw("POST", "/_double/authenticate/"+in.ID, testKey, "", `{"outcome":"success"}`)
	_, err = r.intents.Capture(in.ID, c)
	stripeError(t, err, 400, stripe.ErrorCodePaymentIntentUnexpectedState)
}

func TestTimeoutAfterEffect(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	r.count() // leaves an idle connection, which Go's client would silently repeat a call on
	r.d.SetFaults(double.Faults{TimeoutAfterShare: 1})
	p := params("pm_card_visa")
	p.SetIdempotencyKey("attempt-1")
	_, err := r.intents.New(p)
	var e *stripe.Error
	if err == nil || errors.As(err, &e) {
		t.Fatalf("got %v, want a broken connection", err)
	}
	r.d.SetFaults(double.Faults{})
	if got := r.stats().Calls["POST /v1/payment_intents"]; got != 1 {
		t.Errorf("the fault cost %d calls, want 1", got)
	}
	in, err := r.intents.New(p)
	if err != nil || in.Status != "requires_capture" || in.LastResponse.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("replay: %+v, %v", in, err)
	}
	if got := r.count(); got != 1 {
		t.Errorf("%d intents, want 1", got)
	}
}

func TestOneKeyManyCallers(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{JournalPath: t.TempDir() + "/stripe.jsonl"})
	r.d.SetFaults(double.Faults{LatencyMS: 20})
	var wg sync.WaitGroup
	var made, inUse atomic.Int64
	ids := make(chan string, 50)
	for range 50 {
		wg.Go(func() {
			p := params("pm_card_visa")
			p.SetIdempotencyKey("contested")
			in, err := r.intents.New(p)
			var e *stripe.Error
			switch {
			case err == nil:
				made.Add(1)
				ids <- in.ID
			case errors.As(err, &e) && e.HTTPStatusCode == 409 && e.Code == stripe.ErrorCodeIdempotencyKeyInUse:
				inUse.Add(1)
			default:
				t.Errorf("create: %v", err)
			}
		})
	}
	wg.Wait()
	close(ids)
	if made.Load() < 1 || made.Load()+inUse.Load() != 50 {
		t.Errorf("%d answered, %d in use", made.Load(), inUse.Load())
	}
	winner := <-ids
	for id := range ids {
		if id != winner {
			t.Errorf("two intents: %s and %s", winner, id)
		}
	}
	r.d.SetFaults(double.Faults{})
	if got := r.count(); got != 1 {
		t.Errorf("%d intents, want 1", got)
	}
}

// The server reuses the buffers of calls: what is kept of one must not change with the next.
func TestCallsDoNotShareBuffers(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	const callers, calls = 8, 25
	create := func(name string) (*stripe.PaymentIntent, error) {
		p := params("pm_card_visa")
		p.Description = stripe.String("for " + name)
		p.AddMetadata("attempt_id", name)
		p.AddMetadata("name_"+name, "x")
		p.SetIdempotencyKey("key of " + name)
		return r.intents.New(p)
	}
	names := map[string]string{} // by intent
	var mu sync.Mutex
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range calls {
				name := strconv.Itoa(caller) + strings.Repeat("-", i) + strconv.Itoa(i)
				in, err := create(name)
				if err != nil {
					t.Errorf("create %s: %v", name, err)
					return
				}
				mu.Lock()
				names[in.ID] = name
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id, name := range names {
		in, err := r.intents.Get(id, nil)
		if err != nil || in.Description != "for "+name || in.Metadata["attempt_id"] != name || in.Metadata["name_"+name] != "x" || in.PaymentMethod.ID != "pm_card_visa" {
			t.Errorf("%s of %s: %+v, %v", id, name, in, err)
		}
		if again, err := create(name); err != nil || again.ID != id {
			t.Errorf("the key of %s is forgotten: %v", name, err)
		}
	}
	if len(names) != callers*calls {
		t.Errorf("%d intents, want %d", len(names), callers*calls)
	}
}

func TestKeyInUse(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	r.d.SetFaults(double.Faults{LatencyMS: 60_000})
	go func() { // ends when the double stops, which cuts latency short
		p := params("pm_card_visa")
		p.SetIdempotencyKey("slow")
		r.intents.New(p)
	}()
	other := params("pm_card_visa")
	other.SetIdempotencyKey("slow")
	eventually(t, "the key is in use", func() bool { return r.stats().KeysInUse == 1 })
	if resp, _ := r.raw("POST", "/v1/payment_intents", testKey, "slow", "amount=1&currency=usd"); resp.StatusCode != 400 {
		t.Errorf("other parameters: %d", resp.StatusCode)
	}
	_, err := r.intents.New(other)
	if e := stripeError(t, err, 409, stripe.ErrorCodeIdempotencyKeyInUse); e.Type != stripe.ErrorTypeInvalidRequest {
		t.Errorf("type %s", e.Type)
	}
}

func TestKeyExpires(t *testing.T) {
	t.Parallel()
	var hours atomic.Int64
	begin := time.Now()
	path := t.TempDir() + "/stripe.jsonl"
	cfg := double.Config{JournalPath: path, Now: func() time.Time { return begin.Add(time.Duration(hours.Load()) * time.Hour) }}
	r := start(t, cfg)
	p := params("pm_card_visa")
	p.SetIdempotencyKey("daily")
	create := func() string {
		t.Helper()
		in, err := r.intents.New(p)
		if err != nil {
			t.Fatal(err)
		}
		return in.ID
	}
	first := create()
	hours.Store(23)
	if again := create(); again != first {
		t.Error("the key was forgotten within its day")
	}
	hours.Store(24)
	if again := create(); again == first {
		t.Error("the key was remembered for longer than a day")
	}
	hours.Store(60)
	r.stop()
	r = start(t, cfg)
	if got := r.stats().Keys; got != 0 {
		t.Errorf("%d expired keys came back from the journal", got)
	}
}
