package api

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/seatmap"
)

// seatFeed is an event's seat map on this node. There is none until somebody asks for it.
type seatFeed struct {
	making singleflight.Group
	made   atomic.Pointer[watched]
}

// watched is a seat map that is kept right: orders and notices of holds change it, and Redis and Postgres are looked at
// every so often for what was missed.
type watched struct {
	*seatmap.Map
	asked  atomic.Int64  // when it was asked for last, in nanoseconds since 1970
	looked atomic.Bool   // Redis has been looked at
	wake   chan struct{} // told when there may be an edition to cut, or the next hold lapses sooner
	over   chan struct{} // closed when the sale is
	end    sync.Once
}

// The times of the feed.
const (
	cutEvery    = 100 * time.Millisecond  // an edition, at most
	lapseEvery  = 20 * time.Millisecond   // a look at which holds have lapsed, at most
	lookEvery   = 1750 * time.Millisecond // a look at Redis, at most: with all that follows, what was missed is there within 2 s
	lookAgain   = 100 * time.Millisecond  // after which what differs is looked at again: the notice may have been on its way
	settleEvery = 15                      // looks at Redis, to one at Postgres
	lookLimit   = 10 * time.Second
	askedFor    = 2 * heartbeat // after which a map that nobody asks for is no longer looked after
)

// seatsOf is an event's seat map. It is made when it is first asked for, and looked after for as long as it is: one that
// nobody asked for lately is compared with Redis before it is answered.
func (s *server) seatsOf(ctx context.Context, o *onSale) (*watched, error) {
	now := s.Now()
	if m := o.seatMap.made.Load(); m != nil && m.looked.Load() && m.isAsked(now) {
		m.use(now)
		return m, nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	done := o.seatMap.making.DoChan("", func() (any, error) {
		m := o.seatMap.made.Load()
		if m == nil {
			m = s.watch(o)
		} else if m.looked.Load() && m.isAsked(s.Now()) {
			return m, nil // another was quicker
		}
		bounded, cancel := context.WithTimeout(s.life, lookLimit)
		defer cancel()
		err := s.lookAt(bounded, o, m, false)
		if m.looked.Load() {
			m.use(s.Now())
			err = nil // while Redis is away, what is known is better than nothing
		}
		return m, err
	})
	select {
	case r := <-done:
		return r.Val.(*watched), r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *watched) use(now time.Time) { m.asked.Store(now.UnixNano()) }

// isAsked says whether somebody asked for the map lately.
func (m *watched) isAsked(now time.Time) bool { return now.UnixNano()-m.asked.Load() < int64(askedFor) }

// watch makes the map of an event, of what this node has read of its orders, and begins to look after it.
func (s *server) watch(o *onSale) *watched {
	seats := make([]seatmap.Seat, len(o.seats))
	for i, t := range o.seats {
		seats[i] = seatmap.Seat{ID: t.ID, Price: t.Price}
	}
	// The name is of this map alone: a client that comes from another node, or from this one before it began anew, has a
	// version of another map and is given the whole one.
	name := rand.Text()[:12]
	m := &watched{Map: seatmap.New(name, seats, o.ordinal, o.event.Currency), wake: make(chan struct{}, 1), over: make(chan struct{})}
	s.sales.mu.Lock()
	var sold []string
	for seat := range s.sales.sold[o.event.ID] {
		sold = append(sold, seat)
	}
	m.Sell(sold)
	o.seatMap.made.Store(m)
	s.sales.mu.Unlock()
	if o.last().State == sale.Closed {
		m.close()
	}
	go s.cut(m)
	go s.lookAfter(o, m)
	return m
}

// close ends the streams and the looking after.
func (m *watched) close() { m.end.Do(func() { close(m.over) }) }

// close ends what the sale of the event needed.
func (f *seatFeed) close() {
	if m := f.made.Load(); m != nil {
		m.close()
	}
}

// changed tells that the map may have changed.
func (m *watched) changed() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// cut makes the editions of a map and lets its holds lapse, until the sale or the service ends.
func (s *server) cut(m *watched) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-m.over:
			return
		case <-s.life.Done():
			return
		case <-m.wake:
		case <-timer.C:
		}
		now := s.Now()
		next := m.Lapse(now)
		if now.Sub(last) >= cutEvery && m.Cut() {
			last = now
		}
		wait := time.Hour
		if !next.IsZero() {
			wait = max(next.Sub(now), lapseEvery)
		}
		if m.Dirty() {
			wait = min(wait, last.Add(cutEvery).Sub(now))
		}
		timer.Reset(wait)
	}
}

// lookAfter compares a map with Redis and Postgres every so often, while it is asked for, until the sale or the service
// ends. Nodes that began together do not look together.
func (s *server) lookAfter(o *onSale, m *watched) {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for n := mathrand.IntN(settleEvery); ; n++ {
		select {
		case <-m.over:
			return
		case <-s.life.Done():
			return
		case <-timer.C:
		}
		timer.Reset(lookEvery*3/4 + mathrand.N(lookEvery/4))
		if !m.isAsked(s.Now()) {
			continue
		}
		ctx, cancel := context.WithTimeout(s.life, lookLimit)
		err := s.lookAt(ctx, o, m, true)
		if err == nil && n%settleEvery == 0 {
			err = s.settle(ctx, o, m)
		}
		cancel()
		if err != nil && s.life.Err() == nil {
			seatLooksFailed.Inc()
			s.Log.Warn("compare the seat map; it goes on with what it is told", "event_id", o.event.ID, "error", err)
		}
	}
}

// lookAt makes a map what Redis says. patient looks at what differs twice, and counts what it repairs: what is still
// so after a while was missed.
func (s *server) lookAt(ctx context.Context, o *onSale, m *watched, patient bool) error {
	mark := m.Mark()
	ids := make([]string, len(o.seats))
	for i, t := range o.seats {
		ids[i] = t.ID
	}
	seen, err := s.see(ctx, o, ids)
	if err != nil {
		return err
	}
	if patient {
		if ids = m.Differing(mark, nil, seen); len(ids) > 0 {
			select {
			case <-time.After(lookAgain):
			case <-ctx.Done():
				return ctx.Err()
			}
			mark = m.Mark()
			if seen, err = s.see(ctx, o, ids); err != nil {
				return err
			}
			seatsRepaired.WithLabelValues("redis").Add(float64(m.Repair(mark, ids, seen)))
		}
	} else {
		m.Repair(mark, nil, seen)
		m.Cut() // who waits for it gets it
	}
	m.looked.Store(true)
	m.changed()
	return nil
}

// see asks Redis for seats.
func (s *server) see(ctx context.Context, o *onSale, ids []string) ([]seatmap.Seen, error) {
	states, err := s.Memory.SeatStates(ctx, o.event.ID, ids)
	seen := make([]seatmap.Seen, len(states))
	for i, state := range states {
		seen[i] = seatmap.Seen{Held: state.Held, Sold: state.Sold != ""}
	}
	return seen, err
}

// settle makes what is sold on a map what Postgres says is sold.
func (s *server) settle(ctx context.Context, o *onSale, m *watched) error {
	mark := m.Mark()
	sold, err := s.Catalog.SoldSeats(ctx, o.event.ID)
	if err != nil {
		return err
	}
	seatsRepaired.WithLabelValues("postgres").Add(float64(m.Settle(mark, sold)))
	m.changed()
	return nil
}

// ordered tells the map of an order: which of its seats are sold now, and that its hold has ended. The caller has the
// lock of the sales, so that orders and the map's beginning have an order.
func (f *seatFeed) ordered(o events.Order, sold map[string]string) {
	m := f.made.Load()
	if m == nil {
		return
	}
	if o.Outcome == events.OrderRejected {
		m.Free(o.HoldID, o.Seats)
	} else {
		var are, aren []string
		for _, seat := range o.Seats {
			if sold[seat] != "" {
				are = append(are, seat)
			} else {
				aren = append(aren, seat)
			}
		}
		m.Sell(are)
		m.Unsell(aren)
	}
	m.changed()
}
