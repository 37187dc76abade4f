package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"onsale/events"
	"onsale/internal/sale"
)

// CommitOrders sells the seats of authorized payments, in one transaction: each order gets all of its seats or
// none, by itself, and what became of it is told to ORDERS. blocked names, for each payment, seats that someone
// else holds right now: an order that let its hold lapse does not take them. Seats go to the first in the slice. Results are in
// the order of the payments; an order that is unknown is sale.NotFound for the caller to sort out alone.
func (s *Store) CommitOrders(ctx context.Context, all []events.Payment, blocked [][]string) ([]sale.Committed, error) {
	var results []sale.Committed
	look := false // a seat that was held until now is hardly ever sold: only when one proves to be are all looked up
	err := s.transact(ctx, func(tx pgx.Tx) error {
		c := commit{all: all, blocked: blocked, now: s.now(), results: make([]sale.Committed, len(all))}
		if err := c.read(ctx, tx, look); err != nil {
			return err
		}
		if err := c.decide(); err != nil {
			return err
		}
		results = c.results
		err := c.write(ctx, tx)
		look = look || errors.Is(err, errRace)
		return err
	})
	return results, err
}

// commit is the state of one CommitOrders transaction.
type commit struct {
	all     []events.Payment
	blocked [][]string
	now     time.Time
	results []sale.Committed

	orders map[uuid.UUID]lockedOrder
	states map[attemptKey]sale.AttemptState
	taken  map[seatKey]bool

	sold      struct{ events, seats, orders column }
	confirmed []uuid.UUID
	rejected  []uuid.UUID
	reasons   []string
	told      []events.Order
}

type column = []string

type seatKey struct{ event, seat string }

type attemptKey struct{ order, attempt uuid.UUID }

type lockedOrder struct {
	OrderID  uuid.UUID
	EventID  string
	Session  []byte
	HoldID   uuid.UUID
	Seats    []string
	Amount   int64
	Currency string
	Status   sale.OrderStatus
	Reason   string
}

// ended says that the order will get no seats.
func (o lockedOrder) ended() bool {
	return o.Status == sale.Rejected || o.Status == sale.Voided || o.Status == sale.PaymentFailed
}

// read locks the orders' rows in sorted order, so that two committers with the same orders can't deadlock, and
// where it is to look reads which of the wanted seats are sold.
func (c *commit) read(ctx context.Context, tx pgx.Tx, look bool) error {
	ids, attempts := make([]uuid.UUID, len(c.all)), make([]uuid.UUID, len(c.all))
	for i, p := range c.all {
		ids[i], attempts[i] = p.OrderID, p.AttemptID
	}
	b := &pgx.Batch{}
	b.Queue(`
		SELECT order_id, event_id, session, hold_id, seats, amount, currency, status, reason
		FROM orders WHERE order_id = ANY ($1::uuid[]) ORDER BY order_id FOR NO KEY UPDATE`, ids).Query(func(rows pgx.Rows) error {
		locked, err := pgx.CollectRows(rows, pgx.RowToStructByPos[lockedOrder])
		c.orders = make(map[uuid.UUID]lockedOrder, len(locked))
		for _, o := range locked {
			c.orders[o.OrderID] = o
		}
		return err
	})
	// A statement of its own, after the locks: what the one above waited for is seen only by the next.
	b.Queue(`SELECT order_id, attempt_id, state FROM payment_attempts WHERE attempt_id = ANY ($1::uuid[])`, attempts).Query(func(rows pgx.Rows) error {
		c.states = map[attemptKey]sale.AttemptState{}
		var k attemptKey
		var state sale.AttemptState
		_, err := pgx.ForEachRow(rows, []any{&k.order, &k.attempt, &state}, func() error {
			c.states[k] = state
			return nil
		})
		return err
	})
	c.taken = map[seatKey]bool{}
	if !look {
		return tx.SendBatch(ctx, b).Close()
	}
	// OFFSET 0 keeps the planner from turning the look-ups into a scan of all that is sold.
	b.Queue(`
		SELECT o.event_id, w.seat_id FROM orders o CROSS JOIN LATERAL unnest(o.seats) AS w(seat_id)
		CROSS JOIN LATERAL (SELECT FROM sold_seats s WHERE s.event_id = o.event_id AND s.seat_id = w.seat_id OFFSET 0) s
		WHERE o.order_id = ANY ($1::uuid[])`, ids).Query(func(rows pgx.Rows) error {
		var k seatKey
		_, err := pgx.ForEachRow(rows, []any{&k.event, &k.seat}, func() error {
			c.taken[k] = true
			return nil
		})
		return err
	})
	return tx.SendBatch(ctx, b).Close()
}

// decide gives each order its seats or a reason why not, first come first served.
func (c *commit) decide() error {
	for i, p := range c.all {
		o := c.orders[p.OrderID]
		state, known := c.states[attemptKey{p.OrderID, p.AttemptID}]
		if !known {
			return sale.Errorf(sale.NotFound, "order_not_found", "there is no order %s with attempt %s", p.OrderID, p.AttemptID)
		}
		switch {
		case o.Status != sale.Processing:
			c.results[i] = sale.Committed{Status: o.Status, Reason: o.Reason} // decided by an earlier delivery
			continue
		case state != sale.Authorized:
			c.results[i] = sale.Committed{Status: o.Status, Reason: "payment_" + string(state)} // its authorization is gone
			continue
		case o.Amount != p.Amount || o.Currency != p.Currency:
			c.reject(i, o, p, "amount_differs")
		case len(c.blocked[i]) > 0:
			c.reject(i, o, p, "seats_held_by_another")
		case slices.ContainsFunc(o.Seats, func(seat string) bool { return c.taken[seatKey{o.EventID, seat}] }):
			c.reject(i, o, p, "seats_sold")
		default:
			c.confirm(i, o, p)
		}
		o.Status, o.Reason = c.results[i].Status, c.results[i].Reason
		c.orders[o.OrderID] = o
	}
	return nil
}

func (c *commit) confirm(i int, o lockedOrder, p events.Payment) {
	for _, seat := range o.Seats {
		c.taken[seatKey{o.EventID, seat}] = true
		c.sold.events, c.sold.seats, c.sold.orders = append(c.sold.events, o.EventID), append(c.sold.seats, seat), append(c.sold.orders, o.OrderID.String())
	}
	c.confirmed = append(c.confirmed, o.OrderID)
	c.results[i] = sale.Committed{Status: sale.Confirmed}
	c.tell(events.OrderConfirmed, o, p, "")
}

func (c *commit) reject(i int, o lockedOrder, p events.Payment, reason string) {
	c.rejected, c.reasons = append(c.rejected, o.OrderID), append(c.reasons, reason)
	c.results[i] = sale.Committed{Status: sale.Rejected, Reason: reason}
	c.tell(events.OrderRejected, o, p, reason)
}

func (c *commit) tell(outcome events.OrderOutcome, o lockedOrder, p events.Payment, reason string) {
	c.told = append(c.told, o.told(outcome, p.AttemptID, p.IntentID, reason, c.now))
}

// write stores the decisions. A seat that is sold already, which read did not look for or another committer sold
// since, breaks the key, and the whole transaction is run again with that knowledge. ON CONFLICT would say the same, and
// costs each seat another look into the index and another record in the log.
func (c *commit) write(ctx context.Context, tx pgx.Tx) error {
	if len(c.told) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO sold_seats (event_id, seat_id, order_id)
		SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[]) AS s(event_id, seat_id, order_id) ORDER BY 1, 2`, c.sold.events, c.sold.seats, c.sold.orders)
	b.Queue(`UPDATE orders SET status = 'confirmed', reason = '', updated_at = $2 WHERE order_id = ANY ($1::uuid[]) AND status = 'processing'`, c.confirmed, c.now)
	b.Queue(`UPDATE orders o SET status = 'rejected', reason = r.reason, updated_at = $3
		FROM unnest($1::uuid[], $2::text[]) AS r(order_id, reason) WHERE o.order_id = r.order_id AND o.status = 'processing'`, c.rejected, c.reasons, c.now)
	queueOrders(b, c.told)
	err := tx.SendBatch(ctx, b).Close()
	if constraint(err) == seatSoldOnce {
		return errRace
	}
	return err
}

// seatSoldOnce is the key that decides who gets a seat.
const seatSoldOnce = "sold_seats_pkey"

// queueOrders writes order events to the outbox.
func queueOrders(b *pgx.Batch, told []events.Order) {
	var subjects, ids []string
	var payloads [][]byte
	for _, o := range told {
		subjects = append(subjects, events.OrderSubject(o.EventID, o.Outcome))
		ids = append(ids, messageID(o.OrderID.String(), string(o.Outcome), o.At))
		payloads = append(payloads, events.Encode(o))
	}
	b.Queue(`INSERT INTO outbox (stream, subject, msg_id, payload)
		SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bytea[])`, events.Orders, subjects, ids, payloads)
}

// VoidOrder takes back a confirmed order whose money can't be had: the attempt is canceled, the seats go back
// on sale, and ORDERS and PAYMENTS are told. Of o, the ids of the order, its attempt and its intent count. false:
// the order had moved on, or its money was taken after all; then the event is not recorded as heard either.
func (s *Store) VoidOrder(ctx context.Context, o events.Order, reason string, heard sale.Webhook) (bool, error) {
	voided := false
	err := s.transact(ctx, func(tx pgx.Tx) error {
		voided = false
		now := s.now()
		// First the row's lock: a capture that is being recorded holds it, and is seen by the next statement.
		row, err := lockOrder(ctx, tx, o.OrderID)
		if err != nil || row.OrderID != o.OrderID {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE orders o SET status = 'voided', reason = $2, updated_at = $3
			WHERE order_id = $1 AND status = 'confirmed' AND NOT EXISTS (
				SELECT 1 FROM payment_attempts a WHERE a.order_id = o.order_id AND a.state IN ('captured', 'disputed', 'charged_back', 'refunded'))`,
			o.OrderID, reason, now)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		voided = true
		b := &pgx.Batch{}
		queueWebhooks(b, []sale.Webhook{heard}, now)
		tag, err = tx.Exec(ctx, `UPDATE payment_attempts SET state = 'canceled', reason = $2, updated_at = $3
			WHERE attempt_id = $1 AND state = 'authorized'`, o.AttemptID, reason, now)
		if err != nil {
			return err
		}
		if tag.RowsAffected() > 0 {
			queuePayments(b, row.payment(events.PaymentCanceled, o.AttemptID, o.IntentID, reason, now))
		}
		b.Queue(freeSeats, o.OrderID)
		queueOrders(b, []events.Order{row.told(events.OrderVoided, o.AttemptID, o.IntentID, reason, now)})
		return tx.SendBatch(ctx, b).Close()
	})
	return voided, err
}

// freeSeats puts an order's seats back on sale.
const freeSeats = `DELETE FROM sold_seats s USING orders o
	WHERE o.order_id = $1 AND s.event_id = o.event_id AND s.seat_id = ANY (o.seats) AND s.order_id = o.order_id`

// lockOrder locks one order's row and reads it; one without an id where there is none.
func lockOrder(ctx context.Context, tx pgx.Tx, id uuid.UUID) (lockedOrder, error) {
	rows, err := tx.Query(ctx, `
		SELECT order_id, event_id, session, hold_id, seats, amount, currency, status, reason
		FROM orders WHERE order_id = $1 FOR NO KEY UPDATE`, id)
	if err != nil {
		return lockedOrder{}, err
	}
	o, err := pgx.CollectOneRow(rows, pgx.RowToStructByPos[lockedOrder])
	if errors.Is(err, pgx.ErrNoRows) {
		return lockedOrder{}, nil
	}
	return o, err
}

// told is what ORDERS is told of an order.
func (o lockedOrder) told(outcome events.OrderOutcome, attempt uuid.UUID, intentID, reason string, now time.Time) events.Order {
	return events.Order{
		V: events.Version, Outcome: outcome, OrderID: o.OrderID, EventID: o.EventID, Session: sale.SessionHash(o.Session), HoldID: o.HoldID, Seats: o.Seats,
		AttemptID: attempt, IntentID: intentID, Amount: o.Amount, Currency: o.Currency, Reason: reason, At: now.UTC(),
	}
}

// payment is what PAYMENTS is told of an order's attempt.
func (o lockedOrder) payment(outcome events.PaymentOutcome, attempt uuid.UUID, intentID, reason string, now time.Time) events.Payment {
	return events.Payment{
		V: events.Version, Outcome: outcome, AttemptID: attempt, OrderID: o.OrderID, EventID: o.EventID, HoldID: o.HoldID, Seats: o.Seats,
		IntentID: intentID, Amount: o.Amount, Currency: o.Currency, Reason: reason, At: now.UTC(),
	}
}

// queuePayments writes a payment event to the outbox. Its id names what it is about: the refund, the dispute
// or the attempt.
func queuePayments(b *pgx.Batch, p events.Payment) {
	id := p.AttemptID.String()
	switch {
	case p.RefundID != uuid.Nil:
		id = p.RefundID.String()
	case p.DisputeID != "":
		id = p.DisputeID
	}
	b.Queue(`INSERT INTO outbox (stream, subject, msg_id, payload) VALUES ($1, $2, $3, $4)`,
		events.Payments, events.PaymentSubject(p.EventID, p.Outcome), messageID(id, string(p.Outcome), p.At), events.Encode(p))
}

// Orders returns orders as they are now, in the order of their ids; one that is unknown has no ID.
func (s *Store) Orders(ctx context.Context, ids []uuid.UUID) ([]sale.Order, error) {
	rows, err := s.pool.Query(ctx, `SELECT o.order_id, o.event_id, o.session, o.hold_id, o.seats, o.amount, o.currency, o.status, o.reason, o.request_hash,
			coalesce((SELECT a.client_secret FROM payment_attempts a WHERE a.order_id = o.order_id AND a.state = 'action_required'), '')
		FROM orders o WHERE o.order_id = ANY ($1::uuid[])`, ids)
	if err != nil {
		return nil, classify(err)
	}
	found := make(map[uuid.UUID]sale.Order, len(ids))
	var o sale.Order
	var session, hash []byte
	if _, err := pgx.ForEachRow(rows, []any{&o.ID, &o.EventID, &session, &o.HoldID, &o.Seats, &o.Amount, &o.Currency, &o.Status, &o.Reason, &hash, &o.ClientSecret}, func() error {
		o.Session, o.RequestHash = sale.SessionHash(session), [32]byte(hash)
		found[o.ID] = o
		o.Seats = nil
		return nil
	}); err != nil {
		return nil, classify(err)
	}
	orders := make([]sale.Order, len(ids))
	for i, id := range ids {
		orders[i] = found[id]
	}
	return orders, nil
}

// FreedSeats says of each order whether it was confirmed once and has given its seats back since. It is asked of every
// order that is sold, and nearly always answers with nothing.
func (s *Store) FreedSeats(ctx context.Context, ids []uuid.UUID) ([]bool, error) {
	rows, err := s.pool.Query(ctx, `SELECT o.order_id FROM orders o WHERE o.order_id = ANY ($1::uuid[]) AND (o.status = 'voided'
		OR o.status = 'refunded' AND NOT (SELECT r.keep_seats FROM refunds r WHERE r.refund_id = o.refunded_by))`, ids)
	if err != nil {
		return nil, classify(err)
	}
	freed, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, classify(err)
	}
	out := make([]bool, len(ids))
	for i, id := range ids {
		out[i] = slices.Contains(freed, id)
	}
	return out, nil
}
