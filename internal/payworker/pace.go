package payworker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/pace"
	"onsale/internal/sale"
)

// Pace is the rate of Stripe calls that all workers of the account share.
type Pace interface {
	Turn(ctx context.Context) (context.Context, error)
	Rate() float64                    // calls a second as it was known last, 0 for no limit
	Look(ctx context.Context) float64 // the same as it is now
}

// Holds keeps seats for those who wait for their payment.
type Holds interface {
	Extend(ctx context.Context, eventID string, session sale.SessionHash, id, order uuid.UUID, window time.Duration) (bool, error)
}

// coverSlack is by how much longer than the payment window a hold is kept whose payment is begun: its call may wait for
// its turn, be put off, and be taken up again by another worker.
const coverSlack = time.Minute

// coverAfter is the age of a checkout from which on its hold is extended: the api has just done so.
const coverAfter = 5 * time.Second

// coverLimit bounds how long a checkout waits for Redis: its seats may be had without a hold.
const coverLimit = time.Second

// prepare gets a checkout that was not begun yet ready for it: its seats are held for the time that the payment may take,
// and Stripe's next call is its. The turn comes before the attempt is recorded, because an attempt's time counts from
// then on: one that waits for its turn isn't one that Stripe didn't answer. The context has the turn.
func (w *worker) prepare(ctx context.Context, c events.CheckoutRequested) (context.Context, error) {
	late := w.Now().Sub(c.RequestedAt) > coverAfter
	if !late && w.Pace.Rate() == 0 {
		return ctx, nil // there is nothing to wait for
	}
	id := sale.AttemptID(c.OrderID, 1)
	a, err := w.attempts.Do(ctx, id)
	if err != nil || a.ID == id && a.State != sale.Started {
		return ctx, err // decided by an earlier delivery
	}
	if late {
		w.cover(ctx, c)
	}
	if a.ID == id {
		return ctx, nil // begun by an earlier delivery: its call waits by itself
	}
	turn, err := w.Pace.Turn(ctx)
	if errors.Is(err, pace.ErrNoTurn) {
		return nil, sale.Errorf(sale.Unavailable, sale.CodePaced, "Stripe takes no more calls at the moment").Because(err)
	}
	return turn, err
}

// cover keeps the seats for as long as the payment may take from now on. A hold that has lapsed is no error: whether the
// seats can still be had is the committer's to decide.
func (w *worker) cover(ctx context.Context, c events.CheckoutRequested) {
	if c.PaymentWindowMS <= 0 {
		return // of an older api
	}
	ctx, cancel := context.WithTimeout(ctx, coverLimit)
	defer cancel()
	window := time.Duration(c.PaymentWindowMS)*time.Millisecond + coverSlack
	extended, err := w.Holds.Extend(ctx, c.EventID, c.Session, c.HoldID, c.OrderID, window)
	if away := err != nil; w.holdsAway.Swap(away) != away {
		w.Log.Warn("extend the holds of those who pay", "away", away, "error", err)
	}
	if err != nil || !extended {
		return
	}
	// The seat maps; one that misses it asks Redis in its own time.
	_ = w.Notify(events.NoticeSubject(c.EventID), events.Encode(events.SeatsNotice{V: events.Version, EventID: c.EventID,
		Holds: []events.HoldNotice{{HoldID: c.HoldID, Seats: c.Seats, LeftMS: window.Milliseconds()}}}))
}

// How the rate of payments is measured and told.
const (
	tellEvery = time.Second
	rateKeep  = 0.8 // of the measured rate is kept from one second to the next: it follows a change in some five seconds
)

// flow counts checkouts that Stripe was asked about and are done with, for whoever wants to know how long the next will wait.
type flow struct {
	done atomic.Int64
	rate float64 // checkouts a second that this worker deals with while there are enough
}

// measure takes note of a second in which so many were done, and so many wait after it. Only a second in which the worker
// had enough to do says what it can do.
func (f *flow) measure(done int64, backlog uint64) {
	switch n := float64(done); {
	case float64(backlog) < max(f.rate, 1):
	case f.rate == 0:
		f.rate = n
	default:
		f.rate = rateKeep*f.rate + (1-rateKeep)*n
	}
}

// tell tells the other services each second how payments go, until ctx ends.
func (w *worker) tell(ctx context.Context) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	w.flow.rate = w.Pace.Rate() / events.CallsPerOrder
	w.flow.done.Store(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		may := w.Pace.Look(ctx)
		allowed.Set(may)
		backlog, err := w.Backlog(ctx)
		if err != nil {
			w.flow.done.Store(0)
			continue // the broker is away, and nobody would hear it
		}
		w.flow.measure(w.flow.done.Swap(0), backlog)
		n := events.PaymentsNotice{V: events.Version, Node: w.node, Allowed: may, Rate: w.flow.rate, Backlog: backlog}
		measured.Set(n.Rate)
		waiting.Set(float64(backlog))
		_ = w.Notify(events.PaymentsNoticeSubject, events.Encode(n)) // an older one is soon taken for none
	}
}

// tally counts what happened to an attempt or a refund, by its id.
type tally struct {
	mu sync.Mutex
	n  map[uuid.UUID]int
}

// count adds one, and returns how many there are.
func (t *tally) count(id uuid.UUID) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[uuid.UUID]int{}
	}
	t.n[id]++
	return t.n[id]
}

func (t *tally) of(id uuid.UUID) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n[id]
}

func (t *tally) forget(id uuid.UUID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.n, id)
}

// asked takes note of the answer to a call that this worker made for an attempt or a refund: one that didn't come is
// counted, one that certainly had no effect, because the account's rate left it no turn, is not. What other workers asked
// isn't counted, so it is asked more often rather than given up early.
func (w *worker) asked(id uuid.UUID, err error) {
	switch {
	case sale.KindOf(err) != sale.Unavailable:
		w.asks.forget(id) // decided
	case sale.CodeOf(err) != sale.CodePaced:
		w.asks.count(id)
	}
}
