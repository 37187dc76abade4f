package payworker

import (
	"context"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
)

// webhook settles what happened at Stripe without us. The event only names what changed; Stripe is asked for the
// truth, so old and reordered events are harmless. Each event is dealt with once: it is recorded in the transaction
// of what it moved, and alone once all that it asked for is done.
func (w *worker) webhook(ctx context.Context, m events.Message) error {
	e, err := events.Decode[events.StripeEvent](m.Data)
	if err != nil {
		return err
	}
	heard, err := w.heard.Do(ctx, e.ID)
	if err != nil || heard {
		return err
	}
	if err := w.apply(ctx, e, m.Delivered); err != nil {
		return err
	}
	_, err = w.hear.Do(ctx, sale.Webhook{ID: e.ID, Type: e.Type})
	return err
}

// apply does what an event asks for.
func (w *worker) apply(ctx context.Context, e events.StripeEvent, try int) error {
	switch e.Type {
	case events.WebhookAuthorized, events.WebhookDeclined, events.WebhookCanceled:
		return w.intentChanged(ctx, e, try)
	case events.WebhookChargeRefunded, events.WebhookRefundChanged, events.WebhookRefundUpdated, events.WebhookRefundFailed:
		return w.moneyReturned(ctx, e)
	case events.WebhookDisputeOpened, events.WebhookDisputeUpdated, events.WebhookDisputeClosed:
		return w.disputed(ctx, e)
	}
	return nil
}

// intentChanged settles an attempt whose buyer has acted, whose answer got lost, or whose authorization has ended. An
// authorization of an attempt that is Started is hardly ever heard of before its answer; where that never comes, it
// decides. All else is left to the answer, and to the sweep. What is told of an intent that is not the attempt's own
// moves nothing.
func (w *worker) intentChanged(ctx context.Context, e events.StripeEvent, try int) error {
	id, err := uuid.Parse(e.AttemptID)
	if err != nil {
		return nil // about something that isn't a payment attempt of ours
	}
	a, err := w.attempts.Do(ctx, id)
	if err != nil {
		return err
	}
	because := sale.Webhook{ID: e.ID, Type: e.Type}
	switch {
	case a.ID != id: // of another system on the same account
		return nil
	case a.IntentID != "" && a.IntentID != e.IntentID:
		i, err := w.Gateway.Retrieve(ctx, e.IntentID)
		if err != nil {
			return err
		}
		return w.letStrangeGo(ctx, a, i, try)
	case a.State == sale.ActionRequired || a.State == sale.Started && e.Type == events.WebhookAuthorized:
		i, err := w.Gateway.Retrieve(ctx, e.IntentID)
		switch {
		case err != nil || i.Status == sale.IntentRequiresAction:
			return err
		case a.State == sale.Started && !pays(i, a):
			return w.letStrangeGo(ctx, a, i, try)
		}
		return w.settle(ctx, a, i, try, because)
	case a.State == sale.Authorized && e.Type == events.WebhookCanceled:
		return w.authorizationEnded(ctx, a, e, because)
	case (a.State == sale.Declined || a.State == sale.Canceled) && e.Type == events.WebhookAuthorized:
		// Given up here, and authorized there after all: the money must not stay reserved.
		return w.giveBack(ctx, a, e.IntentID, try)
	}
	return nil
}

// pays says whether an intent has the money of an attempt.
func pays(i sale.Intent, a sale.Attempt) bool {
	return (i.Status == sale.IntentRequiresCapture || i.Status == sale.IntentSucceeded) && i.Amount == a.Amount && i.Currency == a.Currency
}

// letStrangeGo gives back what another intent than an attempt's own has reserved in its name.
func (w *worker) letStrangeGo(ctx context.Context, a sale.Attempt, i sale.Intent, try int) error {
	if i.Status != sale.IntentRequiresCapture {
		return nil
	}
	w.Log.Error("an intent that is not the attempt's own reserves money", "order_id", a.OrderID, "attempt_id", a.ID, "intent_id", i.ID)
	return w.giveBack(ctx, a, i.ID, try)
}

// authorizationEnded is for money that was reserved and never taken: Stripe lets it go after some days. An order that
// had its seats by then loses them; one that had none has failed.
func (w *worker) authorizationEnded(ctx context.Context, a sale.Attempt, e events.StripeEvent, because sale.Webhook) error {
	i, err := w.Gateway.Retrieve(ctx, e.IntentID)
	if err != nil || i.Status != sale.IntentCanceled {
		return err
	}
	o := events.Order{OrderID: a.OrderID, AttemptID: a.ID, IntentID: i.ID}
	if voided, err := w.void(ctx, o, "authorization_canceled", because); err != nil || voided {
		return err
	}
	_, err = w.canceled.Do(ctx, sale.Settlement{Attempt: a, IntentID: i.ID, Reason: i.Reason, Because: because})
	return err
}

// attemptOf is the attempt that an intent belongs to; one without an ID where none of ours does. Of an attempt whose answer
// got lost the intent is not known yet: what is told of it waits until it is.
func (w *worker) attemptOf(ctx context.Context, intentID string) (sale.Attempt, error) {
	a, err := w.Attempts.AttemptOf(ctx, intentID)
	if err != nil || a.ID != uuid.Nil || intentID == "" {
		return a, err
	}
	i, err := w.Gateway.Retrieve(ctx, intentID)
	if sale.KindOf(err) == sale.Invalid { // Stripe doesn't know it either
		return sale.Attempt{}, nil
	}
	id, wrong := uuid.Parse(i.AttemptID)
	if err != nil || wrong != nil {
		return sale.Attempt{}, err // of another system on the same account
	}
	a, err = w.attempts.Do(ctx, id)
	switch {
	case err != nil:
		return sale.Attempt{}, err
	case a.ID == id && a.IntentID == intentID:
		return a, nil // told of it meanwhile
	case a.ID == id && a.State == sale.Started:
		return sale.Attempt{}, sale.Errorf(sale.Unavailable, "authorization_pending", "attempt %s has not been told of its intent %s yet", a.ID, intentID)
	}
	return sale.Attempt{}, nil
}

// disputed records how a dispute stands at Stripe. It is found by the intent that it is about.
func (w *worker) disputed(ctx context.Context, e events.StripeEvent) error {
	a, err := w.attemptOf(ctx, e.IntentID)
	if err != nil || a.ID == uuid.Nil {
		return err
	}
	if a.State == sale.Authorized {
		return sale.Errorf(sale.Unavailable, "capture_pending", "the capture of attempt %s has not been recorded yet", a.ID)
	}
	d, err := w.Payback.Dispute(ctx, e.ObjectID)
	if err != nil {
		return err
	}
	if !d.State.Known() {
		return sale.Errorf(sale.Unprocessable, "unknown_dispute_state", "dispute %s is %q", d.ID, d.State)
	}
	d.AttemptID = a.ID
	if err := w.Returns.MarkDispute(ctx, d, sale.Webhook{ID: e.ID, Type: e.Type}); err != nil {
		return err
	}
	w.Log.Warn("dispute", "order_id", a.OrderID, "attempt_id", a.ID, "dispute_id", d.ID, "state", string(d.State), "reason", d.Reason)
	return nil
}
