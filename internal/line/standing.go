package line

import (
	"time"

	"onsale/events"
	"onsale/internal/sale"
)

// Place is where a fan stands in its lane. It is final once it is Drawn: the draw of the lobby gives it to those
// who came before the seal, and to those who came later their arrival number is their place.
type Place struct {
	Lane    string
	Arrival uint64 // from 0
	Number  uint64 // from 0; means nothing before it is Drawn
	Drawn   bool
	Left    bool // the fan said that it won't come
}

// Standing is what a fan in line is told.
type Standing struct {
	State    string  // lobby, waiting, admitted, paused, sold_out, closed or left
	Position *uint64 // how many turns until one's own, 1 is next, 0 is in; nil in the lobby and once it means nothing
	ETA      *ETA    // nil where it can't be said
	Reason   string  // why the line does not move, or why the wait has become longer
	PollIn   time.Duration
}

// ETA is a wait in seconds, rounded up, and the interval in which nine of ten such waits end.
type ETA struct{ Expected, Low, High int64 }

// The states of a fan that are not those of the sale.
const (
	Waiting  = "waiting"
	Admitted = "admitted"
	Left     = "left"
)

// Polling bounds. A fan far back polls seldom; one who is about to be called, often.
const (
	minPoll   = 500 * time.Millisecond
	nearPoll  = 15 * time.Second // most, for those who wait up to five minutes
	maxPoll   = time.Minute
	lobbyPoll = 2 * time.Second
)

// Stand says how a fan stands by this record, the line's last. Those who are in stay in while the sale is sold out: a
// seat may come back.
func (v *View) Stand(p Place) Standing {
	last := v.Record
	switch {
	case last.State == sale.Closed:
		return Standing{State: string(last.State), Reason: last.Reason, PollIn: maxPoll}
	case p.Left:
		return Standing{State: Left, PollIn: maxPoll}
	case last.State == sale.Lobby || last.State == "" || !p.Drawn:
		return Standing{State: string(sale.Lobby), PollIn: lobbyPoll}
	}
	lane := v.lane(p.Lane)
	if p.Number < lane.Serving {
		var none uint64
		return Standing{State: Admitted, Position: &none, ETA: &ETA{}, PollIn: nearPoll}
	}
	if last.State == sale.SoldOut {
		return Standing{State: string(sale.SoldOut), Reason: last.Reason, PollIn: nearPoll}
	}
	position := p.Number - lane.Serving + 1
	s := Standing{State: Waiting, Position: &position, PollIn: lobbyPoll}
	if last.State == sale.Paused || last.Rate <= 0 {
		s.State, s.Reason = string(sale.Paused), "paused"
		if StandsForPayments(last) {
			s.Reason = RosePayments
		}
		return s
	}
	s.ETA, s.Reason = lane.wait(position), lane.Outlook.Rose
	s.PollIn = pollIn(s.ETA)
	return s
}

// general is the general lane of a record: it has the share that the others leave.
func general(a *events.Admission) events.Lane {
	l := events.Lane{Share: 1, Serving: a.Serving, Outlook: a.Outlook}
	for _, other := range a.Lanes {
		l.Share -= other.Share
		l.Credit -= other.Credit
	}
	return l
}

// Lanes are all lanes of a record, the general one first.
func Lanes(a events.Admission) []events.Lane { return append([]events.Lane{general(&a)}, a.Lanes...) }

// Reason is why a line stands, or why its waits have become longer; "" where neither is so.
func Reason(last *events.Admission) string {
	if StandsForPayments(last) {
		return RosePayments
	}
	if last.State == sale.Open {
		return last.Outlook.Rose
	}
	if last.State == sale.Lobby {
		return ""
	}
	return string(last.State)
}

// pollIn is when to ask again: in a third of the wait, and the longer the wait the less often.
func pollIn(eta *ETA) time.Duration {
	if eta == nil {
		return nearPoll
	}
	wait := time.Duration(min(eta.Expected, 86400)) * time.Second
	return min(max(min(wait/3, nearPoll), wait/20, minPoll), maxPoll)
}
