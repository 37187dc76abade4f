package admitter

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// appendLog is a log that several admitters append to, fenced as the broker's is.
type appendLog struct {
	Log
	data  [][]byte
	lines atomic.Int64 // how often the line was read
}

func (l *appendLog) message(i int) events.Message {
	return events.Message{Stream: events.Admissions, Subject: events.AdmissionSubject("gala"), Sequence: uint64(i) + 1, Data: l.data[i]}
}

func (l *appendLog) Last(context.Context, string, string) (events.Message, bool, error) {
	if len(l.data) == 0 {
		return events.Message{}, false, nil
	}
	return l.message(len(l.data) - 1), true, nil
}

func (l *appendLog) Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error {
	if f.Stream == events.Line("gala") {
		l.lines.Add(1)
	}
	for i := int(f.After); f.From == events.FromAfter && i < len(l.data); i++ {
		each(l.message(i))
	}
	caughtUp()
	<-ctx.Done()
	return nil
}

func (l *appendLog) Publish(_ context.Context, out events.Outgoing) (events.Ack, error) {
	if *out.ExpectLast != uint64(len(l.data)) {
		return events.Ack{}, sale.Errorf(sale.Conflict, "fenced", "another was faster")
	}
	l.data = append(l.data, out.Data)
	return events.Ack{Sequence: uint64(len(l.data))}, nil
}

// pair is two admitters of one line, of whom one is mostly the first, and a crowd that comes when called.
type pair struct {
	t      *testing.T
	log    *appendLog
	now    time.Time
	gates  [2]*gate
	reload [2]bool
	read   int
	served uint64
	due    []events.TurnReport
	paces  float64 // sum over ticks
	ticks  float64
}

func newPair(t *testing.T, rate float64) *pair {
	p := &pair{t: t, log: &appendLog{}, now: began, reload: [2]bool{true, true}}
	for i := range p.gates {
		g := newGate(t, p.log)
		g.Now = func() time.Time { return p.now }
		g.control = line.Control{State: sale.Open, Rate: rate, SeatsLeft: 1000}
		g.draw, g.drawn = line.Evidence("gala", 1, [32]byte{}, nil, g.root, map[string]uint64{"": 0})
		g.joined.Apply(1, "", 0)
		for chunk := range uint64(20) {
			g.joined.Apply(chunk+2, "", 4000)
		}
		p.gates[i] = g
	}
	return p
}

// tick lets one of them look, after everyone who was called 0.7 s ago has come.
func (p *pair) tick(i int) {
	p.t.Helper()
	for len(p.due) > 0 && !p.due[0].At.After(p.now) {
		for _, g := range p.gates {
			g.take(p.due[0])
		}
		p.due = p.due[1:]
	}
	g := p.gates[i]
	if p.reload[i] {
		if err := g.load(p.t.Context()); err != nil {
			p.t.Fatal(err)
		}
	}
	p.reload[i] = g.step(p.t.Context()) != nil
	for ; p.read < len(p.log.data); p.read++ {
		a, err := events.Decode[events.Admission](p.log.data[p.read])
		if err != nil {
			p.t.Fatal(err)
		}
		for ; p.served < a.Serving; p.served++ {
			r := report(events.TurnClaimed, a.At.Sub(began)+700*time.Millisecond, p.served)
			p.due = append(p.due, r)
		}
	}
	p.paces += line.Pace(*g.last)
	p.ticks++
}

// Two admitters measure who comes of all who were called, by whomever: where everyone comes they call at the rate.
func TestTwoAdmittersMeasureAsOne(t *testing.T) {
	t.Parallel()
	const rate, seconds = 5, 240
	p, r := newPair(t, rate), rand.New(rand.NewPCG(1, 2))
	for tick := range seconds * 10 {
		at := began.Add(time.Duration(tick) * 100 * time.Millisecond)
		if tick == seconds*5 {
			p.paces, p.ticks = 0, 0 // what is measured by then counts
		}
		for i := range p.gates {
			p.now = at.Add(time.Duration(i*3)*time.Millisecond + time.Duration(r.IntN(5000))*time.Microsecond)
			p.tick(i)
		}
	}
	if mean := p.paces / p.ticks; mean > rate*1.01 {
		t.Errorf("everyone comes, and %.3g a second are called at a rate of %d", mean, rate)
	}
}

// A gate whose log is closed ends, before it reads the line or when it happens; it isn't begun again while the event is
// asked for, and leaves nothing behind when it no longer is.
func TestGatesEnd(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	log := &appendLog{}
	wanted := map[string]line.Control{"gala": {State: sale.Closed, Rate: 5, SeatsLeft: 1}}
	d := Deps{Streams: log, Tick: time.Millisecond, Now: time.Now, Log: slog.New(slog.DiscardHandler), Controls: controls(func() map[string]line.Control { return wanted })}
	for _, when := range []string{"when it is closed", "at once"} {
		m := &manager{Deps: d, gates: map[string]*gate{}}
		if err := m.refresh(ctx); err != nil {
			t.Fatal(err)
		}
		g := m.gates["gala"]
		select {
		case <-g.ended:
		case <-ctx.Done():
			t.Fatalf("%s: the gate of a closed sale goes on", when)
		}
		if n := log.lines.Load(); len(log.data) != 1 || n != 1 {
			t.Errorf("%s: there are %d records, and the line was read %d times", when, len(log.data), n)
		}
		for range 2 {
			if err := m.refresh(ctx); err != nil {
				t.Fatal(err)
			}
			if g, known := m.gates["gala"]; !known || g != nil {
				t.Fatalf("%s: it is begun again, or kept: %v, %v", when, g, known)
			}
		}
		all := wanted
		wanted = nil
		if err := m.refresh(ctx); err != nil || len(m.gates) != 0 {
			t.Errorf("%s: %d gates are kept of events that are gone (%v)", when, len(m.gates), err)
		}
		wanted = all
		m.running.Wait()
	}
}

type controls func() map[string]line.Control

func (c controls) Controls(context.Context) (map[string]line.Control, error) { return c(), nil }
