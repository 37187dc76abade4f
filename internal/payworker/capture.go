package payworker

import (
	"context"

	"onsale/events"
	"onsale/internal/sale"
)

// order takes the money of a confirmed order, and lets go of any other's.
func (w *worker) order(ctx context.Context, m events.Message) error {
	o, err := events.Decode[events.Order](m.Data)
	if err != nil {
		return err
	}
	a, err := w.attempts.Do(ctx, o.AttemptID)
	if err != nil {
		return err
	}
	if a.ID != o.AttemptID {
		return sale.Errorf(sale.NotFound, "attempt_not_found", "there is no payment attempt %s", o.AttemptID)
	}
	if o.Outcome == events.OrderConfirmed {
		return w.capture(ctx, o, a, m.Delivered)
	}
	return w.cancel(ctx, a, o.IntentID, o.Reason, m.Delivered)
}

// captureTries is how often Stripe is asked for the money of a confirmed order that it refuses, over a minute or
// more, before the order is given up.
const captureTries = 8

// capture takes the money of a confirmed order. Where that can't be had, the order is voided: its authorization
// has ended, or Stripe goes on refusing, and then it is given back first.
func (w *worker) capture(ctx context.Context, o events.Order, a sale.Attempt, try int) error {
	if a.State == sale.Captured {
		return nil
	}
	i, refused := w.Till.Capture(ctx, a.ID, o.IntentID, try)
	if kind := sale.KindOf(refused); refused != nil && kind != sale.Conflict && kind != sale.Invalid {
		return refused // what became of it is not known
	}
	if i.Status != sale.IntentSucceeded {
		var err error
		if i, err = w.Gateway.Retrieve(ctx, o.IntentID); err != nil {
			return err
		}
	}
	switch {
	case i.Status == sale.IntentSucceeded:
		_, err := w.captured.Do(ctx, sale.Settlement{Attempt: a, IntentID: i.ID})
		return err
	case i.Status == sale.IntentCanceled:
		return w.void(ctx, o, "authorization_canceled")
	case try < captureTries:
		return sale.Errorf(sale.Unavailable, "capture_pending", "the intent of a confirmed order is %s", i.Status).Because(refused)
	}
	if err := w.letGo(ctx, a, o.IntentID, try); err != nil {
		return err
	}
	return w.void(ctx, o, "capture_refused")
}

func (w *worker) void(ctx context.Context, o events.Order, reason string) error {
	voided, err := w.Endings.VoidOrder(ctx, o, reason)
	if err == nil && voided {
		w.Log.Error("order voided", "order_id", o.OrderID, "attempt_id", o.AttemptID, "reason", reason)
	}
	return err
}

// cancel gives an authorization back, and records it once it is certain.
func (w *worker) cancel(ctx context.Context, a sale.Attempt, intentID, reason string, try int) error {
	switch a.State {
	case sale.Canceled, sale.Declined:
		return nil // decided before: Stripe is not called again
	case sale.Captured:
		return sale.Errorf(sale.Unprocessable, "captured_without_order", "attempt %s was captured, but its order was not confirmed", a.ID)
	}
	if err := w.letGo(ctx, a, intentID, try); err != nil {
		return err
	}
	_, err := w.canceled.Do(ctx, sale.Settlement{Attempt: a, IntentID: intentID, Reason: reason})
	return err
}

// letGo makes sure that an intent holds no money.
func (w *worker) letGo(ctx context.Context, a sale.Attempt, intentID string, try int) error {
	i, err := w.Till.Cancel(ctx, a.ID, intentID, try)
	if sale.KindOf(err) == sale.Conflict {
		i, err = w.Gateway.Retrieve(ctx, intentID)
	}
	if err != nil {
		return err
	}
	if i.Status == sale.IntentSucceeded {
		return sale.Errorf(sale.Unprocessable, "captured_without_order", "intent %s was captured, but its order was not confirmed", i.ID)
	}
	if i.Status != sale.IntentCanceled {
		return sale.Errorf(sale.Unavailable, "cancel_pending", "the intent is %s after it was canceled", i.Status)
	}
	return nil
}
