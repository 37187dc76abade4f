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
	a, err := w.later.Do(ctx, o.AttemptID)
	if err != nil {
		return err
	}
	if a.ID != o.AttemptID {
		return sale.Errorf(sale.NotFound, "attempt_not_found", "there is no payment attempt %s", o.AttemptID)
	}
	switch o.Outcome {
	case events.OrderConfirmed:
		return w.capture(ctx, o, a, m.Delivered)
	case events.OrderRefunded:
		return nil // its money went back before this was told
	}
	return w.cancel(ctx, a, o.IntentID, o.Reason, m.Delivered, sale.Webhook{})
}

// captureRefusals is how often Stripe must refuse this worker the money of a confirmed order, or Postgres deny that it is
// confirmed, before the order is given up. Answers that don't come are not refusals.
const captureRefusals = 5

// capture takes the money of a confirmed order. Where that can't be had, the order is voided: its authorization
// has ended, or Stripe goes on refusing, and then it is given back first.
func (w *worker) capture(ctx context.Context, o events.Order, a sale.Attempt, try int) error {
	switch { // decided before: Stripe is not called again
	case a.State.Taken():
		return nil
	case a.State == sale.Canceled:
		_, err := w.void(ctx, o, "authorization_canceled", sale.Webhook{})
		return err
	case a.OrderStatus != sale.Confirmed:
		// A failover or a backup took Postgres back behind what was told, unless what it shows is late.
		if w.refusals.count(a.ID) < captureRefusals {
			return sale.Errorf(sale.Unavailable, "capture_pending", "order %s was confirmed and is %s", o.OrderID, a.OrderStatus)
		}
		w.refusals.forget(a.ID)
		return sale.Errorf(sale.Unprocessable, "order_not_confirmed", "order %s was confirmed and is %s: its money is not taken", o.OrderID, a.OrderStatus)
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
	void := "authorization_canceled"
	if i.Status != sale.IntentSucceeded && i.Status != sale.IntentCanceled {
		if n := w.refusals.count(a.ID); n < captureRefusals {
			return sale.Errorf(sale.Unavailable, "capture_pending", "the intent of a confirmed order is %s", i.Status).Because(refused)
		}
		void = "capture_refused"
		var err error
		if i, err = w.letGo(ctx, a, o.IntentID, try); err != nil {
			return err
		}
	}
	if i.Status == sale.IntentSucceeded { // also where an earlier capture arrived late
		w.refusals.forget(a.ID)
		if _, err := w.captured.Do(ctx, sale.Settlement{Attempt: a, IntentID: i.ID}); err != nil || i.Captured == a.Amount {
			return err
		}
		// Someone took another sum at Stripe by hand. The ticket stands; an operator must look.
		return sale.Errorf(sale.Unprocessable, "captured_amount_differs", "intent %s took %d %s, order %s costs %d", i.ID, i.Captured, i.Currency, o.OrderID, a.Amount)
	}
	_, err := w.void(ctx, o, void, sale.Webhook{})
	if err == nil {
		w.refusals.forget(a.ID)
	}
	return err
}

func (w *worker) void(ctx context.Context, o events.Order, reason string, because sale.Webhook) (bool, error) {
	voided, err := w.Endings.VoidOrder(ctx, o, reason, because)
	if err == nil && voided {
		w.Log.Error("order voided", "order_id", o.OrderID, "attempt_id", o.AttemptID, "reason", reason)
	}
	return voided, err
}

// cancel gives an authorization back, and records it once it is certain.
func (w *worker) cancel(ctx context.Context, a sale.Attempt, intentID, reason string, try int, because sale.Webhook) error {
	switch {
	case a.State == sale.Canceled || a.State == sale.Declined || a.State == sale.PaidBack:
		return nil // decided before: Stripe is not called again
	case a.State.Taken():
		return sale.Errorf(sale.Unprocessable, "captured_without_order", "attempt %s was captured, but its order was not confirmed", a.ID)
	}
	if err := w.giveBack(ctx, a, intentID, try); err != nil {
		return err
	}
	_, err := w.canceled.Do(ctx, sale.Settlement{Attempt: a, IntentID: intentID, Reason: reason, Because: because})
	return err
}

// giveBack makes sure that the intent of an order that has no seats holds no money.
func (w *worker) giveBack(ctx context.Context, a sale.Attempt, intentID string, try int) error {
	i, err := w.letGo(ctx, a, intentID, try)
	if err == nil && i.Status == sale.IntentSucceeded {
		return sale.Errorf(sale.Unprocessable, "captured_without_order", "intent %s was captured, but its order was not confirmed", i.ID)
	}
	return err
}

// letGo cancels an intent, unless it has ended already, and returns how it ended.
func (w *worker) letGo(ctx context.Context, a sale.Attempt, intentID string, try int) (sale.Intent, error) {
	i, err := w.Till.Cancel(ctx, a.ID, intentID, try)
	if sale.KindOf(err) == sale.Conflict {
		i, err = w.Gateway.Retrieve(ctx, intentID)
	}
	if err == nil && i.Status != sale.IntentCanceled && i.Status != sale.IntentSucceeded {
		err = sale.Errorf(sale.Unavailable, "cancel_pending", "the intent is %s after it was canceled", i.Status)
	}
	return i, err
}
