package testenv

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Exec runs one statement on a database of Postgres, for what no store method does: a test that breaks a row, or a
// rule, by hand.
func Exec(t testing.TB, url, statement string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	// As text, so that a type of the test's own, such as a UUID's, needs no codec here.
	if _, err := conn.Exec(t.Context(), statement, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Reader returns a function that runs a statement on a database of Postgres and decodes the one JSON value that it
// answers with, for a test that looks often at what no store method shows. It has one connection, which is closed when
// the test ends, and serves one caller at a time.
func Reader(t testing.TB, url string) func(into any, statement string, args ...any) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return func(into any, statement string, args ...any) error {
		var raw []byte
		if err := conn.QueryRow(context.Background(), statement, args...).Scan(&raw); err != nil {
			return err
		}
		return json.Unmarshal(raw, into)
	}
}
