package api

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/batch"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// turns gathers which fans came when called, to tell the admitter. A fan is told of once, and once more for each
// half of a pass's life in which it polls.
type turns struct {
	eventID string

	mu      sync.Mutex
	now     *line.Marks // told of since turned
	turned  time.Time
	pending map[string][]events.Turn // by lane
	until   time.Time                // when the last of the pending passes runs out
}

// The bounds of the reports.
const (
	reportEvery = 250 * time.Millisecond
	maxReport   = 4096
	maxPending  = 1 << 20 // fans; what is more is told of at a later poll
	minHalf     = 15 * time.Second
)

func newTurns(eventID string) *turns {
	return &turns{eventID: eventID, now: &line.Marks{}, pending: map[string][]events.Turn{}}
}

// claim notes a fan who came and was given a pass that is good until a time.
func (t *turns) claim(p line.Place, session sale.SessionHash, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now.Has(p.Lane, p.Arrival) || len(t.pending[p.Lane]) >= maxPending {
		return
	}
	t.now.Add(p.Lane, p.Arrival)
	t.pending[p.Lane] = append(t.pending[p.Lane], events.Turn{Arrival: p.Arrival, Session: session})
	if until.After(t.until) {
		t.until = until
	}
}

// take empties what is to be told. The next half life begins when the last has passed.
func (t *turns) take(now time.Time) (map[string][]events.Turn, time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if half := max(t.until.Sub(now)/2, minHalf); now.Sub(t.turned) > half {
		t.turned, t.now = now, &line.Marks{}
	}
	if len(t.pending) == 0 {
		return nil, time.Time{}
	}
	pending := t.pending
	t.pending = map[string][]events.Turn{}
	return pending, t.until.Add(max(t.until.Sub(now)/2, minHalf)) // within a half life a fan is not told of again
}

// giveBack keeps what could not be told.
func (t *turns) giveBack(lane string, fans []events.Turn) {
	t.mu.Lock()
	t.pending[lane] = append(t.pending[lane], fans...)
	t.mu.Unlock()
}

// report tells the admitter who came, until the service ends.
func (s *sales) report(o *onSale) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.life.Done():
			return
		case <-tick.C:
		}
		pending, until := o.turns.take(s.Now())
		for lane, fans := range pending {
			for len(fans) > 0 {
				n := min(len(fans), maxReport)
				if err := s.tell(s.life, events.TurnReport{EventID: o.event.ID, Outcome: events.TurnClaimed, Lane: lane, Fans: fans[:n], Until: until}); err != nil {
					s.Log.Warn("tell who came; they are told of later", "event_id", o.event.ID, "error", err)
					o.turns.giveBack(lane, fans)
					break
				}
				fans = fans[n:]
			}
		}
	}
}

// leaving is one fan on the way out.
type leaving struct {
	lane string
	fan  events.Turn
}

var leaveGroup = batch.Config{MaxItems: 1024, MaxInFlight: 1, MaxQueue: 64 << 10, MaxWait: requestLimit / 2, Timeout: requestLimit}

// leave tells of fans who left.
func (s *sales) leave(ctx context.Context, eventID string, all []leaving) error {
	lanes := map[string][]events.Turn{}
	for _, l := range all {
		lanes[l.lane] = append(lanes[l.lane], l.fan)
	}
	for lane, fans := range lanes {
		if err := s.tell(ctx, events.TurnReport{EventID: eventID, Outcome: events.TurnLeft, Lane: lane, Fans: fans}); err != nil {
			return err
		}
	}
	return nil
}

func (s *sales) tell(ctx context.Context, r events.TurnReport) error {
	r.V, r.At = events.Version, s.Now().UTC()
	bounded, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	_, err := s.Streams.Publish(bounded, events.Outgoing{Subject: events.TurnSubject(r.EventID, r.Outcome), ID: uuid.NewString(), Data: events.Encode(r)})
	return err
}
