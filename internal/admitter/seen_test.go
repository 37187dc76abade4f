package admitter

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

var began = time.Date(2026, 3, 14, 18, 0, 0, 0, time.UTC)

// newGate is the gate of an event whose draw is known, so that reports count.
func newGate(t *testing.T, streams Log) *gate {
	t.Helper()
	g := &gate{watch: newWatch(Deps{Streams: streams, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return began.Add(24 * time.Hour) }}, "gala")}
	g.log, g.ended, g.payments = g.Log, make(chan struct{}), &line.Board{}
	lobby, err := line.NewLobby(events.Draw{Sealed: 1, Seed: strings.Repeat("0", 64)}, map[string]uint64{"": 0})
	if err != nil {
		t.Fatal(err)
	}
	g.lobby = lobby
	return g
}

func report(outcome events.TurnOutcome, at time.Duration, arrivals ...uint64) events.TurnReport {
	r := events.TurnReport{V: events.Version, EventID: "gala", Outcome: outcome, At: began.Add(at), Until: began.Add(10 * time.Minute)}
	for _, n := range arrivals {
		r.Fans = append(r.Fans, events.Turn{Arrival: n, Session: sale.SessionHash{byte(n)}})
	}
	return r
}

func called(n, serving uint64, at time.Duration) events.Admission {
	return events.Admission{V: events.Version, EventID: "gala", N: n, State: sale.Open, Serving: serving, Rate: 10, Cap: 5, Reason: "admitted", At: began.Add(at)}
}

// Who was called and has not come is expected, for claimGrace, also who left since: word of a pass may come after word
// of the leaving. Who came and left counts once, and who left before the call is not expected.
func TestExpected(t *testing.T) {
	t.Parallel()
	g := newGate(t, nil)
	var last *events.Admission
	step := func(what string, want int, at time.Duration) {
		t.Helper()
		if got := g.expected(began.Add(at)); got != want {
			t.Errorf("%s: %d are expected, want %d", what, got, want)
		}
	}
	call := func(a events.Admission) {
		g.called(last, a)
		last, g.last = &a, &a
	}
	call(called(1, 0, 0))
	call(called(2, 5, time.Second))
	step("five were called", 5, time.Second)
	g.take(report(events.TurnClaimed, 2*time.Second, 0, 1, 2))
	step("three came", 2, 2*time.Second)
	g.take(report(events.TurnLeft, 3*time.Second, 0, 3))
	step("one of them left, and one who had not come", 2, 3*time.Second)
	g.take(report(events.TurnLeft, 3*time.Second, 6))
	call(called(3, 8, 4*time.Second))
	step("three more were called, of whom one had left", 4, 4*time.Second)
	step("the first five are too late", 2, time.Second+claimGrace)
	step("all are too late", 0, 5*time.Second+claimGrace)
	if n := g.shoppers.inside(began.Add(4 * time.Second)); n != 3 {
		t.Errorf("%d are inside, want 3: the pass of who left is still good", n)
	}
}

// logged is a stream with an event's log.
type logged struct {
	Log
	records []events.Admission
	cut     int // after so many records a reader's connection is lost, 0 for never
}

func (l *logged) message(i int) events.Message {
	return events.Message{Stream: events.Admissions, Subject: events.AdmissionSubject("gala"), Sequence: uint64(i) + 1, Data: events.Encode(l.records[i])}
}

func (l *logged) Last(context.Context, string, string) (events.Message, bool, error) {
	return l.message(len(l.records) - 1), true, nil
}

func (l *logged) Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error {
	for i := int(f.After); i < len(l.records); i++ {
		if l.cut > 0 && i == l.cut {
			return errors.New("connection lost")
		}
		each(l.message(i))
	}
	caughtUp()
	<-ctx.Done()
	return nil
}

// An admitter that begins, and one that another was faster than, expect those whom others called.
func TestLoad_ExpectsWhomOthersCalled(t *testing.T) {
	t.Parallel()
	streams := &logged{records: []events.Admission{called(1, 0, -time.Hour), called(2, 90, -time.Minute), called(3, 92, 0), called(4, 94, time.Second)}}
	g := newGate(t, streams)
	load := func(want int) {
		t.Helper()
		if err := g.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := g.expected(began.Add(2 * time.Second)); got != want {
			t.Errorf("at record %d, %d are expected, want %d", g.last.N, got, want)
		}
	}
	load(4) // the ninety were called long ago
	streams.records = append(streams.records, called(5, 95, 2*time.Second))
	load(5)
}

// A start that loses its connection midway is no start: who was called is read again.
func TestLoad_IsWholeOrNothing(t *testing.T) {
	t.Parallel()
	streams := &logged{records: []events.Admission{called(1, 0, -time.Hour), called(2, 90, -time.Minute), called(3, 92, time.Second)}, cut: 1}
	g := newGate(t, streams)
	if err := g.load(t.Context()); err == nil {
		t.Fatal("half of the log is taken for all")
	}
	streams.cut = 0
	if err := g.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := g.expected(began.Add(2 * time.Second)); got != 2 {
		t.Errorf("%d are expected, want 2", got)
	}
}

// A line whose beginning is still being read is no failure: nothing is read again, nothing said.
func TestStep_WaitsForTheLine(t *testing.T) {
	t.Parallel()
	g := newGate(t, &logged{})
	drawn := called(4, 9, 0)
	drawn.Draw = &events.Draw{Sealed: 7, Seed: strings.Repeat("0", 64)}
	g.last, g.lobby = &drawn, nil
	if err := g.step(t.Context()); err != nil {
		t.Errorf("step = %v", err)
	}
}
