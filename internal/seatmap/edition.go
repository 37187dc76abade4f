package seatmap

import (
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Edition is the map as it stood at one time. Clients know editions alone, by their versions.
type Edition struct {
	// Version is what clients know the edition by.
	Version string
	// States are those of all seats, by ordinal. They must not be changed.
	States []State

	m          *Map
	n          uint64
	superseded chan struct{}

	mu     sync.Mutex
	deltas map[uint64]func() *Delta // by the version's number
}

// Superseded is closed once there is a newer edition.
func (e *Edition) Superseded() <-chan struct{} { return e.superseded }

func (m *Map) edition(n uint64, states []State) *Edition {
	return &Edition{
		Version: m.name + "." + strconv.FormatUint(n, 10), States: slices.Clone(states), m: m, n: n,
		superseded: make(chan struct{}), deltas: map[uint64]func() *Delta{},
	}
}

// Current is the last edition.
func (m *Map) Current() *Edition { return m.current.Load() }

// Dirty says whether there are changes that no edition has.
func (m *Map) Dirty() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.dirty) > 0
}

// Cut makes an edition of what has changed since the last, if anything has, and says whether it did.
func (m *Map) Cut() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.current.Load()
	changed := make([]int32, 0, len(m.dirty))
	for i := range m.dirty {
		if m.states[i] != last.States[i] { // one that is again what it was has not
			changed = append(changed, i)
		}
	}
	clear(m.dirty)
	if len(changed) == 0 {
		return false
	}
	slices.Sort(changed)
	m.ring.add(last.n+1, changed)
	m.current.Store(m.edition(last.n+1, m.states))
	close(last.superseded)
	return true
}

// The bounds of what a map remembers of its changes: a minute or more of editions, and about a megabyte.
const (
	maxEditions = 1024
	maxChanges  = 256 << 10 // seats, over all editions
)

// ring has the changes of the last editions.
type ring struct {
	mu    sync.Mutex
	first uint64    // the edition whose changes are the first in it
	each  [][]int32 // seats, by edition
	seats int
}

func (r *ring) add(n uint64, changed []int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.each) == 0 {
		r.first = n
	}
	r.each = append(r.each, changed)
	r.seats += len(changed)
	for len(r.each) > maxEditions || r.seats > maxChanges {
		r.seats -= len(r.each[0])
		r.each[0] = nil
		r.each = r.each[1:]
		r.first++
	}
}

// between are the seats that changed after one edition up to another, each once and in order; false where the ring
// does not reach back so far.
func (r *ring) between(since, to uint64) ([]int32, bool) {
	r.mu.Lock()
	if since+1 < r.first || since > to || to >= r.first+uint64(len(r.each)) {
		r.mu.Unlock()
		return nil, since == to
	}
	lists := slices.Clone(r.each[since+1-r.first : to+1-r.first])
	r.mu.Unlock()
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all), true
}

// number reads a version of this map.
func (m *Map) number(version string) (uint64, bool) {
	name, number, ok := strings.Cut(version, ".")
	if !ok || name != m.name {
		return 0, false
	}
	n, err := strconv.ParseUint(number, 10, 64)
	return n, err == nil && strconv.FormatUint(n, 10) == number
}
