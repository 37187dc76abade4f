// Package seatmap is what a node knows of an event's seats: which are available, held and sold, its editions with what
// changed between them, and the bytes that clients are sent. It is pure: it has no connection, decides nothing
// by a clock of its own, and learns of changes from its caller. It promises that an edition never changes, that versions of one map only grow, and that
// what Since tells, applied to the seats of the edition it begins at, gives the seats of the edition it leads to.
package seatmap

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// State is what a seat is to somebody who would like to have it.
type State uint8

// The states of a seat. Anyone may hold an available one.
const (
	Available State = iota
	Held
	Sold
)

// String is the state as clients read it.
func (s State) String() string { return [...]string{"available", "held", "sold"}[s] }

// Seat is what does not change about a seat.
type Seat struct {
	ID    string
	Price int64 // minor units of the event's currency
}

// Map is the seats of one event. Seats are named by their index, their ordinal. It is safe for concurrent use.
type Map struct {
	seats    []Seat
	ordinals map[string]int
	currency string
	name     string // of all its versions: "<name>.<n>"

	mu      sync.Mutex
	sold    []bool          // the ledger says so
	marked  []bool          // Redis says so
	held    map[int32]claim // seats that a hold has
	lapses  lapses
	states  []State
	touched []uint64 // when each was told of last, by the counter of tellings
	told    uint64
	dirty   map[int32]struct{} // changed since the last edition

	ring    ring
	current atomic.Pointer[Edition]
	pages   pages
}

// claim is a hold's hold of a seat. The zero hold is one of which only the fact is known.
type claim struct {
	hold  uuid.UUID
	until time.Time // zero: until it is told otherwise
}

// New makes a map on which all is available. No two maps may have the same name: a version of one would be taken for
// one of the other. ordinals are the seats' indexes by id, and belong to the map from now on, as do the seats.
func New(name string, seats []Seat, ordinals map[string]int, currency string) *Map {
	m := &Map{
		seats: seats, ordinals: ordinals, currency: currency, name: name,
		sold: make([]bool, len(seats)), marked: make([]bool, len(seats)), held: map[int32]claim{}, states: make([]State, len(seats)),
		touched: make([]uint64, len(seats)), dirty: map[int32]struct{}{},
	}
	m.current.Store(m.edition(1, m.states))
	return m
}

// Hold says that a hold has seats until a time. A seat that another hold had is the new one's. Seats that are not the
// map's are ignored here and below.
func (m *Map) Hold(hold uuid.UUID, seats []string, until time.Time) {
	m.each(seats, func(i int32) {
		m.held[i] = claim{hold, until}
		heap.Push(&m.lapses, lapse{until, i})
	})
	m.compact()
}

// Free says that a hold has its seats no more. What another hold has is left alone.
func (m *Map) Free(hold uuid.UUID, seats []string) {
	m.each(seats, func(i int32) {
		if c, ok := m.held[i]; ok && (c.hold == hold || c.hold == uuid.Nil) {
			delete(m.held, i)
		}
	})
}

// Sell says that seats are sold, as the ledger has it.
func (m *Map) Sell(seats []string) {
	m.each(seats, func(i int32) {
		m.sold[i] = true
		delete(m.held, i)
	})
}

// Unsell says that seats are no longer sold, as the ledger has it. Who holds one by now came after the sale.
func (m *Map) Unsell(seats []string) {
	m.each(seats, func(i int32) { m.sold[i], m.marked[i] = false, false })
}

// Lapse frees the seats whose holds have ended by now, and says when the next will; zero for none.
func (m *Map) Lapse(now time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.lapses) > 0 && !m.lapses[0].until.After(now) {
		l := heap.Pop(&m.lapses).(lapse)
		if c, ok := m.held[l.seat]; ok && c.until.Equal(l.until) {
			delete(m.held, l.seat)
			m.tell(l.seat)
		}
	}
	if len(m.lapses) == 0 {
		return time.Time{}
	}
	return m.lapses[0].until
}

// each calls change for the seats of a telling.
func (m *Map) each(seats []string, change func(i int32)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told++
	for _, id := range seats {
		if i, ok := m.ordinals[id]; ok {
			change(int32(i))
			m.tell(int32(i))
		}
	}
}

// tell makes a seat's state what is known of it.
func (m *Map) tell(i int32) {
	m.touched[i] = m.told
	state := Available
	if _, ok := m.held[i]; ok {
		state = Held
	}
	if m.sold[i] || m.marked[i] {
		state = Sold
	}
	if state != m.states[i] {
		m.states[i] = state
		m.dirty[i] = struct{}{}
	}
}

// lapse is when a seat's hold ends, unless it has another by then.
type lapse struct {
	until time.Time
	seat  int32
}

// lapses is a heap, the next first. Holds that ended early leave theirs behind, until compact drops them.
type lapses []lapse

func (l lapses) Len() int           { return len(l) }
func (l lapses) Less(i, j int) bool { return l[i].until.Before(l[j].until) }
func (l lapses) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *lapses) Push(x any)        { *l = append(*l, x.(lapse)) }

func (l *lapses) Pop() any {
	last := len(*l) - 1
	x := (*l)[last]
	*l = (*l)[:last]
	return x
}

// slack is how many ends of holds there may be beyond twice the seats that are held.
const slack = 1024

// compact bounds the heap by what is held, however often holds come and go.
func (m *Map) compact() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.lapses) <= 2*len(m.held)+slack {
		return
	}
	m.lapses = m.lapses[:0]
	for i, c := range m.held {
		if !c.until.IsZero() {
			m.lapses = append(m.lapses, lapse{c.until, i})
		}
	}
	heap.Init(&m.lapses)
}
