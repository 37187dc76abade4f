package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"onsale/events"
	"onsale/internal/sale"
)

// refundFields are those of sale.Refund.
const refundFields = `r.refund_id, r.order_id, r.attempt_id, coalesce(a.intent_id, ''), r.state, coalesce(r.stripe_id, ''), r.amount, r.currency, r.reason,
		r.keep_seats, r.failure, r.created_at, r.updated_at`

const refundColumns = `SELECT ` + refundFields + ` FROM refunds r JOIN payment_attempts a USING (attempt_id) `

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readRefunds(ctx context.Context, q querier, where string, args ...any) ([]sale.Refund, error) {
	rows, err := q.Query(ctx, refundColumns+where, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[sale.Refund])
}

// Refund returns a refund as it is now; one that is unknown has no ID.
func (s *Store) Refund(ctx context.Context, id uuid.UUID) (sale.Refund, error) {
	return s.oneRefund(ctx, `WHERE r.refund_id = $1`, id)
}

// LastRefund returns the newest refund of an attempt; one without an ID where there is none.
func (s *Store) LastRefund(ctx context.Context, attempt uuid.UUID) (sale.Refund, error) {
	return s.oneRefund(ctx, `WHERE r.attempt_id = $1 ORDER BY r.n DESC LIMIT 1`, attempt)
}

func (s *Store) oneRefund(ctx context.Context, where string, id uuid.UUID) (sale.Refund, error) {
	all, err := readRefunds(ctx, s.pool, where, id)
	if err != nil || len(all) == 0 {
		return sale.Refund{}, classify(err)
	}
	return all[0], nil
}

// RequestRefund records that the whole of a confirmed order is to be paid back, and tells PAYMENTS. Where such a
// refund lives or has succeeded, it is that one: asking twice is one refund. An order that is not confirmed, or
// whose money was not taken or is disputed, is sale.Conflict; so is a living refund that treats the seats otherwise.
func (s *Store) RequestRefund(ctx context.Context, order uuid.UUID, reason string, keepSeats bool) (sale.Refund, error) {
	var refund sale.Refund
	err := s.transact(ctx, func(tx pgx.Tx) error {
		o, err := lockOrder(ctx, tx, order)
		if err != nil {
			return err
		}
		if o.OrderID != order {
			return sale.Errorf(sale.NotFound, "order_not_found", "there is no order %s", order)
		}
		earlier, err := readRefunds(ctx, tx, `WHERE r.order_id = $1 ORDER BY r.n`, order)
		if err != nil {
			return err
		}
		if n := len(earlier); n > 0 && earlier[n-1].State != sale.RefundFailed {
			if refund = earlier[n-1]; refund.KeepSeats != keepSeats {
				return sale.Errorf(sale.Conflict, "refund_differs", "order %s has a refund that treats its seats otherwise", order)
			}
			return nil
		}
		refund, err = s.request(ctx, tx, o, len(earlier)+1, reason, keepSeats)
		return err
	})
	if err != nil {
		return sale.Refund{}, err
	}
	return refund, nil
}

// request inserts the n-th refund of an order that is locked.
func (s *Store) request(ctx context.Context, tx pgx.Tx, o lockedOrder, n int, reason string, keepSeats bool) (sale.Refund, error) {
	if o.Status != sale.Confirmed {
		return sale.Refund{}, sale.Errorf(sale.Conflict, "order_not_confirmed", "order %s is %s; only a confirmed one can be refunded", o.OrderID, o.Status)
	}
	rows, err := tx.Query(ctx, attemptColumns+`WHERE o.order_id = $1 ORDER BY a.n DESC LIMIT 1`, o.OrderID)
	if err != nil {
		return sale.Refund{}, err
	}
	all, err := collectAttempts(rows)
	if err != nil {
		return sale.Refund{}, err
	}
	switch {
	case len(all) == 0 || all[0].State == sale.Authorized:
		return sale.Refund{}, sale.Errorf(sale.Conflict, "payment_not_captured", "the money of order %s has not been taken yet; try again", o.OrderID)
	case all[0].State != sale.Captured:
		return sale.Refund{}, sale.Errorf(sale.Conflict, "payment_"+string(all[0].State), "the payment of order %s is %s", o.OrderID, all[0].State)
	}
	a, now := all[0], s.now().UTC()
	r := sale.Refund{ID: sale.RefundID(o.OrderID, n), OrderID: o.OrderID, AttemptID: a.ID, IntentID: a.IntentID, State: sale.RefundRequested,
		Amount: a.Amount, Currency: a.Currency, Reason: reason, KeepSeats: keepSeats, CreatedAt: now, UpdatedAt: now}
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO refunds (refund_id, order_id, attempt_id, n, state, amount, currency, reason, keep_seats, created_at, updated_at)
		VALUES ($1, $2, $3, $4, 'requested', $5, $6, $7, $8, $9, $9)`, r.ID, r.OrderID, r.AttemptID, n, r.Amount, r.Currency, r.Reason, r.KeepSeats, now)
	queueRefund(b, o, r, events.PaymentRefundRequested, "", now)
	return r, tx.SendBatch(ctx, b).Close()
}

func queueRefund(b *pgx.Batch, o lockedOrder, r sale.Refund, outcome events.PaymentOutcome, reason string, now time.Time) {
	p := o.payment(outcome, r.AttemptID, r.IntentID, reason, now)
	p.RefundID = r.ID
	queuePayments(b, p)
}

// MarkRefundPending records that Stripe has a refund which the bank has not decided, from requested.
func (s *Store) MarkRefundPending(ctx context.Context, refund uuid.UUID, stripeID string, heard sale.Webhook) error {
	return s.transact(ctx, func(tx pgx.Tx) error {
		now := s.now()
		tag, err := tx.Exec(ctx, `UPDATE refunds SET state = 'pending', stripe_id = $2, updated_at = $3 WHERE refund_id = $1 AND state = 'requested'`,
			refund, stripeID, now)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return recordWebhook(ctx, tx, heard, now)
	})
}

// MarkRefunded records that an order was paid back: its refund has succeeded, its attempt and itself are refunded,
// its seats are on sale again unless they are kept, and PAYMENTS and ORDERS are told. An order that was never confirmed,
// whose refund was made by hand, stays what it is. false: it was recorded before,
// or another refund of the order is under way. One that was given up as failed may turn out to have succeeded.
func (s *Store) MarkRefunded(ctx context.Context, refund uuid.UUID, stripeID string, heard sale.Webhook) (bool, error) {
	return s.endRefund(ctx, refund, heard, queueRefunded, `UPDATE refunds r SET state = 'succeeded', stripe_id = $2, failure = '', updated_at = $3
		WHERE refund_id = $1 AND state <> 'succeeded'
		AND NOT EXISTS (SELECT 1 FROM refunds other WHERE other.order_id = r.order_id AND other.refund_id <> r.refund_id AND other.state <> 'failed')`, stripeID)
}

// queueRefunded is what the success of a refund changes beside itself. An order that had no seats stays what it is.
func queueRefunded(b *pgx.Batch, o lockedOrder, r sale.Refund, now time.Time) {
	b.Queue(`UPDATE payment_attempts SET state = 'refunded', reason = '', updated_at = $2
		WHERE attempt_id = $1 AND (state IN ('captured', 'disputed', 'charged_back') OR state = 'authorized' AND $3)`, r.AttemptID, now, o.ended())
	queueRefund(b, o, r, events.PaymentRefunded, "", now)
	if o.Status != sale.Confirmed {
		return
	}
	b.Queue(`UPDATE orders SET status = 'refunded', reason = '', refunded_by = $2, refund_state = 'succeeded', updated_at = $3
		WHERE order_id = $1 AND status = 'confirmed'`, o.OrderID, r.ID, now)
	if !r.KeepSeats {
		b.Queue(freeSeats, o.OrderID)
	}
	told := o.told(events.OrderRefunded, r.AttemptID, r.IntentID, "", now)
	told.KeepSeats = r.KeepSeats
	queueOrders(b, []events.Order{told})
}

// AdoptRefund records a refund that was made at Stripe by hand, of the whole of an attempt, as it stands there: pending
// or succeeded. Whatever became of the order, the money has gone back, so an attempt that was captured, disputed or
// charged back is refunded with it, and so is one whose order got no seats and whose money was taken all the same; the
// order is refunded where it was confirmed, and its seats are on sale again. false: the attempt was refunded before.
// A capture or another refund that is still under way is sale.Unavailable; an attempt without money, or an order that
// was refunded by another, is sale.Unprocessable.
func (s *Store) AdoptRefund(ctx context.Context, attempt uuid.UUID, made sale.Repayment, reason string, heard sale.Webhook) (bool, error) {
	adopted := false
	err := s.transact(ctx, func(tx pgx.Tx) error {
		adopted = false
		o, a, err := lockAttempt(ctx, tx, attempt)
		if err != nil || a.State == sale.PaidBack {
			return err
		}
		earlier, err := readRefunds(ctx, tx, `WHERE r.order_id = $1 ORDER BY r.n`, o.OrderID)
		if err != nil {
			return err
		}
		if err := adoptable(o, a, earlier); err != nil {
			return err
		}
		adopted = true
		n, now := len(earlier)+1, s.now().UTC()
		r := sale.Refund{ID: sale.RefundID(o.OrderID, n), OrderID: o.OrderID, AttemptID: a.ID, IntentID: a.IntentID, State: made.State}
		b := &pgx.Batch{}
		queueWebhooks(b, []sale.Webhook{heard}, now) // first, since it may wait for another transaction's
		b.Queue(`INSERT INTO refunds (refund_id, order_id, attempt_id, n, state, stripe_id, amount, currency, reason, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)`, r.ID, r.OrderID, r.AttemptID, n, r.State, made.ID, made.Amount, made.Currency, reason, now)
		if r.State == sale.RefundSucceeded {
			queueRefunded(b, o, r, now)
		}
		return tx.SendBatch(ctx, b).Close()
	})
	return adopted, err
}

// adoptable says whether a refund that was made by hand can stand for an attempt beside the earlier ones.
func adoptable(o lockedOrder, a sale.Attempt, earlier []sale.Refund) error {
	switch a.State {
	case sale.Captured, sale.Disputed, sale.ChargedBack:
	case sale.Authorized:
		if !o.ended() {
			return sale.Errorf(sale.Unavailable, "capture_pending", "the capture of attempt %s has not been recorded yet", a.ID)
		}
	default:
		return sale.Errorf(sale.Unprocessable, "refund_without_payment", "attempt %s of order %s is %s: there was nothing to give back", a.ID, o.OrderID, a.State)
	}
	for _, r := range earlier {
		switch r.State {
		case sale.RefundRequested, sale.RefundPending:
			return sale.Errorf(sale.Unavailable, "refund_under_way", "refund %s of order %s is %s", r.ID, o.OrderID, r.State)
		case sale.RefundSucceeded:
			return sale.Errorf(sale.Unprocessable, "refunded_twice", "order %s was refunded by %s before", o.OrderID, r.ID)
		}
	}
	return nil
}

// lockOrderOf locks the order of an attempt, and reads it.
func lockOrderOf(ctx context.Context, tx pgx.Tx, attempt uuid.UUID) (lockedOrder, error) {
	var order uuid.UUID
	if err := tx.QueryRow(ctx, `SELECT order_id FROM payment_attempts WHERE attempt_id = $1`, attempt).Scan(&order); err != nil {
		return lockedOrder{}, err
	}
	return lockOrder(ctx, tx, order)
}

// lockAttempt locks the order of an attempt, and reads both.
func lockAttempt(ctx context.Context, tx pgx.Tx, attempt uuid.UUID) (o lockedOrder, a sale.Attempt, err error) {
	if o, err = lockOrderOf(ctx, tx, attempt); err != nil {
		return o, a, err
	}
	rows, err := tx.Query(ctx, attemptColumns+`WHERE a.attempt_id = $1`, attempt)
	if err != nil {
		return o, a, err
	}
	all, err := collectAttempts(rows)
	if err != nil {
		return o, a, err
	}
	return o, all[0], nil
}

// MarkRefundFailed records that a refund was refused, or can't be known to have been begun, and tells PAYMENTS. The
// order stays confirmed. false: it had been decided.
func (s *Store) MarkRefundFailed(ctx context.Context, refund uuid.UUID, stripeID, failure string, heard sale.Webhook) (bool, error) {
	if failure == "" {
		failure = "unknown"
	}
	return s.endRefund(ctx, refund, heard, func(b *pgx.Batch, o lockedOrder, r sale.Refund, now time.Time) {
		queueRefund(b, o, r, events.PaymentRefundFailed, failure, now)
	}, `UPDATE refunds SET state = 'failed', stripe_id = coalesce(nullif($2, ''), stripe_id), failure = $4, updated_at = $3
		WHERE refund_id = $1 AND state IN ('requested', 'pending')`, stripeID, failure)
}

// endRefund moves a refund by a guarded update, whose parameters are its id, Stripe's, the time and more, and where it
// moved records the webhook and does the rest.
func (s *Store) endRefund(ctx context.Context, id uuid.UUID, heard sale.Webhook, rest func(*pgx.Batch, lockedOrder, sale.Refund, time.Time),
	update, stripeID string, more ...any) (bool, error) {
	moved := false
	err := s.transact(ctx, func(tx pgx.Tx) error {
		moved = false
		now := s.now()
		all, err := readRefunds(ctx, tx, `WHERE r.refund_id = $1`, id)
		if err != nil || len(all) == 0 {
			return err
		}
		// The order's row before the refund's, as everywhere.
		o, err := lockOrder(ctx, tx, all[0].OrderID)
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, update, append([]any{id, stripeID, now}, more...)...)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		moved = true
		b := &pgx.Batch{}
		queueWebhooks(b, []sale.Webhook{heard}, now)
		rest(b, o, all[0], now)
		return tx.SendBatch(ctx, b).Close()
	})
	return moved, err
}
