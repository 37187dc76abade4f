package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/testenv"
	"onsale/store"
)

var attemptStates = []sale.AttemptState{sale.Started, sale.ActionRequired, sale.Authorized, sale.Declined, sale.Captured, sale.Canceled,
	sale.Disputed, sale.ChargedBack, sale.PaidBack}

// beside is the order status that goes with an attempt's state.
var beside = map[sale.AttemptState]sale.OrderStatus{
	sale.Started: sale.Processing, sale.ActionRequired: sale.AuthenticationRequired, sale.Authorized: sale.Processing,
	sale.Declined: sale.PaymentFailed, sale.Captured: sale.Confirmed, sale.Canceled: sale.PaymentFailed,
	sale.Disputed: sale.Confirmed, sale.ChargedBack: sale.Confirmed, sale.PaidBack: sale.Refunded,
}

// put sets the state of an attempt and of its order by hand.
func (r *rig) put(a sale.Attempt, state sale.AttemptState, order sale.OrderStatus) {
	r.Helper()
	r.exec(`UPDATE payment_attempts SET state = $2, intent_id = $3 WHERE attempt_id = $1`, a.ID, state, "pi_"+a.ID.String())
	if order == sale.Refunded {
		r.exec(`INSERT INTO refunds (refund_id, order_id, attempt_id, n, state, stripe_id, amount, currency, reason)
			SELECT order_id, order_id, $2, 1, 'succeeded', 're_' || order_id, amount, currency, 'x' FROM orders WHERE order_id = $1`, a.OrderID, a.ID)
		r.exec(`UPDATE orders SET status = $2, refunded_by = order_id, refund_state = 'succeeded' WHERE order_id = $1`, a.OrderID, order)
		return
	}
	r.exec(`UPDATE orders SET status = $2, refunded_by = NULL, refund_state = NULL WHERE order_id = $1`, a.OrderID, order)
}

// rows is everything about an order, with the places of its rows: a rewritten row differs.
func (r *rig) rows(order uuid.UUID) string {
	r.Helper()
	return one[string](r, `SELECT o.ctid || o::text || a.ctid || a::text FROM orders o JOIN payment_attempts a USING (order_id) WHERE order_id = $1`, order)
}

type mark struct {
	name    string
	do      func(*store.Store) func(context.Context, []sale.Settlement) error
	to      sale.AttemptState
	from    []sale.AttemptState
	outcome events.PaymentOutcome
}

var marks = []mark{
	{"MarkAuthorized", func(s *store.Store) func(context.Context, []sale.Settlement) error { return s.MarkAuthorized },
		sale.Authorized, []sale.AttemptState{sale.Started, sale.ActionRequired}, events.PaymentAuthorized},
	{"MarkDeclined", func(s *store.Store) func(context.Context, []sale.Settlement) error { return s.MarkDeclined },
		sale.Declined, []sale.AttemptState{sale.Started, sale.ActionRequired}, events.PaymentDeclined},
	{"MarkActionRequired", func(s *store.Store) func(context.Context, []sale.Settlement) error { return s.MarkActionRequired },
		sale.ActionRequired, []sale.AttemptState{sale.Started}, events.PaymentActionRequired},
	{"MarkCaptured", func(s *store.Store) func(context.Context, []sale.Settlement) error { return s.MarkCaptured },
		sale.Captured, []sale.AttemptState{sale.Authorized}, events.PaymentCaptured},
	{"MarkCanceled", func(s *store.Store) func(context.Context, []sale.Settlement) error { return s.MarkCanceled },
		sale.Canceled, []sale.AttemptState{sale.Started, sale.ActionRequired, sale.Authorized}, events.PaymentCanceled},
	{"MarkAbandoned", func(s *store.Store) func(context.Context, []sale.Settlement) error { return s.MarkAbandoned },
		sale.Canceled, []sale.AttemptState{sale.Started}, events.PaymentCanceled},
}

// TestMarks tries every transition from every state.
func TestMarks(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	for _, m := range marks {
		for _, from := range attemptStates {
			t.Run(m.name+" from "+string(from), func(t *testing.T) {
				order := beside[from]
				if m.to == sale.Captured && from == sale.Authorized {
					order = sale.Confirmed // capture follows the commit
				}
				a := r.begin(checkout(0))[0]
				r.put(a, from, order)
				x := sale.Settlement{Attempt: a, IntentID: "pi_" + a.ID.String(), Reason: "because"}
				if m.to == sale.ActionRequired {
					x.ClientSecret = "secret_" + a.ID.String()
				}
				before := r.rows(a.OrderID)
				r.clock.Advance(time.Second)
				if err := m.do(r.store)(t.Context(), []sale.Settlement{x}); err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(m.from, from) {
					if after := r.rows(a.OrderID); after != before {
						t.Errorf("refused, yet changed:\n%s\n%s", before, after)
					}
				} else {
					r.moved(t, m, x, order)
					// A second time it changes nothing and tells nothing.
					before = r.rows(a.OrderID)
					r.clock.Advance(time.Second)
					if err := m.do(r.store)(t.Context(), []sale.Settlement{x, x}); err != nil {
						t.Fatal(err)
					}
					if after := r.rows(a.OrderID); after != before {
						t.Errorf("repeated, yet changed:\n%s\n%s", before, after)
					}
				}
				if n := one[int](r, `SELECT count(*) FROM outbox`); n != 0 {
					t.Errorf("%d messages tell of what did not happen", n)
				}
			})
		}
	}
}

// moved checks what a transition wrote, and takes its message out of the outbox.
func (r *rig) moved(t *testing.T, m mark, x sale.Settlement, orderWas sale.OrderStatus) {
	t.Helper()
	wantStatus := beside[m.to]
	if orderWas == sale.Confirmed {
		wantStatus = sale.Confirmed
	}
	got, err := r.attempt(x.Attempt.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := x.Attempt
	want.State, want.IntentID, want.UpdatedAt = m.to, x.IntentID, r.clock.Now()
	want.OrderStatus = wantStatus
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attempt (-want +got):\n%s", diff)
	}
	order, err := r.order(x.Attempt.OrderID)
	if err != nil {
		t.Fatal(err)
	}
	if order.Status != wantStatus || order.ClientSecret != x.ClientSecret {
		t.Errorf("order is %s with secret %q, want %s and %q", order.Status, order.ClientSecret, wantStatus, x.ClientSecret)
	}
	var subject, id string
	var payload []byte
	if err := r.db.QueryRow(t.Context(), `DELETE FROM outbox WHERE stream = 'PAYMENTS' RETURNING subject, msg_id, payload`).Scan(&subject, &id, &payload); err != nil {
		t.Fatalf("nothing was told: %v", err)
	}
	told, err := events.Decode[events.Payment](payload)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(events.Payment{V: events.Version, Outcome: m.outcome, AttemptID: want.ID, OrderID: want.OrderID, EventID: want.EventID, HoldID: want.HoldID,
		Seats: want.Seats, IntentID: want.IntentID, Amount: want.Amount, Currency: want.Currency, Reason: x.Reason, At: r.clock.Now()}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if subject != events.PaymentSubject(show, m.outcome) || id != r.messageID(want.ID, string(m.outcome)) {
		t.Errorf("told as %s under %s", subject, id)
	}
}

// TestWhatIsMadeAgainIsToldAgain: after a failover that lost the change, the broker knows the first telling still.
func TestWhatIsMadeAgainIsToldAgain(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	a := r.begin(checkout(0))[0]
	for range 2 {
		if err := r.store.MarkAuthorized(t.Context(), []sale.Settlement{{Attempt: a, IntentID: "pi_1"}}); err != nil {
			t.Fatal(err)
		}
		r.exec(`UPDATE payment_attempts SET state = 'started', intent_id = NULL`)
		r.clock.Advance(time.Second)
	}
	if ids := one[int](r, `SELECT count(DISTINCT msg_id) FROM outbox`); ids != 2 {
		t.Errorf("told under %d ids", ids)
	}
}

// TestLateMarksLeaveADecidedOrderAlone: the attempt may still end, but what the committer decided stands.
func TestLateMarksLeaveADecidedOrderAlone(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	for _, m := range marks {
		for _, status := range []sale.OrderStatus{sale.Confirmed, sale.Rejected, sale.Voided, sale.Refunded} {
			a := r.begin(checkout(0))[0]
			r.put(a, sale.Authorized, status)
			if err := m.do(r.store)(t.Context(), []sale.Settlement{{Attempt: a, IntentID: "pi_" + a.ID.String()}}); err != nil {
				t.Fatal(err)
			}
			if now := r.status(a.OrderID); now != status {
				t.Errorf("%s made a %s order %s", m.name, status, now)
			}
		}
	}
}

// TestChangeWithoutItsMessageIsNoChange makes the outbox refuse.
func TestChangeWithoutItsMessageIsNoChange(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	paid := r.authorized(checkout(0), checkout(1))
	if _, err := r.store.CommitOrders(t.Context(), paid[1:], none(1)); err != nil {
		t.Fatal(err)
	}
	begun := r.begin(checkout(2))[0]
	r.exec(`DELETE FROM outbox`)
	r.exec(`ALTER TABLE outbox ADD CONSTRAINT full_up CHECK (false)`)
	before := one[string](r, `SELECT string_agg(x, ';' ORDER BY x) FROM (SELECT ctid || o::text FROM orders o
		UNION ALL SELECT ctid || a::text FROM payment_attempts a UNION ALL SELECT ctid || s::text FROM sold_seats s) AS t(x)`)
	for name, err := range map[string]error{
		"MarkAuthorized": r.store.MarkAuthorized(t.Context(), []sale.Settlement{{Attempt: begun, IntentID: "pi"}}),
		"CommitOrders":   second(r.store.CommitOrders(t.Context(), paid[:1], none(1))),
		"VoidOrder": second(r.store.VoidOrder(t.Context(), events.Order{OrderID: paid[1].OrderID, AttemptID: paid[1].AttemptID, EventID: show,
			Seats: paid[1].Seats}, "expired", sale.Webhook{})),
	} {
		if err == nil {
			t.Errorf("%s had no message and no error", name)
		}
	}
	after := one[string](r, `SELECT string_agg(x, ';' ORDER BY x) FROM (SELECT ctid || o::text FROM orders o
		UNION ALL SELECT ctid || a::text FROM payment_attempts a UNION ALL SELECT ctid || s::text FROM sold_seats s) AS t(x)`)
	if before != after {
		t.Errorf("changed:\n%s\n%s", before, after)
	}
}

// TestOrderWithoutItsAttemptIsNoOrder makes the second half of a beginning fail.
func TestOrderWithoutItsAttemptIsNoOrder(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	r.exec(`ALTER TABLE payment_attempts ADD CONSTRAINT full_up CHECK (false)`)
	if _, err := r.store.BeginAttempts(t.Context(), []events.CheckoutRequested{checkout(0)}); err == nil {
		t.Error("begun without an attempt")
	}
	if n := one[int](r, `SELECT count(*) FROM orders`); n != 0 {
		t.Errorf("%d orders", n)
	}
}

// Who settles an attempt has its order's row, and waits for whoever else has it: a capture and a void can't pass each other.
func TestMarksWaitForTheOrder(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	p, a := r.reserved(0)
	other, err := r.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), `SELECT FROM orders WHERE order_id = $1 FOR UPDATE`, p.OrderID); err != nil {
		t.Fatal(err)
	}
	captured := make(chan error, 1)
	go func() {
		captured <- r.store.MarkCaptured(t.Context(), []sale.Settlement{{Attempt: a, IntentID: p.IntentID}})
	}()
	testenv.Eventually(t, "an end of the capture, or its wait", func() bool { return len(captured) > 0 || r.locked() > 0 })
	if len(captured) > 0 {
		t.Error("the capture did not wait")
	}
	if err := errors.Join(other.Rollback(t.Context()), <-captured); err != nil {
		t.Fatal(err)
	}
	r.proven()
}

func second[T any](_ T, err error) error { return err }

// TestOneOfManyOutcomesWins lets every transition run for the same attempts at once.
func TestOneOfManyOutcomesWins(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	const n = 40
	var commands []events.CheckoutRequested
	for range n {
		commands = append(commands, checkout(0))
	}
	attempts := r.begin(commands...)
	var all sync.WaitGroup
	for _, m := range marks {
		if m.to != sale.Authorized && m.to != sale.Declined {
			continue // both end Started, and neither can follow the other
		}
		for w := range 4 {
			all.Go(func() {
				batch := make([]sale.Settlement, 0, n)
				for _, i := range pick(n, n) {
					a := attempts[i]
					batch = append(batch, sale.Settlement{Attempt: a, IntentID: "pi_" + a.ID.String(), Reason: fmt.Sprint(m.name, w)})
				}
				for half := range slices.Chunk(batch, n/2) {
					if err := m.do(r.store)(t.Context(), half); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	all.Wait()
	if told := one[int](r, `SELECT count(*) FROM outbox b JOIN payment_attempts a ON b.msg_id LIKE a.attempt_id || ':' || a.state || ':%'
		JOIN orders o USING (order_id) WHERE o.status = CASE a.state WHEN 'authorized' THEN 'processing' ELSE 'payment_failed' END`); told != n {
		t.Errorf("%d of %d attempts have an order and a message of their own outcome", told, n)
	}
	if total := one[int](r, `SELECT count(*) FROM outbox`); total != n {
		t.Errorf("%d messages of %d outcomes", total, n)
	}
}

func TestNothingToSettle(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	for _, m := range marks {
		if err := m.do(r.store)(t.Context(), nil); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		unknown := sale.Attempt{ID: uuid.New(), OrderID: uuid.New(), EventID: show}
		if err := m.do(r.store)(t.Context(), []sale.Settlement{{Attempt: unknown, IntentID: "pi"}}); err != nil {
			t.Errorf("%s of an unknown attempt: %v", m.name, err)
		}
	}
	if n := one[int](r, `SELECT count(*) FROM outbox`); n != 0 {
		t.Errorf("%d messages", n)
	}
}

// A capture and a confirmation change their rows in place: no index is written for them.
func TestHotUpdates(t *testing.T) {
	t.Parallel()
	r := setup(t, 2)
	a := r.begin(checkout(1))[0]
	s := r.open(1)
	if err := s.MarkAuthorized(t.Context(), []sale.Settlement{{Attempt: a, IntentID: "pi_1"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CommitOrders(t.Context(), []events.Payment{{OrderID: a.OrderID, AttemptID: a.ID, Amount: a.Amount, Currency: a.Currency}}, make([][]string, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.MarkCaptured(t.Context(), []sale.Settlement{{Attempt: a, IntentID: "pi_1"}}); err != nil {
		t.Fatal(err)
	}
	s.Close() // then Postgres counts what its connection did
	testenv.Eventually(t, "both are counted", func() bool {
		return one[bool](r, `SELECT pg_stat_get_tuples_hot_updated('payment_attempts'::regclass) = 1 AND pg_stat_get_tuples_hot_updated('orders'::regclass) = 1`)
	})
}
