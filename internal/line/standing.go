package line

import (
	"math"
	"time"

	"onsale/events"
	"onsale/internal/sale"
)

// Standing is what a fan in line is told.
type Standing struct {
	State    string  // lobby, waiting, admitted, paused, sold_out or closed
	Position *uint64 // how many turns until one's own, 1 is next, 0 is in; nil in the lobby and once it means nothing
	ETA      *int64  // seconds; nil where it can't be said
	Reason   string  // why the line does not move
	PollIn   time.Duration
}

// The states of a fan that are not those of the sale.
const (
	Waiting  = "waiting"
	Admitted = "admitted"
)

// Polling bounds. A fan far back polls seldom; one who is about to be called, often.
const (
	minPoll   = 500 * time.Millisecond
	maxPoll   = 15 * time.Second
	lobbyPoll = 2 * time.Second
)

// longestWait bounds an ETA, in seconds: a hundred years say that it won't be.
const longestWait = 100 * 365 * 86400

// Stand says how a fan with an arrival number stands, given the line's last admission record. Those who are in
// stay in while the sale is sold out: a seat may come back.
func Stand(arrival uint64, last events.Admission) Standing {
	if last.State == sale.Closed {
		return Standing{State: string(last.State), Reason: last.Reason, PollIn: maxPoll}
	}
	if last.State == sale.Lobby || last.State == "" {
		return Standing{State: string(sale.Lobby), PollIn: lobbyPoll}
	}
	if arrival < last.Serving {
		var none uint64
		var now int64
		return Standing{State: Admitted, Position: &none, ETA: &now, PollIn: maxPoll}
	}
	if last.State == sale.SoldOut {
		return Standing{State: string(sale.SoldOut), Reason: last.Reason, PollIn: maxPoll}
	}
	position := arrival - last.Serving + 1
	s := Standing{State: Waiting, Position: &position, PollIn: lobbyPoll}
	if last.State == sale.Paused || last.Rate <= 0 {
		s.State, s.Reason = string(sale.Paused), "paused"
		return s
	}
	wait := min(float64(position)/last.Rate, longestWait)
	eta := int64(math.Ceil(wait))
	s.ETA = &eta
	s.PollIn = min(max(time.Duration(wait/3*float64(time.Second)), minPoll), maxPoll)
	return s
}
