// Package pace keeps the calls of all workers to an account's limit. It is pure: what the workers share is behind Store.
// Calls that finish what has begun go before those that begin something, and a call that can't have its turn in time is
// refused before it is made, so that its caller can say for certain that nothing has happened.
package pace

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Class is what a call is for.
type Class uint8

const (
	Finish Class = iota // takes, gives back or looks at what has begun: someone is left in the dark until it is done
	Begin               // asks for money, or looks through many payments
	classes
)

func (c Class) String() string { return [...]string{"finish", "begin"}[c] }

// ErrNoTurn refuses a call whose turn would come too late. The call was not made.
var ErrNoTurn = errors.New("the account's rate leaves no turn in time")

const (
	beginEvery  = 8                      // one of so many turns is Begin's while both wait: a thousand refunds must not stop all sales
	batchFor    = 50 * time.Millisecond  // so much time's worth of turns is reserved at once
	storeLimit  = 500 * time.Millisecond // the store answers in this time, or it is away
	askAgain    = time.Second            // after which a store that was away is asked again
	awayShare   = 4                      // of the rate, while the store is away: right for so many workers
	recordSlack = 5 * time.Second        // what a caller needs after its call, to record what came of it
	leastWait   = 5                      // a part of the time that is left may always be waited
)

// Config of a Pacer.
type Config struct {
	Limit Limit
	Store Store         // what is shared with other processes
	Call  time.Duration // how long a call may take, which must fit behind the wait
	Now   func() time.Time
	Log   *slog.Logger
}

// Pacer gives out turns. Safe for concurrent use.
type Pacer struct {
	Config
	alone *Bucket // while the store is away

	mu        sync.Mutex
	waiting   [classes][]*waiter
	running   bool
	given     int       // turns in a row that were Finish's while others waited
	next      time.Time // when the turns that are reserved may be used
	spare     int       // of those, the ones that nobody waited for any more: the next may have them
	rate      float64   // as the store said last
	awayUntil time.Time
	away      bool
}

type waiter struct {
	turn   chan error // nil: it has its turn
	latest time.Time  // zero for none
}

// New makes a pacer. A limit of 0 paces nothing.
func New(cfg Config) *Pacer {
	share := Limit{Rate: cfg.Limit.Rate / awayShare, Burst: max(1, cfg.Limit.Burst/awayShare)}
	return &Pacer{Config: cfg, alone: NewBucket(share, cfg.Now), rate: cfg.Limit.Rate}
}

// Rate is how many calls a second all workers together might make when this process last asked; 0 for no limit.
func (p *Pacer) Rate() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rate
}

// Look asks for the rate that holds now: it changes without a call of this process, with time and with others' refusals.
func (p *Pacer) Look(ctx context.Context) float64 {
	if p.Limit.Rate <= 0 {
		return 0
	}
	return p.heed(p.reserve(ctx, 0))
}

// heed takes note of the rate that a grant tells.
func (p *Pacer) heed(g Grant) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = g.Rate
	return p.rate
}

// turn is one that was waited for ahead of its call.
type turn struct{ used atomic.Bool }

type turnKey struct{}

// Turn waits for a turn of Begin and returns a context whose first Wait has it. So a caller can wait before it commits
// itself to the call.
func (p *Pacer) Turn(ctx context.Context) (context.Context, error) {
	if err := p.Wait(ctx, Begin); err != nil {
		return nil, err
	}
	return context.WithValue(ctx, turnKey{}, &turn{}), nil
}

// Wait returns nil when it is a call's turn. It is ErrNoTurn, as soon as that is known, where the turn comes too late for
// the call and what its caller does after it to fit before ctx's deadline, and ctx's error where that ends.
func (p *Pacer) Wait(ctx context.Context, c Class) error {
	if p.Limit.Rate <= 0 {
		return nil
	}
	if t, ok := ctx.Value(turnKey{}).(*turn); ok && t.used.CompareAndSwap(false, true) {
		return nil
	}
	w := &waiter{turn: make(chan error, 1), latest: p.latest(ctx)}
	p.mu.Lock()
	if w.late(p.soonest(c)) {
		p.mu.Unlock()
		return ErrNoTurn
	}
	p.waiting[c] = append(p.waiting[c], w)
	if !p.running {
		p.running = true
		go p.run(context.WithoutCancel(ctx))
	}
	p.mu.Unlock()
	var late <-chan time.Time
	if !w.latest.IsZero() {
		t := time.NewTimer(w.latest.Sub(p.Now()))
		defer t.Stop()
		late = t.C
	}
	select {
	case err := <-w.turn:
		return err
	case <-late:
		return p.leave(c, w, ErrNoTurn)
	case <-ctx.Done():
		return p.leave(c, w, ctx.Err())
	}
}

// latest is until when a caller may wait: the call, and recording what came of it, must fit behind. A part of the time
// may always be waited, or the second call of a handler would never be made where the first was slow; a call that is cut
// short has an unknown outcome, which its caller can deal with.
func (p *Pacer) latest(ctx context.Context) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Time{}
	}
	left := time.Until(deadline)
	return p.Now().Add(max(left-p.Call-recordSlack, left/leastWait))
}

// late says whether a turn at a time is of no use.
func (w *waiter) late(at time.Time) bool { return !w.latest.IsZero() && at.After(w.latest) }

// soonest is when a call could have its turn if this process were alone. Call it with the lock.
func (p *Pacer) soonest(c Class) time.Time {
	ahead := 0
	for i := range c + 1 {
		ahead += len(p.waiting[i])
	}
	from := p.Now()
	if p.next.After(from) {
		from = p.next
	}
	if p.rate <= 0 || ahead < p.Limit.Burst {
		return from
	}
	return from.Add(span(float64(ahead-p.Limit.Burst), p.rate))
}

// leave takes a waiter out of the line; nil if its turn had come.
func (p *Pacer) leave(c Class, w *waiter, why error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.waiting[c] {
		if other == w {
			p.waiting[c] = append(p.waiting[c][:i], p.waiting[c][i+1:]...)
			return why
		}
	}
	if errors.Is(why, ErrNoTurn) {
		return <-w.turn // it came at the same moment
	}
	return why
}

// run reserves turns and gives them out, for as long as anyone waits.
func (p *Pacer) run(ctx context.Context) {
	for {
		n := p.wanted()
		if n == 0 {
			return
		}
		if !p.kept() {
			g := p.reserve(ctx, n)
			p.reserved(g)
			time.Sleep(g.Wait) // also when nobody waits any more: the turns are this process's
			p.mu.Lock()
			p.spare = n
			p.mu.Unlock()
		}
		p.give()
	}
}

// kept says whether there are turns from before.
func (p *Pacer) kept() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spare > 0
}

// reserved takes note of when the next turns are, and tells those for whom it is too late.
func (p *Pacer) reserved(g Grant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate, p.next = g.Rate, p.Now().Add(g.Wait)
	for c := range p.waiting {
		p.waiting[c] = slices.DeleteFunc(p.waiting[c], func(w *waiter) bool {
			late := w.late(p.next)
			if late {
				w.turn <- ErrNoTurn
			}
			return late
		})
	}
}

// wanted is how many turns to reserve; 0 ends the run.
func (p *Pacer) wanted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, w := range p.waiting {
		n += len(w)
	}
	p.running = n > 0
	return min(n, max(1, int(p.rate*batchFor.Seconds())), max(1, p.Limit.Burst))
}

// give gives out the turns that there are.
func (p *Pacer) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; p.spare > 0; p.spare-- {
		c := Finish
		if len(p.waiting[Begin]) > 0 && (len(p.waiting[Finish]) == 0 || p.given >= beginEvery-1) {
			c = Begin
		}
		if len(p.waiting[c]) == 0 {
			return
		}
		if p.given++; c == Begin || len(p.waiting[Begin]) == 0 {
			p.given = 0
		}
		p.waiting[c][0].turn <- nil
		p.waiting[c] = p.waiting[c][1:]
	}
}

// Limited tells that Stripe refused a call for the account's rate. All workers slow down, and pause where Stripe said for
// how long.
func (p *Pacer) Limited(ctx context.Context, pause time.Duration) {
	if p.Limit.Rate <= 0 {
		return
	}
	p.heed(p.ask(ctx, func(ctx context.Context, s Store) (Grant, error) { return s.Slow(ctx, pause) }))
}

func (p *Pacer) reserve(ctx context.Context, n int) Grant {
	return p.ask(ctx, func(ctx context.Context, s Store) (Grant, error) { return s.Reserve(ctx, n) })
}

// ask asks the shared store, or while that is away this process's own bucket, which has a share of the rate.
func (p *Pacer) ask(ctx context.Context, do func(context.Context, Store) (Grant, error)) Grant {
	p.mu.Lock()
	skip := p.Now().Before(p.awayUntil)
	p.mu.Unlock()
	if !skip {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeLimit)
		g, err := do(bounded, p.Store)
		cancel()
		p.heard(err)
		if err == nil {
			return g
		}
	}
	g, _ := do(ctx, p.alone) // it can't fail
	return g
}

// heard takes note of whether the store answers, and says so when that changes.
func (p *Pacer) heard(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.awayUntil = p.Now().Add(askAgain)
	}
	if away := err != nil; away != p.away {
		if p.away = away; away {
			p.Log.Warn("the shared rate of Stripe calls can't be reached; this worker goes on with a share of it", "rate", p.alone.limit.Rate, "error", err)
		} else {
			p.Log.Info("the shared rate of Stripe calls is reached again")
		}
	}
}
