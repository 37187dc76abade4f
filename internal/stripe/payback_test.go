package stripe

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stripe/stripe-go/v76"

	"onsale/internal/sale"
	"onsale/internal/stripe/double"
)

// paid is a refund of a payment whose money was taken.
func (r *rig) paid(method string) sale.Refund {
	r.Helper()
	a := attempt(method)
	i := r.authorized(a)
	if _, err := r.Capture(r.Context(), a.ID, i.ID, 1); err != nil {
		r.Fatal(err)
	}
	return sale.Refund{ID: uuid.New(), OrderID: a.OrderID, AttemptID: a.ID, IntentID: i.ID, Amount: a.Amount, Currency: a.Currency}
}

func TestRefundIsMadeOnceUnderItsKey(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for method, want := range map[string]sale.Repayment{
		visa:                    {State: sale.RefundSucceeded},
		"pm_card_pendingRefund": {State: sale.RefundPending},
		"pm_card_refundFail":    {State: sale.RefundFailed, Failure: "expired_or_canceled_card"},
	} {
		refund := r.paid(method)
		r.double.SetFaults(double.Faults{TimeoutAfterShare: 1})
		_, err := r.Refund(t.Context(), refund)
		r.refused(err, sale.Unavailable, "payment_unknown")
		r.double.SetFaults(double.Faults{})
		got, err := r.Refund(t.Context(), refund)
		want.ID, want.RefundID, want.IntentID, want.Amount, want.Currency = got.ID, refund.ID.String(), refund.IntentID, refund.Amount, refund.Currency
		if err != nil || got != want || got.ID == "" {
			t.Errorf("%s: %+v (%v), want %+v", method, got, err, want)
		}
		if all, err := r.Refunds(t.Context(), refund.IntentID); err != nil || len(all) != 1 || all[0] != got {
			t.Errorf("%s: at Stripe are %+v (%v)", method, all, err)
		}
	}
	n := 0
	if err := r.EachRefund(t.Context(), func(sale.Repayment) bool { n++; return true }); err != nil || n != 3 {
		t.Errorf("%d refunds in all (%v)", n, err)
	}
}

func TestWhatCanNotBeRefundedIsRefused(t *testing.T) {
	t.Parallel()
	r := setup(t)
	refund := r.paid(visa)
	if _, err := r.Refund(t.Context(), refund); err != nil {
		t.Fatal(err)
	}
	refund.ID = uuid.New()
	_, err := r.Refund(t.Context(), refund)
	r.refused(err, sale.Invalid, "charge_already_refunded")
	a := attempt(visa)
	_, err = r.Refund(t.Context(), sale.Refund{ID: uuid.New(), IntentID: r.authorized(a).ID, Amount: a.Amount})
	r.refused(err, sale.Conflict, "unexpected_state")
	_, err = r.Refund(t.Context(), sale.Refund{ID: uuid.New(), IntentID: "pi_none", Amount: 1})
	r.refused(err, sale.Invalid, "resource_missing")
	_, err = r.Dispute(t.Context(), "du_none")
	r.refused(err, sale.Invalid, "resource_missing")
	r.double.SetFaults(double.Faults{RateLimitShare: 1})
	_, err = r.Refunds(t.Context(), refund.IntentID)
	r.refused(err, sale.Unavailable, sale.CodePaced)
}

func TestEveryStateOfARefund(t *testing.T) {
	t.Parallel()
	for status, want := range map[stripe.RefundStatus]sale.Repayment{
		stripe.RefundStatusPending:        {State: sale.RefundPending},
		stripe.RefundStatusRequiresAction: {State: sale.RefundPending},
		stripe.RefundStatusSucceeded:      {State: sale.RefundSucceeded},
		stripe.RefundStatusCanceled:       {State: sale.RefundFailed, Failure: "canceled"},
		stripe.RefundStatusFailed:         {State: sale.RefundFailed, Failure: "failed"},
	} {
		if got := repayment(&stripe.Refund{Status: status}); got != want {
			t.Errorf("%s: %+v", status, got)
		}
	}
	if got := repayment(&stripe.Refund{Status: stripe.RefundStatusFailed, FailureReason: "lost_or_stolen_card"}); got.Failure != "lost_or_stolen_card" {
		t.Errorf("a failure with its reason: %+v", got)
	}
}
