package api

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"onsale/internal/line"
	"onsale/internal/sale"
)

// memory stores the places of a lane's sessions in Redis, behind the joins and very many at once, which costs Redis
// least: until then every node knows them from the stream. It is for those who come again later without their ticket.
// While Redis is slow, joins wait for it a little; while it is away they don't, and what it has missed is stored once
// it is back, as far as there is room.
type memory struct {
	places Places
	key    line.Key

	mu      sync.Mutex
	waiting []remembering
	seen    int // joins of the lane, on any node, since a write took what waited
	writing bool
	away    bool
	idle    sync.WaitGroup
	room    chan struct{} // closed and replaced when what waited is being written
	full    chan struct{} // told when what waits must be written now
	ending  chan struct{} // closed when nobody gathers any more
	end     sync.Once     // closes it
}

// remembering is a place on its way to Redis.
type remembering struct {
	line.Ticket
	again bool // Redis may have it already
}

const (
	maxRemembered = 16 << 10  // in one write
	maxForgotten  = 128 << 10 // that wait while Redis is away, and half of it while it is slow
	gatherPlaces  = 500 * time.Millisecond
	awayPause     = 250 * time.Millisecond
)

// memoryLimit is how long Redis may take to say or store which places sessions have, and how long a join waits for
// room.
const memoryLimit = 500 * time.Millisecond

func newMemory(places Places, key line.Key) *memory {
	return &memory{places: places, key: key, room: make(chan struct{}), full: make(chan struct{}, 1), ending: make(chan struct{})}
}

// add hands tickets over to be stored; again says that Redis may know them.
func (m *memory) add(ctx context.Context, tickets []line.Ticket, again bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if again && len(m.waiting) >= maxForgotten/2 {
		return // Redis most likely has them; room is for those that it can't have
	}
	if len(m.waiting) >= maxForgotten/2 && !m.away {
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
	for _, t := range tickets {
		m.waiting = append(m.waiting, remembering{t, again})
	}
	if len(m.waiting) >= maxRemembered {
		m.hurry()
	}
	if !m.writing {
		m.writing = true
		m.idle.Go(m.write)
	}
}

// manyJoins is after how many joins of the lane what waits is written: well before nodes have forgotten who joined, and with
// them their places.
const manyJoins = line.RecentSessions / 4

// saw takes note of joins of the lane, on whatever node they were made.
func (m *memory) saw(joins int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen += joins; m.seen >= manyJoins {
		m.hurry()
	}
}

// hurry ends the gathering.
func (m *memory) hurry() {
	select {
	case m.full <- struct{}{}:
	default:
	}
}

// write stores what waits until nothing does.
func (m *memory) write() {
	for {
		m.gather()
		now := m.take()
		if len(now) == 0 {
			return
		}
		rest, err := m.store(now)
		for i := range rest {
			rest[i].again = true // some may be there
		}
		m.mu.Lock()
		m.away, m.waiting = err != nil, append(rest, m.waiting...)
		m.mu.Unlock()
		if err != nil {
			placesFailed.Inc()
			time.Sleep(awayPause)
		}
	}
}

// gather waits until a write is worth its while.
func (m *memory) gather() {
	m.mu.Lock()
	enough := len(m.waiting) >= maxRemembered
	m.mu.Unlock()
	if enough {
		return
	}
	long := time.NewTimer(gatherPlaces)
	defer long.Stop()
	select {
	case <-m.full:
	case <-m.ending:
	case <-long.C:
	}
}

// take is the next write's; none ends the writing.
func (m *memory) take() []remembering {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := min(len(m.waiting), maxRemembered)
	m.writing = n > 0
	m.seen = 0
	select {
	case <-m.full: // that was for what is taken
	default:
	}
	now := m.waiting[:n:n]
	if m.waiting = m.waiting[n:]; len(m.waiting) == 0 {
		m.waiting = nil
	}
	close(m.room)
	m.room = make(chan struct{})
	return now
}

// recalledAtOnce is how many places are looked for before they are added, with a time limit of their own: what was done
// need not be done again.
const recalledAtOnce = 1024

// store stores places, those that Redis may know only where it doesn't know them or a lower one. With an error it returns
// those that are not stored for certain.
func (m *memory) store(now []remembering) ([]remembering, error) {
	var fresh, again []line.Ticket
	for _, r := range now {
		if r.again {
			again = append(again, r.Ticket)
		} else {
			fresh = append(fresh, r.Ticket)
		}
	}
	if err := m.remember(fresh); err != nil {
		return now, err
	}
	for len(again) > 0 {
		some := again[:min(len(again), recalledAtOnce)]
		if err := m.rememberAgain(some); err != nil {
			var rest []remembering
			for _, t := range again {
				rest = append(rest, remembering{t, true})
			}
			return rest, err
		}
		again = again[len(some):]
	}
	return nil, nil
}

func (m *memory) remember(tickets []line.Ticket) error {
	if len(tickets) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), memoryLimit)
	defer cancel()
	return m.places.Remember(ctx, m.key, tickets)
}

// rememberAgain adds those places that Redis does not have.
func (m *memory) rememberAgain(tickets []line.Ticket) error {
	lowest := map[sale.SessionHash]line.Ticket{}
	for _, t := range tickets {
		if had, ok := lowest[t.Session]; !ok || t.Before(had) {
			lowest[t.Session] = t
		}
	}
	sessions := slices.Collect(maps.Keys(lowest))
	ctx, cancel := context.WithTimeout(context.Background(), memoryLimit)
	defer cancel()
	known, err := m.places.Recall(ctx, m.key, sessions)
	if err != nil {
		return err
	}
	var fresh []line.Ticket
	for i, session := range sessions {
		if t := lowest[session]; known[i] == nil || t.Before(*known[i]) {
			fresh = append(fresh, t)
		}
	}
	return m.remember(fresh)
}

// drain returns when all is stored, or ctx ends. Call it after the last add.
func (m *memory) drain(ctx context.Context) {
	m.end.Do(func() { close(m.ending) })
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
