package payworker_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/testenv"
)

// byHand refunds at Stripe, as someone does in its dashboard, and returns Stripe's id.
func (r *rig) byHand(o events.Order, amount int64) string {
	r.Helper()
	made, err := r.stripe.Refund(r.Context(), sale.Refund{ID: uuid.New(), IntentID: o.IntentID, Amount: amount})
	if err != nil {
		r.Fatal(err)
	}
	return made.ID
}

// failedRefund is a paid order whose refund the bank has sent back.
func (r *rig) failedRefund() events.Order {
	r.Helper()
	o := r.paid("pm_card_pendingRefund")
	refund, command := r.refund(o.OrderID)
	if err := r.give(events.Payments, command, 1); err != nil {
		r.Fatal(err)
	}
	now, err := r.store.Refund(r.Context(), refund.ID)
	if err != nil {
		r.Fatal(err)
	}
	r.play("refunds/"+now.StripeID, `{"status":"failed"}`)
	if err := r.hear(events.WebhookRefundFailed, o, now.StripeID); err != nil {
		r.Fatal(err)
	}
	r.refunded(o, sale.Confirmed, sale.Captured, sale.RefundFailed, "expired_or_canceled_card")
	return o
}

// Ours failed, and the operator refunds in Stripe's dashboard instead: that one counts.
func TestRefundByHandAfterOursFailed(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.failedRefund()
	made := r.byHand(o, o.Amount) // the bank has not decided on it either
	for range 2 {
		if err := r.hear(events.WebhookChargeRefunded, o, ""); err != nil {
			t.Fatal(err)
		}
		r.refunded(o, sale.Confirmed, sale.Captured, sale.RefundPending, "")
	}
	r.play("refunds/"+made, `{"status":"succeeded"}`)
	for range 2 {
		if err := r.hear(events.WebhookRefundUpdated, o, made); err != nil {
			t.Fatal(err)
		}
		r.refunded(o, sale.Refunded, sale.PaidBack, sale.RefundSucceeded, "")
	}
	if last, err := r.store.LastRefund(t.Context(), o.AttemptID); err != nil || last.StripeID != made || last.ID != sale.RefundID(o.OrderID, 2) {
		t.Errorf("recorded %+v (%v)", last, err)
	}

	// A part of it is a dead letter, and the order stays as it is.
	o = r.failedRefund()
	r.byHand(o, 100)
	if err := r.hear(events.WebhookChargeRefunded, o, ""); sale.CodeOf(err) != "partial_refund" || sale.KindOf(err) != sale.Unprocessable {
		t.Errorf("a part: %v", err)
	}
	r.refunded(o, sale.Confirmed, sale.Captured, sale.RefundFailed, "expired_or_canceled_card")
}

// What the buyer's bank demands back may be given back by hand; the order is refunded like any other.
func TestRefundByHandOfADisputedOrder(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, lost := range []bool{false, true} {
		o := r.paid("pm_card_visa")
		r.byHand(o, o.Amount) // the double refunds nothing that is in dispute
		d := sale.Dispute{ID: "du_" + o.OrderID.String(), IntentID: o.IntentID, AttemptID: o.AttemptID, State: sale.DisputeNeedsResponse, Amount: 1, Currency: "eur", OpenedAt: r.clock.Now()}
		was := sale.Disputed
		if lost {
			d.State, was = sale.DisputeLost, sale.ChargedBack
		}
		if err := r.store.MarkDispute(t.Context(), d, sale.Webhook{}); err != nil {
			t.Fatal(err)
		}
		r.stands(o.OrderID, sale.Confirmed, was, sale.IntentSucceeded)
		for range 2 {
			if err := r.hear(events.WebhookChargeRefunded, o, ""); err != nil {
				t.Fatal(err)
			}
		}
		r.refunded(o, sale.Refunded, sale.PaidBack, sale.RefundSucceeded, "")
		r.sold() // the same seats
		r.sql(`DELETE FROM sold_seats`)
	}
}

// An order without seats whose money was taken all the same: the refund by hand sets it right, and nothing is retried.
func TestRefundByHandOfAnOrderWithoutSeats(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, status := range []sale.OrderStatus{sale.Rejected, sale.Voided} {
		for _, state := range []sale.AttemptState{sale.Captured, sale.Authorized} {
			o := r.paid("pm_card_visa")
			r.free(o)
			r.sql(`UPDATE orders SET status = $2 WHERE order_id = $1`, o.OrderID, status)
			r.sql(`UPDATE payment_attempts SET state = $2 WHERE attempt_id = $1`, o.AttemptID, state)
			told := o
			told.Outcome = events.OrderRejected
			asked := r.calls("POST /v1/payment_intents/{id}/cancel")
			if err := r.give(events.Orders, events.Encode(told), 1); sale.CodeOf(err) != "captured_without_order" || sale.KindOf(err) != sale.Unprocessable {
				t.Errorf("%s, %s: before the refund: %v", status, state, err)
			}
			if n := r.calls("POST /v1/payment_intents/{id}/cancel") - asked; n > 0 == (state == sale.Captured) {
				t.Errorf("%s, %s: Stripe was asked %d times to let the money go", status, state, n)
			}
			r.byHand(o, o.Amount)
			for range 2 {
				if err := r.hear(events.WebhookChargeRefunded, o, ""); err != nil {
					t.Errorf("%s, %s: %v", status, state, err)
				}
			}
			r.refunded(o, status, sale.PaidBack, sale.RefundSucceeded, "")
			if err := r.give(events.Orders, events.Encode(told), 2); err != nil {
				t.Errorf("%s, %s: told again: %v", status, state, err)
			}
		}
	}
}

// A refund that is told of an intent whose money was never taken gave nothing back.
func TestRefundOfMoneyThatWasNotTaken(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.rejected()
	r.instead.Store(&answers{refunds: []sale.Repayment{{ID: "re_1", IntentID: o.IntentID, State: sale.RefundSucceeded, Amount: o.Amount, Currency: o.Currency}}})
	if err := r.hear(events.WebhookChargeRefunded, o, ""); err != nil {
		t.Error(err)
	}
	r.stands(o.OrderID, sale.Rejected, sale.Authorized, sale.IntentRequiresCapture)
	if last, err := r.store.LastRefund(t.Context(), o.AttemptID); err != nil || last.ID != uuid.Nil {
		t.Errorf("recorded %+v (%v)", last, err)
	}
}

// What waits for its capture is recorded after it.
func TestRefundByHandBeforeTheCaptureIsKnown(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.sold()
	if _, err := r.stripe.Capture(t.Context(), o.AttemptID, o.IntentID, 99); err != nil {
		t.Fatal(err)
	}
	r.byHand(o, o.Amount)
	if err := r.hearAs("evt_early", events.WebhookChargeRefunded, o, ""); sale.CodeOf(err) != "capture_pending" || sale.KindOf(err) != sale.Unavailable {
		t.Errorf("too early: %v", err)
	}
	if err := r.give(events.Orders, events.Encode(o), 1); err != nil {
		t.Fatal(err)
	}
	if err := r.hearAs("evt_early", events.WebhookChargeRefunded, o, ""); err != nil {
		t.Fatal(err)
	}
	r.refunded(o, sale.Refunded, sale.PaidBack, sale.RefundSucceeded, "")
}

// A lost webhook, or a message that was given up, leaves no refund undecided for ever.
func TestSweepSettlesRefunds(t *testing.T) {
	t.Parallel()
	r := setup(t)
	orders := map[sale.RefundState]events.Order{}
	for outcome, want := range map[string]sale.RefundState{"succeeded": sale.RefundSucceeded, "failed": sale.RefundFailed} {
		o := r.paid("pm_card_pendingRefund")
		refund, command := r.refund(o.OrderID)
		if err := r.give(events.Payments, command, 1); err != nil {
			t.Fatal(err)
		}
		now, err := r.store.Refund(t.Context(), refund.ID)
		if err != nil {
			t.Fatal(err)
		}
		r.play("refunds/"+now.StripeID, `{"status":"`+outcome+`"}`)
		orders[want] = o
		r.free(o)
	}
	lost := r.paid("pm_card_visa")
	r.refund(lost.OrderID) // and the message is lost
	state := func(o events.Order) sale.RefundState {
		last, err := r.store.LastRefund(t.Context(), o.AttemptID)
		if err != nil {
			t.Fatal(err)
		}
		return last.State
	}
	r.clock.Advance(5*time.Minute + time.Second)
	testenv.Eventually(t, "all three are decided", func() bool {
		return state(orders[sale.RefundSucceeded]) == sale.RefundSucceeded && state(orders[sale.RefundFailed]) == sale.RefundFailed && state(lost) == sale.RefundSucceeded
	})
	r.refunded(orders[sale.RefundSucceeded], sale.Refunded, sale.PaidBack, sale.RefundSucceeded, "")
	r.refunded(orders[sale.RefundFailed], sale.Confirmed, sale.Captured, sale.RefundFailed, "expired_or_canceled_card")
	r.refunded(lost, sale.Refunded, sale.PaidBack, sale.RefundSucceeded, "")
	if n := r.repayments(lost); n != 1 {
		t.Errorf("%d refunds at Stripe", n)
	}
}

// Money that was taken and given back by hand before the answer of its authorization was known: the webhook that tells of it
// waits for that, and the order is refunded.
func TestRefundByHandThatIsHeardBeforeTheIntent(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]bool{"which is told of later": false, "which is told of while it is asked for": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refundedEarly(t, meanwhile)
		})
	}
}

func refundedEarly(t *testing.T, meanwhile bool) {
	r := setup(t)
	c := command("pm_card_visa")
	begun, err := r.store.BeginAttempts(t.Context(), []events.CheckoutRequested{c})
	if err != nil || begun[0].Refused != nil {
		t.Fatal(err, begun)
	}
	i, err := r.stripe.Authorize(t.Context(), begun[0].Attempt) // its answer is lost
	if err != nil {
		t.Fatal(err)
	}
	r.call("/v1/payment_intents/"+i.ID+"/capture", "")
	r.call("/v1/refunds", "payment_intent="+i.ID)
	told := func() error {
		return r.give(events.Stripe, events.Encode(events.StripeEvent{V: events.Version, ID: "evt_1", Type: events.WebhookChargeRefunded, IntentID: i.ID}), 1)
	}
	answered := func() {
		if err := r.give(events.Checkouts, events.Encode(c), 2); err != nil {
			t.Error(err)
		}
	}
	early := "authorization_pending"
	if meanwhile {
		early = "capture_pending"
		r.meanwhile.Store(&answered)
	}
	if err := told(); sale.CodeOf(err) != early || sale.KindOf(err) != sale.Unavailable {
		t.Errorf("before the money is known to be taken: %v", err)
	}
	if !meanwhile {
		answered()
	}
	a := r.attempt(c.OrderID)
	p := events.Payment{V: events.Version, Outcome: events.PaymentAuthorized, AttemptID: a.ID, OrderID: c.OrderID, EventID: show, HoldID: c.HoldID,
		Seats: c.Seats, IntentID: a.IntentID, Amount: c.Amount, Currency: c.Currency}
	if _, err := r.store.CommitOrders(t.Context(), []events.Payment{p}, make([][]string, 1)); err != nil {
		t.Fatal(err)
	}
	o := events.Order{V: events.Version, Outcome: events.OrderConfirmed, OrderID: c.OrderID, EventID: show, HoldID: c.HoldID, Seats: c.Seats,
		AttemptID: a.ID, IntentID: a.IntentID, Amount: c.Amount, Currency: c.Currency}
	if err := r.give(events.Orders, events.Encode(o), 1); err != nil {
		t.Fatal(err)
	}
	if err := told(); err != nil {
		t.Errorf("once it is captured: %v", err)
	}
	orders, err := r.store.Orders(t.Context(), []uuid.UUID{c.OrderID})
	if err != nil || orders[0].Status != sale.Refunded || r.attempt(c.OrderID).State != sale.PaidBack {
		t.Errorf("the order is %s, the attempt %s (%v)", orders[0].Status, r.attempt(c.OrderID).State, err)
	}
}
