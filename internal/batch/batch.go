// Package batch is group commit: many callers, few writes. While a write is under way, what arrives is gathered
// and becomes the next one, so a lone caller waits for nobody and a crowd shares the cost of an fsync. The line
// gathers joins with it, the workers gather transactions. It is pure and may be imported by every service.
package batch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"onsale/internal/sale"
)

// Config bounds a Group.
type Config struct {
	MaxItems    int           // items in one write
	MaxInFlight int           // writes at once
	Enough      int           // items for which a write begins beside others; with fewer it waits for those to end
	MaxQueue    int           // items that wait; over it Do refuses with Unavailable
	Timeout     time.Duration // of one write; it does not end with a caller's context
}

// Group gathers items into writes. Make it with New.
type Group[In, Out any] struct {
	cfg   Config
	write func(ctx context.Context, items []In) ([]Out, error)

	mu       sync.Mutex
	queue    []*call[In, Out]
	inFlight int
	idle     sync.WaitGroup
	calls    sync.Pool // of calls whose result has been taken
}

type call[In, Out any] struct {
	item In
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
	c.item = item
	g.mu.Lock()
	if len(g.queue) >= g.cfg.MaxQueue {
		g.mu.Unlock()
		var none Out
		return none, sale.Errorf(sale.Unavailable, "overloaded", "too much waits to be written; try again")
	}
	g.queue = append(g.queue, c)
	g.startLocked()
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

// startLocked begins a write when there is something to write and a free slot.
func (g *Group[In, Out]) startLocked() {
	if len(g.queue) == 0 || g.inFlight >= g.cfg.MaxInFlight || g.inFlight > 0 && len(g.queue) < g.cfg.Enough {
		return
	}
	n := min(len(g.queue), g.cfg.MaxItems)
	calls := g.queue[:n:n]
	g.queue = g.queue[n:]
	if len(g.queue) == 0 {
		g.queue = nil
	}
	g.inFlight++
	g.idle.Add(1)
	go g.flush(calls)
}

func (g *Group[In, Out]) flush(calls []*call[In, Out]) {
	defer g.idle.Done()
	items := make([]In, len(calls))
	for i, c := range calls {
		items[i] = c.item
	}
	outs, err := g.guarded(items)
	if err == nil && len(outs) != len(items) {
		err = fmt.Errorf("batch: %d results for %d items", len(outs), len(items))
	}
	g.mu.Lock()
	g.inFlight--
	g.startLocked()
	g.mu.Unlock()
	for i, c := range calls {
		if err != nil {
			c.err = err
		} else {
			c.out = outs[i]
		}
		c.done <- struct{}{}
	}
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
