package store_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"onsale/internal/sale"
	"onsale/internal/testenv"
	"onsale/store"
)

func TestMigrateAgainChangesNothing(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	if err := store.Migrate(t.Context(), r.url); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if n := one[int](r, `SELECT count(*) FROM seats`); n != 1 {
		t.Errorf("%d seats are left", n)
	}
}

func TestManyMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t, nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := store.Migrate(t.Context(), url); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s, err := store.Open(t.Context(), url, 0, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCheckTellsOfAMissingOrOldSchema(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), testenv.Postgres(t, nil), 0, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "onsale migrate") {
		t.Errorf("unmigrated: %v", err)
	}
	r := setup(t, 1)
	r.exec(`UPDATE schema_version SET version = version - 1`)
	if err := r.store.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "onsale migrate") {
		t.Errorf("older: %v", err)
	}
	r.exec(`UPDATE schema_version SET version = version + 2`)
	if err := r.store.Check(t.Context()); err != nil {
		t.Errorf("a newer schema must do for an older binary during a rollout: %v", err)
	}
}

func TestOpenDoesNotShowThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://user:hunter2@host:port/db", "host=x password=hunter2 port=none", "postgres://user:hunter2@[::1/db"} {
		_, err := store.Open(t.Context(), url, 0, time.Now)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
		if err := store.Migrate(t.Context(), url); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("migrate: got %v", err)
		}
	}
}

func TestUnreachablePostgresIsUnavailable(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "postgres://nobody@" + ln.Addr().String() + "/none?sslmode=disable"
	ln.Close()
	s, err := store.Open(t.Context(), url, 0, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := checkout(0)
	for name, call := range map[string]func(context.Context) error{
		"Events":         func(ctx context.Context) error { _, err := s.Events(ctx); return err },
		"Seats":          func(ctx context.Context) error { _, err := s.Seats(ctx, show); return err },
		"Controls":       func(ctx context.Context) error { _, err := s.Controls(ctx); return err },
		"CreateEvent":    func(ctx context.Context) error { return s.CreateEvent(ctx, event(show), plan(1), secret) },
		"MoveSale":       func(ctx context.Context) error { return s.MoveSale(ctx, show, sale.Open) },
		"SetRate":        func(ctx context.Context) error { return s.SetRate(ctx, show, 1) },
		"BeginAttempts":  func(ctx context.Context) error { _, err := s.BeginAttempts(ctx, nil); return err },
		"Attempts":       func(ctx context.Context) error { _, err := s.Attempts(ctx, []uuid.UUID{c.OrderID}); return err },
		"MarkAuthorized": func(ctx context.Context) error { return s.MarkAuthorized(ctx, nil) },
		"CommitOrders":   func(ctx context.Context) error { _, err := s.CommitOrders(ctx, nil, nil); return err },
		"Orders":         func(ctx context.Context) error { _, err := s.Orders(ctx, []uuid.UUID{c.OrderID}); return err },
		"FreedSeats":     func(ctx context.Context) error { _, err := s.FreedSeats(ctx, []uuid.UUID{c.OrderID}); return err },
		"Books":          func(ctx context.Context) error { _, err := s.Books(ctx); return err },
	} {
		if err := call(t.Context()); sale.KindOf(err) != sale.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemaRefusesBadStates breaks each rule that the tables themselves keep, whatever the code does.
func TestSchemaRefusesBadStates(t *testing.T) {
	t.Parallel()
	r := setup(t, 2)
	a := r.begin(checkout(0))[0]
	other := r.begin(checkout(1))[0]
	r.exec(`INSERT INTO sold_seats VALUES ('show', 'A-0', $1)`, a.OrderID)
	r.exec(`INSERT INTO refunds (refund_id, order_id, attempt_id, n, state, amount, currency, reason) VALUES ($1, $1, $2, 1, 'requested', 1, 'eur', 'x')`, a.OrderID, a.ID)
	r.exec(`INSERT INTO disputes VALUES ('du_1', $1, 'needs_response', 1, 'eur', 'x', now())`, a.ID)
	r.exec(`INSERT INTO lanes VALUES ('show', 'members', 0.5); INSERT INTO code_batches (batch_id, event_id, lane, codes, uses) VALUES (gen_random_uuid(), 'show', 'members', 10, 1)`)
	broken := map[string]string{
		"events_event_id_check":           `UPDATE events SET event_id = 'no.dots'`,
		"events_name_check":               `UPDATE events SET name = ''`,
		"events_currency_check":           `UPDATE events SET currency = 'EUR'`,
		"events_state_check":              `UPDATE events SET state = 'sold_out'`,
		"events_rate_check":               `UPDATE events SET rate = 'NaN'`,
		"events_seats_check":              `UPDATE events SET seats = 0`,
		"events_max_seats_per_hold_check": `UPDATE events SET max_seats_per_hold = 0`,
		"events_max_seats_per_sale_check": `UPDATE events SET max_seats_per_sale = -1`,
		"events_hold_ttl_ms_check":        `UPDATE events SET hold_ttl_ms = 999`,
		"events_payment_window_ms_check":  `UPDATE events SET payment_window_ms = 3600001`,
		"seats_seat_id_check":             `UPDATE seats SET seat_id = 'a,b' WHERE ordinal = 1`,
		"seats_price_check":               `UPDATE seats SET price = 0`,
		"seats_event_id_ordinal_key":      `UPDATE seats SET ordinal = 0`,
		"seats_event_id_fkey":             `UPDATE seats SET event_id = 'none' WHERE ordinal = 1`,
		"orders_status_check":             `UPDATE orders SET status = 'paid'`,
		"orders_session_check":            `UPDATE orders SET session = '\x00'`,
		"orders_seats_check":              `UPDATE orders SET seats = '{}'`,
		"orders_amount_check":             `UPDATE orders SET amount = 0`,
		"orders_request_hash_check":       `UPDATE orders SET request_hash = '\x00'`,
		"orders_event_id_fkey":            `UPDATE orders SET event_id = 'none'`,
		"sold_seats_pkey":                 `INSERT INTO sold_seats SELECT 'show', 'A-0', order_id FROM orders WHERE seats = '{A-1}'`,
		"sold_seats_order_id_fkey":        `INSERT INTO sold_seats VALUES ('show', 'A-1', gen_random_uuid())`,
		"payment_attempts_state_check":    `UPDATE payment_attempts SET state = 'paid', intent_id = attempt_id::text`,
		"payment_attempts_n_check":        `UPDATE payment_attempts SET n = 0`,
		"payment_attempts_amount_check":   `UPDATE payment_attempts SET amount = -1`,
		"payment_attempts_intent_id_key":  `UPDATE payment_attempts SET intent_id = 'pi_1'`,
		"payment_attempts_order_id_n_key": `INSERT INTO payment_attempts SELECT gen_random_uuid(), order_id, n, 'declined', NULL, amount, currency, payment_method FROM payment_attempts`,
		"payment_attempts_order_id_fkey":  `UPDATE payment_attempts SET order_id = gen_random_uuid()`,
		"money_has_an_intent":             `UPDATE payment_attempts SET state = 'authorized'`,
		"refunded_has_its_refund":         `UPDATE orders SET status = 'refunded'`,
		"the_refund_succeeded":            `UPDATE orders SET refund_state = 'failed'`,
		"orders_refund_fkey":              `UPDATE orders SET status = 'refunded', refunded_by = order_id, refund_state = 'succeeded'`,
		"refunds_state_check":             `UPDATE refunds SET state = 'done'`,
		"refunds_amount_check":            `UPDATE refunds SET amount = 0`,
		"refunds_reason_check":            `UPDATE refunds SET reason = ''`,
		"stripe_knows_the_refund":         `UPDATE refunds SET state = 'succeeded'`,
		"a_failure_says_why":              `UPDATE refunds SET state = 'failed'`,
		"one_live_refund":                 `INSERT INTO refunds (refund_id, order_id, attempt_id, n, state, amount, currency, reason) SELECT gen_random_uuid(), order_id, attempt_id, 2, 'requested', 1, 'eur', 'x' FROM refunds`,
		"disputes_state_check":            `UPDATE disputes SET state = 'open'`,
		"closed_has_its_time":             `UPDATE disputes SET state = 'won'`,
		"disputes_attempt_id_fkey":        `UPDATE disputes SET attempt_id = gen_random_uuid()`,
		"code_batches_codes_check":        `UPDATE code_batches SET codes = 1000001`,
		"code_batches_event_id_lane_fkey": `UPDATE code_batches SET lane = 'nobodys'`,
		"code_batches_uses_check":         `UPDATE code_batches SET uses = 65536`,
		"disputes_amount_check":           `UPDATE disputes SET amount = -1`,
		"disputes_dispute_id_check":       `UPDATE disputes SET dispute_id = ''`,
		"events_draw_secret_check":        `UPDATE events SET draw_secret = '\x00'`,
		"events_shoppers_check":           `UPDATE events SET shoppers = -1`,
		"lanes_event_id_fkey":             `INSERT INTO lanes VALUES ('none', 'members', 0.1)`,
		"lanes_lane_check":                `INSERT INTO lanes VALUES ('show', 'general', 0.1)`,
		"lanes_share_check":               `UPDATE lanes SET share = 1`,
		"refunds_n_check":                 `UPDATE refunds SET n = 0`,
		"refunds_order_id_fkey":           `UPDATE refunds SET order_id = gen_random_uuid()`,
		"refunds_attempt_id_fkey":         `UPDATE refunds SET attempt_id = gen_random_uuid()`,
		"refunds_order_id_n_key":          `INSERT INTO refunds (refund_id, order_id, attempt_id, n, state, failure, amount, currency, reason) SELECT gen_random_uuid(), order_id, attempt_id, n, 'failed', 'x', 1, 'eur', 'x' FROM refunds`,
		"refunds_stripe_id_key":           `INSERT INTO refunds (refund_id, order_id, attempt_id, n, state, stripe_id, failure, amount, currency, reason) SELECT gen_random_uuid(), order_id, attempt_id, g, 'failed', 're_1', 'x', 1, 'eur', 'x' FROM refunds, generate_series(2, 3) g`,
		"sold_counts_event_id_fkey":       `INSERT INTO sold_counts VALUES ('none', 0, 1)`,
		"one_live_attempt":                `INSERT INTO payment_attempts SELECT gen_random_uuid(), order_id, 2, 'started', NULL, amount, currency, payment_method FROM payment_attempts`,
	}
	for name, sql := range broken {
		_, err := r.db.Exec(t.Context(), sql)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.ConstraintName != name {
			t.Errorf("%s did not refuse: %v", name, err)
		}
	}
	// Each rule has its line above, primary keys apart, which every insert rests on, and a key that is there to be pointed at.
	rules := one[[]string](r, `SELECT array_agg(conname::text) FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'u', 'f')
		AND conrelid <> 'schema_version'::regclass AND conname <> 'refunds_refund_id_state_key'`)
	for _, name := range append(rules, one[[]string](r, `SELECT array_agg(c.relname::text) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE c.relnamespace = 'public'::regnamespace AND i.indisunique AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)`)...) {
		if broken[name] == "" {
			t.Errorf("nothing breaks %s", name)
		}
	}
	for _, a := range []sale.Attempt{a, other} {
		if now, err := r.attempt(a.ID); err != nil || now.State != sale.Started {
			t.Errorf("attempt is %v (%v)", now.State, err)
		}
	}
}
