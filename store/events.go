package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"onsale/internal/access"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// CreateEvent records an event in its lobby, with its seats in plan order and the secret of its draw. An id that is
// taken is sale.Conflict, code "event_exists".
func (s *Store) CreateEvent(ctx context.Context, e sale.Event, seats []sale.Seat, secret draw.Secret) error {
	return s.transact(ctx, func(tx pgx.Tx) error {
		var opens *time.Time
		if !e.OpensAt.IsZero() {
			opens = &e.OpensAt
		}
		_, err := tx.Exec(ctx, `INSERT INTO events (event_id, name, currency, rate, opens_at, seats, max_seats_per_hold, hold_ttl_ms, payment_window_ms,
				draw_secret, beacon, shoppers, max_seats_per_sale)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`, e.ID, e.Name, e.Currency, e.Rate, opens, len(seats),
			e.Rules.MaxSeatsPerHold, e.Rules.HoldTTL.Milliseconds(), e.Rules.PaymentWindow.Milliseconds(), secret[:], e.Beacon, e.Cap, e.Rules.MaxSeatsPerSale)
		if constraint(err) == "events_pkey" {
			return sale.Errorf(sale.Conflict, "event_exists", "there is an event %s already", e.ID)
		}
		if err != nil {
			return err
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"seats"},
			[]string{"event_id", "seat_id", "ordinal", "zone", "row_name", "number", "category", "price", "x", "y"},
			pgx.CopyFromSlice(len(seats), func(i int) ([]any, error) {
				t := seats[i]
				return []any{e.ID, t.ID, i, t.Zone, t.Row, t.Number, t.Category, t.Price, t.X, t.Y}, nil
			}))
		if err == nil && len(seats) >= largePlan {
			_, err = tx.Exec(ctx, "ANALYZE seats")
		}
		return err
	})
}

// largePlan is how many seats change the table so much that Postgres must know of it. It would find out by itself within
// a minute or so, at the cost of a core for a while: it may as well be now, before the sale.
const largePlan = 10_000

// Events lists all events, newest first.
func (s *Store) Events(ctx context.Context) ([]sale.Event, error) {
	rows, err := s.pool.Query(ctx, `SELECT event_id, name, currency, state, rate, coalesce(opens_at, 'epoch'),
			max_seats_per_hold, hold_ttl_ms, payment_window_ms, seats, beacon, shoppers, max_seats_per_sale
		FROM events ORDER BY created_at DESC, event_id`)
	if err != nil {
		return nil, classify(err)
	}
	all, err := pgx.CollectRows(rows, scanEvent)
	return all, classify(err)
}

func scanEvent(row pgx.CollectableRow) (sale.Event, error) {
	var e sale.Event
	var holdMS, payMS int64
	err := row.Scan(&e.ID, &e.Name, &e.Currency, &e.State, &e.Rate, &e.OpensAt, &e.Rules.MaxSeatsPerHold, &holdMS, &payMS, &e.Seats, &e.Beacon, &e.Cap, &e.Rules.MaxSeatsPerSale)
	if e.OpensAt.Unix() == 0 {
		e.OpensAt = time.Time{}
	}
	e.Rules.HoldTTL, e.Rules.PaymentWindow = time.Duration(holdMS)*time.Millisecond, time.Duration(payMS)*time.Millisecond
	return e, err
}

// Seats returns an event's seats in plan order.
func (s *Store) Seats(ctx context.Context, eventID string) ([]sale.Seat, error) {
	rows, err := s.pool.Query(ctx, `SELECT seat_id, zone, row_name, number, category, price, x, y
		FROM seats WHERE event_id = $1 ORDER BY ordinal`, eventID)
	if err != nil {
		return nil, classify(err)
	}
	seats, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (sale.Seat, error) {
		var t sale.Seat
		err := row.Scan(&t.ID, &t.Zone, &t.Row, &t.Number, &t.Category, &t.Price, &t.X, &t.Y)
		return t, err
	})
	return seats, classify(err)
}

// Controls returns what the operator wants of each event that is not closed for longer than a week, and what is left to
// sell there. A week is for admitters: one of them must have been there to write that the sale is closed.
func (s *Store) Controls(ctx context.Context) (map[string]line.Control, error) {
	rows, err := s.pool.Query(ctx, `SELECT e.event_id,
			CASE WHEN e.state = 'lobby' AND e.opens_at <= $1 THEN 'open' ELSE e.state END, e.rate, e.shoppers,
			(e.seats - coalesce((SELECT sum(c.seats) FROM sold_counts c WHERE c.event_id = e.event_id), 0))::bigint, e.draw_secret, e.beacon, e.pace_by_payments, e.payment_window_ms
		FROM events e WHERE e.state <> 'closed' OR e.updated_at > $1 - interval '7 days'`, s.now())
	if err != nil {
		return nil, classify(err)
	}
	controls := map[string]line.Control{}
	var id string
	var c line.Control
	var secret []byte
	var windowMS int64
	if _, err = pgx.ForEachRow(rows, []any{&id, &c.State, &c.Rate, &c.Cap, &c.SeatsLeft, &secret, &c.Beacon, &c.PaceByPayments, &windowMS}, func() error {
		c.Secret, c.PaymentWindow = draw.Secret(secret), time.Duration(windowMS)*time.Millisecond
		controls[id] = c
		return nil
	}); err != nil {
		return nil, classify(err)
	}
	lanes, err := s.lanes(ctx)
	for id, l := range lanes {
		if c, ok := controls[id]; ok {
			c.Lanes = l
			controls[id] = c
		}
	}
	return controls, err
}

// lanes returns the priority lanes of all events, in the order in which they were made.
func (s *Store) lanes(ctx context.Context) (map[string][]line.LaneControl, error) {
	rows, err := s.pool.Query(ctx, `SELECT l.event_id, l.lane, l.share,
			coalesce((SELECT sum(b.codes::bigint * b.uses) FROM code_batches b WHERE b.event_id = l.event_id AND b.lane = l.lane), 0)::bigint
		FROM lanes l ORDER BY l.made_at, l.lane`)
	if err != nil {
		return nil, classify(err)
	}
	lanes := map[string][]line.LaneControl{}
	var id string
	var l line.LaneControl
	_, err = pgx.ForEachRow(rows, []any{&id, &l.Name, &l.Share, &l.Granted}, func() error {
		lanes[id] = append(lanes[id], l)
		return nil
	})
	return lanes, classify(err)
}

// from lists the states that each state can be reached from.
var from = map[sale.State][]string{
	sale.Open:   {"lobby", "paused", "open"},
	sale.Paused: {"open", "paused"},
	sale.Closed: {"lobby", "open", "paused", "closed"},
}

// MoveSale moves a sale to Open, Paused or Closed. A move that its state forbids is sale.Conflict.
func (s *Store) MoveSale(ctx context.Context, eventID string, to sale.State) error {
	return s.transact(ctx, func(tx pgx.Tx) error {
		var state sale.State
		err := tx.QueryRow(ctx, `SELECT CASE WHEN state = 'lobby' AND opens_at <= $2 THEN 'open' ELSE state END
			FROM events WHERE event_id = $1 FOR UPDATE`, eventID, s.now()).Scan(&state)
		if errors.Is(err, pgx.ErrNoRows) {
			return sale.Errorf(sale.NotFound, "event_not_found", "there is no event %q", eventID)
		}
		if err != nil {
			return err
		}
		for _, f := range from[to] {
			if f == string(state) {
				_, err := tx.Exec(ctx, `UPDATE events SET state = $2, updated_at = $3 WHERE event_id = $1`, eventID, to, s.now())
				return err
			}
		}
		return sale.Errorf(sale.Conflict, "wrong_state", "a sale that is %s can't become %s", state, to)
	})
}

// SetRate changes the pace of admission, in fans a second.
func (s *Store) SetRate(ctx context.Context, eventID string, rate float64) error {
	return s.transact(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE events SET rate = $2, updated_at = $3 WHERE event_id = $1 AND state <> 'closed'`, eventID, rate, s.now())
		return onSale(eventID, tag, err)
	})
}

// SetCap changes how many shoppers may be inside at once; 0 lifts the limit.
func (s *Store) SetCap(ctx context.Context, eventID string, shoppers int) error {
	return s.transact(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE events SET shoppers = $2, updated_at = $3 WHERE event_id = $1 AND state <> 'closed'`, eventID, shoppers, s.now())
		return onSale(eventID, tag, err)
	})
}

// SetPaceByPayments says whether an event's line is slowed down while payments take long.
func (s *Store) SetPaceByPayments(ctx context.Context, eventID string, on bool) error {
	return s.transact(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE events SET pace_by_payments = $2, updated_at = $3 WHERE event_id = $1 AND state <> 'closed'`, eventID, on, s.now())
		return onSale(eventID, tag, err)
	})
}

// onSale says sale.NotFound where a change met no event that isn't closed.
func onSale(eventID string, tag pgconn.CommandTag, err error) error {
	if err == nil && tag.RowsAffected() == 0 {
		return sale.Errorf(sale.NotFound, "event_not_found", "there is no event %q that isn't closed", eventID)
	}
	return err
}

// SetLane makes a priority lane or changes its share of the release. The general lane keeps at least a tenth: what
// would leave it less is sale.Conflict, code "shares_too_large".
func (s *Store) SetLane(ctx context.Context, eventID, lane string, share float64) error {
	return s.transact(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE events SET updated_at = $2 WHERE event_id = $1 AND state <> 'closed'`, eventID, s.now())
		if err := onSale(eventID, tag, err); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO lanes (event_id, lane, share, made_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (event_id, lane) DO UPDATE SET share = $3`, eventID, lane, share, s.now()); err != nil {
			return err
		}
		var total float64
		var n int
		if err := tx.QueryRow(ctx, `SELECT sum(share), count(*) FROM lanes WHERE event_id = $1`, eventID).Scan(&total, &n); err != nil {
			return err
		}
		if total > line.MaxShares+1e-9 || n > line.MaxLanes {
			return sale.Errorf(sale.Conflict, "shares_too_large", "the priority lanes would have %.0f %% of the release in %d lanes; %.0f %% in %d are the most",
				total*100, n, line.MaxShares*100, line.MaxLanes)
		}
		return nil
	})
}

// GrantCodes records a batch of access codes. A lane that is not there is sale.NotFound.
func (s *Store) GrantCodes(ctx context.Context, eventID, note string, b access.Batch) error {
	return s.transact(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO code_batches (batch_id, event_id, lane, codes, uses, note, made_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			b.ID, eventID, b.Lane, b.Count, b.Uses, note, s.now())
		if constraint(err) == "code_batches_event_id_lane_fkey" {
			return sale.Errorf(sale.NotFound, "lane_not_found", "%s has no lane %q", eventID, b.Lane)
		}
		return err
	})
}
