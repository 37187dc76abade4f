package admitter

import (
	"time"

	"onsale/events"
	"onsale/internal/sale"
)

// shoppers are those inside: who came when called, and has a pass that is still good and no order yet. A page that is
// left open has fresh passes for ever, so nobody counts for longer than a stay. What is told of one session may come in
// any order. It takes about 70 bytes for each who came within a pass's life.
type shoppers map[sale.SessionHash]visit

// visit has times in Unix milliseconds.
type visit struct {
	came, left, until int64
	stays             int64 // until when the visit counts at most
}

// payingTime is added to twice the life of a pass: who chose seats in the last minute has still to pay for them.
const payingTime = 30 * time.Minute

// come says that a session was given a pass at a time, good until another. A stay begins with the first pass, or the
// first after one had run out.
func (s shoppers) come(session sale.SessionHash, at, until time.Time) {
	v := s[session]
	came, good := at.UnixMilli(), until.UnixMilli()
	if came > v.until {
		v.stays = at.Add(2*until.Sub(at) + payingTime).UnixMilli()
	}
	if came > v.came {
		v.came, v.until = came, good
	}
	s[session] = v
}

// leave says that a session is done.
func (s shoppers) leave(session sale.SessionHash, at time.Time) {
	v := s[session]
	v.left = max(v.left, at.UnixMilli())
	s[session] = v
}

// visitKept is how long a visit is remembered after its end: until everything that was told of it has been read.
const visitKept = 5 * time.Minute

// inside counts those inside.
func (s shoppers) inside(now time.Time) int {
	n, ms := 0, now.UnixMilli()
	for _, v := range s {
		if v.came > v.left && v.until > ms && v.stays > ms {
			n++
		}
	}
	return n
}

// forget drops the visits that ended long ago.
func (s shoppers) forget(now time.Time) {
	old := now.Add(-visitKept).UnixMilli()
	for session, v := range s {
		if v.until < old && v.left < old {
			delete(s, session)
		}
	}
}

// prune forgets visits as they ended while reports are read. At a start all of a sale's come at once, and would be
// there together; they can't be left out as they come, since they tell how long a page has been open.
func (w *watch) prune(r events.TurnReport) {
	at := r.At
	if now := w.Now(); at.After(now) {
		at = now // that node's clock is ahead
	}
	if r.Outcome == events.TurnClaimed && at.Sub(w.pruned) > visitKept {
		w.pruned = at
		w.shoppers.forget(at)
	}
}
