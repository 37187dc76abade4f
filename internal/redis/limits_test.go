package redis

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/internal/sale"
	"onsale/internal/testenv"
)

func TestExtendIsForTheOrderThatTheHoldIsBoundTo(t *testing.T) {
	t.Parallel()
	r := setup(t)
	h := r.take(fan(1), time.Minute, "A-1", "A-2")
	extend := func(h sale.Hold, order uuid.UUID, window time.Duration) bool {
		t.Helper()
		ok, err := r.Extend(t.Context(), h.EventID, h.Session, h.ID, order, window)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if extend(h, uuid.New(), long) {
		t.Error("a hold without an order was extended")
	}
	order := uuid.New()
	if err := bind(t.Context(), r.Client, h, order, [32]byte{}, time.Minute, ""); err != nil {
		t.Fatal(err)
	}
	unknown := h
	unknown.ID = uuid.New()
	if extend(h, uuid.New(), long) || extend(unknown, order, long) {
		t.Error("another order's, or no hold, was extended")
	}
	if left := r.left(h); left > time.Minute {
		t.Errorf("a refused extension left %s", left)
	}
	if !extend(h, order, long) {
		t.Error("the hold was not extended")
	}
	if left := r.left(h); left < long-time.Minute || left > long {
		t.Errorf("%s are left, want %s", left, long)
	}
	if !extend(h, order, time.Second) {
		t.Error("a shorter window was refused")
	}
	if left := r.left(h); left < long-time.Minute {
		t.Errorf("it was shortened to %s", left)
	}
	if err := r.MarkSold(t.Context(), show, fan(2), uuid.New(), uuid.New(), []string{"A-2"}); err != nil {
		t.Fatal(err)
	}
	if extend(h, order, 2*long) {
		t.Error("a hold that lost a seat was extended")
	}
	if left := r.left(h); left > long {
		t.Errorf("a refused extension left %s", left)
	}
}

// An order that comes again is given its window anew while the hold's own time lasts, and no more of it after that.
func TestBindAgainExtendsWithinTheHoldsOwnTime(t *testing.T) {
	t.Parallel()
	r := setup(t)
	h := r.take(fan(1), long, "A-1")
	order := uuid.New()
	again := func(window, want time.Duration) {
		t.Helper()
		if err := bind(t.Context(), r.Client, h, order, [32]byte{}, window, ""); err != nil {
			t.Fatal(err)
		}
		if left := r.left(h); left > want || left < want-time.Minute {
			t.Errorf("%s left, want %s", left, want)
		}
	}
	again(2*long, 2*long)
	again(4*long, 4*long)
	if n := r.db.Del(t.Context(), ownTimeKey(show, fan(1))).Val(); n != 1 { // as it lapses
		t.Fatal("the hold has no time of its own")
	}
	again(8*long, 4*long)
}

func TestASessionGetsNoMoreThanTheSaleAllows(t *testing.T) {
	t.Parallel()
	r := setup(t)
	const most = 3
	take := func(session sale.SessionHash, seats ...string) (sale.Hold, error) {
		t.Helper()
		all, err := r.TakeAll(t.Context(), []sale.Wanted{{EventID: show, Session: session, Seats: seats, TTL: long, Most: most}})
		if err != nil {
			t.Fatal(err)
		}
		return all[0].Hold, all[0].Err
	}
	_, err := take(fan(1), "A-1", "A-2", "A-3", "A-4")
	r.refused(err, sale.Conflict, "sale_limit")
	h, err := take(fan(1), "A-1", "A-2")
	if err != nil {
		t.Fatal(err)
	}
	order := r.bind(h)
	for range 3 { // deliveries come more than once, and count once
		if err := r.MarkSold(t.Context(), show, fan(1), h.ID, order, h.Seats); err != nil {
			t.Fatal(err)
		}
	}
	_, err = take(fan(1), "A-5", "A-6")
	r.refused(err, sale.Conflict, "sale_limit")
	var e *sale.Error
	if errors.As(err, &e) && (e.Fields["bought"] != 2 || e.Fields["max_seats_per_sale"] != most) {
		t.Errorf("told %v", e.Fields)
	}
	if _, err := take(fan(2), "A-5", "A-6"); err != nil {
		t.Errorf("another session: %v", err)
	}
	last, err := take(fan(1), "A-7")
	if err != nil {
		t.Fatalf("the last that it may get: %v", err)
	}
	if err := r.Release(t.Context(), last.EventID, last.Session, last.ID, ""); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.MarkVoided(t.Context(), show, fan(1), order, h.Seats); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := take(fan(1), "A-1", "A-2", "A-3"); err != nil {
		t.Errorf("after its order was voided: %v", err)
	}
	if _, err := r.Take(t.Context(), show, fan(3), seats(20, 40), long); err != nil {
		t.Errorf("a sale without a limit: %v", err)
	}
}

func TestARefusalNamesTheHolders(t *testing.T) {
	t.Parallel()
	r := setup(t)
	h := r.take(fan(1), time.Minute, "A-2")
	if err := r.MarkSold(t.Context(), show, fan(2), uuid.New(), uuid.New(), []string{"A-3"}); err != nil {
		t.Fatal(err)
	}
	all, err := r.TakeAll(t.Context(), []sale.Wanted{{EventID: show, Session: fan(3), Seats: seats(1, 4), TTL: long}})
	if err != nil || len(all[0].Holders) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	held, sold := all[0].Holders[0], all[0].Holders[1]
	if held.Seat != "A-2" || held.Session != fan(1) || held.Fence != h.Fence || held.Left <= 0 || held.Left > time.Minute {
		t.Errorf("held: %+v", held)
	}
	if sold.Seat != "A-3" || sold.Session != (sale.SessionHash{}) || sold.Left >= 0 {
		t.Errorf("sold: %+v", sold)
	}
}

// TestNoClockButRedisDecides has two nodes whose clocks are hours apart: holds end by their time to live alone, and what
// each tells of the end is by its own clock.
func TestNoClockButRedisDecides(t *testing.T) {
	t.Parallel()
	ahead := setup(t)
	behind := *ahead.Client
	ahead.now = func() time.Time { return time.Now().Add(5 * time.Hour) }
	behind.now = func() time.Time { return time.Now().Add(-5 * time.Hour) }
	h := ahead.take(fan(1), 300*time.Millisecond, "A-1")
	if left := h.ExpiresAt.Sub(ahead.now()); left > 300*time.Millisecond || left < -patience {
		t.Errorf("the one whose clock is ahead tells %s", left)
	}
	if found, err := behind.Find(t.Context(), show, h.Session, h.ID); err == nil {
		if left := found.ExpiresAt.Sub(behind.now()); left > 300*time.Millisecond || left < -patience {
			t.Errorf("the one whose clock is behind tells %s", left)
		}
	}
	testenv.Eventually(t, "the seat comes free by itself, for both", func() bool {
		_, err := behind.Take(t.Context(), show, fan(2), []string{"A-1"}, long)
		return err == nil
	})
	if _, err := ahead.Find(t.Context(), show, h.Session, h.ID); !errors.Is(err, sale.ErrNoHold) {
		t.Errorf("the hold that lapsed: %v", err)
	}
	if _, err := ahead.Take(t.Context(), show, fan(3), []string{"A-1"}, long); takenSeats(t, err) == nil {
		t.Error("a hold of ten minutes ended for the one whose clock is hours ahead")
	}
}

// TestTwoNodesNeverShareASeat has many goroutines take, pay for and release overlapping sets through two clients, many
// to a round trip. Whatever the order, a seat has one owner, and a hold all of its seats.
func TestTwoNodesNeverShareASeat(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	var nodes [2]*Client
	for i := range nodes {
		c, err := Open(url)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		nodes[i] = c
	}
	pool := seats(0, 16)
	var mu sync.Mutex
	owner := map[string]uuid.UUID{}
	own := func(h sale.Hold, to uuid.UUID) {
		mu.Lock()
		defer mu.Unlock()
		for _, seat := range h.Seats {
			if to != uuid.Nil && owner[seat] != uuid.Nil {
				t.Errorf("%s has two owners", seat)
			}
			owner[seat] = to
		}
	}
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			for range 60 {
				var wanted []sale.Wanted
				for n := range 4 {
					var want []string
					for _, j := range rand.Perm(len(pool))[:1+rand.IntN(4)] {
						want = append(want, pool[j])
					}
					wanted = append(wanted, sale.Wanted{EventID: show, Session: fan(4*i + n), Seats: want, TTL: long})
				}
				got, err := nodes[rand.IntN(2)].TakeAll(t.Context(), wanted)
				if err != nil {
					t.Error(err)
					return
				}
				for _, g := range got {
					if g.Err != nil {
						takenSeats(t, g.Err)
						continue
					}
					own(g.Hold, g.Hold.ID)
					own(g.Hold, uuid.Nil) // before it is given back: from then on it may be another's
					if err := nodes[rand.IntN(2)].Release(t.Context(), g.Hold.EventID, g.Hold.Session, g.Hold.ID, ""); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if left, err := nodes[0].SeatKeys(t.Context(), show); err != nil || len(left) != 0 {
		t.Errorf("left: %+v, %v", left, err)
	}
	var racing sync.WaitGroup
	for i := range 200 {
		racing.Go(func() {
			var want []string
			for _, j := range rand.Perm(len(pool))[:1+rand.IntN(4)] {
				want = append(want, pool[j])
			}
			if h, err := nodes[i%2].Take(t.Context(), show, fan(i), want, long); err == nil {
				own(h, h.ID)
			} else {
				takenSeats(t, err)
			}
		})
	}
	racing.Wait()
	left, err := nodes[1].SeatKeys(t.Context(), show)
	if err != nil {
		t.Fatal(err)
	}
	held := 0
	for _, k := range left {
		if owner[k.Seat].String() != k.Hold {
			t.Errorf("%s is %s's, not %s's", k.Seat, k.Hold, owner[k.Seat])
		}
	}
	for _, id := range owner {
		if id != uuid.Nil {
			held++
		}
	}
	if held != len(left) || held == 0 {
		t.Errorf("%d seats are held in Redis, %d by what was answered", len(left), held)
	}
}
