package payworker_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/stripe/double"
)

// paid is an order that is confirmed and whose money was taken.
func (r *rig) paid(method string) events.Order {
	r.Helper()
	o := r.soldWith(method)
	if err := r.give(events.Orders, events.Encode(o), 1); err != nil {
		r.Fatal(err)
	}
	r.stands(o.OrderID, sale.Confirmed, sale.Captured, sale.IntentSucceeded)
	return o
}

// refund asks for a refund and returns the message that the worker is given.
func (r *rig) refund(order uuid.UUID) (sale.Refund, []byte) {
	r.Helper()
	refund, err := r.store.RequestRefund(r.Context(), order, "x", false)
	if err != nil {
		r.Fatal(err)
	}
	return refund, events.Encode(events.Payment{V: events.Version, Outcome: events.PaymentRefundRequested, OrderID: order, AttemptID: refund.AttemptID, EventID: show, RefundID: refund.ID})
}

// refunded checks how an order and its last refund stand.
func (r *rig) refunded(o events.Order, status sale.OrderStatus, attempt sale.AttemptState, state sale.RefundState, failure string) {
	r.Helper()
	r.stands(o.OrderID, status, attempt, sale.IntentSucceeded)
	last, err := r.store.LastRefund(r.Context(), o.AttemptID)
	if err != nil || last.State != state || last.Failure != failure {
		r.Errorf("refund is %s for %q (%v), want %s for %q", last.State, last.Failure, err, state, failure)
	}
}

// play makes a control call of the double and returns the id of what it answered with.
func (r *rig) play(path, body string) string {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.url+"/_double/"+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	var object struct{ ID string }
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(raw, &object) != nil {
		r.Fatalf("%s: %s %s (%v)", path, resp.Status, raw, err)
	}
	return object.ID
}

// hear gives the worker a webhook event about an order's intent.
func (r *rig) hear(kind string, o events.Order, object string) error {
	return r.hearAs("evt_"+uuid.NewString(), kind, o, object)
}

func (r *rig) hearAs(id, kind string, o events.Order, object string) error {
	e := events.StripeEvent{V: events.Version, ID: id, Type: kind, IntentID: o.IntentID, ObjectID: object}
	if strings.HasPrefix(kind, "payment_intent.") {
		e.AttemptID = o.AttemptID.String()
	}
	return r.give(events.Stripe, events.Encode(e), 1)
}

func (r *rig) repayments(o events.Order) int {
	r.Helper()
	all, err := r.stripe.Refunds(r.Context(), o.IntentID)
	if err != nil {
		r.Fatal(err)
	}
	return len(all)
}

func TestRefund(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.paid("pm_card_visa")
	_, command := r.refund(o.OrderID)
	for n := range 3 {
		if err := r.give(events.Payments, command, n+1); err != nil {
			t.Fatal(err)
		}
	}
	r.refunded(o, sale.Refunded, sale.PaidBack, sale.RefundSucceeded, "")
	if n := r.repayments(o); n != 1 {
		t.Errorf("%d refunds at Stripe", n)
	}
	// What was told before, and what is told now, changes nothing.
	told := o
	told.Outcome = events.OrderRefunded
	for _, m := range []events.Order{o, told} {
		if err := r.give(events.Orders, events.Encode(m), 2); err != nil {
			t.Error(err)
		}
	}
	if err := r.hear(events.WebhookChargeRefunded, o, ""); err != nil {
		t.Error(err)
	}
	r.refunded(o, sale.Refunded, sale.PaidBack, sale.RefundSucceeded, "")
}

func TestRefundWhoseAnswerIsLostIsMadeOnce(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.paid("pm_card_visa")
	_, command := r.refund(o.OrderID)
	r.double.SetFaults(double.Faults{TimeoutAfterShare: 1})
	if err := r.give(events.Payments, command, 1); sale.KindOf(err) != sale.Unavailable {
		t.Errorf("while answers are lost: %v", err)
	}
	r.double.SetFaults(double.Faults{})
	if err := r.give(events.Payments, command, 2); err != nil {
		t.Fatal(err)
	}
	r.refunded(o, sale.Refunded, sale.PaidBack, sale.RefundSucceeded, "")
	if n := r.repayments(o); n != 1 {
		t.Errorf("%d refunds at Stripe", n)
	}
}

// Stripe repeats a stored failure for as long as it knows the key: the refund is given up, and the next one works.
func TestRefundThatStripeForgotIsLookedUp(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.paid("pm_card_visa")
	_, command := r.refund(o.OrderID)
	r.double.SetFaults(double.Faults{ErrorShare: 1})
	for n := range 8 {
		if err := r.give(events.Payments, command, n+1); sale.KindOf(err) != sale.Unavailable {
			t.Errorf("while Stripe fails: %v", err)
		}
	}
	r.double.SetFaults(double.Faults{})
	r.clock.Advance(3 * time.Minute)
	if err := r.give(events.Payments, command, 9); err != nil {
		t.Fatal(err)
	}
	r.refunded(o, sale.Confirmed, sale.Captured, sale.RefundFailed, "refund_unavailable")
	_, command = r.refund(o.OrderID)
	if err := r.give(events.Payments, command, 1); err != nil {
		t.Fatal(err)
	}
	r.refunded(o, sale.Refunded, sale.PaidBack, sale.RefundSucceeded, "")
}

func TestRefundThatTheBankHolds(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for outcome, want := range map[string]struct {
		order   sale.OrderStatus
		attempt sale.AttemptState
		refund  sale.RefundState
		failure string
	}{
		"failed":    {sale.Confirmed, sale.Captured, sale.RefundFailed, "expired_or_canceled_card"},
		"succeeded": {sale.Refunded, sale.PaidBack, sale.RefundSucceeded, ""},
	} {
		o := r.paid("pm_card_pendingRefund")
		refund, command := r.refund(o.OrderID)
		if err := r.give(events.Payments, command, 1); err != nil {
			t.Fatal(err)
		}
		r.refunded(o, sale.Confirmed, sale.Captured, sale.RefundPending, "")
		if err := r.hear(events.WebhookChargeRefunded, o, ""); err != nil { // nothing is decided
			t.Fatal(err)
		}
		r.refunded(o, sale.Confirmed, sale.Captured, sale.RefundPending, "")
		now, err := r.store.Refund(t.Context(), refund.ID)
		if err != nil {
			t.Fatal(err)
		}
		r.play("refunds/"+now.StripeID, `{"status":"`+outcome+`"}`)
		for range 2 {
			if err := r.hear(events.WebhookRefundUpdated, o, now.StripeID); err != nil {
				t.Fatal(err)
			}
		}
		r.refunded(o, want.order, want.attempt, want.refund, want.failure)
		if outcome == "failed" {
			r.free(o)
		}
	}
}

// The bank sends the money of a refund back after it had succeeded: the order stays refunded, and an operator must look.
func TestRefundThatTheBankReturns(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.paid("pm_card_visa")
	_, command := r.refund(o.OrderID)
	if err := r.give(events.Payments, command, 1); err != nil {
		t.Fatal(err)
	}
	made, err := r.store.LastRefund(t.Context(), o.AttemptID)
	if err != nil {
		t.Fatal(err)
	}
	r.play("refunds/"+made.StripeID, `{"status":"failed"}`)
	if err := r.hear(events.WebhookRefundFailed, o, made.StripeID); sale.CodeOf(err) != "refund_returned" || sale.KindOf(err) != sale.Unprocessable {
		t.Errorf("the bank returns it: %v", err)
	}
	r.refunded(o, sale.Refunded, sale.PaidBack, sale.RefundSucceeded, "")
}

func TestRefundThatIsRefused(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.paid("pm_card_refundFail")
	_, command := r.refund(o.OrderID)
	if err := r.give(events.Payments, command, 1); err != nil {
		t.Fatal(err)
	}
	r.refunded(o, sale.Confirmed, sale.Captured, sale.RefundFailed, "expired_or_canceled_card")
	r.free(o)

	// The buyer goes to the bank between the request and the call.
	o = r.paid("pm_card_visa")
	_, command = r.refund(o.OrderID)
	r.play("disputes", `{"payment_intent":"`+o.IntentID+`","reason":"fraudulent"}`)
	if err := r.give(events.Payments, command, 1); err != nil {
		t.Fatal(err)
	}
	r.refunded(o, sale.Confirmed, sale.Captured, sale.RefundFailed, "charge_disputed")
}

// Someone refunds at Stripe by hand: the whole is the order's refund, a part is an operator's to look at.
func TestRefundMadeAtStripe(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.paid("pm_card_visa")
	if _, err := r.stripe.Refund(t.Context(), sale.Refund{ID: uuid.New(), IntentID: o.IntentID, Amount: o.Amount}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.hear(events.WebhookChargeRefunded, o, ""); err != nil {
			t.Fatal(err)
		}
	}
	r.refunded(o, sale.Refunded, sale.PaidBack, sale.RefundSucceeded, "")
	o = r.paid("pm_card_visa")
	if _, err := r.stripe.Refund(t.Context(), sale.Refund{ID: uuid.New(), IntentID: o.IntentID, Amount: 100}); err != nil {
		t.Fatal(err)
	}
	if err := r.hear(events.WebhookChargeRefunded, o, ""); sale.CodeOf(err) != "partial_refund" {
		t.Errorf("a part: %v", err)
	}
	r.stands(o.OrderID, sale.Confirmed, sale.Captured, sale.IntentSucceeded)
}

// A refund by hand that failed has given nothing back: there is nothing to record, and nothing for an operator to do.
func TestRefundMadeAtStripeThatFailed(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.paid("pm_card_refundFail")
	if _, err := r.stripe.Refund(t.Context(), sale.Refund{ID: uuid.New(), IntentID: o.IntentID, Amount: o.Amount}); err != nil {
		t.Fatal(err)
	}
	if err := r.hear(events.WebhookRefundFailed, o, ""); err != nil {
		t.Error(err)
	}
	r.stands(o.OrderID, sale.Confirmed, sale.Captured, sale.IntentSucceeded)
}

func TestDispute(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for outcome, want := range map[string]sale.AttemptState{"won": sale.Captured, "lost": sale.ChargedBack} {
		o := r.paid("pm_card_visa")
		dispute := r.play("disputes", `{"payment_intent":"`+o.IntentID+`","reason":"fraudulent"}`)
		if err := r.hear(events.WebhookDisputeOpened, o, dispute); err != nil {
			t.Fatal(err)
		}
		r.stands(o.OrderID, sale.Confirmed, sale.Disputed, sale.IntentSucceeded)
		if _, err := r.store.RequestRefund(t.Context(), o.OrderID, "x", false); sale.CodeOf(err) != "payment_disputed" {
			t.Errorf("refund: %v", err)
		}
		r.play("disputes/"+dispute, `{"status":"under_review"}`)
		r.play("disputes/"+dispute, `{"status":"`+outcome+`"}`)
		// The end is heard before the middle, and the beginning again.
		for _, kind := range []string{events.WebhookDisputeClosed, events.WebhookDisputeUpdated, events.WebhookDisputeOpened} {
			if err := r.hear(kind, o, dispute); err != nil {
				t.Fatal(err)
			}
		}
		r.stands(o.OrderID, sale.Confirmed, want, sale.IntentSucceeded)
		r.free(o)
	}
	stranger := events.Order{IntentID: "pi_another"}
	if err := r.hear(events.WebhookDisputeOpened, stranger, "du_x"); err != nil {
		t.Errorf("another system's: %v", err)
	}
}

// A dispute that is heard of before the capture was recorded waits for that.
func TestDisputeBeforeTheCaptureIsKnown(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.sold()
	if _, err := r.stripe.Capture(t.Context(), o.AttemptID, o.IntentID, 99); err != nil {
		t.Fatal(err)
	}
	dispute := r.play("disputes", `{"payment_intent":"`+o.IntentID+`","reason":"fraudulent"}`)
	if err := r.hearAs("evt_early", events.WebhookDisputeOpened, o, dispute); sale.KindOf(err) != sale.Unavailable {
		t.Errorf("too early: %v", err)
	}
	if err := r.give(events.Orders, events.Encode(o), 1); err != nil {
		t.Fatal(err)
	}
	if err := r.hearAs("evt_early", events.WebhookDisputeOpened, o, dispute); err != nil {
		t.Fatal(err)
	}
	r.stands(o.OrderID, sale.Confirmed, sale.Disputed, sale.IntentSucceeded)
}

// An event that was dealt with does nothing when it comes again, whatever Stripe says by then.
func TestEventIsDealtWithOnce(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.paid("pm_card_visa")
	if err := r.hearAs("evt_1", events.WebhookChargeRefunded, o, ""); err != nil { // no refund yet
		t.Fatal(err)
	}
	if _, err := r.stripe.Refund(t.Context(), sale.Refund{ID: uuid.New(), IntentID: o.IntentID, Amount: o.Amount}); err != nil {
		t.Fatal(err)
	}
	if err := r.hearAs("evt_1", events.WebhookChargeRefunded, o, ""); err != nil {
		t.Fatal(err)
	}
	r.stands(o.OrderID, sale.Confirmed, sale.Captured, sale.IntentSucceeded)
	if err := r.hearAs("evt_2", events.WebhookChargeRefunded, o, ""); err != nil {
		t.Fatal(err)
	}
	r.stands(o.OrderID, sale.Refunded, sale.PaidBack, sale.IntentSucceeded)
}

// What an event asks for may take more than one transaction: it is heard after the last.
func TestEventIsHeardAfterAllOfItsEffect(t *testing.T) {
	t.Parallel()
	r := setup(t)
	c := command("pm_card_visa")
	if err := r.give(events.Checkouts, events.Encode(c), 1); err != nil {
		t.Fatal(err)
	}
	a := r.attempt(c.OrderID)
	o := events.Order{AttemptID: a.ID, IntentID: a.IntentID}
	r.play("expire/"+a.IntentID, "")
	r.sql(`ALTER TABLE payment_attempts ADD CONSTRAINT poison CHECK (state <> 'canceled')`)
	if err := r.hearAs("evt_1", events.WebhookCanceled, o, ""); err == nil {
		t.Fatal("there is no order to void, and the attempt can't be canceled; yet it is done")
	}
	r.sql(`ALTER TABLE payment_attempts DROP CONSTRAINT poison`)
	if err := r.hearAs("evt_1", events.WebhookCanceled, o, ""); err != nil {
		t.Fatal(err)
	}
	r.stands(c.OrderID, sale.PaymentFailed, sale.Canceled, sale.IntentCanceled)
}
