// Package payworker is the service that deals with Stripe: it authorizes the payment of checkouts, captures
// what was committed, cancels what was not, pays back what is refunded, settles what webhooks tell, and ends what
// nobody else ends. An attempt is recorded before
// Stripe is called, no call is made inside a transaction, and a message is acknowledged only after its outcome
// is in Postgres, so any message may come any number of times.
package payworker

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync/atomic"
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
	AttemptOf(ctx context.Context, intentID string) (sale.Attempt, error)
	ClaimStaleAttempts(ctx context.Context, grace, again time.Duration, limit int) ([]sale.Attempt, error)
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
	MarkAbandoned(ctx context.Context, all []sale.Settlement) error
	VoidOrder(ctx context.Context, o events.Order, reason string, heard sale.Webhook) (bool, error)
}

// Refunds are the refunds on record.
type Refunds interface {
	Refund(ctx context.Context, id uuid.UUID) (sale.Refund, error)
	ClaimStaleRefunds(ctx context.Context, since time.Time, again time.Duration, limit int) ([]sale.Refund, error)
	LastRefund(ctx context.Context, attempt uuid.UUID) (sale.Refund, error)
	AdoptRefund(ctx context.Context, attempt uuid.UUID, made sale.Repayment, reason string, heard sale.Webhook) (bool, error)
}

// Returns records what became of money after it was taken.
type Returns interface {
	MarkRefundPending(ctx context.Context, refund uuid.UUID, stripeID string, heard sale.Webhook) error
	MarkRefunded(ctx context.Context, refund uuid.UUID, stripeID string, heard sale.Webhook) (bool, error)
	MarkRefundFailed(ctx context.Context, refund uuid.UUID, stripeID, failure string, heard sale.Webhook) (bool, error)
	MarkDispute(ctx context.Context, d sale.Dispute, heard sale.Webhook) error
}

// Hearing remembers the webhook events that were dealt with.
type Hearing interface {
	HeardWebhooks(ctx context.Context, ids []string) ([]bool, error)
	MarkHeard(ctx context.Context, all []sale.Webhook) error
	ForgetWebhooks(ctx context.Context, before time.Time, limit int) (int, error)
}

// Payback gives money back, and asks how that stands.
type Payback interface {
	Refund(ctx context.Context, r sale.Refund) (sale.Repayment, error)
	Refunds(ctx context.Context, intentID string) ([]sale.Repayment, error)
	Dispute(ctx context.Context, id string) (sale.Dispute, error)
}

// Gateway asks Stripe for money and how an attempt stands.
type Gateway interface {
	Authorize(ctx context.Context, a sale.Attempt) (sale.Intent, error)
	Retrieve(ctx context.Context, intentID string) (sale.Intent, error)
	Find(ctx context.Context, attempt uuid.UUID) (sale.Intent, bool, error)
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
	Payments  events.Consume // PAYMENTS, the requested refunds
	Webhooks  events.Consume // STRIPE

	Attempts       Attempts
	Authorizations Authorizations
	Endings        Endings
	Gateway        Gateway
	Till           Till
	Refunds        Refunds
	Returns        Returns
	Payback        Payback
	Hearing        Hearing
	Pace           Pace
	Holds          Holds
	Backlog        func(ctx context.Context) (uint64, error) // checkouts that are stored and not dealt with, by any worker
	Notify         func(subject string, data []byte) error   // tells who listens

	Grace      time.Duration // after its payment window an undecided attempt is left alone for so long
	SweepEvery time.Duration // how often those are looked for

	Now func() time.Time
	Log *slog.Logger
}

// group is the size of the worker's transactions. A payment takes hundreds of milliseconds at Stripe: the few that each
// of its transactions may wait for others are well spent, since what a transaction costs is mostly its own.
var group = batch.Config{MaxItems: 256, Enough: 128, Patience: 40 * time.Millisecond, MaxInFlight: 2, MaxQueue: 4096, Timeout: 10 * time.Second, Halve: true}

// unhurried is for what nobody waits for: money that was taken, and what was heard of.
func unhurried(c batch.Config) batch.Config {
	c.Patience *= 3
	c.Enough = c.MaxItems
	return c
}

type worker struct {
	Deps
	attempts, later                      *batch.Group[uuid.UUID, sale.Attempt] // looked up while a fan waits, and while nobody does
	begin                                *batch.Group[events.CheckoutRequested, sale.Begun]
	authorized, actionRequired, declined *batch.Group[sale.Settlement, struct{}]
	captured, canceled, abandoned        *batch.Group[sale.Settlement, struct{}]
	heard                                *batch.Group[string, bool]
	hear                                 *batch.Group[sale.Webhook, struct{}]
	refusals                             tally // of captures, by attempt
	asks                                 tally // without an answer, by attempt or refund
	flow                                 flow
	holdsAway                            atomic.Bool
	node                                 string
}

func newWorker(group batch.Config, d Deps) *worker {
	return &worker{
		Deps:           d,
		node:           rand.Text()[:12],
		attempts:       batch.New(group, d.Attempts.Attempts),
		later:          batch.New(unhurried(group), d.Attempts.Attempts),
		begin:          batch.New(group, d.Attempts.BeginAttempts),
		authorized:     batch.New(group, each(d.Authorizations.MarkAuthorized)),
		actionRequired: batch.New(group, each(d.Authorizations.MarkActionRequired)),
		declined:       batch.New(group, each(d.Authorizations.MarkDeclined)),
		captured:       batch.New(unhurried(group), each(d.Endings.MarkCaptured)),
		canceled:       batch.New(group, each(d.Endings.MarkCanceled)),
		abandoned:      batch.New(group, each(d.Endings.MarkAbandoned)),
		heard:          batch.New(unhurried(group), d.Hearing.HeardWebhooks),
		hear:           batch.New(unhurried(group), each(d.Hearing.MarkHeard)),
	}
}

// Run works until ctx ends and what was under way is finished.
func Run(ctx context.Context, d Deps) error {
	w := newWorker(group, d)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.Checkouts(gctx, w.checkout) })
	g.Go(func() error { return w.tell(gctx) })
	g.Go(func() error { return d.Orders(gctx, w.order) })
	g.Go(func() error { return d.Payments(gctx, w.refund) })
	g.Go(func() error { return d.Webhooks(gctx, w.webhook) })
	g.Go(func() error { return w.sweep(gctx) })
	return g.Wait()
}

// each gives a transaction over many items a result for every one.
func each[In any](mark func(context.Context, []In) error) func(context.Context, []In) ([]struct{}, error) {
	return func(ctx context.Context, all []In) ([]struct{}, error) {
		return make([]struct{}, len(all)), mark(ctx, all)
	}
}
