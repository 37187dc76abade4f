package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"onsale/internal/batch"
	"onsale/internal/problem"
	"onsale/internal/redis"
	"onsale/internal/sale"
	"onsale/internal/testenv"
)

// choosingNode is a node on a real Redis with an event of the seats a, b and c, whose clock stands still: what is
// remembered for a moment stays.
func choosingNode(t *testing.T) (*server, *onSale) {
	t.Helper()
	c, err := redis.Open(testenv.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, o, _, end := theatreNode(t, 1)
	t.Cleanup(end)
	now := time.Now()
	s.Now, s.Holds, s.Memory = func() time.Time { return now }, c, c
	s.sales.Deps = s.Deps
	s.takes = batch.New(takeGroup, func(ctx context.Context, wanted []sale.Wanted) ([]sale.Taking, error) {
		return s.Holds.TakeAll(ctx, wanted)
	})
	o.event.Rules = sale.Rules{MaxSeatsPerHold: 3, HoldTTL: time.Minute}
	o.gone.seats, o.best = make([]goneSeat, len(o.seats)), newBestSeats(o.seats)
	return s, o
}

func fan(n int) sale.SessionHash { return sale.HashSession("gala", fmt.Sprint("session-of-fan-", n)) }

// Who would wait behind too many is told to come again, and those before get what there is.
func TestBestSeats_FewWaitForTheChoice(t *testing.T) {
	t.Parallel()
	s, o := choosingNode(t)
	o.best.choosing.Lock()
	errs := make([]error, maxChoosers)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, _, errs[i] = s.holdBest(t.Context(), o, fan(i), bestWish{Quantity: 1}) })
	}
	testenv.Eventually(t, "as many wait as may", func() bool { return len(o.best.choosers) == maxChoosers })
	_, _, err := s.holdBest(t.Context(), o, fan(maxChoosers), bestWish{Quantity: 1})
	var ctx fasthttp.RequestCtx
	problem.Answer(&ctx, slog.New(slog.DiscardHandler), "", err)
	if status := ctx.Response.StatusCode(); status != http.StatusServiceUnavailable || len(ctx.Response.Header.Peek("Retry-After")) == 0 {
		t.Errorf("one more is answered %d: %v", status, err)
	}
	o.best.choosing.Unlock()
	all.Wait()
	held := 0
	for i, err := range errs {
		switch {
		case err == nil:
			held++
		case sale.CodeOf(err) != "not_enough_seats":
			t.Errorf("fan %d: %v", i, err)
		}
	}
	if held != 3 {
		t.Errorf("%d of 3 seats are held", held)
	}
}

// slowRedis is one that a fan's call reaches late.
type slowRedis struct {
	Holds
	late    sale.SessionHash
	waits   chan struct{} // closed once it does
	arrives chan struct{}
	calls   atomic.Int64
}

func (r *slowRedis) TakeAll(ctx context.Context, wanted []sale.Wanted) ([]sale.Taking, error) {
	if r.calls.Add(1); wanted[0].Session == r.late && r.calls.Load() == 1 {
		close(r.waits)
		<-r.arrives
	}
	return r.Holds.TakeAll(ctx, wanted)
}

// Seats that someone was merely offered are not said to be gone: Redis says whose they are.
func TestBestSeats_WhatIsOfferedToOthersMayBeTried(t *testing.T) {
	t.Parallel()
	s, o := choosingNode(t)
	slow := &slowRedis{Holds: s.Holds, late: fan(1), waits: make(chan struct{}), arrives: make(chan struct{})}
	s.Holds = slow
	var err error
	var first sync.WaitGroup
	first.Go(func() { _, _, err = s.holdBest(t.Context(), o, fan(1), bestWish{Quantity: 3}) })
	<-slow.waits // all that there is is offered, and nothing held
	h, seats, err2 := s.holdBest(t.Context(), o, fan(2), bestWish{Quantity: 2})
	if err2 != nil || len(h.Seats) != 2 || len(seats) != 2 {
		t.Errorf("another gets %v (%v)", h.Seats, err2)
	}
	close(slow.arrives)
	first.Wait()
	if sale.CodeOf(err) != "not_enough_seats" {
		t.Errorf("who comes late to Redis is told %v", err)
	}
	asked := slow.calls.Load()
	if _, _, err := s.holdBest(t.Context(), o, fan(3), bestWish{Quantity: 2}); sale.CodeOf(err) != "not_enough_seats" || slow.calls.Load() != asked {
		t.Errorf("with one left: %v, after %d calls", err, slow.calls.Load()-asked)
	}
}
