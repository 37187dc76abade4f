package redis

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/internal/sale"
	"onsale/internal/testenv"
)

func takenSeats(t *testing.T, err error) []string {
	t.Helper()
	var e *sale.Error
	if !errors.As(err, &e) || e.Kind != sale.Conflict || e.Code != "seats_taken" {
		t.Errorf("got %v, want seats_taken", err)
		return nil
	}
	named, _ := e.Fields["seats"].([]string)
	return named
}

func TestTakeIsFoundAsItWasTaken(t *testing.T) {
	t.Parallel()
	r := setup(t)
	before := time.Now()
	h := r.take(fan(1), long, "A-2", "A-1")
	if h.EventID != show || h.Session != fan(1) || !slices.Equal(h.Seats, []string{"A-1", "A-2"}) || h.Fence != 1 || h.Order != "" {
		t.Errorf("got %+v", h)
	}
	if h.ExpiresAt.Before(before.Add(long-time.Second)) || h.ExpiresAt.After(time.Now().Add(long)) {
		t.Errorf("expires at %s", h.ExpiresAt)
	}
	found, err := r.Find(t.Context(), show, h.Session, h.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := found.ExpiresAt.Sub(h.ExpiresAt).Abs(); d > time.Second {
		t.Errorf("expires at %s, %s off", found.ExpiresAt, d)
	}
	found.ExpiresAt, found.Left = h.ExpiresAt, h.Left
	if found.ID != h.ID || found.Fence != h.Fence || found.Session != h.Session || !slices.Equal(found.Seats, h.Seats) || found.EventID != show || found.Order != "" {
		t.Errorf("found %+v, took %+v", found, h)
	}
	if _, err := r.Find(t.Context(), show, fan(1), uuid.New()); !errors.Is(err, sale.ErrNoHold) {
		t.Errorf("unknown hold: %v", err)
	}
	if _, err := r.Find(t.Context(), "other", h.Session, h.ID); !errors.Is(err, sale.ErrNoHold) {
		t.Errorf("a hold of another event: %v", err)
	}
}

func TestTakeIsAllOrNothing(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.take(fan(1), long, "A-2")
	if err := r.MarkSold(t.Context(), show, fan(1), uuid.New(), uuid.New(), []string{"A-4"}); err != nil {
		t.Fatal(err)
	}
	before := r.everything()
	_, err := r.Take(t.Context(), show, fan(2), []string{"A-4", "A-1", "A-2", "A-3"}, long)
	if named := takenSeats(t, err); !slices.Equal(named, []string{"A-2", "A-4"}) {
		t.Errorf("named %v", named)
	}
	if after := r.everything(); after != before {
		t.Errorf("a refused hold left something:\n%s\n%s", before, after)
	}
	r.take(fan(2), long, "A-1", "A-3")
}

func TestOneOf500GetsTheSeat(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var mu sync.Mutex
	var won []sale.Hold
	lost := 0
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() {
			h, err := r.Take(t.Context(), show, fan(i), []string{"A-1"}, long)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, h)
			} else if slices.Equal(takenSeats(t, err), []string{"A-1"}) {
				lost++
			}
		})
	}
	all.Wait()
	if len(won) != 1 || lost != 499 {
		t.Fatalf("%d won, %d lost", len(won), lost)
	}
	if holder := r.db.HGet(t.Context(), seatsKey(show), "A-1").Val(); !strings.HasPrefix(holder, won[0].ID.String()) {
		t.Errorf("the seat is %s's, not %s's", holder, won[0].ID)
	}
}

// TestOverlappingSetsNeverShareASeat has many fans take sets that overlap.
func TestOverlappingSetsNeverShareASeat(t *testing.T) {
	t.Parallel()
	r := setup(t)
	pool := seats(0, 24)
	var mu sync.Mutex
	owner := map[string]uuid.UUID{}
	fences := map[int64]bool{}
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() {
			var want []string
			for _, j := range rand.Perm(len(pool))[:1+rand.IntN(4)] {
				want = append(want, pool[j])
			}
			h, err := r.Take(t.Context(), show, fan(i), want, long)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if named := takenSeats(t, err); len(named) == 0 || slices.ContainsFunc(named, func(s string) bool { return !slices.Contains(want, s) }) {
					t.Errorf("wanted %v, named %v", want, named)
				}
				return
			}
			if fences[h.Fence] {
				t.Errorf("fence %d twice", h.Fence)
			}
			fences[h.Fence] = true
			for _, s := range want {
				if owner[s] != uuid.Nil {
					t.Errorf("%s belongs to %s and %s", s, owner[s], h.ID)
				}
				owner[s] = h.ID
			}
		})
	}
	all.Wait()
	found, err := r.SeatKeys(t.Context(), show)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != len(owner) {
		t.Errorf("%d seats are held, %d were given", len(found), len(owner))
	}
	for _, k := range found {
		if k.Hold != owner[k.Seat].String() {
			t.Errorf("%s is %s's, not %s's", k.Seat, k.Hold, owner[k.Seat])
		}
	}
}

func TestOneSessionHasOneHold(t *testing.T) {
	t.Parallel()
	r := setup(t)
	first := r.take(fan(1), long, "A-1", "A-2")
	for _, same := range [][]string{{"A-1", "A-2"}, {"A-2", "A-1"}} {
		again := r.take(fan(1), time.Hour, same...)
		if again.ID != first.ID || again.Fence != first.Fence || again.ExpiresAt.After(first.ExpiresAt.Add(time.Second)) {
			t.Errorf("got %+v, want %+v", again, first)
		}
	}
	for _, others := range [][]string{{"A-3"}, {"A-1"}, {"A-1", "A-2", "A-3"}} {
		_, err := r.Take(t.Context(), show, fan(1), others, long)
		r.refused(err, sale.Conflict, "session_has_hold")
		var e *sale.Error
		if errors.As(err, &e) && e.Fields["hold_id"] != first.ID.String() {
			t.Errorf("named %v", e.Fields)
		}
	}
	if err := r.Release(t.Context(), first.EventID, first.Session, first.ID, ""); err != nil {
		t.Fatal(err)
	}
	if next := r.take(fan(1), long, "A-3"); next.ID == first.ID || next.Fence <= first.Fence {
		t.Errorf("got %+v after %+v", next, first)
	}
	r.take(fan(2), long, "A-1", "A-2") // though their last owner's session has a hold
}

// TestThoseOfOneRoundSeeEachOther: what one of many that are answered at once got is refused to the next.
func TestThoseOfOneRoundSeeEachOther(t *testing.T) {
	t.Parallel()
	r := setup(t)
	want := func(session int, seats ...string) sale.Wanted {
		return sale.Wanted{EventID: show, Session: fan(session), Seats: seats, TTL: long}
	}
	got, err := r.TakeAll(t.Context(), []sale.Wanted{
		want(1, "A-1", "A-2"), want(2, "A-2", "A-3"), want(3, "A-3"), want(1, "A-2", "A-1"), want(1, "A-4"), want(4, "A-4"),
	})
	if err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	for _, i := range []int{0, 2, 5} {
		if got[i].Err != nil || got[i].Hold.Fence <= last {
			t.Fatalf("number %d: %+v after fence %d", i, got[i], last)
		}
		last = got[i].Hold.Fence
	}
	if named := takenSeats(t, got[1].Err); !slices.Equal(named, []string{"A-2"}) {
		t.Errorf("named %v", named)
	}
	if h := got[1].Holders; len(h) != 1 || h[0].Session != fan(1) || h[0].Fence != got[0].Hold.Fence || h[0].Left <= 0 || h[0].Left > long {
		t.Errorf("the holders: %+v", h)
	}
	if again := got[3]; again.Err != nil || again.Hold.ID != got[0].Hold.ID || again.Hold.Fence != got[0].Hold.Fence {
		t.Errorf("the same again: %+v, want %+v", again, got[0])
	}
	r.refused(got[4].Err, sale.Conflict, "session_has_hold")
	if next := r.take(fan(5), long, "A-5"); next.Fence <= last {
		t.Errorf("fence %d in the next round, after %d", next.Fence, last)
	}
}

// TestOneSessionManyTimesAtOnce is a double click, or two tabs.
func TestOneSessionManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var mu sync.Mutex
	ids := map[uuid.UUID]bool{}
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			h, err := r.Take(t.Context(), show, fan(1), seats(i%5, i%5+1), long)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				ids[h.ID] = true
			} else {
				r.refused(err, sale.Conflict, "session_has_hold")
			}
		})
	}
	all.Wait()
	if held, err := r.SeatKeys(t.Context(), show); err != nil || len(ids) != 1 || len(held) != 1 {
		t.Errorf("holds %v, seats %v (%v)", ids, held, err)
	}
}

func TestEventsDoNotShareSeatsOrSessions(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.take(fan(1), long, "A-1")
	if _, err := r.Take(t.Context(), "other", fan(1), []string{"A-1"}, long); err != nil {
		t.Error(err)
	}
}

func TestFenceGrows(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var last int64
	for i := range 20 {
		h := r.take(fan(i), long, "A-1")
		if h.Fence <= last {
			t.Errorf("fence %d after %d", h.Fence, last)
		}
		last = h.Fence
		if err := r.Release(t.Context(), h.EventID, h.Session, h.ID, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAHoldIsOneKeyThatExpires: all that a hold has ends with one time to live, so its seats come free together. What it
// leaves among the event's seats is nobody's: TestExpiryFreesTheSeats.
func TestAHoldIsOneKeyThatExpires(t *testing.T) {
	t.Parallel()
	r := setup(t)
	h := r.take(fan(1), long, "A-1", "A-2")
	has := func(want ...string) {
		t.Helper()
		keys, err := r.db.Keys(t.Context(), "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(keys)
		if !slices.Equal(keys, want) {
			t.Errorf("keys: %v, want %v", keys, want)
		}
		if left := r.left(h); left <= 0 || left > long {
			t.Errorf("the hold has %s left", left)
		}
	}
	has(tag(show)+":fence", holdKey(show, fan(1)), seatsKey(show))
	r.bind(h) // what is left of its own time is kept beside it, and ends as well
	has(tag(show)+":fence", holdKey(show, fan(1)), ownTimeKey(show, fan(1)), seatsKey(show))
	if left := r.db.PTTL(t.Context(), ownTimeKey(show, fan(1))).Val(); left <= 0 || left > long {
		t.Errorf("the hold's own time has %s left", left)
	}
}

func TestExpiryFreesTheSeats(t *testing.T) {
	t.Parallel()
	r := setup(t)
	h := r.take(fan(1), 60*time.Millisecond, "A-1", "A-2")
	var next sale.Hold
	testenv.Eventually(t, "the seats are free", func() bool {
		var err error
		next, err = r.Take(t.Context(), show, fan(2), []string{"A-2", "A-1"}, long)
		return err == nil
	})
	if next.Fence <= h.Fence {
		t.Errorf("fence %d after %d", next.Fence, h.Fence)
	}
	if _, err := r.Find(t.Context(), show, h.Session, h.ID); !errors.Is(err, sale.ErrNoHold) {
		t.Errorf("the lapsed hold: %v", err)
	}
	r.refused(bind(t.Context(), r.Client, h, uuid.New(), [32]byte{}, long, ""), sale.NotFound, "hold_not_found")
	r.refused(r.Release(t.Context(), h.EventID, h.Session, h.ID, ""), sale.NotFound, "hold_not_found")
	r.take(fan(1), long, "A-3") // the session is free as well
	if found, err := r.Find(t.Context(), show, next.Session, next.ID); err != nil || !slices.Equal(found.Seats, next.Seats) {
		t.Errorf("the late release harmed the next hold: %+v (%v)", found, err)
	}
}
