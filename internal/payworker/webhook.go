package payworker

import (
	"context"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
)

// webhook settles what happened at Stripe without us. The event only names the attempt; Stripe is asked for
// the truth, so old, repeated and reordered events are harmless. An attempt that is Started has a checkout
// message that will not be acknowledged before it is decided, so its events have nothing to add.
func (w *worker) webhook(ctx context.Context, m events.Message) error {
	e, err := events.Decode[events.StripeEvent](m.Data)
	if err != nil {
		return err
	}
	id, err := uuid.Parse(e.AttemptID)
	if err != nil {
		return nil // about something that isn't a payment attempt of ours
	}
	if !decides(e.Type) {
		return nil
	}
	a, err := w.attempts.Do(ctx, id)
	if err != nil {
		return err
	}
	if a.ID != id {
		return nil // of another system on the same account
	}
	switch {
	case a.State == sale.ActionRequired,
		a.State == sale.Authorized && e.Type == "payment_intent.canceled":
		i, err := w.Gateway.Retrieve(ctx, e.IntentID)
		if err != nil {
			return err
		}
		if i.Status == sale.IntentRequiresAction || a.State == sale.Authorized && i.Status != sale.IntentCanceled {
			return nil
		}
		return w.settle(ctx, a, i, m.Delivered)
	case (a.State == sale.Declined || a.State == sale.Canceled) && e.Type == "payment_intent.amount_capturable_updated":
		// Given up here, and authorized there after all: the money must not stay reserved.
		return w.giveBack(ctx, a, e.IntentID, m.Delivered)
	}
	return nil
}

// decides says whether an event can change what is known of an attempt.
func decides(eventType string) bool {
	switch eventType {
	case "payment_intent.amount_capturable_updated", "payment_intent.payment_failed", "payment_intent.canceled":
		return true
	}
	return false
}
