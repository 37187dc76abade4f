package store_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
)

// reserved is a confirmed order whose money is only reserved.
func (r *rig) reserved(seats ...int) (events.Payment, sale.Attempt) {
	r.Helper()
	p := r.authorized(checkout(seats...))[0]
	r.want(r.commit(p), confirmed)
	a, err := r.attempt(p.AttemptID)
	if err != nil {
		r.Fatal(err)
	}
	return p, a
}

// bought is a confirmed order whose money was taken.
func (r *rig) bought(seats ...int) events.Payment {
	r.Helper()
	p, a := r.reserved(seats...)
	if err := r.store.MarkCaptured(r.Context(), []sale.Settlement{{Attempt: a, IntentID: p.IntentID}}); err != nil {
		r.Fatal(err)
	}
	r.exec(`DELETE FROM outbox`)
	return p
}

func (r *rig) refund(order uuid.UUID) sale.Refund {
	r.Helper()
	refund, err := r.store.RequestRefund(r.Context(), order, "the artist is ill", false)
	if err != nil {
		r.Fatal(err)
	}
	return refund
}

// stands checks how an order, its attempt and its refund stand, and which messages wait to be told.
func (r *rig) stands(p events.Payment, order sale.OrderStatus, attempt sale.AttemptState, refund sale.RefundState, told ...string) {
	r.Helper()
	a, err := r.attempt(p.AttemptID)
	if err != nil {
		r.Fatal(err)
	}
	last, err := r.store.LastRefund(r.Context(), p.AttemptID)
	if err != nil {
		r.Fatal(err)
	}
	if now := r.status(p.OrderID); now != order || a.State != attempt || last.State != refund {
		r.Errorf("order %s, attempt %s, refund %q; want %s, %s, %q", now, a.State, last.State, order, attempt, refund)
	}
	got := one[[]string](r, `SELECT coalesce(array_agg(subject ORDER BY id), '{}') FROM outbox`)
	if !slices.Equal(got, told) {
		r.Errorf("told %v, want %v", got, told)
	}
	r.exec(`DELETE FROM outbox`)
}

func TestRefundGivesTheMoneyAndTheSeatsBack(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	p := r.bought(0, 1)
	first := r.refund(p.OrderID)
	if first.ID != sale.RefundID(p.OrderID, 1) || first.State != sale.RefundRequested || first.Amount != p.Amount || first.IntentID != p.IntentID {
		t.Errorf("requested %+v", first)
	}
	r.stands(p, sale.Confirmed, sale.Captured, sale.RefundRequested, "payment.show.refund_requested")
	if again := r.refund(p.OrderID); again.ID != first.ID {
		t.Errorf("asked again, it is refund %s", again.ID)
	}
	r.stands(p, sale.Confirmed, sale.Captured, sale.RefundRequested)
	if err := r.store.MarkRefundPending(t.Context(), first.ID, "re_1", sale.Webhook{}); err != nil {
		t.Fatal(err)
	}
	r.stands(p, sale.Confirmed, sale.Captured, sale.RefundPending)
	if r.freed(p.OrderID) {
		t.Error("the order is said to have given its seats back before its refund succeeded")
	}
	for n := range 3 {
		done, err := r.store.MarkRefunded(t.Context(), first.ID, "re_1", sale.Webhook{})
		if err != nil || done != (n == 0) {
			t.Fatalf("recorded the %d. time: %v (%v)", n+1, done, err)
		}
		if n == 0 {
			r.stands(p, sale.Refunded, sale.PaidBack, sale.RefundSucceeded, "payment.show.refunded", "order.show.refunded")
		}
	}
	r.stands(p, sale.Refunded, sale.PaidBack, sale.RefundSucceeded)
	if failed, err := r.store.MarkRefundFailed(t.Context(), first.ID, "re_1", "late", sale.Webhook{}); err != nil || failed {
		t.Errorf("failed after it succeeded: %v (%v)", failed, err)
	}
	if again := r.refund(p.OrderID); again.ID != first.ID || again.State != sale.RefundSucceeded {
		t.Errorf("asked after the end, it is %+v", again)
	}
	if !r.freed(p.OrderID) {
		t.Error("the order is not said to have given its seats back")
	}
	r.want(r.commit(r.authorized(checkout(0, 1))[0]), confirmed) // the seats are on sale again
}

func TestRefundThatKeepsTheSeats(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	p := r.bought(0)
	refund, err := r.store.RequestRefund(t.Context(), p.OrderID, "goodwill", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.RequestRefund(t.Context(), p.OrderID, "goodwill", false); sale.CodeOf(err) != "refund_differs" {
		t.Errorf("asked again otherwise: %v", err)
	}
	if done, err := r.store.MarkRefunded(t.Context(), refund.ID, "re_1", sale.Webhook{}); err != nil || !done {
		t.Fatal(done, err)
	}
	if n := one[int](r, `SELECT count(*) FROM sold_seats WHERE order_id = $1`, p.OrderID); n != 1 {
		t.Error("the seat is on sale again")
	}
	if r.freed(p.OrderID) {
		t.Error("the order is said to have given its seat back")
	}
	payload := one[[]byte](r, `SELECT payload FROM outbox WHERE subject = 'order.show.refunded'`)
	if told, err := events.Decode[events.Order](payload); err != nil || !told.KeepSeats || told.Frees() {
		t.Errorf("told %+v (%v)", told, err)
	}
}

// A refund that failed leaves the order as it was, and the next is another; one that was given up for lost and then
// succeeded is the order's, unless another is under way.
func TestFailedRefundMayBeAskedForAgain(t *testing.T) {
	t.Parallel()
	r := setup(t, 2)
	p := r.bought(0)
	first := r.refund(p.OrderID)
	if failed, err := r.store.MarkRefundFailed(t.Context(), first.ID, "", "expired_or_canceled_card", sale.Webhook{}); err != nil || !failed {
		t.Fatal(failed, err)
	}
	r.stands(p, sale.Confirmed, sale.Captured, sale.RefundFailed, "payment.show.refund_requested", "payment.show.refund_failed")
	second := r.refund(p.OrderID)
	if second.ID == first.ID || second.ID != sale.RefundID(p.OrderID, 2) {
		t.Errorf("the next is %s after %s", second.ID, first.ID)
	}
	if done, err := r.store.MarkRefunded(t.Context(), first.ID, "re_1", sale.Webhook{}); err != nil || done {
		t.Errorf("the first succeeded while the second is under way: %v (%v)", done, err)
	}
	if _, err := r.store.MarkRefundFailed(t.Context(), second.ID, "", "x", sale.Webhook{}); err != nil {
		t.Fatal(err)
	}
	r.exec(`DELETE FROM outbox`)
	if done, err := r.store.MarkRefunded(t.Context(), first.ID, "re_1", sale.Webhook{}); err != nil || !done {
		t.Errorf("late success: %v (%v)", done, err)
	}
	r.stands(p, sale.Refunded, sale.PaidBack, sale.RefundFailed, "payment.show.refunded", "order.show.refunded")
}

func TestWhatCanNotBeRefunded(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	p := r.authorized(checkout(0))[0]
	for _, c := range []struct {
		attempt sale.AttemptState
		order   sale.OrderStatus
		code    string
	}{
		{sale.Started, sale.Processing, "order_not_confirmed"}, {sale.ActionRequired, sale.AuthenticationRequired, "order_not_confirmed"},
		{sale.Declined, sale.PaymentFailed, "order_not_confirmed"}, {sale.Canceled, sale.Rejected, "order_not_confirmed"},
		{sale.Canceled, sale.Voided, "order_not_confirmed"}, {sale.Authorized, sale.Confirmed, "payment_not_captured"},
		{sale.Disputed, sale.Confirmed, "payment_disputed"}, {sale.ChargedBack, sale.Confirmed, "payment_charged_back"},
	} {
		r.put(sale.Attempt{ID: p.AttemptID, OrderID: p.OrderID}, c.attempt, c.order)
		_, err := r.store.RequestRefund(t.Context(), p.OrderID, "x", false)
		if sale.KindOf(err) != sale.Conflict || sale.CodeOf(err) != c.code {
			t.Errorf("%s, %s: %v", c.order, c.attempt, err)
		}
	}
	if _, err := r.store.RequestRefund(t.Context(), uuid.New(), "x", false); sale.CodeOf(err) != "order_not_found" {
		t.Errorf("unknown: %v", err)
	}
	if n := one[int](r, `SELECT (SELECT count(*) FROM refunds) + (SELECT count(*) FROM outbox)`); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestManyRefundsOfOneOrderAreOne(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	p := r.bought(0)
	var all sync.WaitGroup
	var done atomic.Int64
	for range 30 {
		all.Go(func() {
			refund, err := r.store.RequestRefund(t.Context(), p.OrderID, "x", false)
			if err != nil {
				t.Error(err)
				return
			}
			ok, err := r.store.MarkRefunded(t.Context(), refund.ID, "re_1", sale.Webhook{ID: "evt_1", Type: "x"})
			if err != nil {
				t.Error(err)
			}
			if ok {
				done.Add(1)
			}
		})
	}
	all.Wait()
	if done.Load() != 1 || one[int](r, `SELECT count(*) FROM refunds`) != 1 || one[int](r, `SELECT count(*) FROM webhook_events`) != 1 {
		t.Errorf("recorded %d times", done.Load())
	}
	r.stands(p, sale.Refunded, sale.PaidBack, sale.RefundSucceeded, "payment.show.refund_requested", "payment.show.refunded", "order.show.refunded")
}

// A refund by hand stands for whatever the money was taken for; the order is refunded only where it had its seats.
func TestAdoptRefund(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	for _, c := range []struct {
		attempt sale.AttemptState
		order   sale.OrderStatus
		after   sale.OrderStatus
		code    string
	}{
		{sale.Captured, sale.Confirmed, sale.Refunded, ""}, {sale.Disputed, sale.Confirmed, sale.Refunded, ""}, {sale.ChargedBack, sale.Confirmed, sale.Refunded, ""},
		{sale.Captured, sale.Rejected, sale.Rejected, ""}, {sale.Captured, sale.Voided, sale.Voided, ""}, {sale.Authorized, sale.Rejected, sale.Rejected, ""},
		{sale.Authorized, sale.Confirmed, "", "capture_pending"}, {sale.Authorized, sale.Processing, "", "capture_pending"},
		{sale.Canceled, sale.Rejected, "", "refund_without_payment"}, {sale.Declined, sale.PaymentFailed, "", "refund_without_payment"},
		{sale.Started, sale.Processing, "", "refund_without_payment"},
	} {
		p := r.bought(0)
		r.put(sale.Attempt{ID: p.AttemptID, OrderID: p.OrderID}, c.attempt, c.order)
		if c.order != sale.Confirmed {
			r.exec(`DELETE FROM sold_seats`)
		}
		made := sale.Repayment{ID: "re_" + p.OrderID.String(), State: sale.RefundSucceeded, Amount: p.Amount, Currency: p.Currency}
		adopted, err := r.store.AdoptRefund(t.Context(), p.AttemptID, made, "by hand", sale.Webhook{ID: "evt_" + made.ID, Type: "x"})
		t.Logf("%s of a %s order: %v (%v)", c.attempt, c.order, adopted, err)
		if c.code != "" {
			if adopted || sale.CodeOf(err) != c.code {
				t.Errorf("want %s", c.code)
			}
			r.stands(p, c.order, c.attempt, "")
			r.exec(`DELETE FROM sold_seats`)
			continue
		}
		told := []string{"payment.show.refunded"}
		if c.after == sale.Refunded {
			told = append(told, "order.show.refunded")
		}
		if !adopted || err != nil {
			t.Error("want it adopted")
		}
		r.stands(p, c.after, sale.PaidBack, sale.RefundSucceeded, told...)
		if again, err := r.store.AdoptRefund(t.Context(), p.AttemptID, made, "by hand", sale.Webhook{}); again || err != nil {
			t.Errorf("adopted again: %v (%v)", again, err)
		}
		r.stands(p, c.after, sale.PaidBack, sale.RefundSucceeded)
	}
	if n := one[int](r, `SELECT (SELECT count(*) FROM refunds) * 1000 + (SELECT count(*) FROM webhook_events) * 10 + (SELECT count(*) FROM sold_seats)`); n != 6060 {
		t.Errorf("%d: want 6 refunds, 6 events and no seat sold", n)
	}
}

// Many hear of one refund by hand while the operator asks for one: it is one refund, and whose it is, is decided.
func TestAdoptedWhileRequested(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	p := r.bought(0)
	made := sale.Repayment{ID: "re_1", State: sale.RefundPending, Amount: p.Amount, Currency: p.Currency}
	var all sync.WaitGroup
	var adopted atomic.Int64
	for range 15 {
		all.Go(func() {
			ok, err := r.store.AdoptRefund(t.Context(), p.AttemptID, made, "by hand", sale.Webhook{})
			if err != nil && sale.CodeOf(err) != "refund_under_way" {
				t.Error(err)
			}
			if ok {
				adopted.Add(1)
			}
		})
		all.Go(func() {
			if _, err := r.store.RequestRefund(t.Context(), p.OrderID, "x", false); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := one[int](r, `SELECT count(*) FROM refunds`); n != 1 || adopted.Load() > 1 {
		t.Errorf("%d refunds, %d adopted", n, adopted.Load())
	}
}

func TestDisputesMoveTheAttempt(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	p := r.bought(0)
	for i, c := range []struct {
		id    string
		state sale.DisputeState
		want  sale.AttemptState
		told  []string
	}{
		{"du_1", sale.DisputeWarning, sale.Captured, nil}, // an inquiry moves no money
		{"du_1", sale.DisputeNeedsResponse, sale.Disputed, []string{"payment.show.disputed"}},
		{"du_1", sale.DisputeUnderReview, sale.Disputed, nil},
		{"du_1", sale.DisputeNeedsResponse, sale.Disputed, nil}, // late
		{"du_1", sale.DisputeWon, sale.Captured, []string{"payment.show.dispute_won"}},
		{"du_1", sale.DisputeUnderReview, sale.Captured, nil}, // late
		{"du_1", sale.DisputeLost, sale.Captured, nil},        // what was decided stays
		{"du_2", sale.DisputeLost, sale.ChargedBack, []string{"payment.show.charged_back"}},
		{"du_2", sale.DisputeNeedsResponse, sale.ChargedBack, nil},
		{"du_3", sale.DisputeWon, sale.ChargedBack, nil},
	} {
		r.clock.Advance(time.Second)
		d := sale.Dispute{ID: c.id, IntentID: p.IntentID, AttemptID: p.AttemptID, State: c.state, Amount: p.Amount, Currency: "eur", Reason: "fraudulent", OpenedAt: r.clock.Now()}
		for range 2 {
			if err := r.store.MarkDispute(t.Context(), d, sale.Webhook{}); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%d: %s %s", i, c.id, c.state)
		r.stands(p, sale.Confirmed, c.want, "", c.told...)
	}
	h, err := r.store.History(t.Context(), p.OrderID)
	if err != nil || len(h.Disputes) != 3 || h.Disputes[0].State != sale.DisputeWon || h.Disputes[0].ClosedAt.IsZero() || h.Disputes[1].State != sale.DisputeLost {
		t.Errorf("disputes %+v (%v)", h.Disputes, err)
	}
}

// A bank may demand money that was given back; the order stays refunded.
func TestDisputeOfARefundedOrder(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	p := r.bought(0)
	refund := r.refund(p.OrderID)
	d := sale.Dispute{ID: "du_1", IntentID: p.IntentID, AttemptID: p.AttemptID, State: sale.DisputeNeedsResponse, Amount: 1, Currency: "eur", OpenedAt: r.clock.Now()}
	if err := r.store.MarkDispute(t.Context(), d, sale.Webhook{}); err != nil {
		t.Fatal(err)
	}
	if done, err := r.store.MarkRefunded(t.Context(), refund.ID, "re_1", sale.Webhook{}); err != nil || !done {
		t.Fatalf("refunded while disputed: %v (%v)", done, err)
	}
	d.State = sale.DisputeLost
	if err := r.store.MarkDispute(t.Context(), d, sale.Webhook{}); err != nil {
		t.Fatal(err)
	}
	r.exec(`DELETE FROM outbox`)
	r.stands(p, sale.Refunded, sale.PaidBack, sale.RefundSucceeded)
}

// The foreign key from orders to the refund's state is checked without reading all orders.
func TestChangeOfARefundReadsNoOtherOrders(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	refund := r.refund(r.bought(0).OrderID)
	tx, err := r.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	for _, sql := range []string{
		`SET LOCAL enable_seqscan = off`, // as the store has it
		`UPDATE refunds SET state = 'pending', stripe_id = 're_1' WHERE refund_id = '` + refund.ID.String() + `'`,
	} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var scans, looks int
	if err := tx.QueryRow(t.Context(), `SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'orders'`).Scan(&scans, &looks); err != nil {
		t.Fatal(err)
	}
	if scans != 0 || looks == 0 {
		t.Errorf("orders were read as a whole %d times, by an index %d times", scans, looks)
	}
}
