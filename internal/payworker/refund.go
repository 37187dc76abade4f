package payworker

import (
	"cmp"
	"context"
	"slices"

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
	return w.payBack(ctx, r)
}

// payBack asks Stripe for a refund, or looks for it once asking is of no more use.
func (w *worker) payBack(ctx context.Context, r sale.Refund) error {
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

// choose picks the refund at Stripe that speaks for r: what gives the whole back, its own before one that was made by
// hand, or else its own that failed.
func choose(r sale.Refund, all []sale.Repayment) (sale.Repayment, bool) {
	var whole, failed sale.Repayment
	for _, b := range all {
		switch gives := b.State != sale.RefundFailed; {
		case gives && owns(r, b):
			return b, true
		case gives && b.Amount == r.Amount && b.Currency == r.Currency:
			whole = b
		case owns(r, b):
			failed = b
		}
	}
	if whole.ID != "" {
		return whole, true
	}
	return failed, failed.ID != ""
}

// owns says whether a refund at Stripe is the one that r stands for.
func owns(r sale.Refund, back sale.Repayment) bool {
	return r.ID != uuid.Nil && (back.RefundID == r.ID.String() || back.ID == r.StripeID)
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

// moneyReturned settles a refund that Stripe has news of. One that was made there by hand, of the whole, is recorded
// like any other; of a part it is nothing that an order can stand for, and an operator's to look at.
func (w *worker) moneyReturned(ctx context.Context, e events.StripeEvent) error {
	a, err := w.attemptOf(ctx, e.IntentID)
	if err != nil || !a.State.Taken() && a.State != sale.Authorized {
		return err // another's, or an authorization that was given back
	}
	if a.State == sale.Authorized {
		if i, err := w.Gateway.Retrieve(ctx, e.IntentID); err != nil || i.Status != sale.IntentSucceeded {
			return err // it is being given back: nothing was taken
		}
	}
	all, err := w.Payback.Refunds(ctx, e.IntentID)
	if err != nil || len(all) == 0 {
		return err
	}
	r, err := w.Refunds.LastRefund(ctx, a.ID)
	if err != nil {
		return err
	}
	r.Amount, r.Currency = a.Amount, a.Currency // also where there is none
	gives := slices.ContainsFunc(all, func(b sale.Repayment) bool { return b.State != sale.RefundFailed })
	because := sale.Webhook{ID: e.ID, Type: e.Type}
	back, found := choose(r, all)
	switch {
	case a.State == sale.PaidBack && !gives:
		return sale.Errorf(sale.Unprocessable, "refund_returned", "the bank gave the refund of order %s back; it stays refunded", a.OrderID)
	case a.State == sale.PaidBack:
		return nil
	case found && (owns(r, back) || r.State == sale.RefundRequested || r.State == sale.RefundPending):
		err = w.settleRefund(ctx, r, back, because)
	case found:
		return w.adopt(ctx, a, back, because)
	}
	if err == nil && gives && (!found || back.State == sale.RefundFailed) {
		err = sale.Errorf(sale.Unprocessable, "partial_refund", "a part of order %s was refunded at Stripe; it stays as it is", a.OrderID)
	}
	return err
}

// adopt records a refund that was made by hand.
func (w *worker) adopt(ctx context.Context, a sale.Attempt, back sale.Repayment, because sale.Webhook) error {
	adopted, err := w.Refunds.AdoptRefund(ctx, a.ID, back, madeAtStripe, because)
	if err == nil && adopted {
		w.Log.Warn("refund made at Stripe", "order_id", a.OrderID, "attempt_id", a.ID, "state", string(back.State))
	}
	return err
}
