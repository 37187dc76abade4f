package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/internal/sale"
)

// stale claims attempts and says which, by their number in begun.
func (r *rig) stale(begun []sale.Attempt, limit int) string {
	r.Helper()
	all, err := r.store.ClaimStaleAttempts(r.Context(), time.Minute, 30*time.Second, limit)
	if err != nil {
		r.Fatal(err)
	}
	claimed := ""
	for i, a := range begun {
		for _, got := range all {
			if got.ID == a.ID {
				claimed += fmt.Sprint(i)
			}
		}
	}
	if len(claimed) != len(all) {
		r.Errorf("claimed %+v", all)
	}
	return claimed
}

func TestClaimStaleAttempts(t *testing.T) {
	t.Parallel()
	r := setup(t, 5) // the event's payment window is ten minutes
	begun := r.begin(checkout(0), checkout(1), checkout(2), checkout(3))
	r.put(begun[1], sale.ActionRequired, sale.AuthenticationRequired)
	r.put(begun[2], sale.Authorized, sale.Processing)
	r.put(begun[3], sale.Declined, sale.PaymentFailed)
	r.exec(`UPDATE payment_attempts SET created_at = created_at - interval '1 second' WHERE attempt_id = $1`, begun[1].ID)
	for _, c := range []struct {
		pass  time.Duration
		limit int
		want  string
	}{
		{10*time.Minute + 58*time.Second, 10, ""}, // within the grace
		{3 * time.Second, 1, "1"},                 // the oldest
		{0, 10, "0"},                              // and nobody gets it again
		{29 * time.Second, 10, ""},
		{time.Second, 1, "1"}, // until they are looked at again, in the same order
		{0, 10, "0"},
	} {
		r.clock.Advance(c.pass)
		if got := r.stale(begun, c.limit); got != c.want {
			t.Errorf("after %s: %q, want %q", c.pass, got, c.want)
		}
	}
	// One that nobody has looked at comes before those that could not be ended.
	begun = append(begun, r.begin(checkout(4))...)
	r.clock.Advance(12 * time.Minute)
	if got := r.stale(begun, 1); got != "4" {
		t.Errorf("first %q", got)
	}
	if got, err := r.attempt(begun[4].ID); err != nil || !got.UpdatedAt.Equal(begun[4].UpdatedAt) || got.State != sale.Started {
		t.Errorf("a claim moved it: %+v (%v)", got, err)
	}
}

// Many claim at once, and each attempt goes to one of them, as it is.
func TestManyClaimDifferentAttempts(t *testing.T) {
	t.Parallel()
	const n, each = 60, 7
	r := setup(t, n)
	want := map[uuid.UUID]sale.Attempt{}
	for i := range n {
		a := r.begin(checkout(i))[0]
		if i%2 == 0 {
			r.put(a, sale.ActionRequired, sale.AuthenticationRequired)
		}
		now, err := r.attempt(a.ID)
		if err != nil {
			t.Fatal(err)
		}
		want[a.ID] = now
	}
	r.clock.Advance(12 * time.Minute)
	got := map[uuid.UUID]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				claimed, err := r.store.ClaimStaleAttempts(t.Context(), time.Minute, 30*time.Second, each)
				if err != nil || len(claimed) > each {
					t.Errorf("%d claimed (%v)", len(claimed), err)
				}
				mu.Lock()
				for _, a := range claimed {
					got[a.ID]++
					if w := want[a.ID]; a.State != w.State || a.IntentID != w.IntentID || a.OrderID != w.OrderID || len(a.Seats) != 1 {
						t.Errorf("claimed %+v, want %+v", a, w)
					}
				}
				mu.Unlock()
				if len(claimed) == 0 {
					return
				}
			}
		})
	}
	all.Wait()
	for id, times := range got {
		if times != 1 {
			t.Errorf("%s was claimed %d times", id, times)
		}
	}
	if len(got) != n {
		t.Errorf("%d of %d claimed", len(got), n)
	}
}

func TestClaimStaleRefunds(t *testing.T) {
	t.Parallel()
	r := setup(t, 4)
	var refunds []sale.Refund
	for i := range 4 {
		refunds = append(refunds, r.refund(r.bought(i).OrderID))
		r.clock.Advance(time.Second)
	}
	if err := r.store.MarkRefundPending(t.Context(), refunds[1].ID, "re_1", sale.Webhook{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.MarkRefunded(t.Context(), refunds[2].ID, "re_2", sale.Webhook{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.MarkRefundFailed(t.Context(), refunds[3].ID, "", "x", sale.Webhook{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pass  time.Duration
		limit int
		want  []int
	}{{0, 10, nil}, {5 * time.Minute, 1, []int{0}}, {time.Second, 10, []int{1}}, {0, 10, nil}, {9 * time.Minute, 10, nil}, {time.Minute, 10, []int{0, 1}}} {
		r.clock.Advance(c.pass)
		all, err := r.store.ClaimStaleRefunds(t.Context(), r.clock.Now().Add(-5*time.Minute), 10*time.Minute, c.limit)
		if err != nil || len(all) != len(c.want) {
			t.Fatalf("after %s: %+v (%v), want %v", c.pass, all, err, c.want)
		}
		for _, x := range all {
			if w := refunds[c.want[0]]; len(c.want) == 1 && (x.ID != w.ID || x.IntentID != w.IntentID || x.Amount != w.Amount) {
				t.Errorf("claimed %+v, want %+v", x, w)
			}
		}
	}
}
