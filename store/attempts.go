package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"onsale/events"
	"onsale/internal/sale"
)

// BeginAttempts records the order and the first payment attempt of each checkout that has none yet, before
// anyone calls Stripe. Prices are Postgres's own, not the command's: a command whose seats are unknown or
// whose amount differs is refused, and so is one whose order was begun by another body. Results are in the
// order of the checkouts.
func (s *Store) BeginAttempts(ctx context.Context, checkouts []events.CheckoutRequested) ([]sale.Begun, error) {
	// What Postgres would refuse to store must not fail the commands beside it.
	byOrder := slices.DeleteFunc(slices.Clone(checkouts), func(c events.CheckoutRequested) bool { return !storable(c) })
	// One order of insertion for everyone, so that two workers with the same commands can't deadlock.
	slices.SortStableFunc(byOrder, func(a, b events.CheckoutRequested) int { return slices.Compare(a.OrderID[:], b.OrderID[:]) })
	now := s.now()
	made, err := s.insertBegun(ctx, byOrder, now)
	if err != nil {
		return nil, err
	}
	found, err := s.begun(ctx, byOrder, made, now)
	if err != nil {
		return nil, err
	}
	results := make([]sale.Begun, len(checkouts))
	for i, c := range checkouts {
		row, ok := found[c.OrderID]
		switch {
		case !ok || !storable(c):
			results[i].Refused = sale.Errorf(sale.Invalid, "bad_checkout", "order %s: its event or seats are unknown, or its amount is not theirs", c.OrderID)
		case string(row.RequestHash) != string(c.RequestHash):
			results[i].Refused = sale.Errorf(sale.Unprocessable, "idempotency_key_reused", "order %s was begun by another request", c.OrderID)
		default:
			results[i].Attempt = row.attempt()
		}
	}
	return results, nil
}

// insertBegun stores the checkouts' orders and first attempts, and returns the orders whose attempt is new.
func (s *Store) insertBegun(ctx context.Context, byOrder []events.CheckoutRequested, now time.Time) ([]uuid.UUID, error) {
	var orders, holds, attempts []uuid.UUID
	var eventIDs, seats, currencies, methods []string
	var sessions, hashes [][]byte
	var amounts []int64
	for _, c := range byOrder {
		orders, holds, attempts = append(orders, c.OrderID), append(holds, c.HoldID), append(attempts, sale.AttemptID(c.OrderID, 1))
		eventIDs, currencies, methods = append(eventIDs, c.EventID), append(currencies, c.Currency), append(methods, c.PaymentMethod)
		seats = append(seats, strings.Join(c.Seats, ","))
		sessions, hashes = append(sessions, c.Session[:]), append(hashes, c.RequestHash)
		amounts = append(amounts, c.Amount)
	}
	var made []uuid.UUID
	insert := func(again bool) error {
		var knownOrder, knownAttempt string
		if again {
			knownOrder, knownAttempt = ` ON CONFLICT (order_id) DO NOTHING`, ` ON CONFLICT (order_id, n) DO NOTHING`
		}
		return s.atomically(ctx, func(b *pgx.Batch) {
			b.Queue(insertOrders+knownOrder, orders, eventIDs, sessions, holds, seats, amounts, currencies, hashes, now)
			b.Queue(insertAttempts+knownAttempt+` RETURNING order_id`, orders, attempts, methods, hashes, now).Query(func(rows pgx.Rows) (err error) {
				made, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
				return err
			})
		})
	}
	// Nearly always all are new. To be ready for one that is not costs each row another look into an index and another
	// record in the log. Those that come again come in numbers, after Stripe was away or in a replay: then it is worth it.
	again := s.repeated.Load()
	err := insert(again)
	if !again && slices.Contains(begunBefore, constraint(err)) {
		again = true
		err = insert(again)
	}
	if err == nil && again {
		s.repeated.Store(len(made) < len(byOrder))
	}
	return made, err
}

// begun returns the checkouts' orders and last attempts, by order. Nearly all were made just now and are as their
// checkouts say; only the others are read.
func (s *Store) begun(ctx context.Context, byOrder []events.CheckoutRequested, made []uuid.UUID, now time.Time) (map[uuid.UUID]begunRow, error) {
	found := make(map[uuid.UUID]begunRow, len(byOrder))
	isNew := make(map[uuid.UUID]bool, len(made))
	for _, id := range made {
		isNew[id] = true
	}
	at := now.Truncate(time.Microsecond) // as Postgres keeps it
	var others []uuid.UUID
	for i, c := range byOrder {
		if twice := i > 0 && byOrder[i-1].OrderID == c.OrderID || i+1 < len(byOrder) && byOrder[i+1].OrderID == c.OrderID; twice || !isNew[c.OrderID] {
			others = append(others, c.OrderID)
			continue
		}
		found[c.OrderID] = begunRow{OrderID: c.OrderID, RequestHash: c.RequestHash, AttemptID: sale.AttemptID(c.OrderID, 1), EventID: c.EventID,
			HoldID: c.HoldID, Seats: c.Seats, State: sale.Started, Amount: c.Amount, Currency: c.Currency, PaymentMethod: c.PaymentMethod, CreatedAt: at, UpdatedAt: at, OrderStatus: sale.Processing}
	}
	if len(others) == 0 {
		return found, nil
	}
	rows, err := s.pool.Query(ctx, selectBegun, others)
	if err != nil {
		return nil, classify(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[begunRow])
	for _, r := range all {
		found[r.OrderID] = r
	}
	return found, classify(err)
}

// storable says whether Postgres can take a command's values at all. Seats travel comma-joined.
func storable(c events.CheckoutRequested) bool {
	for _, seat := range c.Seats {
		if strings.Contains(seat, ",") {
			return false
		}
	}
	text := strings.Join(append([]string{c.EventID, c.Currency, c.PaymentMethod}, c.Seats...), "")
	return len(c.RequestHash) == sha256.Size && utf8.ValidString(text) && !strings.Contains(text, "\x00")
}

// The same command may be in one batch twice, and two may claim one order: each is priced by itself, and the
// first that is right makes the order.
const insertOrders = `
	INSERT INTO orders (order_id, event_id, session, hold_id, seats, amount, currency, status, request_hash, created_at, updated_at)
	SELECT i.order_id, i.event_id, i.session, i.hold_id, string_to_array(i.seats, ','), i.amount, i.currency, 'processing', i.request_hash, $9, $9
	FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::uuid[], $5::text[], $6::bigint[], $7::text[], $8::bytea[])
		WITH ORDINALITY AS i(order_id, event_id, session, hold_id, seats, amount, currency, request_hash, nth)
	CROSS JOIN LATERAL (
		SELECT count(DISTINCT w.seat_id) AS found, sum(t.price) AS total FROM unnest(string_to_array(i.seats, ',')) AS w(seat_id)
		CROSS JOIN LATERAL (SELECT t.price FROM seats t WHERE t.event_id = i.event_id AND t.seat_id = w.seat_id OFFSET 0) t
	) p
	JOIN events e USING (event_id)
	WHERE p.found = cardinality(string_to_array(i.seats, ',')) AND p.total = i.amount AND e.currency = i.currency
	ORDER BY i.order_id, i.nth`

const insertAttempts = `
	INSERT INTO payment_attempts (attempt_id, order_id, n, state, amount, currency, payment_method, created_at, updated_at)
	SELECT i.attempt_id, o.order_id, 1, 'started', o.amount, o.currency, i.payment_method, $5, $5
	FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[]) AS i(order_id, attempt_id, payment_method, request_hash)
	JOIN orders o ON o.order_id = i.order_id AND o.request_hash = i.request_hash
	ORDER BY i.order_id`

// begunBefore are the keys that a checkout breaks which was begun before, or which is there twice.
var begunBefore = []string{"orders_pkey", "payment_attempts_pkey", "payment_attempts_order_id_n_key", "one_live_attempt"}

const selectBegun = `
	SELECT DISTINCT ON (o.order_id) ` + attemptFields + `
	FROM orders o JOIN payment_attempts a USING (order_id)
	WHERE o.order_id = ANY ($1::uuid[]) ORDER BY o.order_id, a.n DESC`

type begunRow struct {
	OrderID       uuid.UUID
	RequestHash   []byte
	AttemptID     uuid.UUID
	EventID       string
	HoldID        uuid.UUID
	Seats         []string
	State         sale.AttemptState
	IntentID      string
	Amount        int64
	Currency      string
	PaymentMethod string
	CreatedAt     time.Time
	UpdatedAt     time.Time
	OrderStatus   sale.OrderStatus
}

func (r begunRow) attempt() sale.Attempt {
	return sale.Attempt{ID: r.AttemptID, OrderID: r.OrderID, EventID: r.EventID, HoldID: r.HoldID, Seats: r.Seats, State: r.State, IntentID: r.IntentID,
		Amount: r.Amount, Currency: r.Currency, PaymentMethod: r.PaymentMethod, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, OrderStatus: r.OrderStatus}
}

// attemptFields are what collectAttempts reads.
const attemptFields = `o.order_id, o.request_hash, a.attempt_id, o.event_id, o.hold_id, o.seats, a.state, coalesce(a.intent_id, ''),
		a.amount, a.currency, a.payment_method, a.created_at, a.updated_at, o.status`

// attemptColumns reads attempts for collectAttempts; a condition follows.
const attemptColumns = `SELECT ` + attemptFields + ` FROM payment_attempts a JOIN orders o USING (order_id) `

func collectAttempts(rows pgx.Rows) ([]sale.Attempt, error) {
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[begunRow])
	attempts := make([]sale.Attempt, len(all))
	for i, row := range all {
		attempts[i] = row.attempt()
	}
	return attempts, classify(err)
}

// AttemptOf returns the attempt that an intent belongs to; one without an ID where no attempt of ours does.
func (s *Store) AttemptOf(ctx context.Context, intentID string) (sale.Attempt, error) {
	rows, err := s.pool.Query(ctx, attemptColumns+`WHERE a.intent_id = $1`, intentID)
	if err != nil {
		return sale.Attempt{}, classify(err)
	}
	all, err := collectAttempts(rows)
	if err != nil || len(all) == 0 {
		return sale.Attempt{}, err
	}
	return all[0], nil
}

// Attempts returns payment attempts as they are now, in the order of their ids; one that is unknown has no ID.
func (s *Store) Attempts(ctx context.Context, ids []uuid.UUID) ([]sale.Attempt, error) {
	rows, err := s.pool.Query(ctx, attemptColumns+`WHERE a.attempt_id = ANY ($1::uuid[])`, ids)
	if err != nil {
		return nil, classify(err)
	}
	all, err := collectAttempts(rows)
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID]sale.Attempt, len(all))
	for _, a := range all {
		found[a.ID] = a
	}
	attempts := make([]sale.Attempt, len(ids))
	for i, id := range ids {
		attempts[i] = found[id]
	}
	return attempts, nil
}

// MarkAuthorized moves attempts to Authorized, from Started or ActionRequired, and tells PAYMENTS. Attempts
// that have moved on are left alone.
func (s *Store) MarkAuthorized(ctx context.Context, all []sale.Settlement) error {
	return s.settle(ctx, all, transition{
		to: sale.Authorized, from: []sale.AttemptState{sale.Started, sale.ActionRequired},
		order: sale.Processing, orderFrom: []sale.OrderStatus{sale.AuthenticationRequired}, outcome: events.PaymentAuthorized,
	})
}

// MarkDeclined ends attempts that Stripe refused, from Started or ActionRequired: their orders have failed.
func (s *Store) MarkDeclined(ctx context.Context, all []sale.Settlement) error {
	return s.settle(ctx, all, transition{
		to: sale.Declined, from: []sale.AttemptState{sale.Started, sale.ActionRequired},
		order: sale.PaymentFailed, orderFrom: []sale.OrderStatus{sale.Processing, sale.AuthenticationRequired}, outcome: events.PaymentDeclined,
	})
}

// MarkActionRequired records that the buyer must authenticate, from Started.
func (s *Store) MarkActionRequired(ctx context.Context, all []sale.Settlement) error {
	return s.settle(ctx, all, transition{
		to: sale.ActionRequired, from: []sale.AttemptState{sale.Started},
		order: sale.AuthenticationRequired, orderFrom: []sale.OrderStatus{sale.Processing}, outcome: events.PaymentActionRequired,
	})
}

// MarkCaptured records that the money was taken, from Authorized.
func (s *Store) MarkCaptured(ctx context.Context, all []sale.Settlement) error {
	return s.settle(ctx, all, transition{to: sale.Captured, from: []sale.AttemptState{sale.Authorized}, outcome: events.PaymentCaptured})
}

// MarkCanceled records that an authorization was given back, from any state in which no money was taken. An
// order that still waited for the payment has failed.
func (s *Store) MarkCanceled(ctx context.Context, all []sale.Settlement) error {
	return s.settle(ctx, all, transition{
		to: sale.Canceled, from: []sale.AttemptState{sale.Started, sale.ActionRequired, sale.Authorized},
		order: sale.PaymentFailed, orderFrom: []sale.OrderStatus{sale.Processing, sale.AuthenticationRequired}, outcome: events.PaymentCanceled,
	})
}

// MarkAbandoned ends attempts that Stripe has never heard of, from Started: their orders have failed.
func (s *Store) MarkAbandoned(ctx context.Context, all []sale.Settlement) error {
	return s.settle(ctx, all, transition{
		to: sale.Canceled, from: []sale.AttemptState{sale.Started},
		order: sale.PaymentFailed, orderFrom: []sale.OrderStatus{sale.Processing}, outcome: events.PaymentCanceled,
	})
}

// transition is a guarded move of attempts, and of their orders where order is set.
type transition struct {
	to        sale.AttemptState
	from      []sale.AttemptState
	order     sale.OrderStatus
	orderFrom []sale.OrderStatus
	outcome   events.PaymentOutcome
}

func (s *Store) settle(ctx context.Context, all []sale.Settlement, t transition) error {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b sale.Settlement) int {
		return cmp.Or(slices.Compare(a.Attempt.OrderID[:], b.Attempt.OrderID[:]), slices.Compare(a.Attempt.ID[:], b.Attempt.ID[:]))
	})
	var attempts, orders []uuid.UUID
	var intents, secrets, reasons, subjects, ids, heard, types []string
	var payloads [][]byte
	now := s.now()
	for _, x := range all {
		attempts, orders = append(attempts, x.Attempt.ID), append(orders, x.Attempt.OrderID)
		intents, secrets, reasons = append(intents, x.IntentID), append(secrets, x.ClientSecret), append(reasons, x.Reason)
		heard, types = append(heard, x.Because.ID), append(types, x.Because.Type)
		subjects = append(subjects, events.PaymentSubject(x.Attempt.EventID, t.outcome))
		ids = append(ids, messageID(x.Attempt.ID.String(), string(t.outcome), now))
		payloads = append(payloads, events.Encode(events.Payment{
			V: events.Version, Outcome: t.outcome, AttemptID: x.Attempt.ID, OrderID: x.Attempt.OrderID, EventID: x.Attempt.EventID,
			HoldID: x.Attempt.HoldID, Seats: x.Attempt.Seats,
			IntentID: x.IntentID, Amount: x.Attempt.Amount, Currency: x.Attempt.Currency, Reason: x.Reason, At: now.UTC(),
		}))
	}
	return s.atomically(ctx, func(b *pgx.Batch) {
		// Orders first and in one order: whoever moves an order or its attempts holds the order's row.
		b.Queue(`SELECT 1 FROM orders WHERE order_id = ANY ($1::uuid[]) ORDER BY order_id FOR NO KEY UPDATE`, orders)
		args := []any{attempts, intents, secrets, reasons, subjects, ids, payloads, t.to, names(t.from), events.Payments, now, heard, types}
		if t.order == "" {
			b.Queue(settleAttempts+` SELECT`, args...)
			return
		}
		b.Queue(settleAttempts+moveOrders, append(args, t.order, names(t.orderFrom))...)
	})
}

// An event is heard with what it moved. One that moved nothing is not: who was told by it may have more to do.
const settleAttempts = `
	WITH input AS (
		SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $12::text[], $13::text[])
			AS i(attempt_id, intent_id, client_secret, reason, subject, msg_id, payload, heard, type)
	), moved AS (
		UPDATE payment_attempts a
		SET state = $8, intent_id = coalesce(nullif(i.intent_id, ''), a.intent_id), client_secret = i.client_secret, reason = i.reason, updated_at = $11
		FROM input i WHERE a.attempt_id = i.attempt_id AND a.state = ANY ($9::text[])
		RETURNING a.attempt_id, a.order_id, i.reason, i.subject, i.msg_id, i.payload, i.heard, i.type
	), told AS (
		INSERT INTO outbox (stream, subject, msg_id, payload) SELECT $10, subject, msg_id, payload FROM moved
	), recorded AS (
		INSERT INTO webhook_events (event_id, type, received_at)
		SELECT DISTINCT ON (heard) heard, type, $11::timestamptz FROM moved WHERE heard <> '' ORDER BY heard ON CONFLICT (event_id) DO NOTHING
	)`

const moveOrders = `
	UPDATE orders o SET status = $14, reason = m.reason, updated_at = $11
	FROM moved m WHERE o.order_id = m.order_id AND o.status = ANY ($15::text[])`

func names[T ~string](states []T) []string {
	out := make([]string, len(states))
	for i, s := range states {
		out[i] = string(s)
	}
	return out
}
