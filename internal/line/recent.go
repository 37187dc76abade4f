package line

import (
	"sync"

	"onsale/internal/sale"
)

// Recent is the lowest place of each session that joined a lane lately, as far as a node has read its stream. It makes
// races plain: whoever waited until its own chunk was read finds here every earlier join of the same session, on
// whatever node it was made. The zero value is ready. Safe for concurrent use.
type Recent struct {
	mu          sync.Mutex
	now, before map[sale.SessionHash]spot
}

type spot struct {
	sequence uint64
	index    uint32
}

// RecentSessions is how many sessions are remembered at least, and half of how many at most.
const RecentSessions = 1 << 16

// Take reads the sessions of the chunk at a sequence. Chunks come in order. maybe says of each whether it may have
// joined before; who is here may have.
func (r *Recent) Take(sequence uint64, sessions []sale.SessionHash, maybe []bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range sessions {
		if maybe[i] {
			if _, ok := r.find(sessions[i]); ok {
				continue // it has a lower one
			}
		}
		if len(r.now) >= RecentSessions {
			r.now, r.before = r.before, r.now
			clear(r.now)
		}
		if r.now == nil {
			r.now = map[sale.SessionHash]spot{}
		}
		r.now[sessions[i]] = spot{sequence, uint32(i)}
	}
}

func (r *Recent) find(session sale.SessionHash) (spot, bool) {
	s, ok := r.now[session]
	if !ok {
		s, ok = r.before[session]
	}
	return s, ok
}

// Find looks up sessions of a line of an epoch, and calls found for those that joined lately.
func (r *Recent) Find(epoch uint64, sessions []sale.SessionHash, found func(i int, t Ticket)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range sessions {
		if s, ok := r.find(sessions[i]); ok {
			found(i, Ticket{Epoch: epoch, Sequence: s.sequence, Index: s.index, Session: sessions[i]})
		}
	}
}
