package line

import (
	"encoding/binary"
	"sync"

	"github.com/greatroar/blobloom"

	"onsale/internal/sale"
)

// Sessions tells which sessions may have joined a lane before, so that for the others nobody need be asked. It errs
// to one side: a session that it calls new is new, as far as this node has read. It takes two to three bytes
// a session, where there are millions, and is wrong about three new sessions of ten million in a thousand. Safe for
// concurrent use.
type Sessions struct {
	mu      sync.Mutex
	filters []*blobloom.Filter // each a quarter larger than the one before; the last is filled
	room    uint64             // left in the last
	size    uint64             // of the last
}

const (
	firstSessions = 1 << 20 // their memory is touched as they come
	wrongOnce     = 5e-4    // the part of new sessions that one filter takes for known
)

// Has says of each session whether it may be there.
func (s *Sessions) Has(sessions []sale.SessionHash, maybe []bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range sessions {
		maybe[i] = s.has(hashOf(sessions[i]))
	}
}

// Add takes sessions in, and says of each whether it may have been there before.
func (s *Sessions) Add(sessions []sale.SessionHash, maybe []bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range sessions {
		maybe[i] = s.add(hashOf(sessions[i]))
	}
}

// hashOf is what a filter goes by: a session's hash is as good as random, so its first bytes will do.
func hashOf(session sale.SessionHash) uint64 { return binary.LittleEndian.Uint64(session[:]) }

// has looks at one cache line of each filter.
func (s *Sessions) has(hash uint64) bool {
	for _, f := range s.filters {
		if f.Has(hash) {
			return true
		}
	}
	return false
}

func (s *Sessions) add(hash uint64) bool {
	if s.has(hash) {
		return true
	}
	if s.room == 0 {
		s.size = max(s.size+s.size/4, firstSessions)
		s.room = s.size
		s.filters = append(s.filters, blobloom.NewOptimized(blobloom.Config{Capacity: s.size, FPRate: wrongOnce}))
	}
	s.filters[len(s.filters)-1].Add(hash)
	s.room--
	return false
}
