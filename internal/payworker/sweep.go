package payworker

import (
	"context"
	"time"

	"github.com/google/uuid"

	"onsale/internal/sale"
)

// The sweep's bounds. Webhooks are kept a while so that one which Stripe sends again finds that it was heard.
const (
	sweepBatch   = 100
	sweepLimit   = 30 * time.Second // of one round
	keepWebhooks = 30 * 24 * time.Hour
	forgetBatch  = 1000
)

// sweep ends what nobody ends, every so often, until ctx ends. Any number of workers may do it at once: all they do
// is guarded, and the next round does what this one could not.
func (w *worker) sweep(ctx context.Context) error {
	tick := time.NewTicker(w.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		round, cancel := context.WithTimeout(ctx, sweepLimit)
		if err := w.endStale(round); err != nil && ctx.Err() == nil {
			w.Log.Warn("end stale payment attempts", "error", err)
		}
		if n, err := w.Hearing.ForgetWebhooks(round, w.Now().Add(-keepWebhooks), forgetBatch); err != nil && ctx.Err() == nil {
			w.Log.Warn("forget old webhooks", "error", err)
		} else if n > 0 {
			w.Log.Info("old webhooks forgotten", "count", n)
		}
		cancel()
	}
}

// endStale ends attempts whose payment window has been over for w.Grace: the buyer has left the bank's page, or the
// answer to the call never came. What turns out to be paid is settled as such.
func (w *worker) endStale(ctx context.Context) error {
	stale, err := w.Attempts.StaleAttempts(ctx, w.Grace, sweepBatch)
	if err != nil || len(stale) == 0 {
		return err
	}
	made, err := w.intentsOf(ctx, stale)
	if err != nil {
		return err
	}
	for _, a := range stale {
		if err := w.endOne(ctx, a, made); err != nil {
			// Its neighbours are not to blame; the next round tries it again.
			w.Log.Warn("end a stale payment attempt", "order_id", a.OrderID, "attempt_id", a.ID, "error", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// intentsOf finds the intents of attempts that have no answer yet, in one pass over those that were made since.
func (w *worker) intentsOf(ctx context.Context, stale []sale.Attempt) (map[uuid.UUID]sale.Intent, error) {
	wanted := map[string]uuid.UUID{}
	var since time.Time
	for _, a := range stale { // the oldest is the first
		if a.State != sale.Started {
			continue
		}
		if len(wanted) == 0 {
			since = a.CreatedAt.Add(-time.Minute)
		}
		wanted[a.ID.String()] = a.ID
	}
	made := map[uuid.UUID]sale.Intent{}
	if len(wanted) == 0 {
		return made, nil
	}
	err := w.Gateway.Each(ctx, since, func(i sale.Intent) bool {
		if id, ok := wanted[i.AttemptID]; ok {
			made[id] = i
		}
		return len(made) < len(wanted)
	})
	return made, err
}

// endOne ends an attempt as Stripe has it now.
func (w *worker) endOne(ctx context.Context, a sale.Attempt, made map[uuid.UUID]sale.Intent) error {
	i, known := made[a.ID]
	if a.State == sale.ActionRequired {
		var err error
		if i, err = w.Gateway.Retrieve(ctx, a.IntentID); err != nil {
			return err
		}
	} else if !known {
		_, err := w.abandoned.Do(ctx, sale.Settlement{Attempt: a, Reason: "payment_abandoned"})
		return err
	}
	switch i.Status {
	case sale.IntentRequiresAction, sale.IntentRequiresConfirmation:
		return w.cancel(ctx, a, i.ID, "authentication_abandoned", int(w.Now().Unix()), sale.Webhook{})
	case sale.IntentProcessing:
		return nil // the bank will say
	}
	return w.settle(ctx, a, i, 1, sale.Webhook{})
}
