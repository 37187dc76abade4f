package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
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
	eventually(t, "as many wait as may", func() bool { return len(o.best.choosers) == maxChoosers })
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
