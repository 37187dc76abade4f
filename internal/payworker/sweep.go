package payworker

import (
	"context"
	"time"

	"onsale/internal/sale"
)

// The sweep's bounds. Webhooks are kept a while so that one which Stripe sends again finds that it was heard.
const (
	sweepBatch   = 100
	sweepLimit   = 30 * time.Second // of one round
	lookAgain    = 30 * time.Second // at an attempt that could not be ended
	refundQuiet  = 5 * time.Minute  // after the last that was recorded of it, a refund is left to its messages for so long
	refundAgain  = 10 * time.Minute // and is looked at so often from then on
	keepWebhooks = 30 * 24 * time.Hour
	forgetBatch  = 1000
)

// sweep ends what nobody ends, every so often, until ctx ends. Any number of workers may do it at once: each claims
// others, all they do is guarded, and what could not be done is claimed again.
func (w *worker) sweep(ctx context.Context) error {
	tick := time.NewTicker(w.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for what, do := range map[string]func(context.Context) error{
			"end stale payment attempts": w.endStale, "settle stale refunds": w.settleStale, "forget old webhooks": w.forget,
		} {
			round, cancel := context.WithTimeout(ctx, sweepLimit)
			if err := do(round); err != nil && ctx.Err() == nil {
				w.Log.Warn(what, "error", err)
			}
			cancel()
		}
	}
}

func (w *worker) forget(ctx context.Context) error {
	n, err := w.Hearing.ForgetWebhooks(ctx, w.Now().Add(-keepWebhooks), forgetBatch)
	if n > 0 {
		w.Log.Info("old webhooks forgotten", "count", n)
	}
	return err
}

// endStale ends attempts whose payment window has been over for w.Grace: the buyer has left the bank's page, or the
// answer to the call never came. What turns out to be paid is settled as such.
func (w *worker) endStale(ctx context.Context) error {
	stale, err := w.Attempts.ClaimStaleAttempts(ctx, w.Grace, lookAgain, sweepBatch)
	if err != nil {
		return err
	}
	for _, a := range stale {
		if err := w.endOne(ctx, a); err != nil {
			// Its neighbours are not to blame; it is looked at again.
			w.Log.Warn("end a stale payment attempt", "order_id", a.OrderID, "attempt_id", a.ID, "error", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// endOne ends an attempt as Stripe has it now.
func (w *worker) endOne(ctx context.Context, a sale.Attempt) error {
	var i sale.Intent
	var err error
	known := true
	if a.State == sale.ActionRequired {
		i, err = w.Gateway.Retrieve(ctx, a.IntentID)
	} else {
		i, known, err = w.Gateway.Find(ctx, a.ID)
	}
	switch {
	case err != nil:
		return err
	case !known: // an answer that still comes is given back: see stillWanted
		_, err = w.abandoned.Do(ctx, sale.Settlement{Attempt: a, Reason: "payment_abandoned"})
		return err
	}
	try := int(w.Now().Unix()) // under a key of its own, or Stripe would repeat a stored failure
	switch i.Status {
	case sale.IntentRequiresAction, sale.IntentRequiresConfirmation:
		return w.cancel(ctx, a, i.ID, "authentication_abandoned", try, sale.Webhook{})
	case sale.IntentProcessing:
		return nil // the bank will say
	}
	return w.settle(ctx, a, i, try, sale.Webhook{})
}

// settleStale goes after refunds that nothing was heard of for a while: the message that asked for one was given up, or
// the webhook that told of its end got lost.
func (w *worker) settleStale(ctx context.Context) error {
	stale, err := w.Refunds.ClaimStaleRefunds(ctx, w.Now().Add(-refundQuiet), refundAgain, sweepBatch)
	if err != nil {
		return err
	}
	for _, r := range stale {
		if err := w.settleOne(ctx, r); err != nil {
			w.Log.Warn("settle a stale refund", "order_id", r.OrderID, "refund_id", r.ID, "error", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// settleOne asks for a refund again, under its key, or how the bank has decided.
func (w *worker) settleOne(ctx context.Context, r sale.Refund) error {
	if r.State == sale.RefundRequested {
		return w.payBack(ctx, r)
	}
	all, err := w.Payback.Refunds(ctx, r.IntentID)
	if err != nil {
		return err
	}
	back, found := choose(r, all)
	if !found {
		return sale.Errorf(sale.Unprocessable, "refund_not_found", "Stripe had refund %q, and has it no more", r.StripeID)
	}
	return w.settleRefund(ctx, r, back, sale.Webhook{})
}
