package api

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"onsale/internal/line"
	"onsale/internal/sale"
	"onsale/internal/testenv"
)

// slowPlaces is a Redis that takes its time to look places up, and may be away.
type slowPlaces struct {
	keptPlaces
	each time.Duration // of a look-up, for each session
	mu   sync.Mutex
	away bool
}

func (p *slowPlaces) Recall(ctx context.Context, k line.Key, sessions []sale.SessionHash) ([]*line.Ticket, error) {
	select {
	case <-time.After(p.each * time.Duration(len(sessions))):
	case <-ctx.Done():
		return make([]*line.Ticket, len(sessions)), ctx.Err()
	}
	return p.keptPlaces.Recall(ctx, k, sessions)
}

func (p *slowPlaces) Remember(ctx context.Context, k line.Key, tickets []line.Ticket) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return errors.New("away")
	}
	return p.keptPlaces.Remember(ctx, k, tickets)
}

func (p *slowPlaces) count() int {
	p.keptPlaces.mu.Lock()
	defer p.keptPlaces.mu.Unlock()
	return len(p.kept)
}

func ticketsOf(first, n int) []line.Ticket {
	var all []line.Ticket
	for i := first; i < first+n; i++ {
		all = append(all, line.Ticket{Epoch: 7, Sequence: uint64(i) + 1, Session: sessionAt(i>>16, i)})
	}
	return all
}

// What Redis may know is stored however slow it is to say so: a write goes on where the one before was cut off.
func TestMemory_GetsOnWhereLookUpsAreSlow(t *testing.T) {
	t.Parallel()
	p := &slowPlaces{each: 200 * time.Microsecond}
	m := newMemory(p, line.Key{EventID: "gala", Epoch: 7})
	m.add(t.Context(), ticketsOf(0, 6*recalledAtOnce), true) // together they take longer than a look-up may
	m.add(t.Context(), ticketsOf(6*recalledAtOnce, 10), false)
	m.drain(t.Context())
	if n := p.count(); n != 6*recalledAtOnce+10 {
		t.Errorf("%d places were stored", n)
	}
}

// What could not be stored is stored once Redis is back, each place once.
func TestMemory_StoresWhatWasMissed(t *testing.T) {
	t.Parallel()
	p := &slowPlaces{away: true}
	m := newMemory(p, line.Key{EventID: "gala", Epoch: 7})
	m.add(t.Context(), ticketsOf(0, 2000), false)
	m.add(t.Context(), ticketsOf(500, 100), true)
	testenv.Eventually(t, "Redis is found away", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.away })
	p.mu.Lock()
	p.away = false
	p.mu.Unlock()
	m.drain(t.Context())
	if n := p.count(); n != 2000 {
		t.Errorf("%d places were stored, want 2000", n)
	}
}

// Many joins of the lane, on whatever node, or many places that wait end the gathering.
func TestMemory_HurriesInACrowd(t *testing.T) {
	t.Parallel()
	for name, crowd := range map[string]func(m *memory){
		"joins elsewhere": func(m *memory) { m.saw(manyJoins) },
		"places here":     func(m *memory) { m.add(context.Background(), ticketsOf(1, maxRemembered), false) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemory(&keptPlaces{}, line.Key{EventID: "gala", Epoch: 7})
			m.mu.Lock()
			m.writing = true // by nobody: what is gathered stays
			m.mu.Unlock()
			m.add(t.Context(), ticketsOf(0, 1), false)
			if len(m.full) != 0 {
				t.Error("one place is no crowd")
			}
			crowd(m)
			if len(m.full) != 1 {
				t.Error("nothing ends the gathering")
			}
		})
	}
}
