// Package admitter is the service that moves the lines: it appends to each event's admission log at the pace
// the operator set. Every append is conditional on the last record, and the pace is spent from that record, so
// any number of admitters may run: together they admit no faster than one, one that was paused can't advance
// what others have moved, and when one ends the rest go on at once.
package admitter

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// Controls says what the operator wants of each event.
type Controls interface {
	Controls(ctx context.Context) (map[string]line.Control, error)
}

// Log is the streams: the lines to be read and the admissions to be appended to.
type Log interface {
	Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error
	Last(ctx context.Context, stream, subject string) (events.Message, bool, error)
	Publish(ctx context.Context, out events.Outgoing) (events.Ack, error)
}

// Notices are what payworkers tell in passing.
type Notices interface {
	Listen(ctx context.Context, subject string, ready func(), each func(data []byte)) error
}

// Beacon is where public random values come from.
type Beacon interface {
	Value(ctx context.Context, name string) ([]byte, error)
}

// Deps are what the service needs of the world.
type Deps struct {
	Controls Controls
	Streams  Log
	Notices  Notices
	Beacon   Beacon        // nil where no event may name one
	Tick     time.Duration // how often a line is moved; 100 ms is good
	Refresh  time.Duration // how often the operator's wishes are read
	Now      func() time.Time
	Log      *slog.Logger
}

// Run moves all lines until ctx ends.
func Run(ctx context.Context, d Deps) error {
	m := &manager{Deps: d, gates: map[string]*gate{}}
	defer m.running.Wait()
	m.running.Go(func() { m.listen(ctx) })
	refresh := time.NewTicker(d.Refresh)
	defer refresh.Stop()
	for {
		if err := m.refresh(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn("read controls; the lines go on as they were told last", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-refresh.C:
		}
	}
}

// manager has a gate for each event, nil for one whose log has ended.
type manager struct {
	Deps
	gates    map[string]*gate
	running  sync.WaitGroup
	payments line.Board // as the payworkers tell
}

func (m *manager) refresh(ctx context.Context) error {
	controls, err := m.Controls.Controls(ctx)
	if err != nil {
		return err
	}
	for id, want := range controls {
		g, known := m.gates[id]
		if known && g == nil {
			continue
		}
		if !known {
			g = &gate{watch: newWatch(m.Deps, id), payments: &m.payments, log: m.Log.With("event_id", id), ended: make(chan struct{})}
			m.gates[id] = g
		}
		g.want.Lock()
		g.control = want
		g.want.Unlock()
		if !known {
			m.running.Go(func() { g.run(ctx) })
		}
	}
	m.clear(controls)
	return nil
}

// clear forgets what gates that ended knew. That they ended is remembered for as long as the event is asked for.
func (m *manager) clear(controls map[string]line.Control) {
	for id, g := range m.gates {
		if g != nil && g.hasEnded() {
			m.gates[id] = nil
		}
		if _, wanted := controls[id]; !wanted && m.gates[id] == nil {
			delete(m.gates, id)
		}
	}
}

// gate moves one event's line.
type gate struct {
	*watch
	log      *slog.Logger
	payments *line.Board

	want    sync.Mutex
	control line.Control

	last     *events.Admission
	written  []byte // last, as it was written
	sequence uint64 // where last stands in ADMISSIONS

	draw     *events.Draw // once it is known
	drawn    *events.Drawn
	drawTry  time.Time // when the draw was last tried
	sealSent bool

	released  time.Time // when the release was last changed
	shareAt   time.Time // when the share was last measured
	shareLast float64
	forgotAt  time.Time    // when visits were last forgotten
	recent    []recentCall // oldest first, those within claimGrace and one more; nil before they were read

	clockWrong bool          // and that was said
	ended      chan struct{} // closed when the log has ended, or the service does
}

// clockHolds says whether this clock may stand in the log. One that is ahead would stop the line: the pace up to its
// time would count as used.
func (g *gate) clockHolds(now time.Time) bool {
	ahead, known := g.clock.ahead(now)
	wrong := known && ahead > clockAhead
	if wrong != g.clockWrong {
		if g.clockWrong = wrong; wrong {
			g.log.Error("this clock is ahead of the broker's; nothing is appended until it isn't", "ahead", ahead.Round(time.Millisecond))
		} else {
			g.log.Info("this clock is no longer ahead of the broker's")
		}
	}
	return !wrong
}

func (g *gate) hasEnded() bool {
	select {
	case <-g.ended:
		return true
	default:
		return false
	}
}

// closed says that nothing can follow in the log any more.
func (g *gate) closed() bool { return g.last != nil && g.last.State == sale.Closed }

// run moves the line until its log or ctx ends.
func (g *gate) run(ctx context.Context) {
	defer close(g.ended)
	var following sync.WaitGroup
	defer following.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	if g.load(ctx) == nil && g.closed() {
		return // without reading its line first; what fails is tried again below
	}
	current := make(chan struct{})
	following.Go(func() { g.watch.run(ctx, func() { close(current) }) })
	select { // before that, those inside look like none, and those who left like those who wait
	case <-current:
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(g.Tick)
	defer tick.Stop()
	reload := true
	for !g.closed() {
		if reload {
			if err := g.load(ctx); err != nil && ctx.Err() == nil {
				g.log.Warn("read the last admission", "error", err)
			} else {
				reload = false
			}
		}
		if !reload {
			if err := g.step(ctx); err != nil && ctx.Err() == nil {
				// Another admitter was faster, or the append's outcome is unknown: the log knows.
				reload = true
				if sale.CodeOf(err) != "fenced" {
					g.log.Warn("append admission", "error", err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// load reads the last record of the log.
func (g *gate) load(ctx context.Context) error {
	m, found, err := g.Streams.Last(ctx, events.Admissions, events.AdmissionSubject(g.eventID))
	if err != nil {
		return err
	}
	if !found {
		g.last, g.written, g.sequence = nil, nil, 0
		return nil
	}
	a, err := events.Decode[events.Admission](m.Data)
	if err != nil {
		return fmt.Errorf("read admission at %d: %w", m.Sequence, err)
	}
	switch prev := g.last; {
	case g.recent == nil:
		if err := g.recallCalls(ctx, m.Sequence); err != nil {
			return err
		}
		g.reached(a)
	case prev == nil || prev.N < a.N:
		g.called(prev, a) // by another admitter, or here and its ack was lost: who comes is measured all the same
	}
	g.last, g.written, g.sequence = &a, m.Data, m.Sequence
	return nil
}

// step appends the record that is due, if one is.
func (g *gate) step(ctx context.Context) error {
	tick := startTick()
	defer tick.end()
	g.want.Lock()
	want := g.control
	g.want.Unlock()
	if err := g.prepareDraw(ctx, want); sale.CodeOf(err) == "line_behind" {
		return nil // the line is still being read, and says so where it can't be
	} else if err != nil {
		return err
	}
	now := g.Now()
	if !g.clockHolds(now) {
		return nil
	}
	next, due := line.Next(g.last, g.written, g.eventID, want, g.seen(now), now)
	if !due {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	data := events.Encode(next)
	var ack events.Ack
	err := tick.append(func() (err error) {
		ack, err = g.Streams.Publish(bounded, events.Outgoing{Subject: events.AdmissionSubject(g.eventID), Data: data, ExpectLast: &g.sequence})
		return err
	})
	if err != nil {
		return err
	}
	g.called(g.last, next)
	g.last, g.written, g.sequence = &next, data, ack.Sequence
	if next.Reason != "admitted" {
		g.log.Info("line", "state", next.State, "reason", next.Reason, "rate", next.Rate, "release", line.Pace(next), "serving", next.Serving)
	}
	return nil
}
