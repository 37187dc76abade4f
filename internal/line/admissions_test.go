package line_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

const event = "gala"

var began = time.Date(2026, 3, 14, 18, 0, 0, 0, time.UTC)

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
	at      time.Time
	serving uint64
}

// opened is the log of a sale that was opened when the simulation begins.
func opened(t *testing.T, rate float64) *journal {
	l := &journal{t: t}
	l.step(want(sale.Lobby, rate), 0, began.Add(-time.Hour))
	l.step(want(sale.Open, rate), 0, began)
	if l.last == nil || l.last.State != sale.Open || l.last.Serving != 0 {
		t.Fatalf("the sale did not open: %+v", l.last)
	}
	return l
}

func (l *journal) step(c line.Control, joined uint64, now time.Time) {
	if next, due := line.Next(l.last, l.written, event, c, joined, now); due {
		l.append(next, l.n)
	}
}

func (l *journal) append(next events.Admission, expect uint64) bool {
	if expect != l.n {
		return false
	}
	if l.last != nil && !line.Follows(l.written, *l.last, next) {
		l.t.Fatalf("%+v does not follow %+v", next, *l.last)
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
	l.entries = append(l.entries, entry{next.At, next.Serving})
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
		if over := float64(e.serving) - paced - least; over > allowed {
			l.t.Fatalf("record %d: some window up to %v admits %.4f fans above the rate of %g, %.4f are allowed", i+1, e.at.Sub(began), over, rate, allowed)
		}
		before = e.serving
	}
}

func TestNext_FirstRecord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want  line.Control
		state sale.State
	}{
		{want(sale.Lobby, 5), sale.Lobby}, {want(sale.Open, 5), sale.Open}, {want(sale.Closed, 5), sale.Closed}, {want(sale.SoldOut, 5), sale.SoldOut},
		{line.Control{State: sale.Lobby, Rate: 5}, sale.Lobby}, // no seats yet, and not open either
	} {
		got, due := line.Next(nil, nil, event, c.want, 1000, began)
		first := events.Admission{V: events.Version, EventID: event, N: 1, State: c.state, Rate: 5, Reason: "created", PacedTo: began, At: began}
		if !due || got != first {
			t.Errorf("Next(nil, %+v) = %+v, %v; want %+v", c.want, got, due, first)
		}
	}
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
		{open, paused, 5, "paused"}, {open, soldOut, 5, "sold_out"}, {open, closed, 5, "closed"}, {open, lobby, 5, "lobby"},
		{paused, paused, 5, ""}, {paused, open, 5, "resumed"}, {paused, soldOut, 5, "sold_out"}, {paused, closed, 5, "closed"},
		{soldOut, soldOut, 5, ""}, {soldOut, open, 5, "seats_returned"}, {soldOut, paused, 5, "paused"}, {soldOut, closed, 5, "closed"},
		{lobby, lobby, 6, "rate_changed"}, {open, open, 6, "rate_changed"}, {open, open, 4, "rate_changed"}, {paused, paused, 6, "rate_changed"},
		{paused, open, 6, "resumed"}, // both at once: the state is what fans see
	} {
		l := &journal{t: t}
		l.step(want(c.from, 5), 0, began.Add(-time.Minute))
		now := began.Add(time.Hour)
		got, due := line.Next(l.last, l.written, event, want(c.to, c.rate), 0, now)
		if due != (c.reason != "") || due && (got.Reason != c.reason || got.State != c.to || got.Rate != c.rate) {
			t.Errorf("from %s to %s at %g: Next = %+v, %v; want %q", c.from, c.to, c.rate, got, due, c.reason)
		}
		if got, due = line.Next(l.last, l.written, event, want(c.to, c.rate), 1000, now); due && got.Reason != "admitted" && (got.Serving != 0 || !got.PacedTo.Equal(now)) {
			t.Errorf("from %s to %s at %g: %+v admits, or keeps pace from before", c.from, c.to, c.rate, got)
		}
		if due && c.to != open && got.Serving != 0 {
			t.Errorf("from %s to %s: %d are admitted", c.from, c.to, got.Serving)
		}
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
			if next, due := line.Next(l.last, l.written, event, want(state, rate), 100, began.Add(time.Hour)); due {
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
		if l.last.Reason == "rate_changed" && l.last.Serving != before {
			t.Fatalf("a change of rate admitted: %+v", l.last)
		}
	}
	if got := float64(l.last.Serving); got < allowed*0.94 {
		t.Errorf("%g are in, %g are allowed", got, allowed)
	}
}

func TestFollows(t *testing.T) {
	t.Parallel()
	l := opened(t, 100)
	l.step(want(sale.Open, 100), everyone, began.Add(100*time.Millisecond))
	next, due := line.Next(l.last, l.written, event, want(sale.Open, 100), everyone, began.Add(200*time.Millisecond))
	if !due || !line.Follows(l.written, *l.last, next) {
		t.Fatalf("%+v, %v does not follow", next, due)
	}
	for name, alter := range map[string]func(a *events.Admission){
		"number skipped": func(a *events.Admission) { a.N++ }, "number again": func(a *events.Admission) { a.N-- },
		"other event": func(a *events.Admission) { a.EventID = "other" }, "taken back": func(a *events.Admission) { a.Serving = l.last.Serving - 1 },
		"no hash": func(a *events.Admission) { a.Prev = "" }, "other hash": func(a *events.Admission) { a.Prev = "00" + a.Prev[2:] },
	} {
		altered := next
		if alter(&altered); line.Follows(l.written, *l.last, altered) {
			t.Errorf("%s: it follows", name)
		}
	}
	for i := range l.written {
		for bit := range 8 {
			altered := bytes.Clone(l.written)
			altered[i] ^= 1 << bit
			if line.Follows(altered, *l.last, next) {
				t.Fatalf("bit %d of byte %d of the record before can be altered unseen", bit, i)
			}
		}
	}
	if line.Follows(l.written[:len(l.written)-1], *l.last, next) || line.Follows(append(bytes.Clone(l.written), ' '), *l.last, next) || line.Follows(nil, *l.last, next) {
		t.Error("the record before can be cut or extended unseen")
	}
}
