package store_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"

	"onsale/internal/testenv"
	"onsale/migrations"
	"onsale/store"
)

// migrated is a database as it was after a migration.
func migrated(t *testing.T, version int32) (url string, conn *pgx.Conn) {
	t.Helper()
	url = testenv.Postgres(t, nil)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	m, err := migrate.NewMigrator(t.Context(), conn, "public.schema_version")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.LoadMigrations(migrations.Files); err != nil {
		t.Fatal(err)
	}
	if err := m.MigrateTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	return url, conn
}

// Orders that were called refunded before refunds were recorded get one, and all others stay as they are; what is sold is
// counted.
func TestMigrationGivesOldRefundsTheirRows(t *testing.T) {
	t.Parallel()
	url, conn := migrated(t, 3)
	for _, sql := range []string{
		`INSERT INTO events (event_id, name, currency, rate, seats, max_seats_per_hold, hold_ttl_ms, payment_window_ms, draw_secret)
			VALUES ('show', 'A show', 'eur', 5, 1, 6, 120000, 600000, decode(repeat('00', 32), 'hex'))`,
		`INSERT INTO orders (order_id, event_id, session, hold_id, seats, amount, currency, status, request_hash)
			SELECT gen_random_uuid(), 'show', decode(repeat('00', 16), 'hex'), gen_random_uuid(), '{A-1}', 100, 'eur', status, decode(repeat('00', 32), 'hex')
			FROM unnest('{processing,confirmed,refunded,refunded,voided}'::text[]) AS s(status)`,
		`INSERT INTO payment_attempts (attempt_id, order_id, n, state, intent_id, amount, currency, payment_method)
			SELECT gen_random_uuid(), order_id, 1, CASE status WHEN 'processing' THEN 'started' WHEN 'voided' THEN 'canceled' ELSE 'captured' END, 'pi_' || order_id, 100, 'eur', 'pm_1'
			FROM orders`,
		`INSERT INTO seats (event_id, seat_id, ordinal, zone, row_name, number, category, price, x, y) VALUES ('show', 'A-1', 0, 'A', 'A', '1', 'c', 100, 0, 0)`,
		`INSERT INTO sold_seats SELECT event_id, 'A-1', order_id FROM orders WHERE status = 'confirmed'`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	var states string
	if err := conn.QueryRow(t.Context(), `SELECT string_agg(o.status || '/' || a.state || '/' || coalesce(r.state, ''), ' ' ORDER BY o.status)
		FROM orders o JOIN payment_attempts a USING (order_id) LEFT JOIN refunds r ON r.refund_id = o.refunded_by AND r.attempt_id = a.attempt_id`).Scan(&states); err != nil {
		t.Fatal(err)
	}
	if want := "confirmed/captured/ processing/started/ refunded/refunded/succeeded refunded/refunded/succeeded voided/canceled/"; states != want {
		t.Errorf("after the migration %s, want %s", states, want)
	}
	var counted int
	if err := conn.QueryRow(t.Context(), `SELECT sum(seats)::bigint FROM sold_counts WHERE event_id = 'show'`).Scan(&counted); err != nil || counted != 1 {
		t.Errorf("%d sold seats are counted (%v), one is sold", counted, err)
	}
}
