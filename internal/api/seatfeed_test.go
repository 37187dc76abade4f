package api

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"onsale/events"
)

// Holds lapse by the time that was left, whatever the time of day is elsewhere; what has no notice is found out within
// two seconds, and counted; while Redis is away the map goes on.
func TestSeatFeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o, h, end := theatreNode(t, 1)
		defer end()
		want := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := shown(t, s, o); got != want {
				t.Errorf("the seats are %s, want %s", got, want)
			}
		}
		want(0, "aaa")
		s.sales.heard(events.Encode(events.SeatsNotice{V: 1, EventID: "gala", Holds: []events.HoldNotice{{HoldID: uuid.UUID{1}, Seats: []string{"a"}, LeftMS: 1200}}}))
		h.set(func() { h.held["a"] = true })
		want(cutEvery, "haa")
		h.set(func() { h.held["a"] = false })
		want(1200*time.Millisecond, "aaa")
		h.set(func() { h.held["b"] = true })
		want(2*time.Second, "aha")
		h.set(func() { h.held["b"] = false })
		want(2*time.Second, "aaa")
		h.set(func() { h.sold = []string{"c"} })
		for range 7 { // it is asked for meanwhile
			time.Sleep(5 * time.Second)
			shown(t, s, o)
		}
		want(0, "aas")

		h.set(func() { h.away = errors.New("away") })
		want(3*time.Second, "aas")
		time.Sleep(time.Minute)
		want(0, "aas")
		h.set(func() { h.away = nil })
		time.Sleep(askedFor + 3*time.Second)
		before := h.looked()
		time.Sleep(askedFor)
		if looks := h.looked() - before; looks > 0 {
			t.Errorf("%d looks at a map that nobody asks for", looks)
		}
		h.set(func() { h.held["a"] = true })
		want(0, "has") // who asks again is not shown what was
	})
}

func TestSeatFeed_FailsWhereNothingIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o, h, end := theatreNode(t, 1)
		defer end()
		h.set(func() { h.away = errors.New("away") })
		for range 2 {
			if _, err := s.snapshot(t.Context(), o); err == nil {
				t.Error("all seats are said to be available")
			}
		}
		h.set(func() { h.away = nil })
		if got := shown(t, s, o); got != "aaa" {
			t.Errorf("the seats are %s", got)
		}
	})
}

func TestSeatFeed_FollowsOrders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o, _, end := theatreNode(t, 1)
		defer end()
		order := func(outcome events.OrderOutcome, id byte, seats ...string) {
			s.sales.ordered(events.Message{Data: events.Encode(events.Order{V: 1, Outcome: outcome, OrderID: uuid.UUID{id}, HoldID: uuid.UUID{id}, EventID: "gala", Seats: seats})})
		}
		want := func(want string) {
			t.Helper()
			time.Sleep(cutEvery)
			synctest.Wait()
			if got := shown(t, s, o); got != want {
				t.Errorf("the seats are %s, want %s", got, want)
			}
		}
		order(events.OrderConfirmed, 1, "a") // before anyone asks
		want("saa")
		s.notice(o, uuid.UUID{2}, []string{"b", "c"}, time.Hour)
		want("shh")
		order(events.OrderConfirmed, 3, "c")
		order(events.OrderRejected, 2, "b", "c")
		want("sas")
		order(events.OrderVoided, 1, "a")
		want("aas")
	})
}

// What becomes of holds within a moment is told at once, in order; what nobody hears is counted, and not kept.
func TestNotices_AreGathered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o, h, end := theatreNode(t, 1)
		defer end()
		for i := range byte(3) {
			s.notice(o, uuid.UUID{i}, []string{"a"}, time.Second)
			s.notice(o, uuid.UUID{i}, []string{"a"}, 0)
		}
		time.Sleep(noticeEvery)
		synctest.Wait()
		told := h.heard()
		if len(told) != 1 || len(told[0].Holds) != 6 || told[0].Holds[4].HoldID != (uuid.UUID{2}) || told[0].Holds[4].LeftMS != 980 || told[0].Holds[5].LeftMS != 0 {
			t.Fatalf("told %+v", told)
		}
		for range maxNotices + 10 {
			s.notice(o, uuid.UUID{1}, []string{"a"}, time.Second)
		}
		if n := s.notices.size(); n != maxNotices {
			t.Errorf("%d wait", n)
		}
		h.set(func() { h.missed = true })
		time.Sleep(noticeEvery)
		synctest.Wait()
		if told := h.heard(); len(told) != 1 || s.notices.size() != 0 {
			t.Errorf("told %d times, %d wait", len(told), s.notices.size())
		}
	})
}

// Nodes of an event look at it together only by chance, and one that is looked at by many is looked at once.
func TestSeatFeed_IsMadeOnce(t *testing.T) {
	t.Parallel()
	s, o, h, end := theatreNode(t, 1)
	defer end()
	var all sync.WaitGroup
	var failed atomic.Int64
	for range 50 {
		all.Go(func() {
			if _, err := s.snapshot(t.Context(), o); err != nil {
				failed.Add(1)
			}
		})
	}
	all.Wait()
	if looks := h.looked(); failed.Load() > 0 || looks > 2 {
		t.Errorf("%d failed, and Redis was looked at %d times", failed.Load(), looks)
	}
}
