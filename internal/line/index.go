// Package line is the virtual line, pure: arrival numbers as prefix sums over a stream of chunks, the ticket
// that is all a waiting fan's state, the pace of admission, and what a fan is told. No I/O and no clock: time
// comes in as an argument. Services import it; it imports the domain and the wire contract.
package line

import (
	"context"
	"sync"
)

// Index gives joins their arrival numbers: the joins in all earlier chunks, plus the place in one's own chunk.
// It is a pure function of the stream, so every node that has read as far agrees. Safe for concurrent use.
type Index struct {
	mu     sync.RWMutex
	before []uint64 // before[i]: joins in the chunks before stream sequence i+1
	joined uint64
	moved  chan struct{} // closed and replaced whenever the index grows
}

// NewIndex is the index of a line that nobody has joined.
func NewIndex() *Index { return &Index{moved: make(chan struct{})} }

// Apply takes the chunk at a stream sequence (from 1) with its number of joins. Sequences come in order; one
// that was applied before is ignored, so a follower that reconnects may read again. A gap counts as empty.
func (x *Index) Apply(sequence uint64, joins int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if sequence <= uint64(len(x.before)) {
		return
	}
	for uint64(len(x.before)) < sequence {
		x.before = append(x.before, x.joined)
	}
	x.joined += uint64(joins)
	close(x.moved)
	x.moved = make(chan struct{})
}

// Joined is how many have joined, as far as this node has read.
func (x *Index) Joined() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.joined
}

// Arrival is the arrival number, from 0, of the join at an index of the chunk at a sequence; false while this
// node has not read so far.
func (x *Index) Arrival(sequence uint64, index uint32) (uint64, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if sequence == 0 || sequence > uint64(len(x.before)) {
		return 0, false
	}
	return x.before[sequence-1] + uint64(index), true
}

// WaitFor returns once the index has reached a sequence, or ctx's error.
func (x *Index) WaitFor(ctx context.Context, sequence uint64) error {
	for {
		x.mu.RLock()
		reached, moved := sequence <= uint64(len(x.before)), x.moved
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
