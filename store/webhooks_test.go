package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/sale"
)

func TestWebhooksAreHeardOnce(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	a := r.begin(checkout(0))[0]
	because := sale.Webhook{ID: "evt_1", Type: "payment_intent.payment_failed"}
	for range 2 {
		if err := r.store.MarkDeclined(t.Context(), []sale.Settlement{{Attempt: a, Reason: "x", Because: because}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.store.MarkHeard(t.Context(), []sale.Webhook{{ID: "evt_2", Type: "b"}, because, {ID: "evt_2", Type: "b"}, {}}); err != nil {
		t.Fatal(err)
	}
	heard, err := r.store.HeardWebhooks(t.Context(), []string{"evt_3", "evt_2", "evt_1"})
	if err != nil || !slices.Equal(heard, []bool{false, true, true}) {
		t.Errorf("heard %v (%v)", heard, err)
	}
	if n := one[int](r, `SELECT count(*) FROM webhook_events`); n != 2 {
		t.Errorf("%d rows", n)
	}
}

// An event that moved nothing is not recorded with that: who was told by it may have more to do, and says so at the end.
func TestWebhookThatMovedNothingIsNotHeard(t *testing.T) {
	t.Parallel()
	r := setup(t, 2)
	p := r.bought(0)
	refund := r.refund(p.OrderID)
	if _, err := r.store.MarkRefunded(t.Context(), refund.ID, "re_1", sale.Webhook{}); err != nil {
		t.Fatal(err)
	}
	a, err := r.attempt(p.AttemptID)
	if err != nil {
		t.Fatal(err)
	}
	because := sale.Webhook{ID: "evt_1", Type: "x"}
	x := []sale.Settlement{{Attempt: a, IntentID: p.IntentID, Because: because}}
	for name, move := range map[string]func() (bool, error){
		"MarkAuthorized": func() (bool, error) { return false, r.store.MarkAuthorized(t.Context(), x) },
		"MarkDeclined":   func() (bool, error) { return false, r.store.MarkDeclined(t.Context(), x) },
		"MarkCanceled":   func() (bool, error) { return false, r.store.MarkCanceled(t.Context(), x) },
		"VoidOrder": func() (bool, error) {
			return r.store.VoidOrder(t.Context(), events.Order{OrderID: p.OrderID, AttemptID: a.ID}, "x", because)
		},
		"MarkRefundPending": func() (bool, error) { return false, r.store.MarkRefundPending(t.Context(), refund.ID, "re_1", because) },
		"MarkRefunded":      func() (bool, error) { return r.store.MarkRefunded(t.Context(), refund.ID, "re_1", because) },
		"MarkRefundFailed":  func() (bool, error) { return r.store.MarkRefundFailed(t.Context(), refund.ID, "re_1", "x", because) },
	} {
		if moved, err := move(); moved || err != nil {
			t.Errorf("%s: moved %v (%v)", name, moved, err)
		}
		if n := one[int](r, `SELECT count(*) FROM webhook_events`); n != 0 {
			t.Fatalf("%s recorded an event that moved nothing", name)
		}
	}
}

// An event and its effect are recorded together or not at all.
func TestWebhookWithoutItsEffectIsNotHeard(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	p := r.bought(0)
	r.exec(`ALTER TABLE outbox ADD CONSTRAINT full_up CHECK (false)`)
	because := sale.Webhook{ID: "evt_1", Type: "x"}
	d := sale.Dispute{ID: "du_1", AttemptID: p.AttemptID, State: sale.DisputeLost, Amount: 1, Currency: "eur", OpenedAt: r.clock.Now()}
	if err := r.store.MarkDispute(t.Context(), d, because); err == nil {
		t.Error("recorded without its message")
	}
	if n := one[int](r, `SELECT (SELECT count(*) FROM webhook_events) + (SELECT count(*) FROM disputes)`); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestOldWebhooksAreForgottenABatchAtATime(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	for i := range 25 {
		if err := r.store.MarkHeard(t.Context(), []sale.Webhook{{ID: fmt.Sprint("evt_", i), Type: "x"}}); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(time.Hour)
	}
	before := r.clock.Now().Add(-5 * time.Hour) // the last five are younger
	for _, want := range []int{8, 8, 4, 0} {
		if n, err := r.store.ForgetWebhooks(t.Context(), before, 8); err != nil || n != want {
			t.Errorf("forgot %d (%v), want %d", n, err, want)
		}
	}
}
