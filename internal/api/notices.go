package api

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"onsale/events"
)

// Notices are what nodes tell each other in passing: what is lost is found out otherwise.
type Notices interface {
	Notify(subject string, data []byte) error
	Listen(ctx context.Context, subject string, ready func(), each func(data []byte)) error
}

// notices gathers what this node tells the others of holds.
type notices struct {
	Notices
	now func() time.Time

	mu      sync.Mutex
	waiting map[string][]noticed // by event
	count   int
	sending bool
}

// noticed is what became of a hold. It is told how long is left when it is sent.
type noticed struct {
	events.HoldNotice
	until time.Time // zero: it has ended
}

// The bounds of telling.
const (
	noticeEvery = 20 * time.Millisecond
	maxNotices  = 16 << 10 // holds that wait; over it the others find out by themselves
	noticesEach = 512      // holds in a message: some 50 KB
)

func newNotices(out Notices, now func() time.Time) *notices {
	return &notices{Notices: out, now: now, waiting: map[string][]noticed{}}
}

// notice tells the node's own seat map, and soon the other nodes, that a hold has its seats for so long from now on, or
// that it has them no more where heldFor is 0 or less. Call it after Redis has said so: when a hold is taken, extended
// or given back. A hold that lapses is not told of, since every node knows when it does.
func (s *server) notice(o *onSale, hold uuid.UUID, seats []string, heldFor time.Duration) {
	n := noticed{HoldNotice: events.HoldNotice{HoldID: hold, Seats: seats}}
	if heldFor > 0 {
		n.until = s.Now().Add(heldFor)
	}
	o.seatMap.apply(n)
	s.notices.add(o.event.ID, n)
}

// apply tells the map, where there is one.
func (f *seatFeed) apply(n noticed) {
	m := f.made.Load()
	if m == nil {
		return
	}
	if n.until.IsZero() {
		m.Free(n.HoldID, n.Seats)
	} else {
		m.Hold(n.HoldID, n.Seats, n.until)
	}
	m.changed()
}

func (n *notices) add(eventID string, one noticed) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.count >= maxNotices {
		noticesLost.Inc()
		return
	}
	n.waiting[eventID] = append(n.waiting[eventID], one)
	n.count++
	if !n.sending {
		n.sending = true
		time.AfterFunc(noticeEvery, n.send)
	}
}

// send sends what waits.
func (n *notices) send() {
	n.mu.Lock()
	all := n.waiting
	n.waiting, n.count, n.sending = map[string][]noticed{}, 0, false
	n.mu.Unlock()
	now := n.now()
	for eventID, holds := range all {
		for len(holds) > 0 {
			part := holds[:min(len(holds), noticesEach)]
			holds = holds[len(part):]
			m := events.SeatsNotice{V: events.Version, EventID: eventID, Holds: make([]events.HoldNotice, len(part))}
			for i, one := range part {
				m.Holds[i] = one.HoldNotice
				if !one.until.IsZero() {
					m.Holds[i].LeftMS = max(one.until.Sub(now).Milliseconds(), 1)
				}
			}
			if err := n.Notify(events.NoticeSubject(eventID), events.Encode(m)); err != nil {
				noticesLost.Add(float64(len(part)))
			}
		}
	}
}

// listen hears what is told in passing on a subject, for as long as the service lives.
func (s *sales) listen(ctx context.Context, subject string, each func(data []byte)) error {
	for ctx.Err() == nil {
		if err := s.Notices.Listen(ctx, subject, func() {}, each); err != nil && ctx.Err() == nil {
			s.Log.Warn("listen to notices", "subject", subject, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
	}
	return nil
}

// paymentsTold takes what a payworker tells of the payments.
func (s *sales) paymentsTold(data []byte) {
	n, err := events.Decode[events.PaymentsNotice](data)
	if err != nil {
		s.Log.Error("read a notice", "error", err)
		return
	}
	s.payments.Hear(n, s.Now())
}

// heard takes another node's notices. A hold's end is counted from now by this node's clock alone.
func (s *sales) heard(data []byte) {
	m, err := events.Decode[events.SeatsNotice](data)
	if err != nil {
		s.Log.Error("read a notice", "error", err)
		return
	}
	s.mu.RLock()
	o := s.byID[m.EventID]
	s.mu.RUnlock()
	if o == nil {
		return
	}
	now := s.Now()
	for _, h := range m.Holds {
		n := noticed{HoldNotice: h}
		if h.LeftMS > 0 {
			n.until = now.Add(time.Duration(h.LeftMS) * time.Millisecond)
		}
		o.seatMap.apply(n)
	}
}
