package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"onsale/internal/sale"
	"onsale/internal/stripe/double"
	"onsale/internal/testenv"
)

// Every state of docs/payments.md is reached through the four binaries, as the operator sees it: attempts, orders,
// refunds, and a dispute on its way.
func TestEveryStateOfThePaymentMachine(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	l := f.Local
	binaries.path(t, "onsale") // building it takes longer than some states last
	const event = "states"
	openSmall(t, l, event, 8)
	seen := map[string]bool{}
	// until looks at an order again and again, and keeps all that it sees, until it has seen what is wanted.
	until := func(order string, wanted ...string) {
		t.Helper()
		now := map[string]bool{}
		defer func() {
			if t.Failed() {
				t.Logf("order %s, of which %v were wanted, was seen in %v", order, wanted, now)
			}
		}()
		testenv.Eventually(t, wanted[0], func() bool {
			o, err := operator(l).Order(t.Context(), uuid.MustParse(order))
			if err != nil && strings.HasPrefix(err.Error(), "order_not_found") {
				return false // no worker has begun it
			}
			if err != nil {
				t.Fatal(err)
			}
			now["order "+string(o.Status)] = true
			for _, a := range o.Attempts {
				now["attempt "+string(a.State)] = true
			}
			for _, r := range o.Refunds {
				now["refund "+string(r.State)] = true
			}
			for _, d := range o.Disputes {
				now["dispute "+string(d.State)] = true
			}
			return !slices.ContainsFunc(wanted, func(w string) bool { return !now[w] })
		})
		for state := range now {
			seen[state] = true
		}
	}
	slow := double.Faults{LatencyMS: 2000} // so that what passes quickly is seen
	begin := func(card, seat string) string { return letIn(t, l, event).begin(t, card, seat).order }
	captured := func(seat string) string {
		order := begin("pm_card_visa", seat)
		until(order, "order confirmed", "attempt captured")
		return order
	}

	l.Double.SetFaults(slow)
	paid := begin("pm_card_visa", "A-1")
	until(paid, "attempt started", "order processing", "attempt authorized", "order confirmed")
	until(paid, "attempt captured")

	l.Double.SetFaults(double.Faults{})
	asked := begin("pm_card_authenticationRequired", "A-2")
	until(asked, "attempt action_required", "order authentication_required")
	play(t, l, "authenticate/"+intent(t, l, asked), `{"outcome":"success"}`)
	until(asked, "attempt captured", "order confirmed")
	until(begin("pm_card_visa_chargeDeclined", "A-3"), "attempt declined", "order payment_failed")

	l.Double.SetFaults(double.Faults{CaptureRefuseShare: 1})
	until(begin("pm_card_visa", "A-4"), "attempt canceled", "order voided")

	l.Double.SetFaults(slow)
	first := begin("pm_card_visa", "A-5")
	forgetHolds(t, l, event)
	second := begin("pm_card_visa", "A-5")
	l.Double.SetFaults(double.Faults{})
	testenv.Eventually(t, "loser of a seat", func() bool {
		for _, order := range []string{first, second} {
			if shown(t, l, order).Status == sale.Rejected {
				until(order, "order rejected", "attempt canceled")
				return true
			}
		}
		return false
	})

	held := begin("pm_card_pendingRefund", "A-6")
	until(held, "attempt captured")
	l.Double.SetFaults(slow)
	mustRun(t, l, "order", "refund", held, "--reason", "moved away")
	until(held, "refund requested", "refund pending")
	l.Double.SetFaults(double.Faults{})
	play(t, l, "refunds/"+shown(t, l, held).Refunds[0].StripeID, `{"status":"failed"}`)
	until(held, "refund failed", "order confirmed")
	mustRun(t, l, "order", "refund", paid, "--reason", "the artist is ill")
	until(paid, "refund succeeded", "order refunded", "attempt refunded")

	for seat, end := range map[string]string{"A-7": "won", "A-8": "lost"} {
		order := captured(seat)
		dispute := play(t, l, "disputes", `{"payment_intent":"`+intent(t, l, order)+`","reason":"fraudulent"}`)
		until(order, "dispute needs_response", "attempt disputed")
		play(t, l, "disputes/"+dispute, `{"status":"under_review"}`)
		until(order, "dispute under_review")
		play(t, l, "disputes/"+dispute, `{"status":"`+end+`"}`)
		until(order, "dispute "+end)
	}

	var missed []string
	for _, s := range []sale.AttemptState{sale.Started, sale.ActionRequired, sale.Authorized, sale.Declined, sale.Captured, sale.Canceled, sale.Disputed,
		sale.ChargedBack, sale.PaidBack} {
		missed = append(missed, "attempt "+string(s))
	}
	for _, s := range sale.OrderStatuses() {
		missed = append(missed, "order "+string(s))
	}
	for _, s := range []sale.RefundState{sale.RefundRequested, sale.RefundPending, sale.RefundSucceeded, sale.RefundFailed} {
		missed = append(missed, "refund "+string(s))
	}
	if missed = slices.DeleteFunc(missed, func(s string) bool { return seen[s] }); len(missed) > 0 {
		t.Errorf("never seen: %v", missed)
	}
	mustBeClean(t, auditOf(t, l, decisionLimit))
}
