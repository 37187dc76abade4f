package api

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"onsale/events"
	"onsale/internal/batch"
	"onsale/internal/line"
	"onsale/internal/record"
	"onsale/internal/sale"
)

// onSale is what this node knows of one event, all in memory.
type onSale struct {
	event   sale.Event
	seats   []sale.Seat
	ordinal map[string]int // seat id to its index in seats
	epoch   uint64
	line    *line.Index
	record  atomic.Pointer[logged]     // the last; none is changed once it is here
	lobby   atomic.Pointer[line.Lobby] // once it is drawn
	left    *line.Marks                // arrival numbers of those who left
	leaves  *batch.Group[leaving, struct{}]
	turns   *turns
	gone    goneSeats // held by someone a moment ago
	best    *bestSeats
	seatMap seatFeed
	records publicRecords

	newLane func(name string) *lane
	mu      sync.Mutex
	lanes   map[string]*lane // by name, those with an access code
	general *lane
	closed  sync.Once
	known   atomic.Bool // the lanes' sessions have been read up to where the line was when this node opened it
}

// lane is what this node knows of one lane.
type lane struct {
	name     string
	joins    *batch.Group[joining, joined] // gathers joins into chunks
	sessions line.Sessions
	recent   line.Recent
	memory   *memory
}

// take reads the sessions of the chunk at a sequence.
func (l *lane) take(sequence uint64, sessions []sale.SessionHash) {
	var maybe [events.MaxChunk]bool
	l.sessions.Add(sessions, maybe[:])
	l.recent.Take(sequence, sessions, maybe[:])
	l.memory.saw(len(sessions))
}

// open reads an event's seats and its line so far.
func (s *sales) open(ctx context.Context, e sale.Event) (*onSale, error) {
	seats, err := s.Catalog.Seats(ctx, e.ID)
	if err != nil {
		return nil, err
	}
	epoch, err := s.Streams.LineEpoch(ctx, e.ID)
	if err != nil {
		return nil, err
	}
	o := &onSale{
		event: e, seats: seats, ordinal: make(map[string]int, len(seats)), epoch: epoch, line: line.NewIndex(), left: s.leftOf(e.ID),
		lanes: map[string]*lane{},
	}
	o.record.Store(inLobby)
	o.gone.seats, o.best = make([]goneSeat, len(seats)), newBestSeats(seats)
	for i, t := range seats {
		o.ordinal[t.ID] = i
	}
	o.newLane = func(name string) *lane {
		l := &lane{name: name, memory: newMemory(s.Places, o.key(name))}
		l.joins = batch.New(joinGroup(s.MaxChunk), func(ctx context.Context, joins []joining) ([]joined, error) {
			return s.join(ctx, o, l, joins)
		})
		return l
	}
	o.general = o.newLane("")
	o.turns = newTurns(e.ID)
	o.leaves = batch.New(leaveGroup, func(ctx context.Context, all []leaving) ([]struct{}, error) {
		return make([]struct{}, len(all)), s.leave(ctx, e.ID, all)
	})
	if err := s.readLine(ctx, o); err != nil {
		return nil, err
	}
	go s.report(o)
	return o, nil
}

// readLine reads the line so far, by its headers alone and its end with all that is in it, and then follows it. Who
// joined before that is read in the background: it only saves asking Redis.
func (s *sales) readLine(ctx context.Context, o *onSale) error {
	counting, counted := context.WithCancel(ctx)
	defer counted()
	var complete atomic.Bool
	err := s.keep(counting, events.Follow{Stream: events.Line(o.event.ID), HeadersOnly: true}, func() { complete.Store(true); counted() }, func(m events.Message) {
		if err := o.line.Take(m); err != nil {
			s.Log.Error("read the line", "event_id", o.event.ID, "stream_seq", m.Sequence, "error", err)
		}
	})
	if !complete.Load() {
		return errLineBehind.Because(errors.Join(err, ctx.Err()))
	}
	last := o.line.Read()
	if err := s.readEnd(ctx, o, last); err != nil {
		return errLineBehind.Because(err)
	}
	go s.keep(s.life, events.Follow{Stream: events.Line(o.event.ID), From: events.FromAfter, After: last}, func() {}, func(m events.Message) { s.follows(o, m) })
	go s.readSessions(o, last)
	return nil
}

// readEnd reads who joined last before this node began, up to a sequence, and sees to it that Redis knows them: a node
// that was killed, or a Redis that was away, may have left places that only the stream has.
func (s *sales) readEnd(ctx context.Context, o *onSale, last uint64) error {
	return s.eachChunk(ctx, o, o.before(last, maxForgotten/2), last, func(sequence uint64, chunk events.Chunk) {
		l := o.lane(chunk.Lane)
		l.take(sequence, chunk.Sessions)
		l.memory.add(ctx, o.tickets(sequence, chunk.Sessions), true)
	})
}

// tickets are the places that the chunk at a sequence gives its sessions.
func (o *onSale) tickets(sequence uint64, sessions []sale.SessionHash) []line.Ticket {
	tickets := make([]line.Ticket, len(sessions))
	for i, session := range sessions {
		tickets[i] = line.Ticket{Epoch: o.epoch, Sequence: sequence, Index: uint32(i), Session: session}
	}
	return tickets
}

// before is the sequence after which no more than so many joined, up to one that has been read.
func (o *onSale) before(last, joins uint64) uint64 {
	sum := func(lanes map[string]uint64) (n uint64) {
		for _, joined := range lanes {
			n += joined
		}
		return n
	}
	all := sum(o.line.Counts())
	return uint64(sort.Search(int(last), func(i int) bool {
		before, _ := o.line.Before(uint64(i) + 1)
		return all-sum(before) <= joins
	}))
}

// follows takes the next message of the line.
func (s *sales) follows(o *onSale, m events.Message) {
	if !events.IsSeal(m.Subject) && m.Sequence > o.line.Read() { // a follower that reconnects may read again
		chunk, err := events.DecodeChunk(m.Data)
		if err != nil {
			s.Log.Error("read the line", "event_id", o.event.ID, "stream_seq", m.Sequence, "error", err)
		}
		l := o.lane(chunk.Lane)
		l.take(m.Sequence, chunk.Sessions) // before the index moves: who waits for that finds them
	}
	if err := o.line.Take(m); err != nil {
		s.Log.Error("read the line", "event_id", o.event.ID, "stream_seq", m.Sequence, "error", err)
	}
}

// readSessions reads who joined up to a sequence.
func (s *sales) readSessions(o *onSale, last uint64) {
	var maybe [events.MaxChunk]bool
	var read uint64
	for read < last {
		err := s.eachChunk(s.life, o, read, last, func(sequence uint64, chunk events.Chunk) {
			o.lane(chunk.Lane).sessions.Add(chunk.Sessions, maybe[:])
			read = sequence
		})
		if err == nil {
			break
		}
		if s.life.Err() != nil {
			return
		}
		s.Log.Warn("read who joined; joins ask Redis until then", "event_id", o.event.ID, "error", err)
		select {
		case <-s.life.Done():
			return
		case <-time.After(time.Second):
		}
	}
	o.known.Store(true)
}

// eachChunk reads the chunks after a sequence up to another. Of one that can't be read there is word already.
func (s *sales) eachChunk(ctx context.Context, o *onSale, after, last uint64, take func(sequence uint64, chunk events.Chunk)) error {
	for after < last {
		all, err := s.Streams.Range(ctx, events.Line(o.event.ID), events.LineSubjects(o.event.ID), after+1, maxRecords, maxRecordBytes)
		if err == nil && len(all) == 0 {
			err = fmt.Errorf("the line ends at %d, and had been read up to %d", after, last)
		}
		if err != nil {
			return err
		}
		for _, m := range all {
			if after = m.Sequence; after > last {
				break // what came since is followed
			}
			if events.IsSeal(m.Subject) {
				continue
			}
			if chunk, err := events.DecodeChunk(m.Data); err == nil {
				take(m.Sequence, chunk)
			}
		}
	}
	return nil
}

// key names a lane of the event's line, as it was made last.
func (o *onSale) key(lane string) line.Key {
	return line.Key{EventID: o.event.ID, Epoch: o.epoch, Lane: lane}
}

// lane finds a lane. Those of an event are few: an access code or a chunk names one.
func (o *onSale) lane(name string) *lane {
	if name == "" {
		return o.general
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.lanes[name]
	if l == nil {
		l = o.newLane(name)
		o.lanes[name] = l
	}
	return l
}

// forget lets the places of a closed sale end in Redis, in a while. Every node does so once, and again at its start.
func (o *onSale) forget() {
	ctx, cancel := context.WithTimeout(context.Background(), catchUpLimit)
	defer cancel()
	o.drain(ctx)
	for lane := range o.line.Counts() {
		if err := o.lane(lane).memory.forget(ctx); err != nil {
			placesFailed.Inc() // the next node's start does it
		}
	}
}

// drain waits until Redis has the places of all lanes, or ctx ends.
func (o *onSale) drain(ctx context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.general.memory.drain(ctx)
	for _, l := range o.lanes {
		l.memory.drain(ctx)
	}
}

// logged is a record of an event's admission log.
type logged struct {
	events.Admission
	head *record.Head // nil for none
	view *line.View
}

// inLobby stands for the record of an event that has none yet.
var inLobby = newLogged(events.Admission{State: sale.Lobby}, nil)

func newLogged(a events.Admission, head *record.Head) *logged {
	l := &logged{Admission: a, head: head}
	l.view = line.NewView(&l.Admission)
	return l
}

// last is the last record of the event's log.
func (o *onSale) last() *events.Admission { return &o.record.Load().Admission }

// stand says how a place stands by the last record.
func (o *onSale) stand(p line.Place) line.Standing { return o.record.Load().view.Stand(p) }

// admitted takes the last record, nil for none. The lobby's order is made here, so that polls find it.
func (o *onSale) admitted(l *logged) {
	if l == nil {
		return
	}
	_, _ = o.drawn(&l.Admission) // who asks while it can't be made is told so
	o.record.Store(l)
	if l.State == sale.Closed {
		o.closed.Do(func() {
			o.seatMap.close()
			go o.forget()
		})
	}
}

// drawn is the order of the lobby, nil where the event has no draw.
func (o *onSale) drawn(a *events.Admission) (*line.Lobby, error) {
	if a.Draw == nil {
		return nil, nil
	}
	if l := o.lobby.Load(); l != nil && l.Sealed() == a.Draw.Sealed {
		return l, nil
	}
	joined, ok := o.line.Before(a.Draw.Sealed)
	if !ok {
		return nil, errLineBehind
	}
	l, err := line.NewLobby(*a.Draw, joined)
	if err != nil {
		return nil, err
	}
	o.lobby.Store(l)
	return l, nil
}

// place is where a ticket stands, from memory alone.
func (o *onSale) place(t line.Ticket) (line.Place, error) {
	lane, arrival, known := o.line.Arrival(t.Sequence, t.Index)
	if !known {
		return line.Place{}, errLineBehind
	}
	p := line.Place{Lane: lane, Arrival: arrival, Number: arrival, Left: o.left.Has(lane, arrival)}
	a := o.last()
	lobby, err := o.drawn(a)
	if err != nil {
		return p, err
	}
	switch {
	case lobby != nil:
		p.Number, p.Drawn = lobby.Place(lane, arrival), true
	case a.State != sale.Lobby:
		p.Drawn = true // a line without a draw is in the order of arrival
	}
	return p, nil
}
