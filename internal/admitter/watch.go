package admitter

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// watch is what an admitter sees of one event: its line, and what became of those who were called.
type watch struct {
	Deps
	eventID string
	joined  *line.Index

	mu       sync.Mutex
	tree     *draw.Tree // of the line's messages so far
	sealed   uint64     // sequence of the seal, 0 before there is one
	seal     events.Sealed
	root     draw.Hash              // of the messages before the seal
	lobby    *line.Lobby            // once it is drawn
	early    []events.TurnReport    // who left before that: places aren't known yet
	left     line.Marks             // places that were given up
	serving  map[string]uint64      // by lane; how far it was called here
	answered line.Marks             // places whose fans came, or left before they were called
	shows    map[string]*line.Shows // by lane; of what was called here
	shoppers shoppers
	pruned   time.Time // up to when visits that had ended were forgotten while the past was read
	clock    brokerClock
}

func newWatch(d Deps, eventID string) *watch {
	return &watch{Deps: d, eventID: eventID, joined: line.NewIndex(), tree: draw.NewTree(), shows: map[string]*line.Shows{}, serving: map[string]uint64{}, shoppers: shoppers{}, clock: newBrokerClock()}
}

// run reads the streams until ctx ends. current is called once the turns and orders that they held have been read.
func (w *watch) run(ctx context.Context, current func()) {
	var reading, behind sync.WaitGroup
	defer reading.Wait()
	behind.Add(3)
	// What is appended is read back for its time alone.
	reading.Go(func() {
		w.keep(ctx, events.Follow{Stream: events.Admissions, Subject: events.AdmissionSubject(w.eventID), From: events.FromNew}, func() {}, func(events.Message) {})
	})
	reading.Go(func() { w.keep(ctx, events.Follow{Stream: events.Line(w.eventID)}, func() {}, w.line) })
	for _, outcome := range []events.TurnOutcome{events.TurnClaimed, events.TurnLeft} {
		reading.Go(func() {
			w.keep(ctx, events.Follow{Stream: events.Turns, Subject: events.TurnSubject(w.eventID, outcome)}, behind.Done, w.turn)
		})
	}
	reading.Go(func() {
		w.keep(ctx, events.Follow{Stream: events.Orders, Subject: events.OrderSubject(w.eventID, events.OrderConfirmed)}, behind.Done, w.ordered)
	})
	go func() {
		behind.Wait()
		current()
	}()
}

// keep follows a stream for as long as the service lives; one that can't be followed yet is tried again.
func (w *watch) keep(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) {
	var once sync.Once
	defer once.Do(caughtUp) // nobody waits for it any more
	for ctx.Err() == nil {
		var live atomic.Bool // what comes now was stored just now
		current := func() { live.Store(true); once.Do(caughtUp) }
		take := func(m events.Message) {
			if live.Load() {
				w.clock.saw(m.At)
			}
			each(m)
		}
		if err := w.Streams.Follow(ctx, f, current, take); err != nil && ctx.Err() == nil {
			w.Log.Warn("follow", "event_id", w.eventID, "stream", f.Stream, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

// line takes a message of the line: a chunk, or the seal.
func (w *watch) line(m events.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m.Sequence <= w.tree.Size() {
		return // a follower that reconnects may read again
	}
	if m.Sequence != w.tree.Size()+1 {
		w.Log.Error("messages are missing from the line; its lobby can't be drawn", "event_id", w.eventID, "stream_seq", m.Sequence, "read", w.tree.Size())
	}
	if events.IsSeal(m.Subject) && w.sealed == 0 {
		var err error
		if w.seal, err = events.Decode[events.Sealed](m.Data); err != nil {
			w.Log.Error("read the seal", "event_id", w.eventID, "stream_seq", m.Sequence, "error", err)
		}
		w.sealed, w.root = m.Sequence, w.tree.Root()
	}
	w.tree.Append(m.Data)
	if err := w.joined.Take(m); err != nil {
		w.Log.Error("read the line", "event_id", w.eventID, "stream_seq", m.Sequence, "error", err)
	}
}

// head is what of the line has been read, nil for nothing.
func (w *watch) head() *events.LineHead {
	if w.tree.Size() == 0 {
		return nil
	}
	return &events.LineHead{Read: w.tree.Size(), Root: w.tree.Root().String()}
}

// know takes note of the draw: from now on places are known.
func (w *watch) know(d events.Draw) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lobby != nil && w.lobby.Sealed() == d.Sealed {
		return nil
	}
	joined, ok := w.joined.Before(d.Sealed)
	if !ok {
		return sale.Errorf(sale.Unavailable, "line_behind", "the line is read up to %d, the seal is at %d", w.joined.Read(), d.Sealed)
	}
	lobby, err := line.NewLobby(d, joined)
	if err != nil {
		return err
	}
	w.places(lobby)
	return nil
}

// knowUndrawn takes note that there is no draw and will be none: the line was opened before there were draws, or was
// closed in its lobby. Arrival numbers are places.
func (w *watch) knowUndrawn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lobby == nil {
		w.places(&line.Lobby{})
	}
}

// places takes what was told of fans before their places were known.
func (w *watch) places(lobby *line.Lobby) {
	w.lobby = lobby
	for _, r := range w.early {
		w.take(r)
	}
	w.early = nil
}

// turn takes what some fans made of their turns.
func (w *watch) turn(m events.Message) {
	r, err := events.Decode[events.TurnReport](m.Data)
	if err != nil {
		w.Log.Error("read turns", "stream_seq", m.Sequence, "error", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lobby == nil {
		w.early = append(w.early, r)
		return
	}
	w.take(r)
}

func (w *watch) take(r events.TurnReport) {
	w.prune(r)
	for _, fan := range r.Fans {
		place := w.lobby.Place(r.Lane, fan.Arrival)
		switch r.Outcome {
		case events.TurnLeft:
			w.left.Add(r.Lane, place) // who is inside stays there until the pass has run out: it is still good
			if place >= w.serving[r.Lane] {
				w.answered.Add(r.Lane, place) // others may have a pass, of which there is no word yet
			}
		case events.TurnClaimed:
			w.answered.Add(r.Lane, place)
			if shows := w.shows[r.Lane]; shows != nil {
				shows.Claimed(place, r.At)
			}
			w.shoppers.come(fan.Session, r.At, r.Until)
		}
	}
}

// ordered takes an order that was confirmed: its fan is done.
func (w *watch) ordered(m events.Message) {
	o, err := events.Decode[events.Order](m.Data)
	if err != nil {
		w.Log.Error("read order", "stream_seq", m.Sequence, "error", err)
		return
	}
	w.mu.Lock()
	w.shoppers.leave(o.Session, o.At)
	w.mu.Unlock()
}

// evidence is the draw of a lobby that was sealed.
func (w *watch) evidence(want line.Control, beacon []byte) (*events.Draw, *events.Drawn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	raw, err := draw.ParseHash(w.seal.Secret)
	if err != nil {
		return nil, nil, fmt.Errorf("read the seal's secret: %w", err)
	}
	secret := draw.Secret(raw)
	if secret != want.Secret {
		return nil, nil, fmt.Errorf("the seal at %d has another secret than the event", w.sealed)
	}
	if w.tree.Size() < w.sealed {
		return nil, nil, fmt.Errorf("%d messages were read up to the seal at %d: some are missing from the stream", w.tree.Size(), w.sealed)
	}
	joined, ok := w.joined.Before(w.sealed)
	if !ok {
		return nil, nil, sale.Errorf(sale.Unavailable, "line_behind", "the line is not read up to its seal")
	}
	d, e := line.Evidence(w.eventID, w.sealed, secret, beacon, w.root, joined)
	return d, e, nil
}
