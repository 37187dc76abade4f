package store_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"onsale/internal/sale"
	"onsale/store"
)

// A Postgres whose passwords are being changed, or which is being restored, says errors of its own. They tell nothing of what
// it was asked, so it is asked again for as long as one that is away.
func TestPostgresThatIsNotReadyIsAway(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	looked := func(what string, s *store.Store, away bool) {
		t.Helper()
		if _, err := s.Attempts(t.Context(), []uuid.UUID{uuid.New()}); (err != nil) != away || away && sale.KindOf(err) != sale.Unavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
	open := func(change func(u *url.URL)) *store.Store {
		t.Helper()
		u, err := url.Parse(r.url)
		if err != nil {
			t.Fatal(err)
		}
		change(u)
		s, err := store.Open(t.Context(), u.String(), 1, r.clock.Now)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	looked("a database that is not there", open(func(u *url.URL) { u.Path = "/" + uuid.NewString() }), true)
	looked("a role that is not there", open(func(u *url.URL) { u.User = url.User("nobody-" + uuid.NewString()) }), true)
	r.exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`) // as on a standby
	looked("a database that can't be written to", open(func(*url.URL) {}), true)
	if err := store.Migrate(t.Context(), r.url); err == nil || !strings.Contains(err.Error(), "read only") {
		t.Errorf("migrated a database that can't be written to: %v", err)
	}
	r.exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$`)
	r.exec(`ALTER TABLE payment_attempts RENAME TO elsewhere`)
	looked("a table that is not there", r.store, true)
	r.exec(`ALTER TABLE elsewhere RENAME TO payment_attempts; ALTER TABLE payment_attempts ALTER COLUMN payment_method TYPE varchar`)
	s := open(func(*url.URL) {})
	looked("a table that has changed", s, false)
	r.exec(`ALTER TABLE payment_attempts ALTER COLUMN payment_method TYPE text`)
	looked("a plan that a migration made void", s, true)
	looked("the plan made anew", s, false)
}
