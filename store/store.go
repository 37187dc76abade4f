// Package store is Postgres, and the only importer of pgx. Each method is one transaction and one named
// transition, guarded by the state it comes from; losing a race is a result, not an error. Transactions never
// leave this package. The methods of the hot path take many items and settle them in one transaction.
package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/tern/v2/migrate"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"

	"onsale/internal/sale"
	"onsale/migrations"
)

// Store is a pool of connections to one database. Safe for concurrent use.
type Store struct {
	pool     *pgxpool.Pool
	now      func() time.Time
	repeated atomic.Bool // the checkouts last begun were not all new
}

// session is how every connection is set. All statements but those of Books look up a few rows by their keys. The
// planner doesn't know how few: it guesses the length of an array, and a hash join over all seats is what a
// wrong guess costs, on every transaction. So it is left no other plan than the indexes.
var session = map[string]string{
	"timezone": "UTC", "statement_timeout": "20000", "idle_in_transaction_session_timeout": "20000",
	"enable_hashjoin": "off", "enable_mergejoin": "off", "enable_seqscan": "off", "plan_cache_mode": "force_generic_plan",
	"jit": "off", // worth it for none of them
}

// silence is how long a host may say nothing when a connection to it is made, or one that was idle is taken up.
const silence = 5 * time.Second

// configured reads a Postgres URL or DSN. Several hosts in it name a primary and its standbys, of which the one that can be
// written to is taken.
func configured(url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the database URL is not one (it is not shown, since it may hold a password)")
	}
	if cfg.ConnConfig.ValidateConnect == nil { // a standby is behind: what it shows must not be acted on
		cfg.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = silence
	}
	return cfg, nil
}

// Open connects to what a Postgres URL or DSN names. maxConns 0 takes pgx's default.
func Open(ctx context.Context, url string, maxConns int32, now func() time.Time) (*Store, error) {
	cfg, err := configured(url)
	if err != nil {
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	if maxConns > 0 {
		cfg.MaxConns = maxConns
	}
	cfg.PingTimeout = silence
	for name, value := range session {
		cfg.ConnConfig.RuntimeParams[name] = value
	}
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		pgxuuid.Register(conn.TypeMap())
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	return &Store{pool: pool, now: now}, nil
}

// Close ends all connections.
func (s *Store) Close() { s.pool.Close() }

const versionTable = "public.schema_version"

// Migrate brings the schema to this binary's version. Several at once are safe: one does it, the others wait.
func Migrate(ctx context.Context, url string) error {
	cfg, err := configured(url)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	conn, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	if err != nil {
		return fmt.Errorf("connect to postgres: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	m, err := migrator(ctx, conn)
	if err != nil {
		return err
	}
	if err := m.Migrate(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// Check says whether Postgres answers and its schema is the one this binary was written for.
func (s *Store) Check(ctx context.Context) error {
	var have, want int32
	if err := s.pool.QueryRow(ctx, "SELECT version FROM "+versionTable).Scan(&have); err != nil {
		return fmt.Errorf("read schema version (was `onsale migrate` run?): %w", err)
	}
	files, err := migrations.Files.ReadDir(".")
	if err != nil {
		return err
	}
	if want = int32(len(files)); have < want {
		return fmt.Errorf("the schema is at version %d, this binary needs %d: run `onsale migrate`", have, want)
	}
	return nil
}

func migrator(ctx context.Context, conn *pgx.Conn) (*migrate.Migrator, error) {
	m, err := migrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return nil, fmt.Errorf("open migrations: %w", err)
	}
	if err := m.LoadMigrations(migrations.Files); err != nil {
		return nil, fmt.Errorf("load migrations: %w", err)
	}
	return m, nil
}

// retries of a transaction that lost to a deadlock or a race for a unique key. It is run again from the start.
const maxTries = 5

// transact runs do in one transaction: it commits when do returns nil. When Postgres asks for another try, do is
// run again, so it must not have effects of its own.
func (s *Store) transact(ctx context.Context, do func(tx pgx.Tx) error) error {
	var err error
	for range maxTries {
		err = pgx.BeginFunc(ctx, s.pool, do)
		if !passing(err) {
			break
		}
	}
	return classify(err)
}

// atomically sends statements as one transaction in one round trip: what is sent together without a BEGIN of its
// own commits together or not at all. Like transact, it tries again when Postgres asks for that.
func (s *Store) atomically(ctx context.Context, queue func(*pgx.Batch)) error {
	var err error
	for range maxTries {
		var b pgx.Batch
		queue(&b)
		if err = s.pool.SendBatch(ctx, &b).Close(); !passing(err) {
			break
		}
	}
	return classify(err)
}

// errRace says that another transaction was faster; transact tries again.
var errRace = errors.New("another transaction was faster")

func passing(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "40001" || pg.Code == "40P01" // serialization failure, deadlock
	}
	return errors.Is(err, errRace)
}

// elsewhere are the classes of Postgres's errors that say nothing of the data: connections, plans that a migration made
// void, the transaction's state and a standby that is read-only still, prepared statements that a pooler lost, passwords,
// a database that is being restored, rollbacks, tables and columns that are not there yet or not ours to use, resources,
// objects that are not ready, an operator's hand, the system.
var elsewhere = []string{"08", "0A", "25", "26", "28", "3D", "3F", "40", "42501", "42703", "42P01", "53", "55", "57", "58"}

// classify gives an error its kind: one that the database itself raised about the data is a defect, one about
// reaching the database may pass.
func classify(err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case sale.KindOf(err) != sale.Internal:
		return err
	case errors.As(err, &pg) && !slices.ContainsFunc(elsewhere, func(class string) bool { return strings.HasPrefix(pg.Code, class) }):
		return err
	default:
		return sale.Errorf(sale.Unavailable, "database_unavailable", "the database did not answer; try again").Because(err)
	}
}

// constraint is the name of the constraint that err broke, "" for none.
func constraint(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.ConstraintName
	}
	return ""
}
