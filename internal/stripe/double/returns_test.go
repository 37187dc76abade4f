package double_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stripe/stripe-go/v76"

	"onsale/internal/stripe/double"
)

// captured is a payment whose money was taken.
func (r *rig) captured(method string) *stripe.PaymentIntent {
	r.t.Helper()
	in := r.pay(method)
	if _, err := r.intents.Capture(in.ID, nil); err != nil {
		r.t.Fatal(err)
	}
	return in
}

// play makes a control call that must be answered with a status.
func (r *rig) play(path, body string, status int) string {
	r.t.Helper()
	resp, answer := r.raw("POST", "/_double/"+path, testKey, "", body)
	if resp.StatusCode != status {
		r.t.Errorf("%s %s: %s %s, want %d", path, body, resp.Status, answer, status)
	}
	return answer
}

func field(answer, name string) string {
	_, rest, _ := strings.Cut(answer, `"`+name+`":"`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

func TestRefundsThatWaitAndFail(t *testing.T) {
	t.Parallel()
	rc := receive(t)
	r := start(t, double.Config{WebhookURL: rc.url})
	for outcome, event := range map[string]string{"succeeded": "refund.updated", "failed": "refund.failed"} {
		in := r.captured("pm_card_pendingRefund")
		re, err := r.refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(in.ID)})
		if err != nil || re.Status != stripe.RefundStatusPending {
			t.Fatalf("refund %+v (%v)", re, err)
		}
		r.play("refunds/"+re.ID, `{"status":"lost"}`, 400)
		r.play("refunds/"+re.ID, `{"status":"`+outcome+`"}`, 200)
		if now, err := r.refunds.Get(re.ID, nil); err != nil || string(now.Status) != outcome || (now.FailureReason != "") != (outcome == "failed") {
			t.Errorf("now %+v (%v), want %s", now, err, outcome)
		}
		eventually(t, event, func() bool {
			return slices.ContainsFunc(rc.got(), func(e stripe.Event) bool { return string(e.Type) == event && e.GetObjectValue("id") == re.ID })
		})
		// Money that failed to go back can be sent again; money that went can't.
		_, err = r.refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(in.ID)})
		if outcome == "failed" && err != nil {
			t.Errorf("after a failure: %v", err)
		} else if outcome == "succeeded" {
			stripeError(t, err, 400, stripe.ErrorCodeChargeAlreadyRefunded)
		}
	}
	in := r.captured("pm_card_refundFail")
	if re, err := r.refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(in.ID)}); err != nil || re.Status != stripe.RefundStatusFailed || re.FailureReason == "" {
		t.Errorf("refused %+v (%v)", re, err)
	}
	r.play("refunds/re_none", `{"status":"failed"}`, 404)
}

func TestDisputesAreOpenedAndDecided(t *testing.T) {
	t.Parallel()
	rc := receive(t)
	path := t.TempDir() + "/journal"
	r := start(t, double.Config{WebhookURL: rc.url, JournalPath: path})
	in := r.captured("pm_card_visa")
	open := `{"payment_intent":"` + in.ID + `","reason":"fraudulent"}`
	id := field(r.play("disputes", open, 200), "id")
	r.play("disputes", open, 400) // one at a time
	r.play("disputes", `{"payment_intent":"`+r.pay("pm_card_visa").ID+`","reason":"x"}`, 400)
	r.play("disputes", `{"payment_intent":"pi_none","reason":"x"}`, 404)
	_, err := r.refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(in.ID)})
	stripeError(t, err, 400, "charge_disputed")
	r.play("disputes/"+id, `{"status":"under_review"}`, 200)
	// All of it is there again after a restart.
	_, before := r.raw("GET", "/v1/disputes/"+id, testKey, "", "")
	r.stop()
	r = start(t, double.Config{WebhookURL: rc.url, JournalPath: path})
	if _, after := r.raw("GET", "/v1/disputes/"+id, testKey, "", ""); after != before || field(after, "status") != "under_review" || field(after, "payment_intent") != in.ID {
		t.Errorf("before %s\nafter %s", before, after)
	}
	r.play("disputes/"+id, `{"status":"won"}`, 200)
	r.play("disputes/"+id, `{"status":"lost"}`, 400) // decided
	for _, event := range []string{"charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed"} {
		eventually(t, event, func() bool {
			return slices.ContainsFunc(rc.got(), func(e stripe.Event) bool { return string(e.Type) == event && e.GetObjectValue("id") == id })
		})
	}
	if _, err := r.refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(in.ID)}); err != nil {
		t.Errorf("refund after the dispute was won: %v", err)
	}
	if _, list := r.raw("GET", "/v1/disputes", testKey, "", ""); !strings.Contains(list, id) {
		t.Errorf("list %s", list)
	}
}

func TestAuthorizationExpires(t *testing.T) {
	t.Parallel()
	rc := receive(t)
	r := start(t, double.Config{WebhookURL: rc.url})
	in := r.pay("pm_card_visa")
	r.play("expire/"+in.ID, "", 200)
	now, err := r.intents.Get(in.ID, nil)
	if err != nil || now.Status != stripe.PaymentIntentStatusCanceled || now.CancellationReason != stripe.PaymentIntentCancellationReasonAutomatic {
		t.Errorf("expired %+v (%v)", now, err)
	}
	_, err = r.intents.Capture(in.ID, nil)
	stripeError(t, err, 400, stripe.ErrorCodePaymentIntentUnexpectedState)
	r.play("expire/"+in.ID, "", 400)
	r.play("expire/"+r.captured("pm_card_visa").ID, "", 400)
	eventually(t, "payment_intent.canceled", func() bool {
		return slices.ContainsFunc(rc.got(), func(e stripe.Event) bool {
			return e.Type == "payment_intent.canceled" && e.GetObjectValue("id") == in.ID
		})
	})
}
