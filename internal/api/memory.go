package api

import (
	"context"
	"sync"
	"time"

	"onsale/internal/line"
)

// memory stores the places of a lane's sessions in Redis, behind the joins and many at once: until then every node
// knows them from the stream. It is for those who come again later without their ticket. The line does not wait for
// it longer than memoryLimit, and goes on without it.
type memory struct {
	places Places
	key    line.Key

	mu      sync.Mutex
	waiting []line.Ticket
	writing bool
	room    chan struct{} // closed and replaced when what waited is being written
}

const (
	maxRemembered = 1024      // in one write
	maxForgotten  = 128 << 10 // that wait: more, and joins wait for them
)

// memoryLimit is how long Redis may take to say or store which places sessions have, and how long a join waits for
// it.
const memoryLimit = 500 * time.Millisecond

func newMemory(places Places, key line.Key) *memory {
	return &memory{places: places, key: key, room: make(chan struct{})}
}

// add hands tickets over to be stored.
func (m *memory) add(ctx context.Context, tickets []line.Ticket) {
	m.mu.Lock()
	for len(m.waiting) >= maxForgotten {
		room := m.room
		m.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			placesFailed.Inc()
			return
		case <-time.After(memoryLimit):
			placesFailed.Inc()
			return
		}
		m.mu.Lock()
	}
	m.waiting = append(m.waiting, tickets...)
	if !m.writing {
		m.writing = true
		go m.write()
	}
	m.mu.Unlock()
}

// write stores what waits until nothing does.
func (m *memory) write() {
	for {
		m.mu.Lock()
		if len(m.waiting) == 0 {
			m.writing = false
			m.mu.Unlock()
			return
		}
		n := min(len(m.waiting), maxRemembered)
		now := m.waiting[:n:n]
		if m.waiting = m.waiting[n:]; len(m.waiting) == 0 {
			m.waiting = nil
		}
		close(m.room)
		m.room = make(chan struct{})
		m.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), memoryLimit)
		if _, err := m.places.Remember(ctx, m.key, now); err != nil {
			placesFailed.Add(float64(len(now)))
		}
		cancel()
	}
}
