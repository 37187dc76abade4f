// Package committer is the service that sells seats: it takes authorized payments, many at once, and commits
// seats and orders in one Postgres transaction; and it shows what was decided to Redis, so that sold seats
// can't be held and those of a rejected order come back at once.
package committer

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"onsale/events"
	"onsale/internal/batch"
	"onsale/internal/sale"
)

// Ledger sells seats, each once.
type Ledger interface {
	CommitOrders(ctx context.Context, all []events.Payment, blocked [][]string) ([]sale.Committed, error)
	FreedSeats(ctx context.Context, ids []uuid.UUID) ([]bool, error)
}

// Holds are the seats' holders and sold marks in Redis.
type Holds interface {
	HeldByOthers(ctx context.Context, claims []sale.Claim) ([][]string, error)
	MarkOwnSold(ctx context.Context, eventID string, session sale.SessionHash, hold, order uuid.UUID, seats []string) (bool, error)
	MarkSold(ctx context.Context, eventID string, session sale.SessionHash, hold, order uuid.UUID, seats []string) error
	MarkVoided(ctx context.Context, eventID string, session sale.SessionHash, order uuid.UUID, seats []string) error
	ReleaseFor(ctx context.Context, eventID string, session sale.SessionHash, hold, order uuid.UUID) error
}

// Deps are what the service needs of the world.
type Deps struct {
	Authorized events.Consume // PAYMENTS, the authorized ones
	Orders     events.Consume // ORDERS

	Ledger Ledger
	Holds  Holds
	Log    *slog.Logger
}

// Group is how payments are gathered into commits. Two are under way where there is enough for both, so that the
// database works while a commit is on its way to the disk or is being made. They touch different orders; of two that
// want the same seat the later one waits, and finds it sold.
func Group() batch.Config {
	return batch.Config{MaxItems: 256, MaxInFlight: 2, Enough: 128, Patience: 8 * time.Millisecond, MaxQueue: 8192, Timeout: 15 * time.Second, Halve: true}
}

// lookups is how questions about orders are gathered. Nobody waits for what they are asked for.
var lookups = batch.Config{MaxItems: 256, Enough: 128, Patience: 30 * time.Millisecond, MaxInFlight: 1, MaxQueue: 8192, Timeout: 15 * time.Second, Halve: true}

type committer struct {
	Deps
	commits *batch.Group[events.Payment, sale.Committed]
	freed   *batch.Group[uuid.UUID, bool] // whether an order that was confirmed has given its seats back since
}

// Run works until ctx ends and what was under way is finished.
func Run(ctx context.Context, d Deps) error {
	c := &committer{Deps: d}
	c.commits = batch.New(Group(), c.commit)
	c.freed = batch.New(lookups, d.Ledger.FreedSeats)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.Authorized(gctx, c.authorized) })
	g.Go(func() error { return d.Orders(gctx, c.order) })
	return g.Wait()
}

// authorized commits one payment, together with those that arrive around it.
func (c *committer) authorized(ctx context.Context, m events.Message) error {
	p, err := events.Decode[events.Payment](m.Data)
	if err != nil {
		return err
	}
	if p.Outcome != events.PaymentAuthorized {
		return sale.Errorf(sale.Invalid, "bad_message", "a payment that is %q is not to be committed", p.Outcome)
	}
	result, err := c.commits.Do(ctx, p)
	if err != nil {
		return err
	}
	if result.Status == sale.Rejected {
		c.Log.Info("order rejected", "order_id", p.OrderID, "attempt_id", p.AttemptID, "reason", result.Reason)
	}
	return nil
}

// commit is one transaction. A seat that someone else holds by now is not taken from them.
func (c *committer) commit(ctx context.Context, payments []events.Payment) ([]sale.Committed, error) {
	claims := make([]sale.Claim, len(payments))
	for i, p := range payments {
		claims[i] = sale.Claim{EventID: p.EventID, Hold: p.HoldID, Seats: p.Seats}
	}
	blocked, err := c.Holds.HeldByOthers(ctx, claims)
	if err != nil {
		return nil, err
	}
	return c.Ledger.CommitOrders(ctx, payments, blocked)
}

// markSold marks an order's seats, where the order still stands: deliveries come in any order and more than once, and
// one from before the order was voided or refunded must neither take a seat from who has it since nor leave a mark
// behind. So where someone else has a seat the order is looked up before, and always after; a mark that should not have
// been is there until then.
func (c *committer) markSold(ctx context.Context, o events.Order) error {
	marked, err := c.Holds.MarkOwnSold(ctx, o.EventID, o.Session, o.HoldID, o.OrderID, o.Seats)
	if err != nil {
		return err
	}
	freed, err := c.freed.Do(ctx, o.OrderID)
	if err == nil && !marked && !freed {
		if err = c.Holds.MarkSold(ctx, o.EventID, o.Session, o.HoldID, o.OrderID, o.Seats); err == nil {
			freed, err = c.freed.Do(ctx, o.OrderID)
		}
	}
	if err == nil && freed {
		err = c.Holds.MarkVoided(ctx, o.EventID, o.Session, o.OrderID, o.Seats)
	}
	return err
}

// order shows an order's outcome to Redis. Doing it again changes nothing.
func (c *committer) order(ctx context.Context, m events.Message) error {
	o, err := events.Decode[events.Order](m.Data)
	if err != nil {
		return err
	}
	switch o.Outcome {
	case events.OrderConfirmed:
		return c.markSold(ctx, o)
	case events.OrderRejected:
		return c.Holds.ReleaseFor(ctx, o.EventID, o.Session, o.HoldID, o.OrderID)
	case events.OrderVoided, events.OrderRefunded:
		if !o.Frees() {
			return nil // refunded, and the seats stay theirs
		}
		return c.Holds.MarkVoided(ctx, o.EventID, o.Session, o.OrderID, o.Seats)
	}
	return sale.Errorf(sale.Invalid, "bad_message", "an order can't be %q", o.Outcome)
}
