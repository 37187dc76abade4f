package stripe

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/internal/sale"
	"onsale/internal/stripe/double"
)

func TestCaptureTakesTheMoneyOnce(t *testing.T) {
	t.Parallel()
	r := setup(t)
	a := attempt(visa)
	i := r.authorized(a)
	for range 3 { // the same key, the same answer
		got, err := r.Capture(t.Context(), a.ID, i.ID, 1)
		if err != nil || got.ID != i.ID || got.Status != sale.IntentSucceeded || got.Captured != a.Amount || got.Amount != a.Amount {
			t.Errorf("got %+v (%v)", got, err)
		}
	}
	_, err := r.Cancel(t.Context(), a.ID, i.ID, 1)
	r.refused(err, sale.Conflict, "unexpected_state")
	_, err = r.Capture(t.Context(), uuid.New(), i.ID, 1) // another key: Stripe looks at the intent itself
	r.refused(err, sale.Conflict, "unexpected_state")
}

func TestCancelGivesTheMoneyBackOnce(t *testing.T) {
	t.Parallel()
	r := setup(t)
	a := attempt(visa)
	i := r.authorized(a)
	for range 3 {
		if got, err := r.Cancel(t.Context(), a.ID, i.ID, 1); err != nil || got.ID != i.ID || got.Status != sale.IntentCanceled || got.Captured != 0 {
			t.Errorf("got %+v (%v)", got, err)
		}
	}
	_, err := r.Capture(t.Context(), a.ID, i.ID, 1)
	r.refused(err, sale.Conflict, "unexpected_state")
	if now, err := r.Retrieve(t.Context(), i.ID); err != nil || now.Status != sale.IntentCanceled {
		t.Errorf("now %+v (%v)", now, err)
	}
}

func TestWhatIsNotAuthorizedCanNotBeCaptured(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, method := range []string{"pm_card_chargeDeclined", "pm_card_authenticationRequired"} {
		a := attempt(method)
		i, err := r.Authorize(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Capture(t.Context(), a.ID, i.ID, 1)
		r.refused(err, sale.Conflict, "unexpected_state")
		if got, err := r.Cancel(t.Context(), a.ID, i.ID, 1); err != nil || got.Status != sale.IntentCanceled {
			t.Errorf("cancel of %s: %+v (%v)", method, got, err)
		}
	}
	for _, call := range []func() error{
		func() error { _, err := r.Capture(t.Context(), uuid.New(), "pi_none", 1); return err },
		func() error { _, err := r.Cancel(t.Context(), uuid.New(), "pi_none", 1); return err },
	} {
		r.refused(call(), sale.Invalid, "resource_missing")
	}
}

// TestCaptureOrCancelNeverBoth has many callers of either for one intent.
func TestCaptureOrCancelNeverBoth(t *testing.T) {
	t.Parallel()
	r := setup(t)
	a := attempt(visa)
	i := r.authorized(a)
	var captured, canceled atomic.Int64
	var all sync.WaitGroup
	for n := range 30 {
		all.Go(func() {
			call, done := r.Capture, &captured
			if n%2 == 0 {
				call, done = r.Cancel, &canceled
			}
			switch _, err := call(t.Context(), a.ID, i.ID, 1); {
			case err == nil:
				done.Add(1)
			case sale.KindOf(err) != sale.Conflict && sale.KindOf(err) != sale.Unavailable: // too late, or the key is in use
				t.Error(err)
			}
		})
	}
	all.Wait()
	now, err := r.Retrieve(t.Context(), i.ID)
	if err != nil {
		t.Fatal(err)
	}
	if (captured.Load() > 0) == (canceled.Load() > 0) || (captured.Load() > 0) != (now.Status == sale.IntentSucceeded) {
		t.Errorf("captured %d times, canceled %d times, now %s", captured.Load(), canceled.Load(), now.Status)
	}
}

// clocked is a double whose intents are made a second apart.
func clocked(t *testing.T) *rig {
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	var n atomic.Int64
	r := serve(t, double.Config{SecretKey: testKey, Now: func() time.Time { return start.Add(time.Duration(n.Load()) * time.Second) }}, testKey)
	for i := range 250 {
		n.Store(int64(i))
		a := attempt(visa)
		a.EventID = fmt.Sprint(i)
		r.authorized(a)
	}
	return r
}

func TestEachReadsEveryPage(t *testing.T) {
	t.Parallel()
	r := clocked(t)
	read := func(limit int) []string {
		t.Helper()
		var got []string
		if err := r.Each(t.Context(), func(i sale.Intent) bool {
			if i.Status != sale.IntentRequiresCapture || i.Amount != 12_345 {
				t.Errorf("got %+v", i)
			}
			got = append(got, i.EventID)
			return len(got) < limit
		}); err != nil {
			t.Fatal(err)
		}
		return got
	}
	for name, c := range map[string]struct{ limit, want int }{"all of them": {1000, 250}, "until told": {120, 120}} {
		got := read(c.limit)
		if len(got) != c.want {
			t.Errorf("%s: %d intents, want %d", name, len(got), c.want)
		}
		for i, id := range got {
			if id != fmt.Sprint(249-i) {
				t.Fatalf("%s: intent %s at place %d: not the newest first, or one is missing", name, id, i)
			}
		}
	}
}

func TestFindLooksForAnAttempt(t *testing.T) {
	t.Parallel()
	r := clocked(t)
	var oldest sale.Intent
	if err := r.Each(t.Context(), func(i sale.Intent) bool { oldest = i; return true }); err != nil {
		t.Fatal(err)
	}
	id := uuid.MustParse(oldest.AttemptID)
	if got, found, err := r.Find(t.Context(), id); err != nil || !found || got != oldest {
		t.Errorf("%+v %v (%v)", got, found, err)
	}
	if got, found, err := r.Find(t.Context(), uuid.New()); err != nil || found || got != (sale.Intent{}) {
		t.Errorf("an attempt without effect: %+v %v (%v)", got, found, err)
	}
	r.double.SetFaults(double.Faults{ErrorShare: 1})
	if _, found, err := r.Find(t.Context(), id); found || sale.KindOf(err) != sale.Unavailable {
		t.Errorf("an answer that isn't one must not read as \"there is none\": %v (%v)", found, err)
	}
}

// Two intents for one attempt should not be; where there are, the one that has money is the one to know of.
func TestFindPrefersTheIntentWithMoney(t *testing.T) {
	t.Parallel()
	r := setup(t)
	a := attempt(visa)
	form := url.Values{"amount": {"100"}, "currency": {"eur"}, "payment_method_types[]": {"card"}, "metadata[attempt_id]": {a.ID.String()}}
	for range 2 {
		if status, body := raw(t, r.url, "POST", "/v1/payment_intents", form); status != http.StatusOK {
			t.Fatal(status, body)
		}
		if i, found, err := r.Find(t.Context(), a.ID); err != nil || !found || i.Amount != 100 && i.Amount != a.Amount {
			t.Errorf("got %+v %v (%v)", i, found, err)
		}
		if i := r.authorized(a); i.Amount != a.Amount {
			t.Errorf("authorized %+v", i)
		}
	}
	if i, found, err := r.Find(t.Context(), a.ID); err != nil || !found || i.Status != sale.IntentRequiresCapture {
		t.Errorf("got %+v %v (%v)", i, found, err)
	}
}
