package testenv_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"onsale/internal/testenv"
)

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func migrations() (migrate func(context.Context, string) error, calls *atomic.Int64) {
	calls = &atomic.Int64{}
	return func(ctx context.Context, url string) error {
		calls.Add(1)
		db, err := sql.Open("pgx", url)
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = db.ExecContext(ctx, `CREATE TABLE seats (id int PRIMARY KEY)`)
		return err
	}, calls
}

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	t.Parallel()
	migrate, calls := migrations()
	t.Run("group", func(t *testing.T) {
		for i := range 24 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				db := open(t, testenv.Postgres(t, migrate))
				if _, err := db.ExecContext(t.Context(), `INSERT INTO seats VALUES (1)`); err != nil {
					t.Error(err) // a key that another test has put there, or no table
				}
			})
		}
	})
	if calls.Load() != 1 {
		t.Errorf("migrate ran %d times", calls.Load())
	}
}

func TestDatabaseIsDroppedWhenTheTestEnds(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("test", func(t *testing.T) {
		url = testenv.Postgres(t, nil)
		conn, err := open(t, url).Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// Still open when the database is dropped: its cleanup comes after this one.
		_ = conn
	})
	if err := open(t, url).PingContext(t.Context()); err == nil {
		t.Error("the database is still there")
	}
}

func TestWithoutMigrateTheDatabaseIsEmpty(t *testing.T) {
	t.Parallel()
	var tables int
	err := open(t, testenv.Postgres(t, nil)).QueryRowContext(t.Context(),
		`SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`).Scan(&tables)
	if err != nil || tables != 0 {
		t.Errorf("%d tables (%v)", tables, err)
	}
}

func TestEachTestHasItsOwnRedis(t *testing.T) {
	t.Parallel()
	for i := range 40 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			options, err := redis.ParseURL(testenv.Redis(t))
			if err != nil {
				t.Fatal(err)
			}
			client := redis.NewClient(options)
			defer client.Close()
			if n, err := client.DBSize(t.Context()).Result(); err != nil || n != 0 {
				t.Errorf("%d keys of another test (%v)", n, err)
			}
			if err := client.Set(t.Context(), "key", i, 0).Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRedisIsEmptyForTheNextTest(t *testing.T) {
	t.Parallel()
	var options *redis.Options
	t.Run("test", func(t *testing.T) {
		var err error
		if options, err = redis.ParseURL(testenv.Redis(t)); err != nil {
			t.Fatal(err)
		}
		client := redis.NewClient(options)
		defer client.Close()
		if err := client.Set(t.Context(), "left", 1, 0).Err(); err != nil {
			t.Fatal(err)
		}
	})
	client := redis.NewClient(options)
	defer client.Close()
	if n, err := client.Exists(t.Context(), "left").Result(); err != nil || n != 0 {
		t.Errorf("the key is still there (%v)", err)
	}
}

func connect(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestEachTestHasItsOwnNATS(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			js := connect(t, testenv.NATS(t))
			for range js.ListStreams(t.Context()).Info() {
				t.Error("a stream of another test is here")
			}
			if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRestartedNATSKeepsItsStreams(t *testing.T) {
	t.Parallel()
	server := testenv.NATSServer(t)
	js := connect(t, server.URL)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	url := server.URL
	server.Stop()
	if _, err := nats.Connect(url); err == nil {
		t.Error("it still answers")
	}
	server.Start()
	if server.URL != url {
		t.Errorf("it moved from %s to %s", url, server.URL)
	}
	stream, err := connect(t, url).Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if message, err := stream.GetMsg(t.Context(), 1); err != nil || string(message.Data) != "kept" {
		t.Errorf("got %v (%v)", message, err)
	}
}
