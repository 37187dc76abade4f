package line

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"time"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/sale"
)

// Control is what the operator wants of a line, and what is left to sell.
type Control struct {
	State     sale.State // Lobby, Open, Paused or Closed
	Rate      float64    // fans a second that shall arrive inside
	Cap       int        // the most shoppers inside, 0 for no such limit
	SeatsLeft int

	PaceByPayments bool          // slow down while payments take long
	PaymentWindow  time.Duration // for how long seats are kept for a payment

	Lanes  []LaneControl // the priority lanes
	Secret draw.Secret   // only the admitter is given it
	Beacon string        // "<chain>/<round>" of the public random value that the draw waits for, "" for none
}

// LaneControl is what the operator wants of a priority lane.
type LaneControl struct {
	Name    string
	Share   float64 // of the release, above 0 and below 1
	Granted uint64  // joins that the access codes given out so far allow
}

// Seen is what an admitter has seen of a line.
type Seen struct {
	Joined   map[string]uint64                         // by lane, "" is the general one
	Left     func(lane string, from, to uint64) uint64 // how many of the places from up to before to were given up; nil for none
	Inside   int                                       // shoppers inside, where there is a Cap
	Share    float64                                   // of those called who come, 0 for unknown
	Steady   time.Duration                             // for how long the release has stood
	Payments *Payments                                 // nil for unknown
	Line     *events.LineHead
	Draw     *events.Draw // once the lobby was drawn
	Drawn    *events.Drawn
}

// BurstWindow bounds how much unused pace is kept: after a pause, a restart or an empty line, at most so much
// time's worth of fans comes in at once, and one fan more, for whom part of the time had been spent. In any
// stretch of time t, at most Release * (t + BurstWindow) + 1 fans are called.
const BurstWindow = 250 * time.Millisecond

// MaxRate is as fast as a line can be told to move. It lets everyone in: the line is released.
const MaxRate = 1e6

// longestSpan bounds the time that a number of fans takes, so that no rate overflows a duration.
const longestSpan = 30 * 365 * 24 * time.Hour

// Next is the record that should follow last, or false when nothing has changed. last is nil before the first;
// prev is last as it was written. Pace is spent from the record itself and not from a process's memory: any
// number of admitters that append with a condition on the last record admit together no faster than one.
func Next(last *events.Admission, prev []byte, eventID string, want Control, seen Seen, now time.Time) (events.Admission, bool) {
	now = now.UTC().Truncate(time.Microsecond)
	if last == nil {
		return first(eventID, want, now), true
	}
	next := *last
	next.N, next.At, next.Prev, next.Drawn, next.Commitment, next.Beacon = last.N+1, now, digest(prev), nil, "", ""
	if last.State == sale.Closed {
		return next, false
	}
	if seen.Line != nil && (last.Line == nil || seen.Line.Read > last.Line.Read) {
		next.Line = seen.Line
	}
	next.State, next.Cap, next.Lanes = effective(last, want, seen), want.Cap, lanes(last.Lanes, want.Lanes)
	next.Rate, next.Payments = byPayments(last, next.State, want, seen, now)
	if last.State == sale.Lobby && next.State != sale.Lobby {
		next.Draw, next.Drawn = seen.Draw, seen.Drawn
	}
	if next.Cap == 0 {
		next.Inside = 0
	}
	next.Release = release(last, next, seen)
	late := ahead(last, now)
	switch next.Reason = reason(last, next); {
	case next.Reason != "" && late:
		next.PacedTo = now
	case late:
		return next, false
	case next.Reason != "":
		// Only a change of state or pace begins the time anew: a slow line whose lanes or cap change often would never move.
		if (next.State != last.State || Pace(next) != Pace(*last)) && next.PacedTo.Before(now) {
			next.PacedTo = now
		}
	case next.State != sale.Open || next.Rate <= 0:
		return next, false
	case next.Release != last.Release:
		next.Reason = "no_shows"
	case !call(&next, seen):
		return next, false
	}
	foresee(last, &next, seen)
	return next, true
}

// mostAhead is by how much the clock of the admitter that wrote the last record may be ahead of this one's.
const mostAhead = 5 * time.Second

// ahead says whether the last record is from a clock that was wrong. Nothing then follows from it until that time has
// come, but what an operator changes: that begins the pace anew, now. Without this, one tick of a clock an hour ahead
// would stop a line for an hour.
func ahead(last *events.Admission, now time.Time) bool {
	most := now.Add(mostAhead)
	return last.PacedTo.After(most) || last.At.After(most)
}

// release is how many places a second are to be called; 0 stands for the rate. While nothing is measured, after a
// restart above all, the share of those who come is the one that the last record counted on.
func release(last *events.Admission, next events.Admission, seen Seen) float64 {
	share := seen.Share
	if share <= 0 && last.Release > 0 {
		share = last.Rate / last.Release
	}
	if share <= 0 || next.Rate <= 0 || next.Rate >= MaxRate {
		return 0
	}
	due := Release(next.Rate, share, last.Rate, Pace(*last), seen.Steady)
	if due <= next.Rate { // it is rounded, and might be below
		return 0
	}
	return due
}

// foresee sets the outlook of each lane.
func foresee(last, next *events.Admission, seen Seen) {
	// A lane is promised its share; what it gets of others' shares shows in its yield.
	observe := func(a *events.Admission, l events.Lane) Observation {
		state := a.State
		if StandsForPayments(a) {
			state = sale.Paused
		}
		return Observation{At: a.At, State: state, ByPayments: a.Payments != nil, Serving: l.Serving, Joined: seen.Joined[l.Name], Rate: a.Rate, Part: l.Share, Release: Pace(*a) * l.Share}
	}
	was, is := general(last), general(next)
	next.Outlook = events.Outlook(Outlook(last.Outlook).Next(observe(last, was), observe(next, is)))
	for i, l := range next.Lanes {
		before, ok := laneOf(last.Lanes, l.Name)
		if !ok {
			before = l
		}
		next.Lanes[i].Outlook = events.Outlook(Outlook(before.Outlook).Next(observe(last, before), observe(next, l)))
	}
}

// first is the record that begins a log. Whatever the operator wants, a line begins in its lobby.
func first(eventID string, want Control, now time.Time) events.Admission {
	state := sale.Lobby
	if want.State == sale.Closed {
		state = sale.Closed
	}
	return events.Admission{
		V: events.Version, EventID: eventID, N: 1, State: state, Rate: want.Rate, Cap: want.Cap, Reason: "created",
		PacedTo: now, At: now, Lanes: lanes(nil, want.Lanes), Commitment: draw.Commitment(want.Secret).String(), Beacon: want.Beacon,
	}
}

// effective is the state that fans are told: an open sale with nothing left is sold out, one that is not yet drawn is
// still in its lobby, and one that has left its lobby, because Postgres was restored to before that, stands.
func effective(last *events.Admission, want Control, seen Seen) sale.State {
	if last.State == sale.Lobby && want.State != sale.Closed && seen.Draw == nil {
		return sale.Lobby
	}
	if want.State == sale.Open && want.SeatsLeft == 0 {
		return sale.SoldOut
	}
	if want.State == sale.Lobby && last.State != sale.Lobby {
		return sale.Paused
	}
	return want.State
}

// reason names a change of state or pace, "" where there is none.
func reason(last *events.Admission, next events.Admission) string {
	switch {
	case last.State == sale.SoldOut && next.State == sale.Open:
		return "seats_returned"
	case last.State == sale.Paused && next.State == sale.Open:
		return "resumed"
	case last.State != next.State:
		return map[sale.State]string{sale.Open: "opened", sale.Paused: "paused", sale.SoldOut: "sold_out", sale.Closed: "closed"}[next.State]
	case setRate(&next) != setRate(last) && next.Rate >= MaxRate:
		return "released"
	case setRate(&next) < setRate(last):
		return "rate_lowered"
	case setRate(&next) > setRate(last):
		return "rate_raised"
	case next.Rate != last.Rate:
		return "payments"
	case next.Cap != last.Cap:
		return "cap_changed"
	case len(next.Lanes) != len(last.Lanes):
		return "lanes_changed"
	}
	for i, l := range next.Lanes {
		switch before := last.Lanes[i]; {
		case l.Name != before.Name || l.Share != before.Share:
			return "lanes_changed"
		case l.Granted != before.Granted:
			return "codes_granted"
		}
	}
	return ""
}

// Pace is how many places a second are called.
func Pace(a events.Admission) float64 {
	if a.Release > 0 {
		return a.Release
	}
	return a.Rate
}

// call moves the lanes by what the pace allows; false when nobody is due.
func call(next *events.Admission, seen Seen) bool {
	pace := Pace(*next)
	paced := next.PacedTo
	if oldest := forgotten(next.At, pace); paced.Before(oldest) {
		paced = oldest
	}
	due := uint64(math.Max(0, math.Floor(next.At.Sub(paced).Seconds()*pace+1e-9)))
	if next.Cap > 0 {
		due = min(due, uint64(max(next.Cap-seen.Inside, 0)))
	}
	called, skipped := share(next, seen, due)
	if called+skipped == 0 {
		return false
	}
	next.PacedTo, next.Reason = paced.Add(span(called, pace)), "admitted"
	if next.Cap > 0 {
		next.Inside = seen.Inside
	}
	return true
}

// forgotten is up to when unused pace is not kept. The window comes on top of one fan's time: up to that much is left
// over from the last call, and an admitter that forgot it whenever it ticked late would be slower than the rate.
func forgotten(now time.Time, pace float64) time.Time { return now.Add(-BurstWindow - span(1, pace)) }

func digest(record []byte) string {
	sum := sha256.Sum256(record)
	return hex.EncodeToString(sum[:])
}

// span is the time in which so many fans are called, rounded up to a nanosecond: rounded down, a line of many
// small records would run ahead of its rate.
func span(fans uint64, rate float64) time.Duration {
	return time.Duration(min(math.Ceil(float64(fans)/rate*float64(time.Second)), float64(longestSpan)))
}
