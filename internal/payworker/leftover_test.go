package payworker_test

import (
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/stripe/double"
	"onsale/internal/testenv"
)

// intentOf is how an intent stands at Stripe.
func (r *rig) intentOf(id string) sale.Intent {
	r.Helper()
	i, err := r.stripe.Retrieve(r.Context(), id)
	if err != nil {
		r.Fatal(err)
	}
	return i
}

// An answer came after the attempt had ended, and giving the money back failed: the next delivery does it.
func TestGiveBackThatFailedIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := setup(t)
	c := command("pm_card_visa")
	o := r.unansweredTo(c)
	if err := r.store.MarkAbandoned(t.Context(), []sale.Settlement{{Attempt: r.attempt(c.OrderID), Reason: "payment_abandoned"}}); err != nil {
		t.Fatal(err)
	}
	r.double.SetFaults(double.Faults{ErrorShare: 1})
	if err := r.give(events.Checkouts, events.Encode(c), 2); sale.KindOf(err) != sale.Unavailable {
		t.Errorf("while Stripe fails: %v", err)
	}
	r.double.SetFaults(double.Faults{})
	for n := range 2 {
		if err := r.give(events.Checkouts, events.Encode(c), n+3); err != nil {
			t.Fatal(err)
		}
	}
	if i := r.intentOf(o.IntentID); i.Status != sale.IntentCanceled {
		t.Errorf("the intent is %s", i.Status)
	}
	// What is given for the first time, as a replay does, asks Stripe nothing.
	before := r.calls("GET /v1/payment_intents/search")
	if err := r.give(events.Checkouts, events.Encode(c), 1); err != nil || r.calls("GET /v1/payment_intents/search") != before {
		t.Errorf("a first delivery: Stripe was asked (%v)", err)
	}
}

// The buyer's page has the client secret of an authentication that failed: nothing can be paid with it any more.
func TestDeclinedAuthenticationCanNotBePaidLater(t *testing.T) {
	t.Parallel()
	r := setup(t)
	begin := func() (events.CheckoutRequested, sale.Attempt) {
		c := command("pm_card_authenticationRequired")
		if err := r.give(events.Checkouts, events.Encode(c), 1); err != nil {
			t.Fatal(err)
		}
		a := r.attempt(c.OrderID)
		r.play("authenticate/"+a.IntentID, `{"outcome":"failure"}`)
		return c, a
	}
	c, a := begin()
	o := events.Order{AttemptID: a.ID, IntentID: a.IntentID}
	r.double.SetFaults(double.Faults{RateLimitShare: 1})
	if err := r.hearAs("evt_1", events.WebhookDeclined, o, ""); sale.KindOf(err) != sale.Unavailable {
		t.Errorf("while Stripe fails: %v", err)
	}
	r.double.SetFaults(double.Faults{})
	r.stands(c.OrderID, sale.AuthenticationRequired, sale.ActionRequired, sale.IntentRequiresPaymentMethod)
	if err := r.hearAs("evt_1", events.WebhookDeclined, o, ""); err != nil {
		t.Fatal(err)
	}
	r.stands(c.OrderID, sale.PaymentFailed, sale.Declined, sale.IntentCanceled)

	// The webhook is lost. Stripe has stored a failure under the key of an earlier try, which is not the sweep's.
	c, a = begin()
	r.double.SetFaults(double.Faults{ErrorShare: 1})
	if _, err := r.stripe.Cancel(t.Context(), a.ID, a.IntentID, 1); err == nil {
		t.Fatal("the double should have failed")
	}
	r.double.SetFaults(double.Faults{})
	r.clock.Advance(2*time.Minute + time.Second)
	testenv.Eventually(t, "it is declined", func() bool { return r.attempt(c.OrderID).State == sale.Declined })
	r.stands(c.OrderID, sale.PaymentFailed, sale.Declined, sale.IntentCanceled)
}

// strange makes an intent that names an attempt and is not its own, and has it reserve money.
func (r *rig) strange(o events.Order) events.Order {
	r.Helper()
	o.IntentID = r.call("/v1/payment_intents", "amount=8400&currency=eur&payment_method=pm_card_visa&payment_method_types[]=card&capture_method=manual&confirm=true&metadata[attempt_id]="+o.AttemptID.String())
	return o
}

// An event of another intent that names the attempt moves nothing, whatever the attempt's state; money that it reserves
// is given back.
func TestAnotherIntentMovesNothing(t *testing.T) {
	t.Parallel()
	r := setup(t)
	unmoved := func(o events.Order, order sale.OrderStatus, attempt sale.AttemptState, intent sale.IntentStatus) {
		t.Helper()
		other := r.strange(o)
		for _, kind := range []string{events.WebhookAuthorized, events.WebhookCanceled, events.WebhookDeclined} {
			if err := r.hear(kind, other, ""); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			if i := r.intentOf(other.IntentID); i.Status != sale.IntentCanceled {
				t.Errorf("%s: the other is %s", kind, i.Status)
			}
			r.stands(o.OrderID, order, attempt, intent)
		}
		// One that has ended already says nothing of the attempt's own.
		other = r.strange(o)
		if _, err := r.stripe.Cancel(t.Context(), o.AttemptID, other.IntentID, 99); err != nil {
			t.Fatal(err)
		}
		if err := r.hear(events.WebhookCanceled, other, ""); err != nil {
			t.Error(err)
		}
		r.stands(o.OrderID, order, attempt, intent)
	}
	c := command("pm_card_authenticationRequired")
	if err := r.give(events.Checkouts, events.Encode(c), 1); err != nil {
		t.Fatal(err)
	}
	waits := r.attempt(c.OrderID)
	unmoved(events.Order{OrderID: c.OrderID, AttemptID: waits.ID, IntentID: waits.IntentID}, sale.AuthenticationRequired, sale.ActionRequired, sale.IntentRequiresAction)
	o := r.sold()
	unmoved(o, sale.Confirmed, sale.Authorized, sale.IntentRequiresCapture)
	if err := r.give(events.Orders, events.Encode(o), 1); err != nil {
		t.Fatal(err)
	}
	unmoved(o, sale.Confirmed, sale.Captured, sale.IntentSucceeded)
}

// Before the answer is known, only an authorization of the right amount and currency can be the attempt's.
func TestEventsBeforeTheAnswerDecideNothingElse(t *testing.T) {
	t.Parallel()
	r := setup(t)
	c := command("pm_card_visa")
	begun, err := r.store.BeginAttempts(t.Context(), []events.CheckoutRequested{c})
	if err != nil {
		t.Fatal(err)
	}
	o := events.Order{OrderID: c.OrderID, AttemptID: begun[0].Attempt.ID}
	for form, kind := range map[string]string{
		"100&currency=eur&payment_method=pm_card_visa&confirm=true":  events.WebhookAuthorized,
		"8400&currency=usd&payment_method=pm_card_visa&confirm=true": events.WebhookAuthorized,
		"8400&currency=eur": events.WebhookDeclined,
	} {
		o.IntentID = r.call("/v1/payment_intents", "payment_method_types[]=card&capture_method=manual&metadata[attempt_id]="+o.AttemptID.String()+"&amount="+form)
		if err := r.hear(kind, o, ""); err != nil {
			t.Error(err)
		}
		if a := r.attempt(c.OrderID); a.State != sale.Started || a.IntentID != "" {
			t.Errorf("%s moved it to %s", form, a.State)
		}
		if i := r.intentOf(o.IntentID); i.Status == sale.IntentRequiresCapture {
			t.Errorf("%s still reserves money", form)
		}
	}
}
