package admitter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"onsale/events"
	"onsale/internal/line"
)

// seen is what the next record rests on.
func (g *gate) seen(now time.Time) line.Seen {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := line.Seen{
		Joined: g.joined.Counts(), Left: g.left.Count, Line: g.head(), Draw: g.draw, Drawn: g.drawn, Steady: now.Sub(g.released),
	}
	if g.last == nil {
		return s
	}
	s.Share = g.share(now)
	if p, known := g.payments.Payments(now); known {
		s.Payments = &p
	}
	if now.Sub(g.forgotAt) > visitKept/2 {
		g.forgotAt = now
		g.shoppers.forget(now)
	}
	if g.last.Cap > 0 {
		s.Inside = g.shoppers.inside(now) + g.expected(now)
	}
	return s
}

// shareEvery is how often the share of those who come is measured anew.
const shareEvery = time.Second

// share is the share of those called who come, over all lanes by their part of the calls; 0 before the first call.
func (g *gate) share(now time.Time) float64 {
	if now.Sub(g.shareAt) < shareEvery {
		return g.shareLast
	}
	var sum, weight float64
	for _, l := range line.Lanes(*g.last) {
		if shows := g.shows[l.Name]; shows != nil {
			share, _ := shows.Share(now) // until it is measured, what the last record counted on
			sum += share * l.Share
			weight += l.Share
		}
	}
	if weight == 0 {
		return 0
	}
	g.shareAt, g.shareLast = now, sum/weight
	return g.shareLast
}

// called takes note of a record, whoever appended it. Between it and last there may be others.
func (g *gate) called(last *events.Admission, next events.Admission) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if last == nil || line.Pace(*last) != line.Pace(next) {
		g.released = next.At
	}
	for _, l := range line.Lanes(next) {
		g.serving[l.Name] = l.Serving
		shows := g.shows[l.Name]
		if shows == nil {
			known := 1.0
			if pace := line.Pace(next); pace > 0 {
				known = next.Rate / pace // what the record before a restart counted on
			}
			shows = line.NewShows(known)
			g.shows[l.Name] = shows
		}
		shows.Released(l.Serving, next.At)
		shows.Skipped(g.left.Count(l.Name, servingOf(last, l.Name), l.Serving))
	}
	g.recent = remembered(g.recent, next)
}

// reached takes note of how far a record called.
func (g *gate) reached(a events.Admission) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range line.Lanes(a) {
		g.serving[l.Name] = l.Serving
	}
}

// remembered is recent with how far a record called.
func remembered(recent []recentCall, a events.Admission) []recentCall {
	recent = append(recent, recentCall{a.At, line.Lanes(a)})
	old := 0
	for old < len(recent)-1 && a.At.Sub(recent[old+1].at) > claimGrace {
		old++
	}
	return append(recent[:0], recent[old:]...)
}

// recallCalls reads the end of the log, at a start: who was called lately, by whatever admitter, is still expected.
func (g *gate) recallCalls(ctx context.Context, last uint64) error {
	reading, done := context.WithTimeout(ctx, 5*time.Second)
	defer done()
	recent, read := []recentCall{}, false
	err := g.Streams.Follow(reading, events.Follow{
		Stream: events.Admissions, Subject: events.AdmissionSubject(g.eventID), From: events.FromAfter, After: last - min(last, maxRecalled),
	}, func() { read = true; done() }, func(m events.Message) {
		if a, err := events.Decode[events.Admission](m.Data); err == nil {
			recent = remembered(recent, a)
		}
	})
	if !read {
		return fmt.Errorf("read who was called lately: %w", errors.Join(err, reading.Err()))
	}
	g.recent = recent
	return nil
}

// servingOf is how far a lane was called by a record, nil for none.
func servingOf(a *events.Admission, lane string) uint64 {
	if a != nil {
		for _, l := range line.Lanes(*a) {
			if l.Name == lane {
				return l.Serving
			}
		}
	}
	return 0
}

// claimGrace is for how long someone who was called is expected, where shoppers are counted.
const claimGrace = 15 * time.Second

// maxRecalled is how many messages of the log's stream, which all events share, are looked through at a start: those
// of claimGrace, with a dozen sales at a time.
const maxRecalled = 4096

// recentCall is how far each lane had been called at a time.
type recentCall struct {
	at    time.Time
	lanes []events.Lane
}

// expected is how many were called lately and have neither come nor left before.
func (g *gate) expected(now time.Time) int {
	var before *recentCall
	for i := range g.recent {
		if now.Sub(g.recent[i].at) >= claimGrace || before == nil {
			before = &g.recent[i]
		}
	}
	if before == nil {
		return 0
	}
	var n uint64
	for i, l := range line.Lanes(*g.last) {
		var from uint64
		if i < len(before.lanes) {
			from = before.lanes[i].Serving
		}
		n += l.Serving - from - min(l.Serving-from, g.answered.Count(l.Name, from, l.Serving))
	}
	return int(n)
}
