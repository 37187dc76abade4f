package api

import (
	"context"
	"sync"
	"time"

	"onsale/internal/line"
)

// memory stores the places of a lane's sessions in Redis, behind the joins and many at once: until then every node
// knows them from the stream. It is for those who come again later without their ticket. While Redis is slow, joins
// wait for it a little; while it is away they don't, and what it has missed is stored once it is back, as far as
// there is room.
type memory struct {
	places Places
	key    line.Key

	mu      sync.Mutex
	waiting []line.Ticket
	writing bool
	away    bool
	idle    sync.WaitGroup
	room    chan struct{} // closed and replaced when what waited is being written
}

const (
	maxRemembered = 1024      // in one write
	maxForgotten  = 128 << 10 // that wait
	awayPause     = 250 * time.Millisecond
)

// memoryLimit is how long Redis may take to say or store which places sessions have, and how long a join waits for
// room.
const memoryLimit = 500 * time.Millisecond

func newMemory(places Places, key line.Key) *memory {
	return &memory{places: places, key: key, room: make(chan struct{})}
}

// add hands tickets over to be stored.
func (m *memory) add(ctx context.Context, tickets []line.Ticket) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.waiting) >= maxForgotten && !m.away {
		room := m.room
		m.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		case <-time.After(memoryLimit):
		}
		m.mu.Lock()
	}
	if len(m.waiting) >= maxForgotten {
		placesForgotten.Add(float64(len(tickets)))
		return
	}
	m.waiting = append(m.waiting, tickets...)
	if !m.writing {
		m.writing = true
		m.idle.Go(m.write)
	}
}

// write stores what waits until nothing does.
func (m *memory) write() {
	for {
		now := m.take()
		if len(now) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), memoryLimit)
		_, err := m.places.Remember(ctx, m.key, now)
		cancel()
		m.mu.Lock()
		if m.away = err != nil; err != nil {
			m.waiting = append(now, m.waiting...)
		}
		m.mu.Unlock()
		if err != nil {
			placesFailed.Inc()
			time.Sleep(awayPause)
		}
	}
}

// take is the next write's; none ends the writing.
func (m *memory) take() []line.Ticket {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := min(len(m.waiting), maxRemembered)
	m.writing = n > 0
	now := m.waiting[:n:n]
	if m.waiting = m.waiting[n:]; len(m.waiting) == 0 {
		m.waiting = nil
	}
	close(m.room)
	m.room = make(chan struct{})
	return now
}

// drain returns when all is stored, or ctx ends. Call it after the last add.
func (m *memory) drain(ctx context.Context) {
	idle := make(chan struct{})
	go func() {
		m.idle.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// forget lets the places that Redis has end in a while.
func (m *memory) forget(ctx context.Context) error { return m.places.Forget(ctx, m.key) }
