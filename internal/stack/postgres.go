package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	databaseName = "onsale"
	roleName     = "onsale" // made by initdb, so it owns the server

	maxConnections     = 200
	maxTestConnections = 300 // many parallel tests, each with a pool
)

func postgresData(dir string) string { return filepath.Join(dir, postgresFolder, "data") }

// StartPostgres starts a Postgres as a child, with its files in cfg.Dir, which the caller has to itself, and
// makes the database onsale.
func StartPostgres(ctx context.Context, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	since := time.Now()
	top, err := makeFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	data := postgresData(top)
	major, err := majorOf(data)
	if err != nil {
		return nil, err
	}
	pg, err := findPostgres(ctx, postgresFolders(), major)
	if err != nil {
		return nil, err
	}
	cfg.Progress(fmt.Sprintf("starting Postgres %s in %s", pg.major, data))
	as, err := ownFolder(filepath.Dir(data), "Postgres", "postgres", "nobody")
	if err != nil {
		return nil, err
	}
	if err := awaitLeftovers(ctx, cfg, data); err != nil {
		return nil, err
	}
	if major == "" {
		if err := initData(ctx, cfg, top, pg, as); err != nil {
			return nil, err
		}
	}
	// Nobody works in the folder, so this file is of a server that was killed. Postgres would refuse to
	// start if the file is damaged or its pid is another process by now.
	if err := os.Remove(filepath.Join(data, "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove stale pid file: %w", err)
	}

	l, err := startListener(ctx, top, func(port int) command {
		return command{
			name: "Postgres", server: postgresFolder, path: pg.program("postgres"),
			args: postgresArgs(cfg, data, port), dir: data, as: as,
			orphaned: syscall.SIGQUIT, // ends at once; the next start recovers
		}
	}, func(ctx context.Context, l listener) error { return postgresReady(ctx, l, data) })
	if err != nil {
		return nil, err
	}
	s := newServer(databaseURL(l.port, databaseName), l.ended, l.why, func() error {
		return l.stop(step{syscall.SIGINT, 20 * time.Second}, step{syscall.SIGQUIT, 5 * time.Second})
	})
	if err := ensureDatabase(ctx, l.port); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	cfg.Progress(fmt.Sprintf("Postgres %s is ready at %s (%s)", pg.major, s.URL, took(since)))
	return s, nil
}

// initData makes the data folder beside its place and moves it there when it is whole, so that a start
// that was cut short leaves nothing that looks like one.
func initData(ctx context.Context, cfg Config, top string, pg postgresVersion, as *account) error {
	data := postgresData(top)
	fresh := data + ".new"
	if err := awaitLeftovers(ctx, cfg, fresh); err != nil {
		return err
	}
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("init Postgres: %w", err)
	}
	cfg.Progress("making a new Postgres in " + data)
	locale := "C" // sorts by bytes, on every system
	if runtime.GOOS == "linux" {
		locale = "C.UTF-8" // and knows letters beyond ASCII
	}
	args := []string{"-D", fresh, "-U", roleName, "-E", "UTF8", "--locale=" + locale, "-A", "trust"}
	if !cfg.Durable {
		args = append(args, "--no-sync")
	}
	ch, err := startChild(top, command{
		name: "initdb", server: "initdb", path: pg.program("initdb"), args: args,
		dir: filepath.Dir(data), as: as, orphaned: syscall.SIGKILL,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not done after %s", startLimit))
	defer cancel()
	if err := ch.wait(ctx); err != nil {
		return fmt.Errorf("init Postgres: %w; %s", err, ch.log.tail())
	}
	if err := os.Rename(fresh, data); err != nil {
		return fmt.Errorf("init Postgres: %w", err)
	}
	return nil
}

// postgresArgs sets everything on the command line: the files in the data folder stay as initdb made
// them, and what this version wants holds for a folder that an older one made.
func postgresArgs(cfg Config, data string, port int) []string {
	connections := maxConnections
	if !cfg.Durable {
		connections = maxTestConnections
	}
	settings := []string{
		"listen_addresses=127.0.0.1",
		"port=" + strconv.Itoa(port),
		"unix_socket_directories=", // their paths have a limit that a data folder may exceed
		"max_connections=" + strconv.Itoa(connections),
		"logging_collector=off", // standard error is the log file
		"log_destination=stderr",
		"log_line_prefix=%m [%p] %d ",
		"lc_messages=C",
		"log_timezone=UTC",
		"timezone=UTC",

		// A sale is many short transactions on few rows, and on a small machine.
		"shared_buffers=256MB",
		"effective_cache_size=1GB",
		"work_mem=8MB",
		"random_page_cost=1.1",
		"jit=off",
		"max_parallel_workers_per_gather=0",
		"autovacuum_naptime=10s",
		"autovacuum_vacuum_scale_factor=0.05",

		// Enough to take a base backup of, and few checkpoints while seats are sold.
		"wal_level=replica",
		"wal_compression=on",
		"wal_buffers=1MB", // each connection maps all that it writes to: by turns path sold 8 % less with 16MB, commits as much
		"min_wal_size=128MB",
		"max_wal_size=2GB",
		"checkpoint_timeout=15min",
		"checkpoint_completion_target=0.9",
	}
	if !cfg.Durable {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=128MB")
	}
	args := []string{"-D", data}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

// postgresReady tells whether the Postgres on data answers at l's port.
func postgresReady(ctx context.Context, l listener, data string) error {
	conn, err := pgx.Connect(ctx, databaseURL(l.port, "postgres"))
	if err != nil {
		return err
	}
	defer closeConn(conn)
	var served string
	if err := conn.QueryRow(ctx, `SHOW data_directory`).Scan(&served); err != nil {
		return err
	}
	if served != data {
		return fmt.Errorf("another Postgres has port %d", l.port)
	}
	return nil
}

func ensureDatabase(ctx context.Context, port int) error {
	conn, err := pgx.Connect(ctx, databaseURL(port, "postgres"))
	if err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	defer closeConn(conn)
	var found bool
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, databaseName).Scan(&found)
	if err == nil && !found {
		_, err = conn.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{databaseName}.Sanitize())
	}
	if err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	return nil
}

func databaseURL(port int, name string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", roleName, address(port), name)
}

// closeConn says goodbye even when the context that the connection was used with has ended.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
