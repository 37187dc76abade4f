package line

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"time"

	"onsale/events"
	"onsale/internal/sale"
)

// Control is what the operator wants of a line, and what is left to sell.
type Control struct {
	State     sale.State // Lobby, Open, Paused or Closed
	Rate      float64    // fans a second
	SeatsLeft int
}

// BurstWindow bounds how much unused pace is kept: after a pause, a restart or an empty line, at most so much
// time's worth of fans comes in at once, and one fan more, for whom part of the time had been spent. In any
// stretch of time t, at most Rate * (t + BurstWindow) + 1 fans are admitted.
const BurstWindow = 250 * time.Millisecond

// longestSpan bounds the time that a number of fans takes, so that no rate overflows a duration.
const longestSpan = 30 * 365 * 24 * time.Hour

// Next is the record that should follow last, or false when nothing has changed. last is nil before the first;
// prev is last as it was written. Pace is spent from the record itself and not from a process's memory: any
// number of admitters that append with a condition on the last record admit together no faster than one.
func Next(last *events.Admission, prev []byte, eventID string, want Control, joined uint64, now time.Time) (events.Admission, bool) {
	now = now.UTC().Truncate(time.Microsecond)
	next := events.Admission{V: events.Version, EventID: eventID, N: 1, State: effective(want), Rate: want.Rate, PacedTo: now, At: now, Reason: "created"}
	if last == nil {
		return next, true
	}
	next.N, next.Serving, next.PacedTo, next.Prev = last.N+1, last.Serving, last.PacedTo, digest(prev)
	next.Reason = reason(last, next)
	if last.State == sale.Closed {
		return next, false
	}
	if next.Reason != "" {
		next.PacedTo = now
		return next, true
	}
	if next.State != sale.Open || next.Rate <= 0 || joined <= next.Serving {
		return next, false
	}
	// The window comes on top of one fan's time: up to that much is left over from the last admission, and an
	// admitter that forgot it whenever it ticked late would be slower than the rate.
	if oldest := now.Add(-BurstWindow - span(1, next.Rate)); next.PacedTo.Before(oldest) {
		next.PacedTo = oldest
	}
	due := uint64(math.Max(0, math.Floor(now.Sub(next.PacedTo).Seconds()*next.Rate+1e-9)))
	due = min(due, joined-next.Serving)
	if due == 0 {
		return next, false
	}
	next.Serving += due
	next.PacedTo = next.PacedTo.Add(span(due, next.Rate))
	next.Reason = "admitted"
	return next, true
}

// effective is the state that fans are told: an open sale with nothing left is sold out.
func effective(want Control) sale.State {
	if want.State == sale.Open && want.SeatsLeft == 0 {
		return sale.SoldOut
	}
	return want.State
}

// reason names a change of state or pace, "" where there is none.
func reason(last *events.Admission, next events.Admission) string {
	switch {
	case last.State != next.State && last.State == sale.SoldOut && next.State == sale.Open:
		return "seats_returned"
	case last.State != next.State && last.State == sale.Paused && next.State == sale.Open:
		return "resumed"
	case last.State != next.State:
		return map[sale.State]string{sale.Lobby: "lobby", sale.Open: "opened", sale.Paused: "paused", sale.SoldOut: "sold_out", sale.Closed: "closed"}[next.State]
	case next.Rate != last.Rate:
		return "rate_changed"
	}
	return ""
}

func digest(record []byte) string {
	sum := sha256.Sum256(record)
	return hex.EncodeToString(sum[:])
}

// Follows says whether a record continues the log after prev, as written: its number, its event and its hash.
func Follows(prev []byte, last, next events.Admission) bool {
	return next.N == last.N+1 && next.EventID == last.EventID && next.Prev == digest(prev) && next.Serving >= last.Serving
}

// span is the time in which so many fans are admitted, rounded up to a nanosecond: rounded down, a line of many
// small records would run ahead of its rate.
func span(fans uint64, rate float64) time.Duration {
	return time.Duration(min(math.Ceil(float64(fans)/rate*float64(time.Second)), float64(longestSpan)))
}
