// Package line is the virtual line, pure: arrival numbers as prefix sums over a stream of chunks, the ticket
// that is all a waiting fan's state, the pace of admission, and what a fan is told. No I/O and no clock: time
// comes in as an argument. Services import it; it imports the domain, the draw and the wire contract.
package line

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"onsale/events"
)

// Index gives joins their arrival numbers: the joins in all earlier chunks of their lane, plus the place in one's
// own chunk. It is a pure function of the stream, so every node that has read as far agrees. It costs three bytes a
// chunk. Safe for concurrent use.
type Index struct {
	mu    sync.RWMutex
	joins []uint16 // of the chunk at stream sequence i+1
	lane  []uint8  // its lane, an index of lanes
	lanes []laneIndex
	moved chan struct{} // closed and replaced whenever the index grows
}

type laneIndex struct {
	name   string
	joined uint64
	before []uint64 // before[b]: joins in the chunks before block b
}

// blockChunks is how many chunks share one prefix sum; within a block they are added up when asked for.
const blockChunks = 64

// maxLanes bounds the lanes of one line, the general one included.
const maxLanes = 1 << 8

// NewIndex is the index of a line that nobody has joined.
func NewIndex() *Index { return &Index{moved: make(chan struct{}), lanes: []laneIndex{{}}} }

// Take reads a message of the line's stream. The seal is nobody's join.
func (x *Index) Take(m events.Message) error {
	if events.IsSeal(m.Subject) {
		x.Apply(m.Sequence, "", 0)
		return nil
	}
	joins, err := strconv.ParseUint(m.Header[events.HeaderJoinCount], 10, 16)
	if err != nil || joins > events.MaxChunk {
		x.Apply(m.Sequence, "", 0)
		return fmt.Errorf("the chunk at %d is without its count", m.Sequence)
	}
	x.Apply(m.Sequence, m.Header[events.HeaderLane], uint16(joins))
	return nil
}

// Apply takes the chunk at a stream sequence (from 1) with its lane ("" is the general one) and number of joins.
// Sequences come in order; one that was applied before is ignored, so a follower that reconnects may read again. A
// gap counts as empty.
func (x *Index) Apply(sequence uint64, lane string, joins uint16) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if sequence <= uint64(len(x.joins)) {
		return
	}
	for uint64(len(x.joins)) < sequence {
		if len(x.joins)%blockChunks == 0 {
			for i := range x.lanes {
				x.lanes[i].before = append(x.lanes[i].before, x.lanes[i].joined)
			}
		}
		x.joins, x.lane = append(x.joins, 0), append(x.lane, 0)
	}
	l := x.laneOf(lane)
	x.joins[sequence-1], x.lane[sequence-1] = joins, uint8(l)
	x.lanes[l].joined += uint64(joins)
	close(x.moved)
	x.moved = make(chan struct{})
}

// laneOf finds a lane, or makes it. The lanes past maxLanes are one: an operator can't make so many.
func (x *Index) laneOf(name string) int {
	i := slices.IndexFunc(x.lanes, func(l laneIndex) bool { return l.name == name })
	if i >= 0 || len(x.lanes) == maxLanes {
		return max(i, 0)
	}
	x.lanes = append(x.lanes, laneIndex{name: name, before: make([]uint64, (len(x.joins)+blockChunks-1)/blockChunks)})
	return len(x.lanes) - 1
}

// Joined is how many have joined a lane, as far as this node has read.
func (x *Index) Joined(lane string) uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for i := range x.lanes {
		if x.lanes[i].name == lane {
			return x.lanes[i].joined
		}
	}
	return 0
}

// Counts is how many have joined each lane; the general one is always there.
func (x *Index) Counts() map[string]uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	counts := make(map[string]uint64, len(x.lanes))
	for _, l := range x.lanes {
		counts[l.name] = l.joined
	}
	return counts
}

// Before is how many had joined each lane before a sequence; false while this node has not read so far.
func (x *Index) Before(sequence uint64) (map[string]uint64, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if sequence == 0 || sequence > uint64(len(x.joins)) {
		return nil, false
	}
	counts := make(map[string]uint64, len(x.lanes))
	for i, l := range x.lanes {
		counts[l.name] = x.before(i, sequence)
	}
	return counts, true
}

// Arrival is the lane of the join at an index of the chunk at a sequence, and its arrival number there, from 0;
// false while this node has not read so far.
func (x *Index) Arrival(sequence uint64, index uint32) (lane string, arrival uint64, known bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if sequence == 0 || sequence > uint64(len(x.joins)) {
		return "", 0, false
	}
	l := int(x.lane[sequence-1])
	return x.lanes[l].name, x.before(l, sequence) + uint64(index), true
}

// before is how many joined a lane before the chunk at a sequence that has been read.
func (x *Index) before(lane int, sequence uint64) uint64 {
	block := int(sequence-1) / blockChunks
	n := x.lanes[lane].before[block]
	for i := block * blockChunks; i < int(sequence-1); i++ {
		if x.lane[i] == uint8(lane) {
			n += uint64(x.joins[i])
		}
	}
	return n
}

// Read is the last sequence that was applied.
func (x *Index) Read() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return uint64(len(x.joins))
}

// WaitFor returns once the index has reached a sequence, or ctx's error.
func (x *Index) WaitFor(ctx context.Context, sequence uint64) error {
	for {
		x.mu.RLock()
		reached, moved := sequence <= uint64(len(x.joins)), x.moved
		x.mu.RUnlock()
		if reached {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
