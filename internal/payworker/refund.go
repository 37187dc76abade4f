package payworker

import (
	"cmp"
	"context"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
)

// refund pays an order back, as its operator asked.
func (w *worker) refund(ctx context.Context, m events.Message) error {
	p, err := events.Decode[events.Payment](m.Data)
	if err != nil {
		return err
	}
	r, err := w.Refunds.Refund(ctx, p.RefundID)
	if err != nil {
		return err
	}
	if r.ID == uuid.Nil || r.ID != p.RefundID {
		return sale.Errorf(sale.NotFound, "refund_not_found", "there is no refund %s", p.RefundID)
	}
	if r.State != sale.RefundRequested {
		return nil // decided, or with the bank: Stripe is not called again
	}
	if age := w.Now().Sub(r.CreatedAt); age > keyLife || age > askTime && w.asks.of(r.ID) >= maxAsks {
		return w.lookUpRefund(ctx, r, "refund_unavailable")
	}
	back, err := w.Payback.Refund(ctx, r)
	w.asked(r.ID, err)
	switch {
	case sale.KindOf(err) == sale.Invalid || sale.KindOf(err) == sale.Conflict:
		// Refused. It may be that the money is back already: by an earlier refund, or by hand.
		return w.lookUpRefund(ctx, r, sale.CodeOf(err))
	case err != nil:
		return err // what became of it is not known: the same key finds the same refund
	}
	return w.settleRefund(ctx, r, back, sale.Webhook{})
}

// lookUpRefund settles a refund by what Stripe has for its intent; where that is nothing, it has failed.
func (w *worker) lookUpRefund(ctx context.Context, r sale.Refund, failure string) error {
	all, err := w.Payback.Refunds(ctx, r.IntentID)
	if err != nil {
		return err
	}
	if back, found := choose(r, all); found {
		return w.settleRefund(ctx, r, back, sale.Webhook{})
	}
	return w.refundFailed(ctx, r, "", failure, sale.Webhook{})
}

// choose picks the refund at Stripe that speaks for r: its own, or any other that gave the whole back.
func choose(r sale.Refund, all []sale.Repayment) (sale.Repayment, bool) {
	var whole sale.Repayment
	for _, b := range all {
		if b.RefundID == r.ID.String() || b.ID == r.StripeID {
			return b, true
		}
		if b.Amount == r.Amount && b.Currency == r.Currency && b.State != sale.RefundFailed {
			whole = b
		}
	}
	return whole, whole.ID != ""
}

// settleRefund records how a refund stands at Stripe, together with the webhook that told of it.
func (w *worker) settleRefund(ctx context.Context, r sale.Refund, back sale.Repayment, because sale.Webhook) error {
	if back.State != sale.RefundFailed && (back.Amount != r.Amount || back.Currency != r.Currency) {
		return sale.Errorf(sale.Unprocessable, "refund_differs", "refund %s gave back %d %s, and %d %s were to be", r.ID, back.Amount, back.Currency, r.Amount, r.Currency)
	}
	switch back.State {
	case sale.RefundSucceeded:
		done, err := w.Returns.MarkRefunded(ctx, r.ID, back.ID, because)
		if err == nil && done {
			w.Log.Info("order refunded", "order_id", r.OrderID, "attempt_id", r.AttemptID, "refund_id", r.ID)
		}
		return err
	case sale.RefundFailed:
		return w.refundFailed(ctx, r, back.ID, cmp.Or(back.Failure, "unknown"), because)
	}
	return w.Returns.MarkRefundPending(ctx, r.ID, back.ID, because)
}

func (w *worker) refundFailed(ctx context.Context, r sale.Refund, stripeID, failure string, because sale.Webhook) error {
	failed, err := w.Returns.MarkRefundFailed(ctx, r.ID, stripeID, failure, because)
	if err == nil && failed {
		w.Log.Error("refund failed", "order_id", r.OrderID, "attempt_id", r.AttemptID, "refund_id", r.ID, "reason", failure)
	}
	return err
}

// madeAtStripe is the reason of a refund that nobody asked us for.
const madeAtStripe = "made at Stripe"

// moneyReturned settles a refund that Stripe has news of. One that was made by hand at Stripe, of the whole order, is
// recorded like any other.
func (w *worker) moneyReturned(ctx context.Context, e events.StripeEvent) error {
	a, err := w.Attempts.AttemptOf(ctx, e.IntentID)
	if err != nil || !taken(a.State) && a.State != sale.Authorized {
		return err // another's, or an authorization that was given back
	}
	all, err := w.Payback.Refunds(ctx, e.IntentID)
	if err != nil || len(all) == 0 {
		return err
	}
	if a.State == sale.Authorized {
		return sale.Errorf(sale.Unavailable, "capture_pending", "the capture of attempt %s has not been recorded yet", a.ID)
	}
	because := sale.Webhook{ID: e.ID, Type: e.Type}
	r, err := w.Refunds.LastRefund(ctx, a.ID)
	if err != nil {
		return err
	}
	if r.ID == uuid.Nil {
		return w.adopt(ctx, a, all, because)
	}
	back, found := choose(r, all)
	switch {
	case !found:
		return nil
	case r.State == sale.RefundSucceeded && back.State == sale.RefundFailed:
		return sale.Errorf(sale.Unprocessable, "refund_returned", "the bank gave refund %s of order %s back; its order stays refunded", r.ID, r.OrderID)
	case r.State == sale.RefundSucceeded, r.State == back.State:
		return nil
	}
	return w.settleRefund(ctx, r, back, because)
}

// adopt records a refund that was made by hand. A part of the money is nothing that an order can stand for.
func (w *worker) adopt(ctx context.Context, a sale.Attempt, all []sale.Repayment, because sale.Webhook) error {
	back, found := choose(sale.Refund{Amount: a.Amount, Currency: a.Currency, StripeID: "none"}, all)
	if !found {
		return sale.Errorf(sale.Unprocessable, "partial_refund", "a part of order %s was refunded at Stripe; its order stays confirmed", a.OrderID)
	}
	r, err := w.Refunds.RequestRefund(ctx, a.OrderID, madeAtStripe, false)
	if err != nil {
		return err
	}
	return w.settleRefund(ctx, r, back, because)
}
