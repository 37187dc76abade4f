package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"onsale/internal/sale"
)

// ClaimStaleAttempts claims up to limit attempts that were begun longer ago than their event's payment window and the
// grace on top, and of which it is still not known whether they are paid: first those that nobody has looked at, and of
// these the oldest. What was claimed is left alone for the time again, so that several callers get different ones and
// none that can't be ended is in the way of others.
func (s *Store) ClaimStaleAttempts(ctx context.Context, grace, again time.Duration, limit int) ([]sale.Attempt, error) {
	now := s.now()
	rows, err := s.pool.Query(ctx, claimAttempts, now, now.Add(-grace), now.Add(-again), limit)
	if err != nil {
		return nil, classify(err)
	}
	return collectAttempts(rows)
}

const claimAttempts = `
	WITH stale AS MATERIALIZED (
		SELECT a.attempt_id FROM payment_attempts a JOIN orders o USING (order_id) JOIN events e USING (event_id)
		WHERE a.undecided AND (a.looked_at IS NULL OR a.looked_at <= $3)
			AND a.created_at < $2::timestamptz - e.payment_window_ms * interval '1 millisecond'
		ORDER BY a.looked_at NULLS FIRST, a.created_at LIMIT $4 FOR NO KEY UPDATE OF a SKIP LOCKED
	)
	UPDATE payment_attempts a SET looked_at = $1 FROM stale, orders o
	WHERE a.attempt_id = stale.attempt_id AND o.order_id = a.order_id RETURNING ` + attemptFields

// ClaimStaleRefunds claims up to limit refunds that are requested or pending, and of which nothing was recorded since
// the time before. It chooses and leaves alone as ClaimStaleAttempts does.
func (s *Store) ClaimStaleRefunds(ctx context.Context, since time.Time, again time.Duration, limit int) ([]sale.Refund, error) {
	now := s.now()
	rows, err := s.pool.Query(ctx, claimRefunds, now, since, now.Add(-again), limit)
	if err != nil {
		return nil, classify(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[sale.Refund])
	return all, classify(err)
}

const claimRefunds = `
	WITH stale AS MATERIALIZED (
		SELECT refund_id FROM refunds
		WHERE state IN ('requested', 'pending') AND (looked_at IS NULL OR looked_at <= $3) AND updated_at < $2
		ORDER BY looked_at NULLS FIRST, created_at LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED
	)
	UPDATE refunds r SET looked_at = $1 FROM stale, payment_attempts a
	WHERE r.refund_id = stale.refund_id AND a.attempt_id = r.attempt_id RETURNING ` + refundFields
