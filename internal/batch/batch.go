// Package batch is group commit: many callers, few writes. While a write is under way, what arrives is gathered
// and becomes the next one, so a lone caller waits for nobody and a crowd shares the cost of an fsync. The line
// gathers joins with it, the workers gather transactions. It is pure and may be imported by every service.
package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"onsale/internal/sale"
)

// Config bounds a Group.
type Config struct {
	MaxItems    int           // items in one write
	MaxInFlight int           // writes at once
	Enough      int           // items for which a write begins at once
	Patience    time.Duration // with fewer it begins so long after the one before began; so a lone item waits for nothing
	MaxQueue    int           // items that wait; over it Do refuses with Unavailable
	MaxWait     time.Duration // items that waited longer are refused and not written; 0 for no limit
	Timeout     time.Duration // of one write; it does not end with a caller's context
	// Halve keeps one bad item from failing its neighbours: a write that was refused is made again in halves, down to
	// single items, about 2 log2(n) writes for one among n. A failure of the store itself is everyone's and is not.
	Halve bool
}

// Group gathers items into writes. Make it with New.
type Group[In, Out any] struct {
	cfg   Config
	write func(ctx context.Context, items []In) ([]Out, error)

	mu       sync.Mutex
	queue    []*call[In, Out]
	inFlight int
	began    time.Time   // when the last write began
	overdue  *time.Timer // runs while fewer than Enough wait
	idle     sync.WaitGroup
	calls    sync.Pool // of calls whose result has been taken
}

type call[In, Out any] struct {
	item In
	at   time.Time // when it was queued
	out  Out
	err  error
	done chan struct{} // one result; it has room for it, so that a write waits for nobody
}

// New makes a group. write gets between 1 and MaxItems items and returns a result for each, in their order, or
// one error for all.
func New[In, Out any](cfg Config, write func(ctx context.Context, items []In) ([]Out, error)) *Group[In, Out] {
	if cfg.MaxItems < 1 || cfg.MaxInFlight < 1 || cfg.Enough < 0 || cfg.Enough > cfg.MaxItems || cfg.MaxQueue < cfg.MaxItems || cfg.Timeout <= 0 {
		panic(fmt.Sprintf("batch.New: %+v makes no sense", cfg))
	}
	return &Group[In, Out]{cfg: cfg, write: write}
}

// Do hands item to the next write and waits for its result. When ctx ends first, the item may still be written.
func (g *Group[In, Out]) Do(ctx context.Context, item In) (Out, error) {
	c, ok := g.calls.Get().(*call[In, Out])
	if !ok {
		c = &call[In, Out]{done: make(chan struct{}, 1)}
	}
	now := time.Now()
	c.item, c.at = item, now
	g.mu.Lock()
	if len(g.queue) >= g.cfg.MaxQueue {
		g.mu.Unlock()
		var none Out
		return none, errOverloaded
	}
	g.queue = append(g.queue, c)
	g.startLocked(now)
	g.mu.Unlock()
	if ended := ctx.Done(); ended == nil {
		<-c.done
	} else {
		select {
		case <-c.done:
		case <-ended:
			var none Out
			return none, ctx.Err()
		}
	}
	out, err := c.out, c.err
	*c = call[In, Out]{done: c.done}
	g.calls.Put(c)
	return out, err
}

// Wait returns when nothing is queued or being written. Call it after the last Do has begun.
func (g *Group[In, Out]) Wait() { g.idle.Wait() }

var errOverloaded = sale.Errorf(sale.Unavailable, "overloaded", "too much waits to be written; try again")

// startLocked begins a write when there is something to write, enough of it, and a free slot.
func (g *Group[In, Out]) startLocked(now time.Time) {
	if len(g.queue) == 0 || g.inFlight >= g.cfg.MaxInFlight {
		return
	}
	if len(g.queue) < g.cfg.Enough {
		if wait := g.cfg.Patience - now.Sub(g.began); wait > 0 {
			if g.overdue == nil {
				g.overdue = time.AfterFunc(wait, g.wake)
			}
			return
		}
	}
	g.writeLocked(now)
}

// wake begins the write that waited for its time.
func (g *Group[In, Out]) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.overdue = nil
	g.startLocked(time.Now())
}

// writeLocked begins a write of what has waited longest.
func (g *Group[In, Out]) writeLocked(now time.Time) {
	if g.overdue != nil {
		g.overdue.Stop()
		g.overdue = nil
	}
	n := min(len(g.queue), g.cfg.MaxItems)
	calls := g.queue[:n:n]
	g.queue = g.queue[n:]
	if len(g.queue) == 0 {
		g.queue = nil
	}
	g.began = now
	g.inFlight++
	g.idle.Add(1)
	go g.flush(calls)
}

// fresh refuses the calls that waited too long: their callers are likely gone.
func (g *Group[In, Out]) fresh(calls []*call[In, Out]) []*call[In, Out] {
	if g.cfg.MaxWait == 0 || time.Since(calls[0].at) <= g.cfg.MaxWait {
		return calls
	}
	var kept []*call[In, Out]
	for _, c := range calls {
		if time.Since(c.at) <= g.cfg.MaxWait {
			kept = append(kept, c)
			continue
		}
		c.err = errOverloaded
		c.done <- struct{}{}
	}
	return kept
}

func (g *Group[In, Out]) flush(calls []*call[In, Out]) {
	defer g.idle.Done()
	calls = g.fresh(calls)
	if len(calls) > 0 {
		g.fill(calls)
	}
	g.mu.Lock()
	g.inFlight--
	g.startLocked(time.Now())
	g.mu.Unlock()
	for _, c := range calls {
		c.done <- struct{}{}
	}
}

// fill writes the calls' items, in halves where that is called for, and notes what became of each.
func (g *Group[In, Out]) fill(calls []*call[In, Out]) {
	items := make([]In, len(calls))
	for i, c := range calls {
		items[i] = c.item
	}
	outs, err := g.guarded(items)
	if err == nil && len(outs) != len(items) {
		err = fmt.Errorf("batch: %d results for %d items", len(outs), len(items))
	}
	if half := len(calls) / 2; half > 0 && g.cfg.Halve && refused(err) {
		g.fill(calls[:half])
		g.fill(calls[half:])
		return
	}
	for i, c := range calls {
		if err != nil {
			c.err = err
		} else {
			c.out = outs[i]
		}
	}
}

// refused says whether a write failed for what is in it, and not because the store is away.
func refused(err error) bool {
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false
	}
	kind := sale.KindOf(err)
	return kind != sale.Unavailable && kind != sale.TooMany
}

// guarded writes within the time limit. A panic is an error of this batch: nobody else may suffer from it, and
// its callers must not wait for ever.
func (g *Group[In, Out]) guarded(items []In) (outs []Out, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), g.cfg.Timeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("batch: the write panicked: %v", r)
		}
	}()
	return g.write(ctx, items)
}
