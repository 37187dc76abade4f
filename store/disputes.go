package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"onsale/events"
	"onsale/internal/sale"
)

const disputeColumns = `
	SELECT d.dispute_id, coalesce(a.intent_id, ''), d.attempt_id, d.state, d.amount, d.currency, d.reason, d.opened_at,
		coalesce(d.closed_at, '0001-01-01T00:00:00Z'), d.updated_at
	FROM disputes d JOIN payment_attempts a USING (attempt_id) `

func readDisputes(ctx context.Context, q querier, where string, args ...any) ([]sale.Dispute, error) {
	rows, err := q.Query(ctx, disputeColumns+where, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[sale.Dispute])
}

// MarkDispute records how a dispute of an attempt stands, forward only, and moves the attempt: Captured to Disputed
// while money is demanded back, to ChargedBack where a dispute was lost, and back to Captured where all were won.
// PAYMENTS is told of the attempt's moves. The order stays as it is, and so does an attempt that was refunded.
func (s *Store) MarkDispute(ctx context.Context, d sale.Dispute, heard sale.Webhook) error {
	return s.transact(ctx, func(tx pgx.Tx) error {
		now := s.now()
		o, err := lockOrderOf(ctx, tx, d.AttemptID)
		if err != nil {
			return err
		}
		if err := recordWebhook(ctx, tx, heard, now); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO disputes AS d (dispute_id, attempt_id, state, amount, currency, reason, opened_at, closed_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $8 THEN $9::timestamptz END, $9)
			ON CONFLICT (dispute_id) DO UPDATE SET state = excluded.state, amount = excluded.amount, reason = excluded.reason,
				closed_at = excluded.closed_at, updated_at = excluded.updated_at
			WHERE d.state = ANY ($10::text[])`,
			d.ID, d.AttemptID, d.State, d.Amount, d.Currency, d.Reason, d.OpenedAt, d.State.Closed(), now, names(d.State.Before())); err != nil {
			return err
		}
		var state sale.AttemptState
		err = tx.QueryRow(ctx, moveDisputed, d.AttemptID, now).Scan(&state)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		p := o.payment(disputeOutcomes[state], d.AttemptID, d.IntentID, d.Reason, now)
		p.DisputeID = d.ID
		b := &pgx.Batch{}
		queuePayments(b, p)
		return tx.SendBatch(ctx, b).Close()
	})
}

var disputeOutcomes = map[sale.AttemptState]events.PaymentOutcome{
	sale.Disputed: events.PaymentDisputed, sale.ChargedBack: events.PaymentChargedBack, sale.Captured: events.PaymentDisputeWon,
}

// moveDisputed puts an attempt where all its disputes together put it.
const moveDisputed = `
	WITH wanted AS (
		SELECT CASE
			WHEN bool_or(state = 'lost') THEN 'charged_back'
			WHEN bool_or(state IN ('needs_response', 'under_review')) THEN 'disputed'
			ELSE 'captured' END AS state
		FROM disputes WHERE attempt_id = $1
	)
	UPDATE payment_attempts a SET state = w.state, updated_at = $2
	FROM wanted w WHERE a.attempt_id = $1 AND a.state IN ('captured', 'disputed', 'charged_back') AND a.state <> w.state
	RETURNING a.state`
