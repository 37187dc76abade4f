package e2e

import (
	"syscall"
	"testing"
	"time"

	"onsale/internal/admin"
	"onsale/internal/stripe/double"
	"onsale/internal/testenv"
)

// Abandoned at the bank's page: the order fails soon after its payment window, the intent is canceled at Stripe, and
// the fan pays again in the same hold. Then the payworker and the committer die at each point between payment and
// ticket, and each order ends as it should.
func TestPaymentsOutliveTheirServices(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	f.end("payworker", syscall.SIGTERM)
	f.env = append(f.env, "PAYWORKER_ABANDON_GRACE=1s")
	f.start("payworker")
	client := admin.Client{URL: f.AdminURL, Token: f.AdminToken}
	if err := client.Create(t.Context(), admin.CreateEvent{
		ID: "fleet", Currency: "eur", Rate: 5000, PaymentWindowSeconds: 1, Plan: smallPlan(8), Prices: map[string]int64{"All": 4200},
	}); err != nil {
		t.Fatal(err)
	}
	if err := client.Move(t.Context(), "fleet", "open"); err != nil {
		t.Fatal(err)
	}
	l := f.Local

	b := letIn(t, l, "fleet").begin(t, "pm_card_authenticationRequired", "A-1")
	becomes(t, l, b.order, "payment_failed")
	again := b.checkout(t, b.held, "pm_card_visa", "two", "Prefer", "wait=20")
	if again.text("status") != "confirmed" {
		t.Errorf("again in the same hold: %d %s", again.status, again.body)
	}

	// The webhook is acknowledged while no payworker lives to apply it. The order's window is over by then; what
	// counts is that the fan has paid.
	f.end("payworker", syscall.SIGTERM)
	// What a killed worker had is given to another after its time to acknowledge, which must not take long here.
	f.env = append(f.env, "PAYWORKER_ABANDON_GRACE=1h", "STRIPE_TIMEOUT=2s", "PAYWORKER_ACK_WAIT=12s")
	f.start("payworker")
	b = letIn(t, l, "fleet").begin(t, "pm_card_authenticationRequired", "A-2")
	becomes(t, l, b.order, "authentication_required")
	id := intent(t, l, b.order)
	f.end("payworker", syscall.SIGKILL)
	play(t, l, "authenticate/"+id, `{"outcome":"success"}`)
	testenv.Eventually(t, "delivered webhook", func() bool {
		a := call(t, "GET", l.StripeURL+"/_double/stats", nil, "Authorization", "Bearer "+l.StripeKey)
		hooks, _ := a.fields["webhooks"].(map[string]any)
		return hooks["waiting"] == float64(0)
	})
	f.start("payworker")
	becomes(t, l, b.order, "confirmed")

	// The committer is gone when the payment is authorized.
	f.end("committer", syscall.SIGKILL)
	b = letIn(t, l, "fleet").begin(t, "pm_card_visa", "A-3")
	intent(t, l, b.order) // until then the order may not be there yet
	testenv.Eventually(t, "authorization", func() bool { return shown(t, l, b.order).Attempts[0].State == "authorized" })
	f.start("committer")
	becomes(t, l, b.order, "confirmed")

	// The payworker dies while Stripe is being asked: for the authorization, and then for the money.
	for seat, endpoint := range map[string]string{"A-4": "POST /v1/payment_intents", "A-5": "POST /v1/payment_intents/{id}/capture"} {
		before := calls(t, l, endpoint)
		l.Double.SetFaults(double.Faults{LatencyMS: 500})
		b = letIn(t, l, "fleet").begin(t, "pm_card_visa", seat)
		testenv.Eventually(t, endpoint, func() bool { return calls(t, l, endpoint) > before })
		f.end("payworker", syscall.SIGKILL)
		l.Double.SetFaults(double.Faults{})
		f.start("payworker")
		becomes(t, l, b.order, "confirmed")
	}
	mustBeClean(t, auditOf(t, l, time.Minute))
}
