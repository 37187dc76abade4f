package batch_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"onsale/internal/batch"
	"onsale/internal/sale"
)

// generous is a bound that no test waits for.
const generous = time.Minute

// gated is a write that waits for the test to let it go.
type gated struct {
	started chan []int
	release chan error
}

func newGated() *gated { return &gated{started: make(chan []int, 100), release: make(chan error)} }

// write doubles its items.
func (w *gated) write(_ context.Context, items []int) ([]int, error) {
	w.started <- slices.Clone(items)
	if err := <-w.release; err != nil {
		return nil, err
	}
	return double(items), nil
}

func double(items []int) []int {
	out := make([]int, len(items))
	for i, v := range items {
		out[i] = 2 * v
	}
	return out
}

// crowd is callers of Do, and what each was answered.
type crowd struct {
	g       *batch.Group[int, int]
	callers sync.WaitGroup
	mu      sync.Mutex
	outs    map[int]int
	errs    map[int]error
}

func (c *crowd) do(ctx context.Context, item int) {
	c.callers.Go(func() {
		out, err := c.g.Do(ctx, item)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.outs == nil {
			c.outs, c.errs = map[int]int{}, map[int]error{}
		}
		c.outs[item], c.errs[item] = out, err
	})
}

// in calls Do with an ended context: it has queued the item when it returns, and waits for nothing.
func (c *crowd) in(t *testing.T, item int) {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.g.Do(ended, item); !errors.Is(err, context.Canceled) {
		t.Fatalf("Do with an ended context = %v", err)
	}
}

func TestGroup_ALoneCallerWaitsForNobody(t *testing.T) {
	t.Parallel()
	w := newGated()
	g := batch.New(batch.Config{MaxItems: 100, MaxInFlight: 1, MaxQueue: 100, Timeout: generous}, w.write)
	c := &crowd{g: g}
	for item := range 3 {
		c.do(t.Context(), item)
		if got := <-w.started; !slices.Equal(got, []int{item}) {
			t.Errorf("the write got %v", got)
		}
		w.release <- nil
		c.callers.Wait()
		if c.outs[item] != 2*item || c.errs[item] != nil {
			t.Errorf("Do(%d) = %d, %v", item, c.outs[item], c.errs[item])
		}
	}
}

// What arrives during a write is the next one, in the order of arrival and up to MaxItems.
func TestGroup_GathersDuringAWrite(t *testing.T) {
	t.Parallel()
	w := newGated()
	g := batch.New(batch.Config{MaxItems: 4, MaxInFlight: 1, MaxQueue: 100, Timeout: generous}, w.write)
	c := &crowd{g: g}
	for item := range 11 {
		c.in(t, item)
	}
	for _, want := range [][]int{{0}, {1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10}} {
		if got := <-w.started; !slices.Equal(got, want) {
			t.Errorf("the write got %v, want %v", got, want)
		}
		w.release <- nil
	}
	g.Wait()
	if len(w.started) != 0 {
		t.Errorf("one more write, of %v", <-w.started)
	}
}

func TestGroup_MaxInFlight(t *testing.T) {
	t.Parallel()
	w := newGated()
	g := batch.New(batch.Config{MaxItems: 2, MaxInFlight: 3, MaxQueue: 100, Timeout: generous}, w.write)
	c := &crowd{g: g}
	for item := range 9 {
		c.in(t, item)
	}
	var first []int
	for range 3 {
		first = append(first, (<-w.started)...)
	}
	slices.Sort(first)
	if !slices.Equal(first, []int{0, 1, 2}) || len(w.started) != 0 {
		t.Errorf("%v are being written, %d more writes have begun", first, len(w.started))
	}
	for _, want := range [][]int{{3, 4}, {5, 6}, {7, 8}} { // each write that ends makes room for one
		w.release <- nil
		if got := <-w.started; !slices.Equal(got, want) {
			t.Errorf("the write got %v, want %v", got, want)
		}
	}
	for range 3 {
		w.release <- nil
	}
	g.Wait()
}

// A lone item begins at once. With fewer than Enough the next write waits for more, or until Patience has passed since
// the one before began, whether or not that has ended.
func TestGroup_Enough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var writes [][]int
		began := time.Now()
		at := map[int]time.Duration{}
		g := batch.New(batch.Config{MaxItems: 10, MaxInFlight: 4, Enough: 3, Patience: 10 * time.Millisecond, MaxQueue: 100, Timeout: generous},
			func(_ context.Context, items []int) ([]int, error) {
				slices.Sort(items)
				writes = append(writes, items)
				for _, item := range items {
					at[item] = time.Since(began)
				}
				return items, nil
			})
		do := func(items ...int) {
			for _, item := range items {
				go func() {
					if _, err := g.Do(t.Context(), item); err != nil {
						t.Errorf("item %d: %v", item, err)
					}
				}()
			}
			synctest.Wait()
		}
		do(1)
		do(2, 3)
		if len(writes) != 1 {
			t.Fatalf("two items did not wait for more: %v", writes)
		}
		do(4)
		time.Sleep(4 * time.Millisecond)
		do(5)
		time.Sleep(100 * time.Millisecond)
		do(6)
		if want := [][]int{{1}, {2, 3, 4}, {5}, {6}}; !slices.EqualFunc(writes, want, slices.Equal) {
			t.Errorf("the writes were %v, want %v", writes, want)
		}
		if at[4] != 0 || at[5] != 10*time.Millisecond || at[6] != 104*time.Millisecond {
			t.Errorf("they began at %v", at)
		}
		g.Wait()
	})
}

// Patience ends the wait for Enough, so that one slow write doesn't hold up a few callers.
func TestGroup_Patience(t *testing.T) {
	t.Parallel()
	w := newGated()
	g := batch.New(batch.Config{MaxItems: 10, MaxInFlight: 2, Enough: 5, Patience: 5 * time.Millisecond, MaxQueue: 100, Timeout: generous}, w.write)
	c := &crowd{g: g}
	for _, item := range []int{1, 2} {
		c.in(t, item)
		if got := <-w.started; !slices.Equal(got, []int{item}) {
			t.Fatalf("the write got %v", got)
		}
	}
	c.in(t, 3) // no slot is free: patience doesn't make one
	select {
	case got := <-w.started:
		t.Fatalf("%v began without a slot", got)
	case <-time.After(50 * time.Millisecond):
	}
	for range 3 {
		w.release <- nil
	}
	g.Wait()
	if got := <-w.started; !slices.Equal(got, []int{3}) {
		t.Errorf("the last write got %v", got)
	}
}

// What waited too long is refused, and not written: nobody waits for it any more.
func TestGroup_MaxWait(t *testing.T) {
	t.Parallel()
	w := newGated()
	g := batch.New(batch.Config{MaxItems: 10, MaxInFlight: 1, MaxQueue: 100, MaxWait: 100 * time.Millisecond, Timeout: generous}, w.write)
	c := &crowd{g: g}
	c.do(t.Context(), 1)
	<-w.started
	c.do(t.Context(), 2)
	time.Sleep(200 * time.Millisecond)
	c.in(t, 3)
	w.release <- nil
	if got := <-w.started; !slices.Equal(got, []int{3}) {
		t.Errorf("the write got %v", got)
	}
	w.release <- nil
	c.callers.Wait()
	if c.errs[1] != nil || c.outs[1] != 2 || sale.KindOf(c.errs[2]) != sale.Unavailable {
		t.Errorf("answered %v, %v", c.outs, c.errs)
	}
	g.Wait()
}

func TestGroup_AFullQueueRefuses(t *testing.T) {
	t.Parallel()
	w := newGated()
	g := batch.New(batch.Config{MaxItems: 2, MaxInFlight: 1, MaxQueue: 3, Timeout: generous}, w.write)
	c := &crowd{g: g}
	for item := range 4 { // one is being written, three wait
		c.in(t, item)
	}
	for range 2 {
		if _, err := g.Do(t.Context(), 99); sale.KindOf(err) != sale.Unavailable || sale.CodeOf(err) != "overloaded" {
			t.Errorf("Do = %v, want Unavailable", err)
		}
	}
	<-w.started
	w.release <- nil
	<-w.started // 1 and 2 are taken out of the queue: there is room for two
	c.in(t, 4)
	c.in(t, 5)
	if _, err := g.Do(t.Context(), 99); sale.KindOf(err) != sale.Unavailable {
		t.Errorf("Do = %v, want Unavailable", err)
	}
	w.release <- nil
	for _, want := range [][]int{{3, 4}, {5}} {
		if got := <-w.started; !slices.Equal(got, want) {
			t.Errorf("the write got %v, want %v", got, want)
		}
		w.release <- nil
	}
	g.Wait()
}

func TestGroup_WaitIsForWhatIsQueuedToo(t *testing.T) {
	t.Parallel()
	var wrote atomic.Int32
	let := make(chan struct{})
	g := batch.New(batch.Config{MaxItems: 1, MaxInFlight: 1, MaxQueue: 10, Timeout: generous}, func(_ context.Context, items []int) ([]int, error) {
		<-let
		for range 1000 {
			runtime.Gosched() // a Wait that returned too early has the time to
		}
		wrote.Add(1)
		return items, nil
	})
	g.Wait() // nothing yet
	c := &crowd{g: g}
	for item := range 3 {
		c.in(t, item)
	}
	close(let)
	g.Wait()
	if got := wrote.Load(); got != 3 {
		t.Errorf("Wait returned after %d writes of 3", got)
	}
}

func TestNew_RefusesNonsense(t *testing.T) {
	t.Parallel()
	good := batch.Config{MaxItems: 2, MaxInFlight: 1, MaxQueue: 2, Timeout: 1}
	for name, alter := range map[string]func(c *batch.Config){
		"no items": func(c *batch.Config) { c.MaxItems = 0 }, "nothing in flight": func(c *batch.Config) { c.MaxInFlight = 0 },
		"more than a batch is enough": func(c *batch.Config) { c.Enough = 3 }, "a queue below a batch": func(c *batch.Config) { c.MaxQueue = 1 }, "no time": func(c *batch.Config) { c.Timeout = 0 },
	} {
		cfg := good
		alter(&cfg)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: New took %+v", name, cfg)
				}
			}()
			batch.New(cfg, newGated().write)
		}()
	}
	batch.New(good, newGated().write)
}

// A thousand callers, each with many items: every one gets its own result, every item is written once, no write
// is too large, and never too many at once.
func TestGroup_Stress(t *testing.T) {
	t.Parallel()
	const callers, each = 1000, 20
	cfg := batch.Config{MaxItems: 64, MaxInFlight: 4, MaxQueue: 2000, Timeout: generous}
	var inFlight, writes atomic.Int32
	var written [callers * each]atomic.Int32
	g := batch.New(cfg, func(_ context.Context, items []int) ([]string, error) {
		if n := inFlight.Add(1); int(n) > cfg.MaxInFlight {
			t.Errorf("%d writes at once", n)
		}
		defer inFlight.Add(-1)
		if len(items) < 1 || len(items) > cfg.MaxItems {
			t.Errorf("a write of %d", len(items))
		}
		outs := make([]string, len(items))
		for i, v := range items {
			written[v].Add(1)
			outs[i] = fmt.Sprint("did ", v)
		}
		runtime.Gosched()
		switch n := writes.Add(1); {
		case n%7 == 0:
			return nil, errors.New("every seventh fails")
		case n%11 == 0:
			panic("every eleventh panics")
		}
		return outs, nil
	})
	var all sync.WaitGroup
	var failed atomic.Int32
	for caller := range callers {
		all.Go(func() {
			for i := range each {
				item := caller*each + i
				out, err := g.Do(t.Context(), item)
				if err != nil {
					failed.Add(1)
				} else if want := fmt.Sprint("did ", item); out != want {
					t.Errorf("Do(%d) = %q", item, out)
				}
			}
		})
	}
	all.Wait()
	g.Wait()
	for item := range written {
		if n := written[item].Load(); n != 1 {
			t.Fatalf("item %d was written %d times", item, n)
		}
	}
	if n := writes.Load(); n >= callers*each {
		t.Errorf("%d writes for %d items: nothing was shared", n, callers*each)
	}
	if n := failed.Load(); n == 0 || n == callers*each {
		t.Errorf("%d callers failed", n)
	}
}
