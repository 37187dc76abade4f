package payworker_test

import (
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/sale"
)

// The bank lets an authorization go: an order that was confirmed is voided, one that was not has failed.
func TestAuthorizationThatExpires(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.sold()
	r.play("expire/"+o.IntentID, "")
	for range 2 {
		if err := r.hear(events.WebhookCanceled, o, ""); err != nil {
			t.Fatal(err)
		}
	}
	r.stands(o.OrderID, sale.Voided, sale.Canceled, sale.IntentCanceled)
	if err := r.give(events.Orders, events.Encode(o), 1); err != nil { // the capture comes late
		t.Fatal(err)
	}
	r.stands(o.OrderID, sale.Voided, sale.Canceled, sale.IntentCanceled)

	c := command("pm_card_visa")
	if err := r.give(events.Checkouts, events.Encode(c), 1); err != nil {
		t.Fatal(err)
	}
	a := r.attempt(c.OrderID)
	r.play("expire/"+a.IntentID, "")
	if err := r.hear(events.WebhookCanceled, events.Order{AttemptID: a.ID, IntentID: a.IntentID}, ""); err != nil {
		t.Fatal(err)
	}
	r.stands(c.OrderID, sale.PaymentFailed, sale.Canceled, sale.IntentCanceled)
}

// An event says that the authorization has ended, and Stripe that it has not: Stripe is believed.
func TestAuthorizationThatIsOnlySaidToHaveEnded(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.sold()
	if err := r.hear(events.WebhookCanceled, o, ""); err != nil {
		t.Fatal(err)
	}
	r.stands(o.OrderID, sale.Confirmed, sale.Authorized, sale.IntentRequiresCapture)
}

// Someone takes a part of the money at Stripe by hand: the ticket stands, and an operator hears of it.
func TestCaptureOfAnotherAmount(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.sold()
	r.call("/v1/payment_intents/"+o.IntentID+"/capture", "amount_to_capture=100")
	if err := r.give(events.Orders, events.Encode(o), 1); sale.CodeOf(err) != "captured_amount_differs" {
		t.Errorf("another sum: %v", err)
	}
	r.stands(o.OrderID, sale.Confirmed, sale.Captured, sale.IntentSucceeded)
	if err := r.give(events.Orders, events.Encode(o), 2); err != nil {
		t.Errorf("again: %v", err)
	}
}

// A refund under our id that gave another sum back does not stand for the whole: an operator must look.
func TestRefundOfAnotherAmount(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.paid("pm_card_visa")
	refund, command := r.refund(o.OrderID)
	r.call("/v1/refunds", "payment_intent="+o.IntentID+"&amount=100&metadata[refund_id]="+refund.ID.String())
	r.clock.Advance(21 * time.Hour) // Stripe has forgotten the key: it is looked up
	if err := r.give(events.Payments, command, 1); sale.CodeOf(err) != "refund_differs" || sale.KindOf(err) != sale.Unprocessable {
		t.Errorf("another sum: %v", err)
	}
	r.refunded(o, sale.Confirmed, sale.Captured, sale.RefundRequested, "")
}

// An intent whose amount or currency is not the attempt's is let go, and sells nothing.
func TestIntentOfAnotherAmount(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, differs := range []string{"amount = amount + 1", "currency = 'usd'"} {
		c := command("pm_card_authenticationRequired")
		if err := r.give(events.Checkouts, events.Encode(c), 1); err != nil {
			t.Fatal(err)
		}
		a := r.attempt(c.OrderID)
		r.sql(`UPDATE payment_attempts SET `+differs+` WHERE attempt_id = $1`, a.ID)
		r.play("authenticate/"+a.IntentID, `{"outcome":"success"}`)
		if err := r.hear(events.WebhookAuthorized, events.Order{AttemptID: a.ID, IntentID: a.IntentID}, ""); err != nil {
			t.Fatal(err)
		}
		r.stands(c.OrderID, sale.PaymentFailed, sale.Canceled, sale.IntentCanceled)
	}
}
