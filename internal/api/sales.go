package api

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/record"
	"onsale/internal/sale"
)

// sales are all events, and what the streams say of them. Requests ask them; they know nothing of requests but who waits.
type sales struct {
	Deps
	life     context.Context // of the followers; ends when the service does
	told     *waiters
	payments line.Board // as the payworkers tell

	loading singleflight.Group
	current atomic.Bool // the streams have been read up to where they were when this node began

	mu         sync.RWMutex
	byID       map[string]*onSale
	list       []sale.Event // newest first
	looked     time.Time    // when the catalog was last read
	admissions map[string]*logged
	left       map[string]*line.Marks       // by event: arrival numbers of those who left
	sold       map[string]map[string]string // event to seat to order
	freed      map[string]bool              // orders that gave their seats back: what confirmed them may be read once more, and later
}

// The catalog is read again every so often, and at once when an unknown event is asked for, but no more often
// than catalogFloor.
const (
	catalogEvery = 2 * time.Second
	catalogFloor = 200 * time.Millisecond
	catchUpLimit = 30 * time.Second
	drainLimit   = 3 * time.Second
)

func newSales(life context.Context, d Deps) *sales {
	return &sales{Deps: d, life: life, told: newWaiters(), byID: map[string]*onSale{}, admissions: map[string]*logged{}, left: map[string]*line.Marks{}, sold: map[string]map[string]string{}, freed: map[string]bool{}}
}

// follow keeps the node's knowledge current until ctx ends.
func (s *sales) follow(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	var behind sync.WaitGroup
	behind.Add(3)
	g.Go(func() error {
		return s.keep(ctx, events.Follow{Stream: events.Admissions, From: events.FromLastPerSubject}, behind.Done, s.admitted)
	})
	g.Go(func() error {
		return s.keep(ctx, events.Follow{Stream: events.Turns, Subject: events.TurnsOf(events.TurnLeft)}, behind.Done, s.someLeft)
	})
	g.Go(func() error { return s.listen(ctx, events.AllNotices, s.heard) })
	g.Go(func() error { return s.listen(ctx, events.PaymentsNoticeSubject, s.paymentsTold) })
	g.Go(func() error { return s.keep(ctx, events.Follow{Stream: events.Orders}, behind.Done, s.ordered) })
	g.Go(func() error {
		return s.keep(ctx, events.Follow{Stream: events.Payments, From: events.FromNew}, func() {}, s.paid)
	})
	caughtUp := make(chan struct{})
	go func() {
		behind.Wait()
		s.current.Store(true)
		close(caughtUp)
	}()
	g.Go(func() error { return s.refresh(ctx, caughtUp) })
	return g.Wait()
}

// refresh reads the catalog every so often. The node is ready once it has, and knows what the streams hold.
func (s *sales) refresh(ctx context.Context, caughtUp <-chan struct{}) error {
	tick := time.NewTicker(catalogEvery)
	defer tick.Stop()
	for {
		err := s.load(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("read the catalog", "error", err)
		}
		if err == nil && !s.Ready.Load() {
			select {
			case <-caughtUp:
				s.Ready.Store(true)
			case <-ctx.Done():
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// keep follows a stream for as long as the service lives; one that can't be followed yet is tried again.
func (s *sales) keep(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error {
	var once sync.Once
	for ctx.Err() == nil {
		if err := s.Streams.Follow(ctx, f, func() { once.Do(caughtUp) }, each); err != nil && ctx.Err() == nil {
			s.Log.Warn("follow", "stream", f.Stream, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
	}
	return nil
}

// find returns an event that is on sale here, or sale.NotFound. An id that is new is looked up. A node that has just
// begun doesn't know yet how far the lines are, and says so.
func (s *sales) find(ctx context.Context, id string) (*onSale, error) {
	if !s.current.Load() {
		return nil, errLineBehind
	}
	s.mu.RLock()
	e, looked := s.byID[id], s.looked
	s.mu.RUnlock()
	if e != nil {
		return e, nil
	}
	if sale.CheckEventID(id) == nil {
		ctx, cancel := context.WithTimeout(ctx, requestLimit)
		defer cancel()
		if err := s.loadAgain(ctx, looked); err != nil {
			return nil, err
		}
		s.mu.RLock()
		e = s.byID[id]
		s.mu.RUnlock()
	}
	if e == nil {
		return nil, s.missing(id)
	}
	return e, nil
}

// missing says why an event is not here: there is none, or its line is still being read.
func (s *sales) missing(id string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if slices.ContainsFunc(s.list, func(e sale.Event) bool { return e.ID == id }) {
		return errLineBehind
	}
	return sale.Errorf(sale.NotFound, "event_not_found", "there is no such event")
}

var errLineBehind = sale.Errorf(sale.Unavailable, "line_behind", "this node is still reading the line; try again")

// loadAgain reads the catalog for someone who found nothing in what was read at a time. Many who ask for what
// does not exist share one reading, and there is never more than one in catalogFloor.
func (s *sales) loadAgain(ctx context.Context, looked time.Time) error {
	if wait := catalogFloor - s.Now().Sub(looked); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.RLock()
	newer := s.looked.After(looked)
	s.mu.RUnlock()
	if newer {
		return nil
	}
	return s.load(ctx)
}

// load reads the catalog and begins to follow the lines of new events. Whoever waits for it may give up; the
// others who share the reading don't.
func (s *sales) load(ctx context.Context) error {
	loaded := s.loading.DoChan("catalog", func() (any, error) {
		ctx, cancel := context.WithTimeout(s.life, catchUpLimit)
		defer cancel()
		list, err := s.Catalog.Events(ctx)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.list = list
		s.mu.Unlock()
		// All at once and each within the limit: a line that can't be read holds up no other.
		var opening sync.WaitGroup
		for _, e := range list {
			s.mu.RLock()
			known := s.byID[e.ID] != nil
			s.mu.RUnlock()
			if known {
				continue
			}
			opening.Go(func() {
				o, err := s.open(ctx, e)
				if err != nil {
					s.Log.Error("open event; the others go on", "event_id", e.ID, "error", err)
					return
				}
				s.mu.Lock()
				s.byID[e.ID] = o
				o.admitted(s.admissions[e.ID])
				s.mu.Unlock()
			})
		}
		opening.Wait()
		s.mu.Lock()
		s.looked = s.Now()
		s.mu.Unlock()
		return nil, nil
	})
	select {
	case r := <-loaded:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// admitted takes an admission record.
func (s *sales) admitted(m events.Message) {
	a, err := events.Decode[events.Admission](m.Data)
	if err != nil {
		s.Log.Error("read admission", "stream_seq", m.Sequence, "error", err)
		return
	}
	l := newLogged(a, record.HeadOf(a.N, m.Data))
	s.mu.Lock()
	s.admissions[a.EventID] = l
	if o := s.byID[a.EventID]; o != nil {
		o.admitted(l)
	}
	s.mu.Unlock()
}

// someLeft takes a report of fans who left a line.
func (s *sales) someLeft(m events.Message) {
	r, err := events.Decode[events.TurnReport](m.Data)
	if err != nil {
		s.Log.Error("read turns", "stream_seq", m.Sequence, "error", err)
		return
	}
	left := s.leftOf(r.EventID)
	for _, fan := range r.Fans {
		left.Add(r.Lane, fan.Arrival)
	}
}

// leftOf are those who left an event's line.
func (s *sales) leftOf(eventID string) *line.Marks {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.left[eventID]
	if left == nil {
		left = &line.Marks{}
		s.left[eventID] = left
	}
	return left
}

// ordered takes an order's outcome.
func (s *sales) ordered(m events.Message) {
	o, err := events.Decode[events.Order](m.Data)
	if err != nil {
		s.Log.Error("read order", "stream_seq", m.Sequence, "error", err)
		return
	}
	s.mu.Lock()
	sold := s.sold[o.EventID]
	if sold == nil {
		sold = map[string]string{}
		s.sold[o.EventID] = sold
	}
	id := o.OrderID.String()
	if o.Frees() {
		s.freed[id] = true
	}
	for _, seat := range o.Seats {
		switch {
		case o.Outcome == events.OrderConfirmed && !s.freed[id]:
			sold[seat] = id
		case o.Frees() && sold[seat] == id:
			delete(sold, seat)
		}
	}
	if e := s.byID[o.EventID]; e != nil {
		e.seatMap.ordered(o, sold)
	}
	s.mu.Unlock()
	s.told.wake(o.OrderID, outcome{status: decided[o.Outcome], reason: o.Reason})
}

// decided is the status that an order's outcome gives it.
var decided = map[events.OrderOutcome]sale.OrderStatus{
	events.OrderConfirmed: sale.Confirmed, events.OrderRejected: sale.Rejected, events.OrderVoided: sale.Voided,
	events.OrderRefunded: sale.Refunded,
}

// paid takes a payment's outcome: those after which an order waits for its buyer, or for nothing. Most are others, which
// their subjects tell.
func (s *sales) paid(m events.Message) {
	if strings.HasSuffix(m.Subject, "."+string(events.PaymentAuthorized)) || strings.HasSuffix(m.Subject, "."+string(events.PaymentCaptured)) {
		return
	}
	p, err := events.Decode[events.Payment](m.Data)
	if err != nil {
		s.Log.Error("read payment", "stream_seq", m.Sequence, "error", err)
		return
	}
	s.told.wake(p.OrderID, outcome{})
}

// drain stores the places that Redis does not have yet, within drainLimit.
func (s *sales) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, o := range s.byID {
		o.drain(ctx)
	}
}

// stateOf is where an event's sale stands, also of one whose line is still being read.
func (s *sales) stateOf(eventID string) sale.State {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if a := s.admissions[eventID]; a != nil {
		return a.State
	}
	return sale.Lobby
}

// soldOf returns those of the seats that are sold, as far as this node has read, and how many are in all.
func (s *sales) soldOf(eventID string, seats []string) ([]string, int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var taken []string
	for _, seat := range seats {
		if s.sold[eventID][seat] != "" {
			taken = append(taken, seat)
		}
	}
	return taken, len(s.sold[eventID])
}
