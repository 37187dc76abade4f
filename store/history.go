package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"onsale/internal/sale"
)

const bookedColumns = `SELECT o.order_id, o.event_id, o.hold_id, o.seats, o.amount, o.currency, o.status, o.reason, o.created_at, o.updated_at FROM orders o `

func readBooked(ctx context.Context, q querier, where string, args ...any) ([]sale.History, error) {
	rows, err := q.Query(ctx, bookedColumns+where, args...)
	if err != nil {
		return nil, err
	}
	var all []sale.History
	var h sale.History
	o := &h.Order
	_, err = pgx.ForEachRow(rows, []any{&o.ID, &o.EventID, &o.HoldID, &o.Seats, &o.Amount, &o.Currency, &o.Status, &o.Reason, &h.CreatedAt, &o.UpdatedAt}, func() error {
		all = append(all, h)
		o.Seats = nil
		return nil
	})
	return all, err
}

// ListOrders returns orders, newest first, without what became of their money.
func (s *Store) ListOrders(ctx context.Context, f sale.OrderFilter) ([]sale.History, error) {
	all, err := readBooked(ctx, s.pool, `WHERE ($1 = '' OR o.event_id = $1) AND ($2 = '' OR o.status = $2) ORDER BY o.created_at DESC, o.order_id DESC LIMIT $3`,
		f.EventID, f.Status, f.Limit)
	return all, classify(err)
}

// History returns an order and all that became of its money, in one snapshot. An unknown order is sale.NotFound.
func (s *Store) History(ctx context.Context, order uuid.UUID) (sale.History, error) {
	var h sale.History
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		all, err := readBooked(ctx, tx, `WHERE o.order_id = $1`, order)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return sale.Errorf(sale.NotFound, "order_not_found", "there is no order %s", order)
		}
		h = all[0]
		rows, err := tx.Query(ctx, attemptColumns+`WHERE o.order_id = $1 ORDER BY a.n`, order)
		if err != nil {
			return err
		}
		if h.Attempts, err = collectAttempts(rows); err != nil {
			return err
		}
		if h.Refunds, err = readRefunds(ctx, tx, `WHERE r.order_id = $1 ORDER BY r.n`, order); err != nil {
			return err
		}
		h.Disputes, err = readDisputes(ctx, tx, `WHERE a.order_id = $1 ORDER BY d.opened_at, d.dispute_id`, order)
		return err
	})
	return h, classify(err)
}
