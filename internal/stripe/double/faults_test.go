package double_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stripe/stripe-go/v76"

	"onsale/internal/stripe/double"
)

func TestFaultsControl(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	want := double.Faults{LatencyMS: 1, LatencyJitterMS: 2, RateLimitShare: 0.25, WebhookReorder: true}
	body, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if resp, answer := r.raw("PUT", "/_double/faults", testKey, "", string(body)); resp.StatusCode != 200 || answer != string(body) {
		t.Errorf("put: %d %s", resp.StatusCode, answer)
	}
	if _, answer := r.raw("GET", "/_double/faults", testKey, "", ""); answer != string(body) {
		t.Errorf("get: %s", answer)
	}
	for _, bad := range []string{
		`{"rate_limit_share":1.01}`, `{"error_share":-0.1}`, `{"timeout_after_share":2}`, `{"webhook_duplicate_share":-1}`,
		`{"latency_ms":-1}`, `{"latency_jitter_ms":-1}`, `{"webhook_delay_ms":-1}`, `{"latency_ms":600001}`,
		`{"rate_limit":-1}`, `{"latency":1}`, `{"error_share":"0.5"}`, `{}{}`, ``,
	} {
		if resp, answer := r.raw("PUT", "/_double/faults", testKey, "", bad); resp.StatusCode != 400 {
			t.Errorf("%s: %d %s", bad, resp.StatusCode, answer)
		}
	}
	if diff := cmp.Diff(want, r.d.Faults()); diff != "" {
		t.Errorf("refused faults took effect (-want +got):\n%s", diff)
	}
	if resp, _ := r.raw("PUT", "/_double/faults", "sk_test_somebody_else", "", `{}`); resp.StatusCode != 401 {
		t.Errorf("without the key: %d", resp.StatusCode)
	}
	r.d.SetFaults(double.Faults{LatencyMS: -1, ErrorShare: math.NaN(), RateLimitShare: -3, RateLimit: -1, TimeoutAfterShare: 0.5})
	if diff := cmp.Diff(double.Faults{TimeoutAfterShare: 0.5}, r.d.Faults()); diff != "" {
		t.Errorf("clamped (-want +got):\n%s", diff)
	}
}

func TestErrorHasNoEffect(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	in := r.pay("pm_card_visa")
	r.d.SetFaults(double.Faults{ErrorShare: 1})
	for _, err := range []error{
		second(r.intents.New(params("pm_card_visa"))),
		second(r.intents.Capture(in.ID, nil)),
		second(r.intents.Get(in.ID, nil)),
	} {
		if e := stripeError(t, err, 500, ""); e.Type != stripe.ErrorTypeAPI {
			t.Errorf("type %s", e.Type)
		}
	}
	r.d.SetFaults(double.Faults{})
	if got, err := r.intents.Get(in.ID, nil); err != nil || got.Status != "requires_capture" || r.count() != 1 {
		t.Errorf("a failed call had an effect: %+v, %v, %d intents", got, err, r.count())
	}
}

// A call that is cut before its effect leaves nothing behind, not even its key.
func TestTimeoutBeforeHasNoEffect(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	p := params("pm_card_visa")
	p.SetIdempotencyKey("attempt-1")
	r.d.SetFaults(double.Faults{TimeoutBeforeShare: 1})
	var answered *stripe.Error
	if _, err := r.intents.New(p); err == nil || errors.As(err, &answered) {
		t.Errorf("create: %v", err)
	}
	if _, err := r.intents.Get("pi_none", nil); err == nil || errors.As(err, &answered) {
		t.Errorf("retrieve: %v", err)
	}
	r.d.SetFaults(double.Faults{})
	if n := r.count(); n != 0 {
		t.Errorf("%d intents", n)
	}
	if _, err := r.intents.New(p); err != nil || r.count() != 1 {
		t.Errorf("again: %v, %d intents", err, r.count())
	}
}

func second[T any](_ T, err error) error { return err }

// TestSeedRepeatsFaults makes the same calls under one seed twice.
func TestSeedRepeatsFaults(t *testing.T) {
	t.Parallel()
	outcomes := func(seed uint64) (list []int) {
		r := start(t, double.Config{Seed: seed})
		r.d.SetFaults(double.Faults{RateLimitShare: 0.3, ErrorShare: 0.3, TimeoutAfterShare: 0.3})
		for range 60 {
			_, err := r.intents.New(params("pm_card_visa"))
			var e *stripe.Error
			switch {
			case err == nil:
				list = append(list, 200)
			case errors.As(err, &e):
				list = append(list, e.HTTPStatusCode)
			default:
				list = append(list, 0) // cut
			}
		}
		return list
	}
	first := outcomes(11)
	if diff := cmp.Diff(first, outcomes(11)); diff != "" {
		t.Errorf("one seed, two courses:\n%s", diff)
	}
	if cmp.Equal(first, outcomes(12)) {
		t.Error("another seed, the same course")
	}
	kinds := map[int]bool{}
	for _, outcome := range first {
		kinds[outcome] = true
	}
	for _, want := range []int{200, 429, 500, 0} {
		if !kinds[want] {
			t.Errorf("sixty calls met no %d: %v", want, first)
		}
	}
}

// TestRateLimit: what comes over the limit in a second is refused without effect.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	const limit = 3
	r.d.SetFaults(double.Faults{RateLimit: limit})
	began := time.Now()
	var refused int64
	for range 50 {
		if _, err := r.intents.New(params("pm_card_visa")); err != nil {
			stripeError(t, err, 429, "rate_limit")
			refused++
		}
	}
	taken := 50 - refused
	if most := limit * (int64(time.Since(began)/time.Second) + 1); taken < limit || taken > most || r.d.RateLimited() != refused {
		t.Errorf("%d were taken in %v, %d refused, %d counted", taken, time.Since(began), refused, r.d.RateLimited())
	}
}
