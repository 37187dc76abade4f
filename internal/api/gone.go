package api

import (
	"sync"
	"time"

	"onsale/internal/sale"
)

// goneAge is for how long a node believes that a seat is held after it saw so. It bounds how long a seat that came free
// elsewhere is refused here, and with it how often Redis is asked for a seat that a crowd wants.
const goneAge = 250 * time.Millisecond

// goneSeats is what a node remembers of seats that it saw held: a storm on a few of them is refused without asking
// Redis. It never speaks of a seat for longer than goneAge after Redis did, or than the hold lasts by its time to live.
// Seats are named by their index in the plan. Safe for concurrent use.
type goneSeats struct {
	mu    sync.Mutex
	seats []goneSeat // one for each of the plan
}

type goneSeat struct {
	until   time.Time
	session sale.SessionHash // whose hold it is: its own session is never refused
	fence   int64
}

// saw takes note that a seat is held by a session, with so long left; negative for one that is sold. What is known of a
// later hold stays.
func (g *goneSeats) saw(seat int, session sale.SessionHash, fence int64, left time.Duration, now time.Time) {
	if left < 0 || left > goneAge {
		left = goneAge
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if known := &g.seats[seat]; fence >= known.fence || !now.Before(known.until) {
		*known = goneSeat{now.Add(left), session, fence}
	}
}

// forget takes back what is known of seats that a hold gave back. What is known of a later hold stays.
func (g *goneSeats) forget(seats []int, fence int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, seat := range seats {
		if g.seats[seat].fence <= fence {
			g.seats[seat] = goneSeat{}
		}
	}
}

// among are those of the seats that others than a session hold, by their place in seats.
func (g *goneSeats) among(seats []int, session sale.SessionHash, now time.Time) (at []int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, seat := range seats {
		if known := &g.seats[seat]; now.Before(known.until) && known.session != session {
			at = append(at, i)
		}
	}
	return at
}

// exclude marks all seats that are held as not free.
func (g *goneSeats) exclude(free []bool, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.seats {
		if now.Before(g.seats[i].until) {
			free[i] = false
		}
	}
}
