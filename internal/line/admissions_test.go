package line_test

import (
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/sale"
)

const event = "gala"

var began = time.Date(2026, 3, 14, 18, 0, 0, 0, time.UTC)

// seen is a line that so many joined, and whose lobby was drawn.
func seen(joined uint64) line.Seen {
	d, e := line.Evidence(event, 1, draw.Secret{}, nil, draw.NewTree().Root(), map[string]uint64{"": 0})
	return line.Seen{Joined: map[string]uint64{"": joined}, Draw: d, Drawn: e, Line: &events.LineHead{Read: 1, Root: strings.Repeat("ab", 32)}}
}

// want is what the operator asks for; SoldOut stands for an open sale with nothing left.
func want(state sale.State, rate float64) line.Control {
	if state == sale.SoldOut {
		return line.Control{State: sale.Open, Rate: rate}
	}
	return line.Control{State: state, Rate: rate, SeatsLeft: 1}
}

// records is an admission log as one admitter knows it.
type records struct {
	last    *events.Admission
	written []byte
	n       uint64 // of the last record, which an append must name
}

// journal is an admission log that takes a record only from who knows the last one, and keeps what was admitted when.
type journal struct {
	records
	t       *testing.T
	entries []entry
}

type entry struct {
	at     time.Time
	called uint64 // in all lanes, up to this record
	reason string
}

// calledBy is how many were called up to a record, in all lanes, those who had left not counted.
func calledBy(a events.Admission) uint64 {
	var passed uint64
	for _, l := range line.Lanes(a) {
		passed += l.Serving
	}
	return passed - a.Skipped
}

// opened is the log of a sale that was opened when the simulation begins.
func opened(t *testing.T, rate float64) *journal {
	t.Helper()
	l := &journal{t: t}
	l.step(want(sale.Lobby, rate), 0, began.Add(-time.Hour))
	l.step(want(sale.Open, rate), 0, began)
	if l.last == nil || l.last.State != sale.Open || l.last.Serving != 0 {
		t.Fatalf("the sale did not open: %+v", l.last)
	}
	return l
}

func (l *journal) step(c line.Control, joined uint64, now time.Time) {
	l.look(c, seen(joined), now)
}

// look appends what follows from what an admitter sees, and says whether anything does.
func (l *journal) look(c line.Control, s line.Seen, now time.Time) bool {
	l.t.Helper()
	next, due := line.Next(l.last, l.written, event, c, s, now)
	return due && l.append(next, l.n)
}

func (l *journal) append(next events.Admission, expect uint64) bool {
	if expect != l.n {
		return false
	}
	l.t.Helper()
	if err := line.Obeys(l.written, l.last, next); err != nil {
		l.t.Fatalf("%v: %s does not follow %s", err, events.Encode(next), l.written)
	}
	l.written = events.Encode(next)
	read, err := events.Decode[events.Admission](l.written)
	if err != nil {
		l.t.Fatal(err)
	}
	l.last, l.n = &read, l.n+1 // as another admitter reads it
	if next.N != l.n {
		l.t.Fatalf("record %d has number %d", l.n, next.N)
	}
	l.entries = append(l.entries, entry{next.At, calledBy(next), next.Reason})
	return true
}

// checkEveryWindow looks at each pair of records. With S admitted up to and with j, and s before i, it must be
// that S - s <= rate*(tj - ti) + rate*window + 1, so S - rate*tj is held against the least s - rate*ti so far.
func (l *journal) checkEveryWindow(rate float64) {
	l.t.Helper()
	allowed := rate*line.BurstWindow.Seconds() + 1 + 1e-3 // a thousandth of a fan for what floats lose
	least, before := math.Inf(1), uint64(0)
	for i, e := range l.entries {
		paced := rate * e.at.Sub(began).Seconds()
		least = min(least, float64(before)-paced)
		if over := float64(e.called) - paced - least; over > allowed {
			l.t.Fatalf("record %d: some window up to %v admits %.4f fans above the rate of %g, %.4f are allowed", i+1, e.at.Sub(began), over, rate, allowed)
		}
		before = e.called
	}
}

// Whatever the operator wants, a line begins in its lobby, with the hash of a secret that it keeps.
func TestNext_FirstRecord(t *testing.T) {
	t.Parallel()
	secret := draw.Secret{1, 2, 3}
	for _, c := range []struct{ want, state sale.State }{
		{sale.Lobby, sale.Lobby}, {sale.Open, sale.Lobby}, {sale.Paused, sale.Lobby}, {sale.SoldOut, sale.Lobby}, {sale.Closed, sale.Closed},
	} {
		wanted := want(c.want, 5)
		wanted.Secret, wanted.Beacon, wanted.Cap = secret, "chain/9", 40
		wanted.Lanes = []line.LaneControl{{Name: "presale", Share: 0.25, Granted: 7}}
		got, due := line.Next(nil, nil, event, wanted, seen(1000), began)
		first := events.Admission{
			V: events.Version, EventID: event, N: 1, State: c.state, Rate: 5, Cap: 40, Reason: "created", PacedTo: began, At: began,
			Lanes: []events.Lane{{Name: "presale", Share: 0.25, Granted: 7}}, Commitment: draw.Commitment(secret).String(), Beacon: "chain/9",
		}
		if diff := cmp.Diff(first, got); !due || diff != "" {
			t.Errorf("the first record of a sale that shall be %s (-want +got):\n%s", c.want, diff)
		}
		if strings.Contains(string(events.Encode(got)), hex.EncodeToString(secret[:])) {
			t.Error("the secret stands in the first record")
		}
	}
}

// in is a log whose last record has a state: the lobby is drawn first.
func in(t *testing.T, state sale.State, rate float64) *journal {
	t.Helper()
	l := &journal{t: t}
	l.step(want(sale.Lobby, rate), 0, began.Add(-time.Minute))
	if state != sale.Lobby {
		l.step(want(state, rate), 0, began.Add(-time.Second))
	}
	if l.last.State != state {
		t.Fatalf("the log ends with %+v, want %s", l.last, state)
	}
	return l
}

// Every change that the operator or the last seat makes is a record with its reason; it admits nobody.
func TestNext_Reasons(t *testing.T) {
	t.Parallel()
	const lobby, open, paused, soldOut, closed = sale.Lobby, sale.Open, sale.Paused, sale.SoldOut, sale.Closed
	for _, c := range []struct {
		from, to sale.State
		rate     float64 // to; it was 5
		reason   string  // "" for no record
	}{
		{lobby, lobby, 5, ""}, {lobby, open, 5, "opened"}, {lobby, paused, 5, "paused"}, {lobby, closed, 5, "closed"}, {lobby, soldOut, 5, "sold_out"},
		{open, paused, 5, "paused"}, {open, soldOut, 5, "sold_out"}, {open, closed, 5, "closed"},
		{paused, paused, 5, ""}, {paused, open, 5, "resumed"}, {paused, soldOut, 5, "sold_out"}, {paused, closed, 5, "closed"},
		{soldOut, soldOut, 5, ""}, {soldOut, open, 5, "seats_returned"}, {soldOut, paused, 5, "paused"}, {soldOut, closed, 5, "closed"},
		{lobby, lobby, 6, "rate_raised"}, {open, open, 6, "rate_raised"}, {open, open, 4, "rate_lowered"}, {paused, paused, 6, "rate_raised"},
		{open, open, line.MaxRate, "released"}, {paused, paused, line.MaxRate, "released"},
		{paused, open, 6, "resumed"}, // both at once: the state is what fans see
	} {
		l := in(t, c.from, 5)
		now := began.Add(time.Hour)
		got, due := line.Next(l.last, l.written, event, want(c.to, c.rate), seen(0), now)
		if due != (c.reason != "") || due && (got.Reason != c.reason || got.State != c.to || got.Rate != c.rate) {
			t.Errorf("from %s to %s at %g: Next = %+v, %v; want %q", c.from, c.to, c.rate, got, due, c.reason)
		}
		if got, due = line.Next(l.last, l.written, event, want(c.to, c.rate), seen(1000), now); due && got.Reason != "admitted" && (got.Serving != 0 || !got.PacedTo.Equal(now)) {
			t.Errorf("from %s to %s at %g: %+v admits, or keeps pace from before", c.from, c.to, c.rate, got)
		}
		if due && c.to != open && got.Serving != 0 {
			t.Errorf("from %s to %s: %d are admitted", c.from, c.to, got.Serving)
		}
	}
}

// The lobby is left with its draw and not before, but to be closed; it is left for good, and its evidence is told once.
func TestNext_OpensWithTheDraw(t *testing.T) {
	t.Parallel()
	for _, state := range []sale.State{sale.Open, sale.Paused, sale.SoldOut} {
		l := in(t, sale.Lobby, 5)
		if l.look(want(state, 5), line.Seen{Joined: map[string]uint64{"": 9}}, began); l.last.State != sale.Lobby {
			t.Errorf("%s without a draw: %+v", state, l.last)
		}
		if !l.look(want(state, 5), seen(9), began) || l.last.State != state || l.last.Draw == nil || l.last.Drawn == nil {
			t.Errorf("%s with a draw: %+v", state, l.last)
		}
		drawn := *l.last.Draw
		// Postgres was restored to before the opening, and the admitter is a new one.
		if l.look(want(sale.Lobby, 5), line.Seen{}, began.Add(time.Second)); l.last.State != sale.Paused {
			t.Errorf("%s: a sale that should go back to its lobby is %s", state, l.last.State)
		}
		if l.look(want(sale.Open, 5), line.Seen{}, began.Add(2*time.Second)); l.last.State != sale.Open || *l.last.Draw != drawn || l.last.Drawn != nil {
			t.Errorf("it opens again as %+v", l.last)
		}
	}
	l := in(t, sale.Lobby, 5)
	if !l.look(want(sale.Closed, 5), line.Seen{}, began) || l.last.State != sale.Closed || l.last.Draw != nil {
		t.Errorf("a lobby is closed as %+v", l.last)
	}
}

// Closed is for good: whatever anyone wants later, there is no more record.
func TestNext_ClosedIsFinal(t *testing.T) {
	t.Parallel()
	l := opened(t, 5)
	l.step(want(sale.Closed, 5), 100, began.Add(time.Second))
	if l.last.Reason != "closed" || l.n != 3 {
		t.Fatalf("it was not closed: %+v", l.last)
	}
	for _, state := range []sale.State{sale.Lobby, sale.Open, sale.Paused, sale.SoldOut, sale.Closed} {
		for _, rate := range []float64{5, 6} {
			if next, due := line.Next(l.last, l.written, event, want(state, rate), seen(100), began.Add(time.Hour)); due {
				t.Errorf("%s at %g: Next = %+v", state, rate, next)
			}
		}
	}
}

// A rate that changes again and again admits no more than the rates allow: pace isn't carried over, nor counted twice.
func TestNext_RateChanges(t *testing.T) {
	t.Parallel()
	l := opened(t, 10)
	allowed := 1.0
	for i := 1; i <= 2000; i++ {
		rate := []float64{10, 1000, 0.5}[i/20%3]
		before := l.last.Serving
		l.step(want(sale.Open, rate), everyone, began.Add(time.Duration(i)*100*time.Millisecond))
		allowed += rate * 0.1
		if float64(l.last.Serving) > allowed {
			t.Fatalf("after %d ticks %d are in, %g are allowed", i, l.last.Serving, allowed)
		}
		if l.last.Reason != "admitted" && l.last.Serving != before {
			t.Fatalf("a change of rate admitted: %+v", l.last)
		}
	}
	if got := float64(l.last.Serving); got < allowed*0.94 {
		t.Errorf("%g are in, %g are allowed", got, allowed)
	}
}
