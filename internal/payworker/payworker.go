// Package payworker is the service that deals with Stripe: it authorizes the payment of checkouts, captures
// what was committed, cancels what was not, and settles what webhooks tell. An attempt is recorded before
// Stripe is called, no call is made inside a transaction, and a message is acknowledged only after its outcome
// is in Postgres, so any message may come any number of times.
package payworker

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

// Attempts are the payment attempts on record.
type Attempts interface {
	BeginAttempts(ctx context.Context, checkouts []events.CheckoutRequested) ([]sale.Begun, error)
	Attempts(ctx context.Context, ids []uuid.UUID) ([]sale.Attempt, error)
}

// Authorizations records what Stripe said when it was asked for the money.
type Authorizations interface {
	MarkAuthorized(ctx context.Context, all []sale.Settlement) error
	MarkActionRequired(ctx context.Context, all []sale.Settlement) error
	MarkDeclined(ctx context.Context, all []sale.Settlement) error
}

// Endings records how the money of an attempt ended.
type Endings interface {
	MarkCaptured(ctx context.Context, all []sale.Settlement) error
	MarkCanceled(ctx context.Context, all []sale.Settlement) error
	VoidOrder(ctx context.Context, o events.Order, reason string) (bool, error)
}

// Gateway asks Stripe for money and how an attempt stands.
type Gateway interface {
	Authorize(ctx context.Context, a sale.Attempt) (sale.Intent, error)
	Retrieve(ctx context.Context, intentID string) (sale.Intent, error)
	Find(ctx context.Context, attempt uuid.UUID, since time.Time) (sale.Intent, bool, error)
}

// Till takes authorized money, or lets it go.
type Till interface {
	Capture(ctx context.Context, attempt uuid.UUID, intentID string, try int) (sale.Intent, error)
	Cancel(ctx context.Context, attempt uuid.UUID, intentID string, try int) (sale.Intent, error)
}

// Deps are what the service needs of the world.
type Deps struct {
	Checkouts events.Consume // CHECKOUTS
	Orders    events.Consume // ORDERS
	Webhooks  events.Consume // STRIPE

	Attempts       Attempts
	Authorizations Authorizations
	Endings        Endings
	Gateway        Gateway
	Till           Till
	Relay          func(ctx context.Context) // publishes the outbox of PAYMENTS until ctx ends

	Now func() time.Time
	Log *slog.Logger
}

// group is the size of the worker's transactions.
var group = batch.Config{MaxItems: 128, MaxInFlight: 2, MaxQueue: 4096, Timeout: 10 * time.Second}

type worker struct {
	Deps
	attempts                                                 *batch.Group[uuid.UUID, sale.Attempt]
	begin                                                    *batch.Group[events.CheckoutRequested, sale.Begun]
	authorized, actionRequired, declined, captured, canceled *batch.Group[sale.Settlement, struct{}]
	refusals                                                 refusals
}

// Run works until ctx ends and what was under way is finished.
func Run(ctx context.Context, d Deps) error {
	w := &worker{
		Deps:           d,
		attempts:       batch.New(group, d.Attempts.Attempts),
		begin:          batch.New(group, d.Attempts.BeginAttempts),
		authorized:     batch.New(group, each(d.Authorizations.MarkAuthorized)),
		actionRequired: batch.New(group, each(d.Authorizations.MarkActionRequired)),
		declined:       batch.New(group, each(d.Authorizations.MarkDeclined)),
		captured:       batch.New(group, each(d.Endings.MarkCaptured)),
		canceled:       batch.New(group, each(d.Endings.MarkCanceled)),
	}
	relaying, stopRelay := context.WithCancel(context.WithoutCancel(ctx))
	relayed := make(chan struct{})
	go func() {
		defer close(relayed)
		d.Relay(relaying)
	}()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.Checkouts(gctx, w.checkout) })
	g.Go(func() error { return d.Orders(gctx, w.order) })
	g.Go(func() error { return d.Webhooks(gctx, w.webhook) })
	err := g.Wait()
	stopRelay()
	<-relayed
	return err
}

// each gives a transaction over many settlements a result for every one.
func each(mark func(context.Context, []sale.Settlement) error) func(context.Context, []sale.Settlement) ([]struct{}, error) {
	return func(ctx context.Context, all []sale.Settlement) ([]struct{}, error) {
		return make([]struct{}, len(all)), mark(ctx, all)
	}
}
