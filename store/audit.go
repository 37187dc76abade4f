package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"onsale/internal/sale"
)

// books are sale.Books while they are read.
type books sale.Books

// Books reads all that an audit needs, in one snapshot.
func (s *Store) Books(ctx context.Context) (sale.Books, error) {
	b := books{Orders: map[uuid.UUID]sale.BookedOrder{}, Attempts: map[uuid.UUID]sale.Attempt{}}
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		for _, whole := range []string{"statement_timeout = 0", "enable_hashjoin = on", "enable_mergejoin = on", "enable_seqscan = on"} {
			if _, err := tx.Exec(ctx, "SET LOCAL "+whole); err != nil {
				return err
			}
		}
		for _, read := range []func(context.Context, pgx.Tx) error{b.readOrders, b.readAttempts, b.readRefunds, b.readSold, b.readRest} {
			if err := read(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	return sale.Books(b), classify(err)
}

func (b *books) readOrders(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT order_id, event_id, hold_id, seats, amount, currency, status, reason, updated_at FROM orders`)
	if err != nil {
		return err
	}
	var o sale.BookedOrder
	_, err = pgx.ForEachRow(rows, []any{&o.ID, &o.EventID, &o.HoldID, &o.Seats, &o.Amount, &o.Currency, &o.Status, &o.Reason, &o.UpdatedAt}, func() error {
		b.Orders[o.ID] = o
		o.Seats = nil
		return nil
	})
	return err
}

func (b *books) readAttempts(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT attempt_id, order_id, state, coalesce(intent_id, ''), amount, currency, updated_at FROM payment_attempts`)
	if err != nil {
		return err
	}
	var a sale.Attempt
	_, err = pgx.ForEachRow(rows, []any{&a.ID, &a.OrderID, &a.State, &a.IntentID, &a.Amount, &a.Currency, &a.UpdatedAt}, func() error {
		b.Attempts[a.ID] = a
		return nil
	})
	return err
}

func (b *books) readRefunds(ctx context.Context, tx pgx.Tx) (err error) {
	if b.Refunds, err = readRefunds(ctx, tx, `ORDER BY r.refund_id`); err != nil {
		return err
	}
	b.Disputes, err = readDisputes(ctx, tx, `ORDER BY d.dispute_id`)
	return err
}

func (b *books) readSold(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT s.event_id, s.seat_id, s.order_id, t.seat_id IS NOT NULL
		FROM sold_seats s LEFT JOIN seats t USING (event_id, seat_id)`)
	if err != nil {
		return err
	}
	if b.Sold, err = pgx.CollectRows(rows, pgx.RowToStructByPos[sale.SoldSeat]); err != nil {
		return err
	}
	if rows, err = tx.Query(ctx, `SELECT event_id, sum(seats)::bigint FROM sold_counts GROUP BY event_id`); err != nil {
		return err
	}
	b.Counted = map[string]int{}
	var event string
	var seats int
	_, err = pgx.ForEachRow(rows, []any{&event, &seats}, func() error {
		b.Counted[event] = seats
		return nil
	})
	return err
}

func (b *books) readRest(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT stream, msg_id, created_at FROM outbox`)
	if err != nil {
		return err
	}
	if b.Outbox, err = pgx.CollectRows(rows, pgx.RowToStructByPos[sale.OutboxRow]); err != nil {
		return err
	}
	if rows, err = tx.Query(ctx, `SELECT event_id FROM events`); err != nil {
		return err
	}
	b.Events, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return err
}
