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
	Orders(ctx context.Context, ids []uuid.UUID) ([]sale.Order, error)
}

// Holds are the seats' holders and sold marks in Redis.
type Holds interface {
	HeldByOthers(ctx context.Context, claims []sale.Claim) ([][]string, error)
	MarkSold(ctx context.Context, eventID string, hold, order uuid.UUID, seats []string) error
	MarkVoided(ctx context.Context, eventID string, order uuid.UUID, seats []string) error
	ReleaseFor(ctx context.Context, eventID string, hold, order uuid.UUID) error
}

// Deps are what the service needs of the world.
type Deps struct {
	Authorized events.Consume // PAYMENTS, the authorized ones
	Orders     events.Consume // ORDERS

	Ledger Ledger
	Holds  Holds
	Relay  func(ctx context.Context) // publishes the outbox of ORDERS until ctx ends
	Log    *slog.Logger
}

// group is the size of a commit. One at a time: what arrives meanwhile makes the next one larger, and two
// would only wait for each other's rows.
var group = batch.Config{MaxItems: 256, MaxInFlight: 1, MaxQueue: 8192, Timeout: 15 * time.Second}

type committer struct {
	Deps
	commits *batch.Group[events.Payment, sale.Committed]
	orders  *batch.Group[uuid.UUID, sale.Order]
}

// Run works until ctx ends and what was under way is finished.
func Run(ctx context.Context, d Deps) error {
	c := &committer{Deps: d}
	c.commits = batch.New(group, c.commit)
	c.orders = batch.New(group, d.Ledger.Orders)
	relaying, stopRelay := context.WithCancel(context.WithoutCancel(ctx))
	relayed := make(chan struct{})
	go func() {
		defer close(relayed)
		d.Relay(relaying)
	}()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.Authorized(gctx, c.authorized) })
	g.Go(func() error { return d.Orders(gctx, c.order) })
	err := g.Wait()
	stopRelay()
	<-relayed
	return err
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
	if sale.KindOf(err) == sale.NotFound {
		// Some payment of the batch has no order. Alone, only the one at fault fails.
		var alone []sale.Committed
		if alone, err = c.commit(ctx, []events.Payment{p}); err == nil {
			result = alone[0]
		}
	}
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

// markSold marks an order's seats, where the order still stands, and asks again after that: deliveries come in any
// order and more than once, and one from before the order was voided must leave no mark behind.
func (c *committer) markSold(ctx context.Context, o events.Order) error {
	voided, err := c.voided(ctx, o)
	if err == nil && !voided {
		if err = c.Holds.MarkSold(ctx, o.EventID, o.HoldID, o.OrderID, o.Seats); err == nil {
			voided, err = c.voided(ctx, o)
		}
	}
	if err == nil && voided {
		err = c.Holds.MarkVoided(ctx, o.EventID, o.OrderID, o.Seats)
	}
	return err
}

func (c *committer) voided(ctx context.Context, o events.Order) (bool, error) {
	now, err := c.orders.Do(ctx, o.OrderID)
	return now.Status == sale.Voided, err
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
		return c.Holds.ReleaseFor(ctx, o.EventID, o.HoldID, o.OrderID)
	case events.OrderVoided:
		return c.Holds.MarkVoided(ctx, o.EventID, o.OrderID, o.Seats)
	}
	return sale.Errorf(sale.Invalid, "bad_message", "an order can't be %q", o.Outcome)
}
