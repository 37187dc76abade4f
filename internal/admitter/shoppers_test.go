package admitter

import (
	"encoding/binary"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/sale"
)

// open tells of a page that is open from a time to another: an api tells of it again within each half of a pass's life.
func (g *gate) open(from, to time.Duration, arrival uint64) {
	for at := from; at <= to; at += 5 * time.Minute {
		r := report(events.TurnClaimed, at, arrival)
		r.Until = r.At.Add(15 * time.Minute)
		g.take(r)
	}
}

// A page that nobody looks at counts for a stay and no longer; who comes back after the pass had run out begins another.
func TestInside_EndsThoughThePageIsOpen(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	step := func(what string, want int, at time.Duration) {
		t.Helper()
		if got := g.shoppers.inside(began.Add(at)); got != want {
			t.Errorf("%s: %d are inside, want %d", what, got, want)
		}
	}
	g.open(0, 6*time.Hour, 0)
	step("within the stay", 1, 59*time.Minute)
	step("after it", 0, 61*time.Minute)
	step("hours later, with a pass that is good", 0, 6*time.Hour)
	g.open(7*time.Hour, 7*time.Hour, 0)
	step("back again", 1, 7*time.Hour+time.Minute)
	step("and gone", 0, 7*time.Hour+16*time.Minute)
}

// Who leaves the line keeps the pass and so counts until it has run out: leaving and staying inside makes no room. A
// confirmed order does.
func TestInside_LeavingMakesNoRoom(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	g.take(report(events.TurnClaimed, 0, 0))
	g.take(report(events.TurnLeft, time.Minute, 0))
	if n := g.shoppers.inside(began.Add(9 * time.Minute)); n != 1 {
		t.Errorf("%d are inside, and one has a good pass", n)
	}
	if n := g.shoppers.inside(began.Add(10 * time.Minute)); n != 0 {
		t.Errorf("%d are inside after the pass has run out", n)
	}
	o := events.Order{V: events.Version, EventID: "gala", Session: sale.SessionHash{0}, At: began.Add(time.Minute)}
	if g.ordered(events.Message{Data: events.Encode(o)}); g.shoppers.inside(began.Add(2*time.Minute)) != 0 {
		t.Error("who has an order is still inside")
	}
}

// At a start the reports of days are read at once. Visits that ended are not kept meanwhile; a page that was open all
// the time is known by it.
func TestTake_ForgetsTheEndedWhileThePastIsRead(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	most := 0
	for i := range uint64(24 * 60) {
		at := time.Duration(i) * time.Minute
		r := report(events.TurnClaimed, at)
		r.Until = r.At.Add(15 * time.Minute)
		for n := range uint64(20) {
			var session sale.SessionHash
			binary.BigEndian.PutUint64(session[:], 1+i*20+n)
			r.Fans = append(r.Fans, events.Turn{Arrival: i*20 + n, Session: session})
		}
		if g.take(r); i%5 == 0 {
			g.open(at, at, 0)
		}
		most = max(most, len(g.shoppers))
	}
	if most > 20*30 {
		t.Errorf("%d visits are kept at once, and within a pass's life come 300", most)
	}
	if v, known := g.shoppers[sale.SessionHash{}]; !known || v.stays > began.Add(2*time.Hour).UnixMilli() {
		t.Errorf("the page that was always open: %+v", v)
	}
}

// A node whose clock is ahead makes nobody else forgotten.
func TestTake_AClockAheadForgetsNobody(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	now := began.Add(time.Minute)
	g.Now = func() time.Time { return now }
	g.take(report(events.TurnClaimed, 0, 1, 2))
	ahead := report(events.TurnClaimed, time.Hour, 3)
	ahead.Until = ahead.At.Add(10 * time.Minute)
	g.take(ahead)
	if n := g.shoppers.inside(now); n != 3 {
		t.Errorf("%d are inside, want 3", n)
	}
}
