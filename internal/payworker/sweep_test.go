package payworker_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/stripe/double"
	"onsale/internal/testenv"
)

// The sweep ends what nobody ends: a buyer who never came back from the bank, and a call that was never made. Who did
// come back, unheard of, has paid.
func TestSweepEndsWhatNobodyEnds(t *testing.T) {
	t.Parallel()
	r := setup(t)
	left, back, never := command("pm_card_authenticationRequired"), command("pm_card_authenticationRequired"), command("pm_card_visa")
	for _, c := range []events.CheckoutRequested{left, back} {
		if err := r.give(events.Checkouts, events.Encode(c), 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.store.BeginAttempts(t.Context(), []events.CheckoutRequested{never}); err != nil {
		t.Fatal(err)
	}
	r.play("authenticate/"+r.attempt(back.OrderID).IntentID, `{"outcome":"success"}`) // and the webhook is lost
	r.clock.Advance(time.Minute + time.Second)                                        // the window, and not yet the grace
	r.stands(left.OrderID, sale.AuthenticationRequired, sale.ActionRequired, sale.IntentRequiresAction)
	r.clock.Advance(time.Minute)
	testenv.Eventually(t, "all three are decided", func() bool {
		return r.attempt(left.OrderID).State == sale.Canceled && r.attempt(back.OrderID).State == sale.Authorized && r.attempt(never.OrderID).State == sale.Canceled
	})
	r.stands(left.OrderID, sale.PaymentFailed, sale.Canceled, sale.IntentCanceled)
	r.stands(back.OrderID, sale.Processing, sale.Authorized, sale.IntentRequiresCapture)
	// The command that was not worked on for so long is: its order has failed, and Stripe is not asked.
	if err := r.give(events.Checkouts, events.Encode(never), 1); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := r.stripe.Each(t.Context(), func(sale.Intent) bool { n++; return true }); err != nil || n != 2 {
		t.Errorf("%d intents (%v)", n, err)
	}
}

// A payment that the bank is still working on is left to it, however long the buyer's window has been over.
func TestSweepLeavesWhatTheBankIsProcessing(t *testing.T) {
	t.Parallel()
	r := setup(t)
	c := command("pm_card_authenticationRequired")
	if err := r.give(events.Checkouts, events.Encode(c), 1); err != nil {
		t.Fatal(err)
	}
	state := func() sale.AttemptState { return r.attempt(c.OrderID).State }
	r.instead.Store(&answers{status: sale.IntentProcessing})
	r.clock.Advance(time.Minute)
	for n := range 2 { // the first look is over when the second comes
		r.clock.Advance(time.Minute + time.Second)
		testenv.Eventually(t, "it is looked at", func() bool { return r.calls("GET /v1/payment_intents/{id}") > n || state() != sale.ActionRequired })
	}
	r.stands(c.OrderID, sale.AuthenticationRequired, sale.ActionRequired, sale.IntentRequiresAction)
	r.instead.Store(&answers{})
	r.clock.Advance(time.Minute)
	testenv.Eventually(t, "it is ended", func() bool { return state() == sale.Canceled })
}

// More attempts that can't be ended than a round takes stand in nobody's way.
func TestWhatCanNotBeEndedStarvesNobody(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var stuck []events.CheckoutRequested
	for range 101 {
		stuck = append(stuck, command("pm_card_visa"))
	}
	if _, err := r.store.BeginAttempts(t.Context(), stuck); err != nil {
		t.Fatal(err)
	}
	r.sql(`UPDATE payment_attempts SET state = 'action_required', intent_id = 'pi_none_' || attempt_id`) // which Stripe does not know
	r.clock.Advance(time.Second)
	last := command("pm_card_visa")
	if _, err := r.store.BeginAttempts(t.Context(), []events.CheckoutRequested{last}); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(3 * time.Minute)
	testenv.Eventually(t, "the last is ended", func() bool { return r.attempt(last.OrderID).State == sale.Canceled })
	if a := r.attempt(stuck[0].OrderID); a.State != sale.ActionRequired {
		t.Errorf("this test tests nothing: one that can't be ended is %s", a.State)
	}
}

// unanswered is an attempt that Stripe has authorized, and of which nobody here has heard.
func (r *rig) unanswered() events.Order {
	r.Helper()
	return r.unansweredTo(command("pm_card_visa"))
}

func (r *rig) unansweredTo(c events.CheckoutRequested) events.Order {
	r.Helper()
	begun, err := r.store.BeginAttempts(r.Context(), []events.CheckoutRequested{c})
	if err != nil {
		r.Fatal(err)
	}
	i, err := r.stripe.Authorize(r.Context(), begun[0].Attempt)
	if err != nil {
		r.Fatal(err)
	}
	return events.Order{OrderID: c.OrderID, AttemptID: begun[0].Attempt.ID, IntentID: i.ID}
}

// An answer that got lost is searched for by its attempt: a list of all that was made since has no end in a big sale.
func TestSweepFindsTheIntentOfALostAnswer(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.unanswered()
	r.clock.Advance(2*time.Minute + time.Second)
	testenv.Eventually(t, "it is decided", func() bool { return r.attempt(o.OrderID).State != sale.Started })
	r.stands(o.OrderID, sale.Processing, sale.Authorized, sale.IntentRequiresCapture)
	if n := r.calls("GET /v1/payment_intents"); n != 0 {
		t.Errorf("Stripe was asked for %d lists", n)
	}
}

// Stripe's index may not have it yet: then the webhook decides, or gives back what was given up.
func TestWebhookOfALostAnswer(t *testing.T) {
	t.Parallel()
	r := setup(t)
	o := r.unanswered()
	for range 2 {
		if err := r.hear(events.WebhookAuthorized, o, ""); err != nil {
			t.Fatal(err)
		}
	}
	r.stands(o.OrderID, sale.Processing, sale.Authorized, sale.IntentRequiresCapture)
	o = r.unanswered()
	if err := r.store.MarkAbandoned(t.Context(), []sale.Settlement{{Attempt: r.attempt(o.OrderID), Reason: "payment_abandoned"}}); err != nil {
		t.Fatal(err)
	}
	if err := r.hear(events.WebhookAuthorized, o, ""); err != nil {
		t.Fatal(err)
	}
	if i, err := r.stripe.Retrieve(t.Context(), o.IntentID); err != nil || i.Status != sale.IntentCanceled {
		t.Errorf("the intent is %s (%v)", i.Status, err)
	}
}

// An answer that comes after the attempt was ended takes no money, and leaves nobody anything to authenticate.
func TestAuthorizationAfterTheEndIsGivenBack(t *testing.T) {
	t.Parallel()
	for _, card := range []string{"pm_card_visa", "pm_card_authenticationRequired"} {
		t.Run(card, func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			c := command(card)
			begun, err := r.store.BeginAttempts(t.Context(), []events.CheckoutRequested{c})
			if err != nil {
				t.Fatal(err)
			}
			r.double.SetFaults(double.Faults{LatencyMS: 1000})
			asked := make(chan error, 1)
			go func() { asked <- r.give(events.Checkouts, events.Encode(c), 1) }()
			testenv.Eventually(t, "the call is out", r.calling)
			r.clock.Advance(2*time.Minute + time.Second) // the window and the grace
			if err := r.store.MarkAbandoned(t.Context(), []sale.Settlement{{Attempt: begun[0].Attempt, Reason: "payment_abandoned"}}); err != nil {
				t.Fatal(err)
			}
			if err := <-asked; err != nil {
				t.Fatal(err)
			}
			var i sale.Intent
			if err := r.stripe.Each(t.Context(), func(x sale.Intent) bool { i = x; return true }); err != nil || i.Status != sale.IntentCanceled {
				t.Errorf("the intent is %+v (%v)", i, err)
			}
		})
	}
}

// The answer was lost, and Stripe has forgotten the key by the time the command is worked on again: the intent is
// found, and no second one is made.
func TestCommandReplayedAfterStripeForgotItsKey(t *testing.T) {
	t.Parallel()
	r := setup(t)
	c := command("pm_card_visa")
	r.double.SetFaults(double.Faults{TimeoutAfterShare: 1})
	if err := r.give(events.Checkouts, events.Encode(c), 1); sale.KindOf(err) != sale.Unavailable {
		t.Errorf("while answers are lost: %v", err)
	}
	r.clock.Advance(25 * time.Hour)
	r.double.SetFaults(double.Faults{})
	for n := range 2 {
		if err := r.give(events.Checkouts, events.Encode(c), n+2); err != nil {
			t.Fatal(err)
		}
	}
	r.stands(c.OrderID, sale.Processing, sale.Authorized, sale.IntentRequiresCapture)
	n := 0
	if err := r.stripe.Each(t.Context(), func(sale.Intent) bool { n++; return true }); err != nil || n != 1 {
		t.Errorf("%d intents (%v)", n, err)
	}
}

// Postgres is restored from a backup and the commands are replayed: the attempt is new, its money at Stripe is not, and
// Stripe has forgotten the key.
func TestCommandReplayedAfterARestore(t *testing.T) {
	t.Parallel()
	r := setup(t)
	c := command("pm_card_visa")
	c.RequestedAt = r.clock.Now()
	if err := r.give(events.Checkouts, events.Encode(c), 1); err != nil {
		t.Fatal(err)
	}
	paid := r.attempt(c.OrderID).IntentID
	r.sql(`DELETE FROM payment_attempts`)
	r.sql(`DELETE FROM orders`)
	r.clock.Advance(25 * time.Hour)
	if err := r.give(events.Checkouts, events.Encode(c), 1); err != nil {
		t.Fatal(err)
	}
	r.stands(c.OrderID, sale.Processing, sale.Authorized, sale.IntentRequiresCapture)
	n := 0
	if err := r.stripe.Each(t.Context(), func(sale.Intent) bool { n++; return true }); err != nil || n != 1 || r.attempt(c.OrderID).IntentID != paid {
		t.Errorf("%d intents (%v)", n, err)
	}
}

// One order that Postgres refuses fails alone; its neighbours in the batch are settled in the same delivery.
func TestOneBadRecordFailsAlone(t *testing.T) {
	t.Parallel()
	r := setup(t)
	const n = 12
	var all []events.CheckoutRequested
	for range n {
		all = append(all, command("pm_card_visa"))
	}
	r.sql(`ALTER TABLE payment_attempts ADD CONSTRAINT poison CHECK (state <> 'authorized' OR order_id <> '` + all[5].OrderID.String() + `')`)
	errs := make(chan error, n)
	for i, c := range all {
		go func() {
			err := r.give(events.Checkouts, events.Encode(c), 21)
			if (err != nil) != (i == 5) {
				t.Errorf("order %d: %v", i, err)
			}
			errs <- err
		}()
	}
	for range n {
		<-errs
	}
}

// calling says whether a call is on its way through the double.
func (r *rig) calling() bool { return r.stats().InUse > 0 }

// calls is how many calls of an endpoint the double has had.
func (r *rig) calls(endpoint string) int { return r.stats().Calls[endpoint] }

type stats struct {
	InUse int            `json:"idempotency_keys_in_use"`
	Calls map[string]int `json:"calls"`
}

func (r *rig) stats() (s stats) {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, r.url+"/_double/stats", nil)
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		r.Fatal(err)
	}
	return s
}
