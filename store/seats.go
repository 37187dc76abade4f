package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// SoldSeats returns the ids of an event's seats that are sold now, in no order.
func (s *Store) SoldSeats(ctx context.Context, eventID string) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT seat_id FROM sold_seats WHERE event_id = $1`, eventID)
	if err != nil {
		return nil, classify(err)
	}
	seats, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return seats, classify(err)
}
