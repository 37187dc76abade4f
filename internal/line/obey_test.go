package line_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// pair is a record of a log and the one before.
type pair struct {
	last    events.Admission
	written []byte
	next    events.Admission
}

// pairs are the first record of a log, the one that opens the sale with the draw, one that calls in two lanes past
// places that were given up, with a limit of shoppers and a release, and the next that calls.
func pairs(t *testing.T) (created events.Admission, opened, calls pair) {
	t.Helper()
	l := &journal{t: t}
	control := withLanes(100, 25, 25)
	control.State, control.Cap, control.Secret = sale.Lobby, 1000, draw.Secret{7}
	s := line.Seen{
		Joined: map[string]uint64{"": 500, "lane-0": 300}, Share: 0.5, Steady: time.Hour, Inside: 20,
		Left: func(_ string, from, to uint64) uint64 { return to/3 - from/3 },
		Line: &events.LineHead{Read: 3, Root: strings.Repeat("ab", 32)},
	}
	l.look(control, s, began.Add(-time.Hour))
	created = *l.last
	control.State = sale.Open
	s.Draw, s.Drawn = line.Evidence(event, 3, control.Secret, nil, draw.NewTree().Root(), s.Joined)
	s.Line = &events.LineHead{Read: 9, Root: strings.Repeat("cd", 32)}
	s.Share = 0
	next := func(now time.Time) pair {
		p := pair{last: *l.last, written: l.written}
		if !l.look(control, s, now) {
			t.Fatalf("nothing follows %+v", p.last)
		}
		p.next = *l.last
		return p
	}
	opened = next(began)
	s.Share = 0.5
	next(began.Add(time.Second))
	next(began.Add(time.Second + tick))
	calls = next(began.Add(time.Second + 2*tick))
	return created, opened, calls
}

// Each alteration of a record is refused that lets someone in earlier, sends someone back, changes the draw, or tells
// less than was told.
func TestObeys_RefusesAlterations(t *testing.T) {
	t.Parallel()
	created, opened, calls := pairs(t)
	if calls.next.Reason != "admitted" || calls.next.Skipped == calls.last.Skipped || calls.next.Lanes[0].Serving == calls.last.Lanes[0].Serving || calls.next.Release != 200 {
		t.Fatalf("the record that calls shows too little: %s", events.Encode(calls.next))
	}
	both := []alteration{
		{"number skipped", func(a *events.Admission) { a.N++ }}, {"number again", func(a *events.Admission) { a.N-- }},
		{"other event", func(a *events.Admission) { a.EventID = "other" }},
		{"no hash", func(a *events.Admission) { a.Prev = "" }}, {"other hash", func(a *events.Admission) { a.Prev = "00" + a.Prev[2:] }},
		{"a new commitment", func(a *events.Admission) { a.Commitment = strings.Repeat("0", 64) }}, {"a new beacon", func(a *events.Admission) { a.Beacon = "chain/1" }},
		{"pace taken back", func(a *events.Admission) { a.PacedTo = a.PacedTo.Add(-2 * time.Hour) }},
		{"in the lobby", func(a *events.Admission) { a.State = sale.Lobby }},
		{"called one more", func(a *events.Admission) { a.Serving++ }}, {"one more in a lane", func(a *events.Admission) { a.Lanes[0].Serving++ }},
		{"a lane dropped", func(a *events.Admission) { a.Lanes = a.Lanes[1:] }}, {"the last lane dropped", func(a *events.Admission) { a.Lanes = a.Lanes[:1] }},
		{"lanes in another order", func(a *events.Admission) { slices.Reverse(a.Lanes) }},
		{"a lane from its middle", func(a *events.Admission) { a.Lanes = append(a.Lanes, events.Lane{Name: "new", Serving: 1}) }},
		{"a lane twice", func(a *events.Admission) { a.Lanes = append(a.Lanes, events.Lane{Name: a.Lanes[0].Name}) }},
		{"a lane called general", func(a *events.Admission) { a.Lanes = append(a.Lanes, events.Lane{Name: "general"}) }},
		{"a lane without a name", func(a *events.Admission) { a.Lanes = append(a.Lanes, events.Lane{}) }},
		{"skipped more than passed", func(a *events.Admission) { a.Skipped += 1 << 40 }},
		{"drawn, no draw", func(a *events.Admission) { a.Draw = nil }},
		{"without the line", func(a *events.Admission) { a.Line = nil }},
		{"a state that there is not", func(a *events.Admission) { a.State = "\x1b[2J" }}, {"a reason that there is not", func(a *events.Admission) { a.Reason = "fine" }},
		{"the first once more", func(a *events.Admission) { a.Reason = "created" }},
		{"a share below none", func(a *events.Admission) { a.Lanes[1].Share = -0.01 }}, {"shares of nearly all", func(a *events.Admission) { a.Lanes[1].Share = 0.66 }},
	}
	refuse(t, "opening", opened, both)
	refuse(t, "calling", calls, both)
	refuse(t, "opening", opened, []alteration{
		{"no evidence", func(a *events.Admission) { a.Drawn = nil }}, {"no draw at all", func(a *events.Admission) { a.Draw, a.Drawn = nil, nil }},
		{"the lobby still", func(a *events.Admission) { a.State, a.Drawn = sale.Lobby, nil }},
		{"the seal not read", func(a *events.Admission) { a.Line.Read = 2 }},
	})
	refuse(t, "calling", calls, []alteration{
		{"general lane back", func(a *events.Admission) { a.Serving = calls.last.Serving - 1 }},
		{"lane back", func(a *events.Admission) { a.Lanes[0].Serving = calls.last.Lanes[0].Serving - 1 }},
		{"skipped less", func(a *events.Admission) { a.Skipped-- }}, {"skipped taken back", func(a *events.Admission) { a.Skipped = calls.last.Skipped - 1 }},
		{"pace used less", func(a *events.Admission) { a.PacedTo = a.PacedTo.Add(-time.Nanosecond) }},
		{"pace of the future", func(a *events.Admission) { a.PacedTo = a.At.Add(time.Second) }},
		{"written earlier", func(a *events.Admission) { a.At = a.At.Add(-tick) }}, {"written much later", func(a *events.Admission) { a.At = a.At.Add(time.Hour) }},
		{"another reason", func(a *events.Admission) { a.Reason = "no_shows" }}, {"paused", func(a *events.Admission) { a.State = sale.Paused }},
		{"closed", func(a *events.Admission) { a.State = sale.Closed }}, {"sold out", func(a *events.Admission) { a.State = sale.SoldOut }},
		{"a higher release", func(a *events.Admission) { a.Release++ }}, {"no release", func(a *events.Admission) { a.Release = 0 }},
		{"a higher rate", func(a *events.Admission) { a.Rate++ }}, {"a lower rate", func(a *events.Admission) { a.Rate /= 2 }}, {"no rate", func(a *events.Admission) { a.Rate = 0 }},
		{"too many inside", func(a *events.Admission) { a.Inside = a.Cap }}, {"a small cap", func(a *events.Admission) { a.Cap = a.Inside + 1 }},
		{"the line unread", func(a *events.Admission) { a.Line = nil }}, {"the line read less", func(a *events.Admission) { a.Line.Read = 2 }},
		{"another line as far", func(a *events.Admission) { a.Line.Root = strings.Repeat("0", 64) }},
		{"another seed", func(a *events.Admission) { a.Draw.Seed = strings.Repeat("0", 64) }}, {"another seal", func(a *events.Admission) { a.Draw.Sealed++ }},
		{"drawn again", func(a *events.Admission) { a.Drawn = opened.next.Drawn }},
		{"an hour earlier", func(a *events.Admission) { a.At, a.PacedTo = a.At.Add(-time.Hour), a.At.Add(-time.Hour) }},
		{"closed much earlier", func(a *events.Admission) {
			a.State, a.Reason, a.Serving, a.Skipped, a.Lanes = sale.Closed, "closed", calls.last.Serving, calls.last.Skipped, copied(t, calls.last).Lanes
			a.At, a.PacedTo = a.At.Add(-11*time.Second), calls.last.PacedTo
		}},
		{"passed without a call", func(a *events.Admission) {
			a.Reason, a.Serving, a.Lanes, a.PacedTo = "no_shows", calls.last.Serving+3, copied(t, calls.last).Lanes, calls.last.PacedTo
			a.Skipped = calls.last.Skipped + 3
		}},
	})
	for name, alter := range map[string]func(a *events.Admission){
		"not number 1": func(a *events.Admission) { a.N = 2 }, "one before it": func(a *events.Admission) { a.Prev = "00" }, "open": func(a *events.Admission) { a.State = sale.Open },
		"called": func(a *events.Admission) { a.Serving = 1 }, "called in a lane": func(a *events.Admission) { a.Lanes[1].Serving = 1 }, "skipped": func(a *events.Admission) { a.Skipped = 1 },
		"no reason": func(a *events.Admission) { a.Reason = "" }, "another reason": func(a *events.Admission) { a.Reason = "opened" }, "another state": func(a *events.Admission) { a.State = "begun" },
		"not a hash": func(a *events.Admission) { a.Commitment = "gala: nothing is wrong" }, "in capitals": func(a *events.Admission) { a.Commitment = strings.ToUpper(a.Commitment) },
		"control characters": func(a *events.Admission) { a.Beacon = "\x1b[2J" }, "a long beacon": func(a *events.Admission) { a.Beacon = strings.Repeat("9", 300) },
		"drawn": func(a *events.Admission) { a.Draw = opened.next.Draw }, "with evidence": func(a *events.Admission) { a.Drawn = opened.next.Drawn },
	} {
		altered := copied(t, created)
		if alter(&altered); line.Obeys(nil, nil, altered) == nil {
			t.Errorf("the first record, %s: it is taken", name)
		}
	}
	if err := line.Obeys(nil, nil, created); err != nil {
		t.Errorf("the first record: %v", err)
	}
}

// copied shares nothing with a.
func copied(t *testing.T, a events.Admission) events.Admission {
	t.Helper()
	c, err := events.Decode[events.Admission](events.Encode(a))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// alteration is what someone could do to a record.
type alteration struct {
	name  string
	alter func(a *events.Admission)
}

func refuse(t *testing.T, what string, p pair, alterations []alteration) {
	t.Helper()
	if err := line.Obeys(p.written, &p.last, p.next); err != nil {
		t.Fatalf("%s, as it is: %v", what, err)
	}
	for _, a := range alterations {
		altered := copied(t, p.next)
		if a.alter(&altered); line.Obeys(p.written, &p.last, altered) == nil {
			t.Errorf("%s, %s: it is taken", what, a.name)
		}
	}
}

// Nothing comes after the sale was closed, not even what was right before.
func TestObeys_ClosedIsTheEnd(t *testing.T) {
	t.Parallel()
	_, _, calls := pairs(t)
	next := calls.next
	next.State, next.Reason, next.Serving, next.Skipped, next.Lanes = sale.Closed, "closed", calls.last.Serving, calls.last.Skipped, calls.last.Lanes
	if err := line.Obeys(calls.written, &calls.last, next); err != nil {
		t.Fatalf("a sale can't be closed: %v", err)
	}
	closed := calls.last
	if closed.State = sale.Closed; line.Obeys(calls.written, &closed, next) == nil {
		t.Error("a record after the end is taken")
	}
}

// The record before can't be altered by a bit, nor cut, nor extended.
func TestObeys_HoldsTheRecordBefore(t *testing.T) {
	t.Parallel()
	_, _, calls := pairs(t)
	for i := range calls.written {
		for bit := range 8 {
			altered := bytes.Clone(calls.written)
			altered[i] ^= 1 << bit
			if line.Obeys(altered, &calls.last, calls.next) == nil {
				t.Fatalf("bit %d of byte %d of the record before can be altered unseen", bit, i)
			}
		}
	}
	w := calls.written
	for _, altered := range [][]byte{w[:len(w)-1], append(bytes.Clone(w), ' '), nil} {
		if line.Obeys(altered, &calls.last, calls.next) == nil {
			t.Error("the record before can be cut or extended unseen")
		}
	}
}

// Pace that was not used is forgotten: a log in which an hour's worth is called at once is no log of Next's.
func TestObeys_NoBurst(t *testing.T) {
	t.Parallel()
	l := opened(t, 100)
	late := began.Add(time.Hour)
	l.step(want(sale.Open, 100), 10, late)
	next := copied(t, *l.last)
	next.N, next.Serving = l.last.N+1, l.last.Serving+1000
	next.At, next.PacedTo = late.Add(time.Hour), l.last.PacedTo.Add(time.Hour)
	sum := sha256.Sum256(l.written)
	next.Prev = hex.EncodeToString(sum[:])
	if err := line.Obeys(l.written, l.last, next); err == nil || !strings.Contains(err.Error(), "long ago") {
		t.Errorf("a burst: %v", err)
	}
}

// Whatever operators, crowds and the clock do, and however many admitters race, what they write obeys: append fails
// the test where it doesn't.
func TestObeys_TakesWhatNextWrites(t *testing.T) {
	t.Parallel()
	for seed := range int64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewSource(seed))
			s := restless{r: r, here: crowd{joined: map[string]uint64{}}, rate: []float64{0.01, 3, 77.77, 5000}[seed%4]}
			s.control = withLanes(s.rate, 30)
			s.control.State = sale.Lobby
			l := &journal{t: t}
			copies := [3]records{}
			for now := began; now.Before(began.Add(5 * time.Minute)); now = now.Add(gap(r) / 3) {
				s.change()
				i := r.Intn(len(copies))
				if next, due := line.Next(copies[i].last, copies[i].written, event, s.control, s.look(now), now.Add(-time.Duration(r.Intn(50))*time.Millisecond)); due {
					l.append(next, copies[i].n)
				}
				copies[i] = l.records
			}
			for _, reason := range []string{"created", "admitted"} {
				if seed%4 != 0 && !l.reasons()[reason] {
					t.Errorf("no record says %q: nothing was tried", reason)
				}
			}
		})
	}
}

// A clock that was an hour ahead for one tick stops the line only until an operator changes something. The log shows
// that its time went back, and takes that in no other record.
func TestNext_AfterAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	const rate = 10
	for name, c := range map[string]struct {
		change func(c *line.Control)
		reason string
	}{
		"another rate": {func(c *line.Control) { c.Rate = 20 }, "rate_raised"}, "paused": {func(c *line.Control) { c.State = sale.Paused }, "paused"},
		"a limit": {func(c *line.Control) { c.Cap = 1000 }, "cap_changed"}, "sold out": {func(c *line.Control) { c.SeatsLeft = 0 }, "sold_out"},
	} {
		l := opened(t, rate)
		control := want(sale.Open, rate)
		now := l.run(control, seen(everyone), began, 5*time.Second, tick)
		l.look(control, seen(everyone), now.Add(time.Hour))
		called, n := l.last.Serving, l.n
		share := seen(everyone)
		share.Share, share.Steady = 0.5, time.Minute
		if now = l.run(control, share, now, 5*time.Second, tick); l.n != n {
			t.Fatalf("%s: with a time to come in the log, %+v follows", name, l.last)
		}
		wrong := copied(t, *l.last)
		wrong.N, wrong.At, wrong.PacedTo, wrong.Reason = l.n+1, now, now, "no_shows"
		wrong.Prev = fmt.Sprintf("%x", sha256.Sum256(l.written))
		if err := line.Obeys(l.written, l.last, wrong); err == nil || !strings.Contains(err.Error(), "goes back") {
			t.Errorf("%s: a record that goes back without a change: %v", name, err)
		}
		wrong.Reason, wrong.PacedTo = "rate_raised", now.Add(-time.Second)
		if line.Obeys(l.written, l.last, wrong) == nil {
			t.Errorf("%s: one that takes pace from before its own time is taken", name)
		}
		c.change(&control)
		if !l.look(control, seen(everyone), now) || l.last.Reason != c.reason || !l.last.PacedTo.Equal(now) || l.last.Serving != called {
			t.Fatalf("%s: %+v", name, l.last)
		}
		control.State, control.SeatsLeft = sale.Open, 1
		l.run(control, seen(everyone), now.Add(tick), 10*time.Second, tick)
		if got := l.last.Serving - called; float64(got) < control.Rate*9 || float64(got) > control.Rate*10.5 {
			t.Errorf("%s: %d were called in the 10 s after it, want %g", name, got, control.Rate*10)
		}
	}
}

// restless is a sale in which everything changes.
type restless struct {
	r       *rand.Rand
	here    crowd
	control line.Control
	rate    float64
}

func (s *restless) change() {
	s.here.change(s.r, &s.control)
	switch s.r.Intn(80) {
	case 0:
		s.control.State = []sale.State{sale.Lobby, sale.Paused, sale.Open}[s.r.Intn(3)]
	case 1, 2, 3, 4:
		s.control.State = sale.Open
	case 5:
		s.control.Rate = []float64{s.rate, s.rate / 3, s.rate * 2.7, line.MaxRate}[s.r.Intn(4)]
	case 6:
		s.control.Cap = s.r.Intn(3) * 40
	case 7:
		s.control.SeatsLeft = s.r.Intn(3)
	}
}

func (s *restless) look(now time.Time) line.Seen {
	seen := s.here.seen()
	if now.Before(began.Add(20*time.Second)) || s.r.Intn(10) == 0 {
		seen.Draw, seen.Drawn = nil, nil // not drawn yet, or a new admitter
	}
	read := uint64(now.Sub(began)/time.Second) + uint64(s.r.Intn(3))
	seen.Line = &events.LineHead{Read: read, Root: fmt.Sprintf("%064d", read)}
	seen.Inside, seen.Share, seen.Steady = s.r.Intn(80), s.r.Float64()*1.2-0.1, time.Duration(s.r.Intn(2000))*time.Millisecond
	return seen
}

// reasons are those that a log's records give.
func (l *journal) reasons() map[string]bool {
	all := map[string]bool{}
	for _, e := range l.entries {
		all[e.reason] = true
	}
	return all
}
