package payworker

import (
	"context"
	"time"

	"onsale/events"
	"onsale/internal/sale"
)

// Stripe forgets an idempotency key after 24 hours, and it replays a stored failure until then. What may have been
// asked for longer than keyLife ago, or was asked for without an answer many times over askTime, is looked up instead of
// asked again. keyLife counts from the command: an attempt may be younger, where Postgres was restored from a backup and
// the command is replayed. askTime counts from when the attempt was recorded, just before the first call: what waited
// before that, for a database that was away, was not asked for.
const (
	keyLife = 20 * time.Hour
	maxAsks = 8
	askTime = 2 * time.Minute
)

// checkout begins the payment of a checkout command.
func (w *worker) checkout(ctx context.Context, m events.Message) error {
	c, err := events.Decode[events.CheckoutRequested](m.Data)
	if err != nil {
		return err
	}
	if ctx, err = w.prepare(ctx, c); err != nil {
		return err
	}
	begun, err := w.begin.Do(ctx, c)
	if err != nil {
		return err
	}
	if begun.Refused != nil {
		return begun.Refused
	}
	a := begun.Attempt
	switch {
	case a.State == sale.Started:
		since := a.CreatedAt
		if !c.RequestedAt.IsZero() && c.RequestedAt.Before(since) {
			since = c.RequestedAt
		}
		if err = w.authorize(ctx, a, since, m.Delivered); sale.KindOf(err) != sale.Unavailable {
			w.flow.done.Add(1)
		}
		return err
	case m.Delivered > 1 && a.IntentID == "" && (a.State == sale.Canceled || a.State == sale.Declined):
		return w.leftOver(ctx, a, m.Delivered)
	}
	return nil // decided by an earlier delivery: Stripe is not called again
}

// leftOver ends what Stripe still has of an attempt that ended before anything was known of its intent, reserved money or
// a page that waits for its buyer: the delivery before this one may have been about to, and failed.
func (w *worker) leftOver(ctx context.Context, a sale.Attempt, try int) error {
	i, found, err := w.Gateway.Find(ctx, a.ID)
	if err == nil && found && (i.Status == sale.IntentRequiresCapture || i.Status == sale.IntentRequiresAction) {
		err = w.giveBack(ctx, a, i.ID, try)
	}
	return err
}

// authorize asks Stripe for the money of an attempt, which was first to be asked for at or after since.
func (w *worker) authorize(ctx context.Context, a sale.Attempt, since time.Time, try int) error {
	if now := w.Now(); now.Sub(since) > keyLife || now.Sub(a.CreatedAt) > askTime && w.asks.of(a.ID) >= maxAsks {
		i, found, err := w.Gateway.Find(ctx, a.ID)
		if err != nil {
			return err
		}
		w.asks.forget(a.ID)
		if !found {
			return w.decline(ctx, a, "", "payment_unavailable", sale.Webhook{})
		}
		return w.settle(ctx, a, i, try, sale.Webhook{})
	}
	i, err := w.Gateway.Authorize(ctx, a)
	w.asked(a.ID, err)
	switch {
	case sale.KindOf(err) == sale.Invalid:
		return w.decline(ctx, a, "", sale.CodeOf(err), sale.Webhook{})
	case err != nil:
		return err
	}
	return w.settle(ctx, a, i, try, sale.Webhook{})
}

// settle records how an attempt's intent stands, together with the webhook that told of it.
func (w *worker) settle(ctx context.Context, a sale.Attempt, i sale.Intent, try int, because sale.Webhook) error {
	var err error
	switch i.Status {
	case sale.IntentRequiresCapture, sale.IntentSucceeded:
		if i.Amount != a.Amount || i.Currency != a.Currency {
			w.Log.Error("intent differs from its attempt", "attempt_id", a.ID, "intent_id", i.ID)
			return w.cancel(ctx, a, i.ID, "amount_differs", try, because)
		}
		if _, err = w.authorized.Do(ctx, sale.Settlement{Attempt: a, IntentID: i.ID, Because: because}); err == nil {
			err = w.stillWanted(ctx, a, i, try)
		}
	case sale.IntentRequiresAction:
		if _, err = w.actionRequired.Do(ctx, sale.Settlement{Attempt: a, IntentID: i.ID, ClientSecret: i.ClientSecret, Because: because}); err == nil {
			err = w.stillWanted(ctx, a, i, try)
		}
	case sale.IntentRequiresPaymentMethod:
		if a.State == sale.ActionRequired { // the buyer's page has its client secret, and could still pay
			if err = w.giveBack(ctx, a, i.ID, try); err != nil {
				return err
			}
		}
		return w.decline(ctx, a, i.ID, i.Reason, because)
	case sale.IntentCanceled:
		_, err = w.canceled.Do(ctx, sale.Settlement{Attempt: a, IntentID: i.ID, Reason: i.Reason, Because: because})
	default:
		return sale.Errorf(sale.Unavailable, "payment_pending", "Stripe has not decided: %s", i.Status)
	}
	return err
}

// stillWanted gives an authorization back, or the wait for one, whose attempt was ended while Stripe was asked for it. That takes longer
// than w.Grace; an answer that came sooner needs no second look.
func (w *worker) stillWanted(ctx context.Context, a sale.Attempt, i sale.Intent, try int) error {
	if w.Now().Sub(a.CreatedAt) < w.Grace/2 {
		return nil
	}
	now, err := w.attempts.Do(ctx, a.ID)
	if err == nil && (now.State == sale.Canceled || now.State == sale.Declined) {
		err = w.giveBack(ctx, now, i.ID, try)
	}
	return err
}

func (w *worker) decline(ctx context.Context, a sale.Attempt, intentID, reason string, because sale.Webhook) error {
	_, err := w.declined.Do(ctx, sale.Settlement{Attempt: a, IntentID: intentID, Reason: reason, Because: because})
	return err
}
