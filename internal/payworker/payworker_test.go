package payworker_test

import (
	"testing"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/stripe/double"
)

func TestTheSameCheckoutIsPaidOnce(t *testing.T) {
	t.Parallel()
	r := setup(t)
	c := command("pm_card_visa")
	for n := range 3 {
		if err := r.give(events.Checkouts, events.Encode(c), n+1); err != nil {
			t.Fatal(err)
		}
	}
	intents := 0
	if err := r.stripe.Each(t.Context(), func(sale.Intent) bool { intents++; return true }); err != nil || intents != 1 {
		t.Errorf("%d intents, %v", intents, err)
	}
	r.stands(c.OrderID, sale.Processing, sale.Authorized, sale.IntentRequiresCapture)
}

// Stripe repeats a stored failure for a day to whoever asks under its key: the next delivery asks under another.
func TestCaptureSurvivesAStoredFailure(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.sold()
	r.double.SetFaults(double.Faults{ErrorShare: 1})
	if err := r.give(events.Orders, events.Encode(o), 1); sale.KindOf(err) != sale.Unavailable {
		t.Errorf("while Stripe fails: %v", err)
	}
	r.double.SetFaults(double.Faults{})
	if err := r.give(events.Orders, events.Encode(o), 1); sale.KindOf(err) != sale.Unavailable {
		t.Errorf("under the old key Stripe repeats the failure, and this test tests nothing: %v", err)
	}
	if err := r.give(events.Orders, events.Encode(o), 2); err != nil {
		t.Fatal(err)
	}
	r.stands(o.OrderID, sale.Confirmed, sale.Captured, sale.IntentSucceeded)
	if err := r.give(events.Orders, events.Encode(o), 3); err != nil {
		t.Error("again:", err)
	}
}

func TestCaptureThatTookEffectIsFound(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.sold()
	r.double.SetFaults(double.Faults{TimeoutAfterShare: 1})
	if err := r.give(events.Orders, events.Encode(o), 1); sale.KindOf(err) != sale.Unavailable {
		t.Errorf("while the answers are lost: %v", err)
	}
	r.double.SetFaults(double.Faults{})
	if err := r.give(events.Orders, events.Encode(o), 2); err != nil {
		t.Fatal(err)
	}
	r.stands(o.OrderID, sale.Confirmed, sale.Captured, sale.IntentSucceeded)
}

// The money of a confirmed order can't be had: the authorization is given back, and the seats.
func TestCaptureThatIsRefusedForGoodVoidsTheOrder(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.sold()
	r.double.SetFaults(double.Faults{CaptureRefuseShare: 1})
	tries := 1
	for ; ; tries++ {
		err := r.give(events.Orders, events.Encode(o), tries)
		if err == nil {
			break
		}
		if sale.KindOf(err) != sale.Unavailable || tries > 100 {
			t.Fatalf("delivery %d: %v", tries, err)
		}
	}
	if tries < 3 {
		t.Errorf("it was given up after %d tries", tries)
	}
	r.stands(o.OrderID, sale.Voided, sale.Canceled, sale.IntentCanceled)
	next := r.sold() // the same seats
	r.double.SetFaults(double.Faults{})
	if err := r.give(events.Orders, events.Encode(next), 1); err != nil {
		t.Error(err)
	}
	r.stands(next.OrderID, sale.Confirmed, sale.Captured, sale.IntentSucceeded)
}

// Only what Stripe refuses counts: not the deliveries of an outage before it.
func TestOneRefusalAfterAnOutageVoidsNothing(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.sold()
	r.double.SetFaults(double.Faults{RateLimitShare: 1})
	for n := 1; n <= 20; n++ {
		if err := r.give(events.Orders, events.Encode(o), n); sale.KindOf(err) != sale.Unavailable {
			t.Fatalf("delivery %d: %v", n, err)
		}
	}
	r.double.SetFaults(double.Faults{CaptureRefuseShare: 1})
	if err := r.give(events.Orders, events.Encode(o), 21); sale.KindOf(err) != sale.Unavailable {
		t.Errorf("the first refusal: %v", err)
	}
	r.stands(o.OrderID, sale.Confirmed, sale.Authorized, sale.IntentRequiresCapture)
	r.double.SetFaults(double.Faults{})
	if err := r.give(events.Orders, events.Encode(o), 22); err != nil {
		t.Fatal(err)
	}
	r.stands(o.OrderID, sale.Confirmed, sale.Captured, sale.IntentSucceeded)
}

// A capture whose answer never comes is no refusal, even while Stripe shows the intent uncaptured.
func TestUnansweredCapturesVoidNothing(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.sold()
	r.instead.Store(&answers{capture: sale.Errorf(sale.Unavailable, "payment_unknown", "no answer")})
	for n := 1; n <= 20; n++ {
		if err := r.give(events.Orders, events.Encode(o), n); sale.CodeOf(err) != "payment_unknown" || sale.KindOf(err) != sale.Unavailable {
			t.Fatalf("delivery %d: %v", n, err)
		}
	}
	r.stands(o.OrderID, sale.Confirmed, sale.Authorized, sale.IntentRequiresCapture)
	r.instead.Store(&answers{})
	if err := r.give(events.Orders, events.Encode(o), 21); err != nil {
		t.Fatal(err)
	}
	r.stands(o.OrderID, sale.Confirmed, sale.Captured, sale.IntentSucceeded)
}

func TestAuthorizationThatIsGoneVoidsTheOrder(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.sold()
	if _, err := r.stripe.Cancel(t.Context(), o.AttemptID, o.IntentID, 99); err != nil {
		t.Fatal(err)
	}
	if err := r.give(events.Orders, events.Encode(o), 1); err != nil {
		t.Fatal(err)
	}
	r.stands(o.OrderID, sale.Voided, sale.Canceled, sale.IntentCanceled)
}

func TestLoserIsNotCharged(t *testing.T) {
	t.Parallel()
	r := setup(t)
	c := command("pm_card_visa")
	if err := r.give(events.Checkouts, events.Encode(c), 1); err != nil {
		t.Fatal(err)
	}
	a := r.attempt(c.OrderID)
	o := events.Order{V: events.Version, Outcome: events.OrderRejected, OrderID: c.OrderID, EventID: show, HoldID: c.HoldID, Seats: c.Seats,
		AttemptID: a.ID, IntentID: a.IntentID, Amount: c.Amount, Currency: c.Currency, Reason: "seats_sold"}
	r.double.SetFaults(double.Faults{ErrorShare: 1})
	if err := r.give(events.Orders, events.Encode(o), 1); sale.KindOf(err) != sale.Unavailable {
		t.Errorf("while Stripe fails: %v", err)
	}
	r.double.SetFaults(double.Faults{})
	for n := 2; n < 4; n++ {
		if err := r.give(events.Orders, events.Encode(o), n); err != nil {
			t.Fatal(err)
		}
	}
	if a := r.attempt(c.OrderID); a.State != sale.Canceled {
		t.Errorf("the attempt is %s", a.State)
	}
	if i, err := r.stripe.Retrieve(t.Context(), a.IntentID); err != nil || i.Status != sale.IntentCanceled || i.Captured != 0 {
		t.Errorf("the intent is %+v, %v", i, err)
	}
}

// An authorization that Stripe does not let go of yet is not recorded as given back.
func TestCancelThatStripeRefusesIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.rejected()
	r.instead.Store(&answers{cancel: sale.Errorf(sale.Conflict, "unexpected_state", "not now")})
	if err := r.give(events.Orders, events.Encode(o), 1); sale.CodeOf(err) != "cancel_pending" || sale.KindOf(err) != sale.Unavailable {
		t.Errorf("while Stripe refuses: %v", err)
	}
	r.stands(o.OrderID, sale.Rejected, sale.Authorized, sale.IntentRequiresCapture)
	r.instead.Store(&answers{})
	if err := r.give(events.Orders, events.Encode(o), 2); err != nil {
		t.Fatal(err)
	}
	r.stands(o.OrderID, sale.Rejected, sale.Canceled, sale.IntentCanceled)
}

func TestDeclinedCard(t *testing.T) {
	t.Parallel()
	r := setup(t)
	c := command("pm_card_visa_chargeDeclined")
	if err := r.give(events.Checkouts, events.Encode(c), 1); err != nil {
		t.Fatal(err)
	}
	r.stands(c.OrderID, sale.PaymentFailed, sale.Declined, sale.IntentRequiresPaymentMethod)
}

// A failover or a backup may take Postgres back behind a confirmation that was told: then nobody is charged for it.
func TestConfirmationThatPostgresLostChargesNobody(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.sold()
	r.free(o)
	r.sql(`UPDATE orders SET status = 'processing' WHERE order_id = $1`, o.OrderID)
	for n := 1; ; n++ { // it may be late
		err := r.give(events.Orders, events.Encode(o), n)
		if sale.KindOf(err) == sale.Unavailable && n < 10 {
			continue
		}
		if sale.CodeOf(err) != "order_not_confirmed" || sale.KindOf(err) != sale.Unprocessable || n == 1 {
			t.Errorf("the confirmation, given %d times: %v", n, err)
		}
		break
	}
	i, err := r.stripe.Retrieve(t.Context(), o.IntentID)
	if err != nil || i.Status != sale.IntentRequiresCapture || r.attempt(o.OrderID).State != sale.Authorized {
		t.Errorf("the intent is %+v, the attempt %s (%v)", i, r.attempt(o.OrderID).State, err)
	}
}
