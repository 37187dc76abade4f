package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
)

// commit commits payments that nobody blocks and returns what became of each.
func (r *rig) commit(all ...events.Payment) []sale.Committed {
	r.Helper()
	results, err := r.store.CommitOrders(r.Context(), all, none(len(all)))
	if err != nil {
		r.Fatal(err)
	}
	return results
}

var (
	confirmed = sale.Committed{Status: sale.Confirmed}
	sold      = sale.Committed{Status: sale.Rejected, Reason: "seats_sold"}
)

func (r *rig) want(got []sale.Committed, want ...sale.Committed) {
	r.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		r.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestCommitSellsAndTells(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	c := checkout(2, 0)
	p := r.authorized(c)[0]
	r.clock.Advance(time.Second)
	r.want(r.commit(p), confirmed)
	r.proven()
	if seats := one[[]string](r, `SELECT array_agg(seat_id ORDER BY seat_id) FROM sold_seats WHERE order_id = $1`, p.OrderID); !slices.Equal(seats, []string{seat(0), seat(2)}) {
		t.Errorf("sold %v", seats)
	}
	told := r.told(p.OrderID)
	if diff := cmp.Diff([]events.Order{{V: events.Version, Outcome: events.OrderConfirmed, OrderID: p.OrderID, EventID: show, Session: c.Session, HoldID: p.HoldID, Seats: p.Seats,
		AttemptID: p.AttemptID, IntentID: p.IntentID, Amount: p.Amount, Currency: "eur", At: r.clock.Now()}}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if at := one[time.Time](r, `SELECT updated_at FROM orders`); !at.Equal(r.clock.Now()) {
		t.Errorf("updated at %s, not %s", at, r.clock.Now())
	}
}

// told is what ORDERS was told of an order, in order.
func (r *rig) told(order uuid.UUID) []events.Order {
	r.Helper()
	var all []events.Order
	for _, payload := range one[[][]byte](r, `SELECT coalesce(array_agg(payload ORDER BY id), '{}') FROM outbox WHERE stream = 'ORDERS' AND msg_id LIKE $1 || ':%'`, order.String()) {
		o, err := events.Decode[events.Order](payload)
		if err != nil {
			r.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

func TestFirstInTheBatchGetsTheSeats(t *testing.T) {
	t.Parallel()
	r := setup(t, 2)
	var commands []events.CheckoutRequested
	for range 50 {
		commands = append(commands, checkout(0, 1))
	}
	payments := r.authorized(commands...)
	results := r.commit(payments...)
	r.want(results, append([]sale.Committed{confirmed}, slices.Repeat([]sale.Committed{sold}, 49)...)...)
	r.proven()
}

// TestLoserTakesNothingFromOthers: the second conflicts with the first, and the third only with the second.
func TestLoserTakesNothingFromOthers(t *testing.T) {
	t.Parallel()
	r := setup(t, 4)
	r.want(r.commit(r.authorized(checkout(0, 1), checkout(1, 2), checkout(2, 3))...), confirmed, sold, confirmed)
	r.proven()
	if n := one[int](r, `SELECT count(*) FROM sold_seats`); n != 4 {
		t.Errorf("%d seats sold", n)
	}
}

// TestSeatsSoldBeforeFailNobodyBeside: seats that an earlier commit sold are lost to one order and to no other.
func TestSeatsSoldBeforeFailNobodyBeside(t *testing.T) {
	t.Parallel()
	r := setup(t, 6)
	payments := r.authorized(checkout(0, 1), checkout(2, 3), checkout(1, 4), checkout(4, 5))
	r.want(r.commit(payments[0]), confirmed)
	r.want(r.commit(payments[1:]...), confirmed, sold, confirmed)
	r.proven()
}

func TestSeatsOfAnotherEventDoNotConflict(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	if err := r.store.CreateEvent(t.Context(), event("second"), plan(1), secret); err != nil {
		t.Fatal(err)
	}
	other := checkout(0)
	other.EventID = "second"
	r.want(r.commit(r.authorized(checkout(0), other)...), confirmed, confirmed)
	r.proven()
}

func TestCommitAgainChangesNothing(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	payments := r.authorized(checkout(0, 1), checkout(1, 2))
	first := r.commit(payments...)
	before := []string{r.rows(payments[0].OrderID), r.rows(payments[1].OrderID)}
	messages := one[int](r, `SELECT count(*) FROM outbox`)
	r.clock.Advance(time.Second)
	slices.Reverse(payments)
	slices.Reverse(first)
	r.want(r.commit(payments...), first...)
	r.want(r.commit(payments[0], payments[0], payments[1]), first[0], first[0], first[1])
	if after := []string{r.rows(payments[1].OrderID), r.rows(payments[0].OrderID)}; !slices.Equal(before, after) {
		t.Errorf("changed:\n%s\n%s", before, after)
	}
	if n := one[int](r, `SELECT count(*) FROM outbox`); n != messages {
		t.Errorf("%d messages, there were %d", n, messages)
	}
}

func TestOnePaymentTwiceInABatch(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	p := r.authorized(checkout(0))[0]
	r.want(r.commit(p, p, p), confirmed, confirmed, confirmed)
	r.proven()
}

func TestBlockedSeatsAreNotTaken(t *testing.T) {
	t.Parallel()
	r := setup(t, 2)
	payments := r.authorized(checkout(0), checkout(0, 1))
	results, err := r.store.CommitOrders(t.Context(), payments, [][]string{{seat(0)}, nil})
	if err != nil {
		t.Fatal(err)
	}
	r.want(results, sale.Committed{Status: sale.Rejected, Reason: "seats_held_by_another"}, confirmed)
	r.proven()
	if told := r.told(payments[0].OrderID); len(told) != 1 || told[0].Outcome != events.OrderRejected || told[0].Reason != "seats_held_by_another" {
		t.Errorf("told %+v", told)
	}
}

func TestUnknownOrderFailsTheBatchAndChangesNothing(t *testing.T) {
	t.Parallel()
	r := setup(t, 2)
	good := r.authorized(checkout(0), checkout(1))
	unknown, mismatched := good[1], good[1]
	unknown.OrderID = uuid.New()
	mismatched.AttemptID = good[0].AttemptID // of the other order
	for name, bad := range map[string]events.Payment{"unknown order": unknown, "another order's attempt": mismatched} {
		_, err := r.store.CommitOrders(t.Context(), []events.Payment{good[0], bad}, none(2))
		if sale.KindOf(err) != sale.NotFound || sale.CodeOf(err) != "order_not_found" {
			t.Errorf("%s: %v", name, err)
		}
		if s := r.status(good[0].OrderID); s != sale.Processing {
			t.Errorf("%s: the order beside it is %s", name, s)
		}
	}
	if n := one[int](r, `SELECT (SELECT count(*) FROM sold_seats) + (SELECT count(*) FROM outbox)`); n != 0 {
		t.Errorf("%d rows written", n)
	}
}

func TestPaymentThatIsNoLongerAuthorizedSellsNothing(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	for _, state := range []sale.AttemptState{sale.Started, sale.ActionRequired, sale.Declined, sale.Canceled} {
		p := r.authorized(checkout(0))[0]
		r.put(sale.Attempt{ID: p.AttemptID, OrderID: p.OrderID}, state, sale.Processing)
		before := r.rows(p.OrderID)
		r.want(r.commit(p), sale.Committed{Status: sale.Processing, Reason: "payment_" + string(state)})
		if after := r.rows(p.OrderID); after != before {
			t.Errorf("%s: changed:\n%s\n%s", state, before, after)
		}
	}
	if n := one[int](r, `SELECT (SELECT count(*) FROM sold_seats) + (SELECT count(*) FROM outbox)`); n != 0 {
		t.Errorf("%d rows written", n)
	}
}

// TestEarlierAttemptDoesNotSpeakForTheLater commits two attempts of one order side by side.
func TestEarlierAttemptDoesNotSpeakForTheLater(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][2]int{"earlier first": {0, 1}, "later first": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, 1)
			p := r.authorized(checkout(0))[0]
			later := p
			later.AttemptID, later.IntentID = sale.AttemptID(p.OrderID, 2), "pi_later"
			r.exec(`UPDATE payment_attempts SET state = 'declined'`)
			r.exec(`INSERT INTO payment_attempts (attempt_id, order_id, n, state, intent_id, amount, currency, payment_method)
				SELECT $1, order_id, 2, 'authorized', 'pi_later', amount, currency, payment_method FROM payment_attempts`, later.AttemptID)
			both := []events.Payment{p, later}
			results := r.commit(both[order[0]], both[order[1]])
			if got := results[slices.Index(order[:], 1)]; got != confirmed {
				t.Errorf("the later attempt: %+v", got)
			}
			if told := r.told(p.OrderID); len(told) != 1 || told[0].AttemptID != later.AttemptID {
				t.Errorf("told %+v", told)
			}
			r.proven()
		})
	}
}

func TestPaymentOfAnotherAmountIsRejected(t *testing.T) {
	t.Parallel()
	r := setup(t, 2)
	payments := r.authorized(checkout(0), checkout(1))
	payments[0].Amount--
	payments[1].Currency = "usd"
	differs := sale.Committed{Status: sale.Rejected, Reason: "amount_differs"}
	r.want(r.commit(payments...), differs, differs)
	r.proven()
}

func TestNoPaymentsCommitNothing(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	if results, err := r.store.CommitOrders(t.Context(), nil, nil); err != nil || len(results) != 0 {
		t.Errorf("got %v (%v)", results, err)
	}
}

// orderOf is what the capture of a payment is told of its order.
func orderOf(p events.Payment) events.Order {
	return events.Order{V: events.Version, Outcome: events.OrderConfirmed, OrderID: p.OrderID, EventID: p.EventID, HoldID: p.HoldID, Seats: p.Seats,
		AttemptID: p.AttemptID, IntentID: p.IntentID, Amount: p.Amount, Currency: p.Currency}
}

func TestVoidFreesTheSeats(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	payments := r.authorized(checkout(0, 1), checkout(2), checkout(1))
	r.commit(payments[:2]...)
	void := func() bool {
		voided, err := r.store.VoidOrder(t.Context(), orderOf(payments[0]), "authorization_canceled", sale.Webhook{})
		if err != nil {
			t.Fatal(err)
		}
		return voided
	}
	if !void() {
		t.Fatal("not voided")
	}
	if seats := one[[]string](r, `SELECT array_agg(seat_id) FROM sold_seats`); !slices.Equal(seats, []string{seat(2)}) {
		t.Errorf("sold are %v", seats)
	}
	if !r.freed(payments[0].OrderID) || r.freed(payments[1].OrderID) {
		t.Error("it is not the voided order alone that is said to have given its seats back")
	}
	if a, err := r.attempt(payments[0].AttemptID); err != nil || a.State != sale.Canceled {
		t.Errorf("attempt is %s (%v)", a.State, err)
	}
	if o, err := r.order(payments[0].OrderID); err != nil || o.Status != sale.Voided || o.Reason != "authorization_canceled" {
		t.Errorf("order is %s for %q (%v)", o.Status, o.Reason, err)
	}
	if told := r.told(payments[0].OrderID); len(told) != 2 || told[1].Outcome != events.OrderVoided || told[1].Reason != "authorization_canceled" {
		t.Errorf("told %+v", told)
	}
	r.want(r.commit(payments[2]), confirmed) // the seat is on sale again
	if void() {
		t.Error("voided twice")
	}
	if n := one[int](r, `SELECT count(*) FROM sold_seats WHERE order_id = $1`, payments[2].OrderID); n != 1 {
		t.Error("the second void took the seat of the next owner")
	}
	r.want(r.commit(payments[0]), sale.Committed{Status: sale.Voided, Reason: "authorization_canceled"})
	r.proven()
}

func TestVoidOfWhatIsNotConfirmed(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	p := r.authorized(checkout(0))[0]
	for _, status := range []sale.OrderStatus{sale.Processing, sale.AuthenticationRequired, sale.PaymentFailed, sale.Rejected, sale.Voided, sale.Refunded} {
		r.put(sale.Attempt{ID: p.AttemptID, OrderID: p.OrderID}, sale.Authorized, status)
		before := r.rows(p.OrderID)
		if voided, err := r.store.VoidOrder(t.Context(), orderOf(p), "x", sale.Webhook{}); err != nil || voided || r.rows(p.OrderID) != before {
			t.Errorf("%s: %v (%v)", status, voided, err)
		}
	}
	unknown := orderOf(p)
	unknown.OrderID = uuid.New()
	if voided, err := r.store.VoidOrder(t.Context(), unknown, "x", sale.Webhook{}); err != nil || voided {
		t.Errorf("unknown: %v (%v)", voided, err)
	}
	if n := one[int](r, `SELECT count(*) FROM outbox`); n != 0 {
		t.Errorf("%d messages", n)
	}
}

// TestVoidOfWhatWasPaidFor: whoever has paid keeps the seats.
func TestVoidOfWhatWasPaidFor(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	p, a := r.reserved(0)
	for _, state := range []sale.AttemptState{sale.Captured, sale.Disputed, sale.ChargedBack, sale.PaidBack} {
		r.put(a, state, sale.Confirmed)
		was := r.rows(p.OrderID)
		if voided, err := r.store.VoidOrder(t.Context(), orderOf(p), "x", sale.Webhook{}); err != nil || voided {
			t.Errorf("%s: voided: %v (%v)", state, voided, err)
		}
		if r.rows(p.OrderID) != was {
			t.Errorf("%s: the order or its attempt has changed", state)
		}
	}
	if n := one[int](r, `SELECT count(*) FROM sold_seats`); n != 1 {
		t.Errorf("%d seats are sold", n)
	}
}
