package redis

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"onsale/internal/sale"
)

// A Redis that lets no new connection in, as one whose password was changed, has done nothing, and nothing may be said to be
// done. Once it lets them in again all is as it was.
func TestRefusedConnectionIsNoAnswer(t *testing.T) {
	t.Parallel()
	r := setup(t)
	ctx, opt := t.Context(), r.db.Options()
	user := fmt.Sprintf("refused-%d", opt.DB) // users are the server's, which other tests share
	as := func(change ...any) {
		t.Helper()
		if err := r.db.Do(ctx, append([]any{"ACL"}, change...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	as("SETUSER", user, "on", ">old", "~*", "+@all")
	t.Cleanup(func() { r.db.Do(context.Background(), "ACL", "DELUSER", user) })
	c, err := Open(fmt.Sprintf("redis://%s:old@%s/%d", user, opt.Addr, opt.DB))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sold, held := r.take(fan(1), long, "A-1"), r.take(fan(2), long, "A-2")
	order := r.bind(sold)
	if err := c.MarkSold(ctx, show, fan(1), sold.ID, order, sold.Seats); err != nil {
		t.Fatal(err)
	}
	before := r.everything()
	as("SETUSER", user, "resetpass", ">new")
	if err := r.db.Do(ctx, "CLIENT", "KILL", "USER", user).Err(); err != nil {
		t.Fatal(err)
	}

	for what, do := range map[string]func() error{
		"void": func() error { return c.MarkVoided(ctx, show, fan(1), order, sold.Seats) },
		"sell": func() error { return c.MarkSold(ctx, show, fan(2), held.ID, uuid.New(), held.Seats) },
		"sell its own": func() error {
			_, err := c.MarkOwnSold(ctx, show, fan(2), held.ID, uuid.New(), held.Seats)
			return err
		},
		"accept": func() error { return c.Accept(ctx, order, sale.Accepted{}) },
		"take": func() error {
			_, err := c.Take(ctx, show, fan(3), []string{"A-3"}, long)
			return err
		},
		"ask whose a seat is": func() error {
			_, err := c.HeldByOthers(ctx, []sale.Claim{{EventID: show, Hold: sold.ID, Seats: held.Seats}})
			return err
		},
		"ask who lives": func() error {
			l := c.liveness()
			l.ask(ctx, show, owner{hold: held.ID.String(), session: fan(2).String()})
			return l.answered(ctx)
		},
	} {
		if err := do(); err == nil {
			t.Errorf("%s: it is said to be done", what)
		}
	}
	as("SETUSER", user, ">old")
	if after := r.everything(); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
	if err := c.MarkVoided(ctx, show, fan(1), order, sold.Seats); err != nil {
		t.Errorf("once it is let in again: %v", err)
	}
}
