package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/sale"
	"onsale/internal/testenv"
	"onsale/store"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const (
	patience = 30 * time.Second // for calls; a passing test waits for far less
	show     = "show"           // the event of most tests
)

// rig is a store on a database of its own, a clock that the test moves, and a second way in for raw SQL.
type rig struct {
	*testing.T
	url   string
	store *store.Store
	db    *pgxpool.Pool
	clock *testenv.Clock
}

// setup gives the test a migrated database with the event show: seats A-0 to A-(n-1), priced by price.
func setup(t *testing.T, seats int) *rig {
	t.Helper()
	r := &rig{T: t, url: testenv.Postgres(t, store.Migrate), clock: testenv.NewClock(time.Now().UTC().Truncate(time.Millisecond))}
	r.db = r.pool()
	r.store = r.open(8)
	if err := r.store.CreateEvent(t.Context(), event(show), plan(seats), secret); err != nil {
		t.Fatal(err)
	}
	return r
}

// victim is the application name of the stores' connections, so that a test can end just those.
const victim = "victim"

func (r *rig) open(conns int32) *store.Store {
	r.Helper()
	u, err := url.Parse(r.url)
	if err != nil {
		r.Fatal(err)
	}
	q := u.Query()
	q.Set("application_name", victim)
	u.RawQuery = q.Encode()
	s, err := store.Open(r.Context(), u.String(), conns, r.clock.Now)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(s.Close)
	return s
}

func (r *rig) pool() *pgxpool.Pool {
	r.Helper()
	db, err := pgxpool.New(r.Context(), r.url)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(db.Close)
	return db
}

// secret is the draw's of every event here.
var secret = draw.Secret{1, 2, 3}

func event(id string) sale.Event {
	return sale.Event{ID: id, Name: "A show", Currency: "eur", Rate: 12.5, Rules: sale.Rules{
		MaxSeatsPerHold: 6, MaxSeatsPerSale: 12, HoldTTL: 2 * time.Minute, PaymentWindow: 10 * time.Minute,
	}}
}

func seat(i int) string     { return fmt.Sprintf("A-%d", i) }
func price(i int) int64     { return int64(1000 + 7*i) }
func none(n int) [][]string { return make([][]string, n) }

func plan(n int) []sale.Seat {
	seats := make([]sale.Seat, n)
	for i := range seats {
		seats[i] = sale.Seat{ID: seat(i), Zone: "A", Row: "1", Number: fmt.Sprint(i), Category: "front", Price: price(i), X: float64(i), Y: 0.5}
	}
	return seats
}

// checkout is a command for seats of the show, of a session that nobody else has.
func checkout(seats ...int) events.CheckoutRequested {
	session := sale.HashSession(show, uuid.NewString())
	c := events.CheckoutRequested{
		V: events.Version, OrderID: sale.OrderID(show, session, "1"), EventID: show, Session: session, HoldID: uuid.New(),
		Currency: "eur", PaymentMethod: "pm_card_visa",
	}
	for _, i := range seats {
		c.Seats, c.Amount = append(c.Seats, seat(i)), c.Amount+price(i)
	}
	hash := sale.RequestHash(c.HoldID, c.PaymentMethod)
	c.RequestHash = hash[:]
	return c
}

// begin begins checkouts that must all be taken.
func (r *rig) begin(all ...events.CheckoutRequested) []sale.Attempt {
	r.Helper()
	begun, err := r.store.BeginAttempts(r.Context(), all)
	if err != nil {
		r.Fatal(err)
	}
	attempts := make([]sale.Attempt, len(begun))
	for i, b := range begun {
		if b.Refused != nil {
			r.Fatalf("checkout %d was refused: %v", i, b.Refused)
		}
		attempts[i] = b.Attempt
	}
	return attempts
}

// authorized takes checkouts to where the committer gets them.
func (r *rig) authorized(all ...events.CheckoutRequested) []events.Payment {
	r.Helper()
	attempts := r.begin(all...)
	settlements, payments := make([]sale.Settlement, len(all)), make([]events.Payment, len(all))
	for i, a := range attempts {
		settlements[i] = sale.Settlement{Attempt: a, IntentID: "pi_" + a.ID.String()}
		payments[i] = events.Payment{V: events.Version, Outcome: events.PaymentAuthorized, AttemptID: a.ID, OrderID: a.OrderID, EventID: a.EventID,
			HoldID: a.HoldID, Seats: a.Seats, IntentID: settlements[i].IntentID, Amount: a.Amount, Currency: a.Currency}
	}
	if err := r.store.MarkAuthorized(r.Context(), settlements); err != nil {
		r.Fatal(err)
	}
	r.exec(`DELETE FROM outbox WHERE stream = 'PAYMENTS'`)
	return payments
}

func (r *rig) exec(sql string, args ...any) {
	r.Helper()
	if _, err := r.db.Exec(r.Context(), sql, args...); err != nil {
		r.Fatalf("%s: %v", sql, err)
	}
}

// one reads one value.
func one[T any](r *rig, sql string, args ...any) T {
	r.Helper()
	var v T
	if err := r.db.QueryRow(r.Context(), sql, args...).Scan(&v); err != nil {
		r.Fatalf("%s: %v", sql, err)
	}
	return v
}

func (r *rig) status(order uuid.UUID) sale.OrderStatus {
	r.Helper()
	return one[sale.OrderStatus](r, `SELECT status FROM orders WHERE order_id = $1`, order)
}

// waiting waits until n of the stores' connections wait for a lock.
func (r *rig) waiting(n int) {
	r.Helper()
	testenv.Eventually(r.T, fmt.Sprintf("%d connections wait for a lock", n), func() bool { return r.locked() >= n })
}

// locked is how many of the stores' connections wait for a lock.
func (r *rig) locked() int {
	r.Helper()
	return one[int](r, `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = $1 AND wait_event_type = 'Lock'`, victim)
}

// kill ends the stores' connections as a failover does and returns how many there were.
func (r *rig) kill(ctx context.Context) (int, error) {
	var n int
	err := r.db.QueryRow(ctx, `SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = $1) AS killed`, victim).Scan(&n)
	return n, err
}

// pick draws n different numbers below of.
func pick(n, of int) []int { return rand.Perm(of)[:n] }

// proven checks what must hold whatever happened: seats belong to confirmed orders, all of theirs or none,
// the amounts are the seats' prices, and each decided order was told exactly once.
func (r *rig) proven() {
	r.Helper()
	for what, sql := range map[string]string{
		"seats sold to an order that is not confirmed, or not asked for": `SELECT count(*) FROM sold_seats s LEFT JOIN orders o USING (order_id)
			WHERE o.status IS DISTINCT FROM 'confirmed' OR NOT s.seat_id = ANY (o.seats) OR s.event_id <> o.event_id`,
		"events whose sold seats are miscounted": `SELECT count(*) FROM events e WHERE
			(SELECT coalesce(sum(c.seats), 0) FROM sold_counts c WHERE c.event_id = e.event_id) <> (SELECT count(*) FROM sold_seats s WHERE s.event_id = e.event_id)`,
		"confirmed orders without all their seats": `SELECT count(*) FROM orders o WHERE status = 'confirmed' AND cardinality(seats) <>
			(SELECT count(*) FROM sold_seats s WHERE s.order_id = o.order_id AND s.seat_id = ANY (o.seats))`,
		"orders whose amount is not the price of their seats": `SELECT count(*) FROM orders o WHERE amount <>
			(SELECT sum(t.price) FROM seats t WHERE t.event_id = o.event_id AND t.seat_id = ANY (o.seats))`,
		"decided orders that were not told once": `SELECT count(*) FROM orders o WHERE status IN ('confirmed', 'rejected') AND 1 <>
			(SELECT count(*) FROM outbox b WHERE b.stream = 'ORDERS' AND b.msg_id LIKE o.order_id || ':' || o.status || ':%')`,
		"tellings of what was not decided": `SELECT count(*) FROM outbox b WHERE b.stream = 'ORDERS' AND NOT EXISTS
			(SELECT 1 FROM orders o WHERE b.msg_id LIKE o.order_id || ':%' AND o.status NOT IN ('processing', 'payment_failed'))`,
	} {
		if n := one[int](r, sql); n != 0 {
			r.Errorf("%d %s", n, what)
		}
	}
}

// messageID is the id of what is told of a change that is made now.
func (r *rig) messageID(of uuid.UUID, outcome string) string {
	return fmt.Sprintf("%s:%s:%d", of, outcome, r.clock.Now().UnixMicro())
}

// attempt is one attempt as it is now.
func (r *rig) attempt(id uuid.UUID) (sale.Attempt, error) {
	all, err := r.store.Attempts(r.T.Context(), []uuid.UUID{id})
	if err == nil && all[0].ID != id {
		err = sale.Errorf(sale.NotFound, "attempt_not_found", "there is no payment attempt %s", id)
	}
	return all[0], err
}

// order looks one order up; one that is unknown has no ID.
func (r *rig) order(id uuid.UUID) (sale.Order, error) {
	orders, err := r.store.Orders(r.Context(), []uuid.UUID{id})
	if err != nil {
		return sale.Order{}, err
	}
	return orders[0], nil
}

func (r *rig) freed(order uuid.UUID) bool {
	r.Helper()
	freed, err := r.store.FreedSeats(r.Context(), []uuid.UUID{uuid.New(), order})
	if err != nil || len(freed) != 2 || freed[0] {
		r.Fatalf("of an unknown order and this one, those that gave their seats back: %v (%v)", freed, err)
	}
	return freed[1]
}
