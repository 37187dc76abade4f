package api

import (
	"sync"

	"onsale/internal/sale"
)

// streams counts this node's streams of seat changes: a node has room for so many, and a session for a few of them.
type streams struct {
	mu   sync.Mutex
	most int
	all  int
	each map[sale.SessionHash]int
}

// maxStreamsEach is how many streams a session may have: one for each of its tabs.
const maxStreamsEach = 8

var (
	errTooManyStreams = sale.Errorf(sale.Unavailable, "too_many_streams", "this node has all the streams that it can have: ask for the seats instead, or try again").After(streamsWait)
	errTooManyTabs    = sale.Errorf(sale.TooMany, "session_streams", "this session has %d streams already: close one", maxStreamsEach).After(streamsWait)
)

func newStreams(most int) *streams { return &streams{most: most, each: map[sale.SessionHash]int{}} }

// add makes room for a stream of a session.
func (s *streams) add(session sale.SessionHash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.each[session] >= maxStreamsEach:
		return errTooManyTabs
	case s.all >= s.most:
		return errTooManyStreams
	}
	s.all++
	s.each[session]++
	seatStreams.Inc()
	return nil
}

// remove is for a stream that has ended.
func (s *streams) remove(session sale.SessionHash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.each[session]--; s.each[session] == 0 {
		delete(s.each, session)
	}
	seatStreams.Dec()
}
