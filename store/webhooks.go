package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"onsale/internal/sale"
)

// HeardWebhooks says of each event id whether it has been dealt with, in the order of the ids.
func (s *Store) HeardWebhooks(ctx context.Context, ids []string) ([]bool, error) {
	rows, err := s.pool.Query(ctx, `SELECT event_id FROM webhook_events WHERE event_id = ANY ($1::text[])`, ids)
	if err != nil {
		return nil, classify(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, classify(err)
	}
	known := make(map[string]bool, len(all))
	for _, id := range all {
		known[id] = true
	}
	heard := make([]bool, len(ids))
	for i, id := range ids {
		heard[i] = known[id]
	}
	return heard, nil
}

// MarkHeard records webhook events that were dealt with. Those that are recorded stay as they are.
func (s *Store) MarkHeard(ctx context.Context, all []sale.Webhook) error {
	return s.atomically(ctx, func(b *pgx.Batch) { queueWebhooks(b, all, s.now()) })
}

// ForgetWebhooks removes up to limit events that were received before a time, and says how many. Several at once
// take different ones.
func (s *Store) ForgetWebhooks(ctx context.Context, before time.Time, limit int) (int, error) {
	tag, err := s.pool.Exec(ctx, `DELETE FROM webhook_events WHERE event_id = ANY (ARRAY(
		SELECT event_id FROM webhook_events WHERE received_at < $1 ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED))`, before, limit)
	return int(tag.RowsAffected()), classify(err)
}

const insertWebhooks = `INSERT INTO webhook_events (event_id, type, received_at)
	SELECT DISTINCT ON (event_id) event_id, type, $3 FROM unnest($1::text[], $2::text[]) AS w(event_id, type) ORDER BY event_id
	ON CONFLICT (event_id) DO NOTHING`

// queueWebhooks records events; the zero ones are none.
func queueWebhooks(b *pgx.Batch, all []sale.Webhook, now time.Time) {
	var ids, types []string
	for _, w := range all {
		if w.ID != "" {
			ids, types = append(ids, w.ID), append(types, w.Type)
		}
	}
	if len(ids) > 0 {
		b.Queue(insertWebhooks, ids, types, now)
	}
}

// recordWebhook records the event that a change came of, in the change's transaction.
func recordWebhook(ctx context.Context, tx pgx.Tx, w sale.Webhook, now time.Time) error {
	if w.ID == "" {
		return nil
	}
	_, err := tx.Exec(ctx, insertWebhooks, []string{w.ID}, []string{w.Type}, now)
	return err
}
