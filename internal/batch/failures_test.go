package batch_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onsale/internal/batch"
	"onsale/internal/sale"
)

// An error is of its own batch: of all of it, and of no other.
func TestGroup_AnErrorIsOfItsBatch(t *testing.T) {
	t.Parallel()
	w := newGated()
	g := batch.New(batch.Config{MaxItems: 3, MaxInFlight: 1, MaxQueue: 100, Timeout: generous}, w.write)
	c := &crowd{g: g}
	c.in(t, 0)
	<-w.started
	for item := 1; item <= 9; item++ {
		c.do(t.Context(), item)
		for g.Queued() < item {
			runtime.Gosched()
		}
	}
	broken := errors.New("disk full")
	w.release <- nil
	for _, outcome := range []error{nil, broken, nil} { // for 1 to 3, 4 to 6, 7 to 9
		<-w.started
		w.release <- outcome
	}
	c.callers.Wait()
	for item := 1; item <= 9; item++ {
		if 4 <= item && item <= 6 {
			if !errors.Is(c.errs[item], broken) || c.outs[item] != 0 {
				t.Errorf("Do(%d) = %d, %v; its batch failed", item, c.outs[item], c.errs[item])
			}
		} else if c.errs[item] != nil || c.outs[item] != 2*item {
			t.Errorf("Do(%d) = %d, %v; its batch did not fail", item, c.outs[item], c.errs[item])
		}
	}
}

// A caller that gives up does not end the write that others wait for too, nor its own item's.
func TestGroup_TheWriteOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	written := make(chan error, 1)
	release := make(chan struct{})
	g := batch.New(batch.Config{MaxItems: 1, MaxInFlight: 1, MaxQueue: 1, Timeout: generous}, func(ctx context.Context, items []int) ([]int, error) {
		<-release
		written <- ctx.Err()
		return items, nil
	})
	c := &crowd{g: g}
	c.in(t, 1)
	close(release)
	g.Wait()
	if err := <-written; err != nil {
		t.Errorf("the write's context ended with its caller's: %v", err)
	}
}

func TestGroup_TheWriteHasALimit(t *testing.T) {
	t.Parallel()
	g := batch.New(batch.Config{MaxItems: 1, MaxInFlight: 1, MaxQueue: 1, Timeout: time.Millisecond}, func(ctx context.Context, _ []int) ([]int, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if _, err := g.Do(t.Context(), 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Do = %v, want context.DeadlineExceeded", err)
	}
}

// A write that panics, or gives results that nobody can assign, fails its batch. Callers are answered, the
// slot is free again, and the next batch is written.
func TestGroup_SurvivesABadWrite(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]func([]int) []int{
		"panics":            func([]int) []int { panic("out of range") },
		"runtime error":     func(items []int) []int { return []int{items[len(items)]} },
		"too few results":   func(items []int) []int { return items[1:] },
		"too many results":  func(items []int) []int { return append(items, 1) },
		"no results at all": func([]int) []int { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := batch.New(batch.Config{MaxItems: 3, MaxInFlight: 1, MaxQueue: 10, Timeout: generous}, func(_ context.Context, items []int) ([]int, error) {
				if slices.Contains(items, 13) {
					return bad(items), nil
				}
				return double(items), nil
			})
			for range 3 {
				if out, err := g.Do(t.Context(), 13); err == nil || out != 0 || sale.KindOf(err) != sale.Internal {
					t.Errorf("Do = %d, %v; want an error", out, err)
				}
				if out, err := g.Do(t.Context(), 2); err != nil || out != 4 {
					t.Errorf("Do after it = %d, %v", out, err)
				}
			}
			g.Wait()
		})
	}
}

// One bad item fails alone, at the cost of few writes; where the store is away nobody is asked again.
func TestHalve(t *testing.T) {
	t.Parallel()
	const n, bad = 64, 37
	for name, c := range map[string]struct {
		err    error
		halve  bool
		failed int
		writes int // at most, after the first
	}{
		"one is refused":    {errors.New("refused"), true, 1, 12},
		"none has an order": {sale.Errorf(sale.NotFound, "none", "none"), true, 1, 12},
		"the store is away": {sale.Errorf(sale.Unavailable, "away", "away"), true, n, 0},
		"it took too long":  {context.DeadlineExceeded, true, n, 0},
		"not asked for":     {errors.New("refused"), false, n, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var writes atomic.Int64
			first := make(chan struct{})
			g := batch.New(batch.Config{MaxItems: n, MaxInFlight: 1, MaxQueue: n, Timeout: time.Minute, Enough: n, Patience: time.Hour, Halve: c.halve},
				func(_ context.Context, items []int) ([]int, error) {
					if len(items) == 1 && items[0] == -1 {
						<-first
						return items, nil
					}
					writes.Add(1)
					if slices.Contains(items, bad) {
						return nil, c.err
					}
					return items, nil
				})
			close(first)
			var failed atomic.Int64
			var all sync.WaitGroup
			if _, err := g.Do(t.Context(), -1); err != nil { // one before, so that the others wait for each other
				t.Fatal(err)
			}
			for i := range n {
				all.Go(func() {
					switch out, err := g.Do(t.Context(), i); {
					case err != nil:
						failed.Add(1)
						if c.failed == 1 && i != bad {
							t.Errorf("%d failed with its neighbour: %v", i, err)
						}
					case out != i:
						t.Errorf("%d was answered with %d", i, out)
					}
				})
			}
			all.Wait()
			if int(failed.Load()) != c.failed || int(writes.Load()) > 1+c.writes {
				t.Errorf("%d failed in %d writes", failed.Load(), writes.Load())
			}
		})
	}
}
