package pace_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"onsale/internal/pace"
)

func paced(l pace.Limit) *pace.Pacer {
	return pace.New(pace.Config{Limit: l, Store: pace.NewBucket(l, time.Now), Call: time.Second, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
}

// TestWhatHasBegunGoesFirst, and what begins is not forgotten over it.
func TestWhatHasBegunGoesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := paced(pace.Limit{Rate: 10, Burst: 1})
		if err := p.Wait(t.Context(), pace.Begin); err != nil { // the bucket is empty
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []pace.Class
		var all sync.WaitGroup
		for _, c := range []pace.Class{pace.Begin, pace.Finish} {
			for range 20 {
				all.Go(func() {
					if err := p.Wait(t.Context(), c); err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					order = append(order, c)
				})
			}
			synctest.Wait() // they stand in line in this order
		}
		all.Wait()
		first := order[:23] // 20 that finish, and what of the others went between
		if n := len(slices.DeleteFunc(slices.Clone(first), func(c pace.Class) bool { return c != pace.Finish })); n != 20 {
			t.Errorf("%d of the first 23 finish something: %v", n, order)
		}
		if !slices.Contains(first[:12], pace.Begin) {
			t.Errorf("nothing begins: %v", order)
		}
	})
}

// TestTurnsComeAtTheRate, by which the time is all that is waited.
func TestTurnsComeAtTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := paced(pace.Limit{Rate: 200, Burst: 20}) // ten at once
		began := time.Now()
		var all sync.WaitGroup
		for range 1020 {
			all.Go(func() {
				if err := p.Wait(t.Context(), pace.Begin); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took < 5*time.Second || took > 5100*time.Millisecond {
			t.Errorf("1020 turns took %v", took)
		}
	})
}

// TestTooLateIsToldAtOnce: whoever can't have a turn in time learns it before the time is up, mostly without a wait.
func TestTooLateIsToldAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := paced(pace.Limit{Rate: 1, Burst: 1})
		ctx, cancel := context.WithTimeout(t.Context(), 16*time.Second) // 10 to wait, 1 to call, 5 to record
		defer cancel()
		began := time.Now()
		var all sync.WaitGroup
		var given, refused, atOnce atomic.Int64
		for range 100 {
			all.Go(func() {
				switch err := p.Wait(ctx, pace.Begin); {
				case err == nil:
					given.Add(1)
				case !errors.Is(err, pace.ErrNoTurn):
					t.Error(err)
				default:
					refused.Add(1)
					if time.Since(began) == 0 {
						atOnce.Add(1)
					}
				}
			})
		}
		all.Wait()
		if took := time.Since(began); given.Load() < 10 || given.Load() > 11 || atOnce.Load() < 85 || took > 10*time.Second {
			t.Errorf("%d had a turn in %v, %d were refused, %d at once", given.Load(), took, refused.Load(), atOnce.Load())
		}
		if err := p.Wait(t.Context(), pace.Begin); err != nil { // who has time is served
			t.Error(err)
		}
	})
}

func TestWhoGoesIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := paced(pace.Limit{Rate: 1, Burst: 1})
		if err := p.Wait(t.Context(), pace.Finish); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := p.Wait(ctx, pace.Finish); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		cancel()
		all.Wait()
		began := time.Now()
		if err := p.Wait(t.Context(), pace.Finish); err != nil || time.Since(began) > 3*time.Second {
			t.Errorf("waited %v behind nobody (%v)", time.Since(began), err)
		}
	})
}

// TestTurnTakenAheadIsUsedOnce by the first call that is made with it.
func TestTurnTakenAheadIsUsedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := paced(pace.Limit{Rate: 1, Burst: 1})
		ctx, err := p.Turn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for i := range 3 {
			if err := p.Wait(ctx, pace.Begin); err != nil || time.Since(began) != time.Duration(i)*time.Second {
				t.Errorf("call %d after %v (%v)", i, time.Since(began), err)
			}
		}
	})
}

// TestLookIsTheRateThatHolds, though this process made no call since it was refused, or at all.
func TestLookIsTheRateThatHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := pace.Limit{Rate: 20, Burst: 2}
		shared := pace.NewBucket(l, time.Now)
		worker := func() *pace.Pacer {
			return pace.New(pace.Config{Limit: l, Store: shared, Call: time.Second, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		}
		refused, idle := worker(), worker()
		refused.Limited(t.Context(), 0)
		for _, want := range []float64{10, 11, 12} {
			for _, p := range []*pace.Pacer{refused, idle} {
				if got := p.Look(t.Context()); got != want || p.Rate() != want {
					t.Errorf("the rate is %g, and known as %g; want %g", got, p.Rate(), want)
				}
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		if got := refused.Look(t.Context()); got != 20 {
			t.Errorf("a minute later it is %g", got)
		}
	})
}

func TestNoLimitIsNoWait(t *testing.T) {
	t.Parallel()
	p := pace.New(pace.Config{Now: time.Now})
	for range 1000 {
		if err := p.Wait(t.Context(), pace.Begin); err != nil {
			t.Fatal(err)
		}
	}
	p.Limited(t.Context(), time.Minute)
	if p.Rate() != 0 || p.Look(t.Context()) != 0 {
		t.Error("there is a rate")
	}
}

// away is a store that can be taken away.
type away struct {
	pace.Store
	gone atomic.Bool
	asks atomic.Int64
}

func (a *away) Reserve(ctx context.Context, n int) (pace.Grant, error) {
	if a.gone.Load() {
		a.asks.Add(1)
		<-ctx.Done()
		return pace.Grant{}, ctx.Err()
	}
	return a.Store.Reserve(ctx, n)
}

// TestStoreThatIsAway: the worker goes on with a share of the rate, says so once, and comes back.
func TestStoreThatIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := pace.Limit{Rate: 40, Burst: 4}
		var log bytes.Buffer
		s := &away{Store: pace.NewBucket(l, time.Now)}
		p := pace.New(pace.Config{Limit: l, Store: s, Call: time.Second, Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
		run := func(n int) time.Duration {
			began := time.Now()
			for range n {
				if err := p.Wait(t.Context(), pace.Finish); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(began)
		}
		s.gone.Store(true)
		if took := run(100); took < 9*time.Second || took > 20*time.Second {
			t.Errorf("100 calls took %v at a quarter of 40 a second", took)
		}
		if p.Rate() != 10 {
			t.Errorf("the rate is %g", p.Rate())
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 || s.asks.Load() > 15 {
			t.Errorf("it was asked %d times, and said %d times:\n%s", s.asks.Load(), n, log.String())
		}
		s.gone.Store(false)
		time.Sleep(2 * time.Second)
		if took := run(100); took > 3*time.Second || p.Rate() != 40 || !strings.Contains(log.String(), "reached again") {
			t.Errorf("after it came back 100 calls took %v, rate %g, and the log is\n%s", took, p.Rate(), log.String())
		}
	})
}
