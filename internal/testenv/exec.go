package testenv

import (
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
