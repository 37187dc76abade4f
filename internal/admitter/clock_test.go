package admitter

import (
	"context"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// A clock is held against the latest time that the broker told, within what its messages take to be read.
func TestBrokerClock(t *testing.T) {
	t.Parallel()
	var elapsed time.Duration
	c := brokerClock{elapsed: func() time.Duration { return elapsed }}
	check := func(what string, now, want time.Duration, known bool) {
		t.Helper()
		if got, ok := c.ahead(began.Add(now)); got != want || ok != known {
			t.Errorf("%s: ahead by %v, %v; want %v, %v", what, got, ok, want, known)
		}
	}
	c.saw(time.Time{})
	check("nothing was told", time.Hour, 0, false)
	c.saw(began)
	check("just now", 0, 0, true)
	elapsed = 2 * time.Second
	check("two seconds passed", 2*time.Second, 0, true)
	check("an hour's jump", time.Hour, time.Hour-2*time.Second, true)
	c.saw(began.Add(-time.Minute))
	check("an old message tells nothing", 2*time.Second, 0, true)
	c.saw(began.Add(3 * time.Second))
	check("a better one does", 2*time.Second, -time.Second, true)
	elapsed += clockKept + time.Second
	check("long ago", time.Hour, 0, false)
	c.saw(began)
	check("the broker's clock was set back", time.Second, time.Second, true)
}

// told is a broker that holds a message of the line from an hour ago, and perhaps stores another now.
type told struct {
	Log
	now bool
}

func (b *told) Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error {
	if f.Stream == events.Line("gala") {
		each(events.Message{Stream: f.Stream, Sequence: 1, Subject: events.SealedSubject("gala"), Data: []byte("{}"), At: began.Add(-time.Hour)})
		caughtUp()
		if b.now {
			each(events.Message{Stream: f.Stream, Sequence: 2, Subject: events.SealedSubject("gala"), Data: []byte("{}"), At: began})
		}
		return context.Canceled
	}
	caughtUp()
	return context.Canceled
}

// While its clock is ahead of the broker's an admitter appends nothing: its time would use up pace to come.
func TestStep_WithAClockAheadAppendsNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ahead    time.Duration
		now      bool
		appended int
	}{
		"an hour ahead": {time.Hour, true, 0}, "six seconds": {6 * time.Second, true, 0}, "four seconds": {4 * time.Second, true, 1},
		"an hour behind": {-time.Hour, true, 1}, "the line is old": {0, false, 1},
	} {
		log := &appendLog{}
		g := newGate(t, log)
		g.clock.elapsed = func() time.Duration { return 0 }
		g.Now = func() time.Time { return began.Add(c.ahead) }
		g.control = line.Control{State: sale.Lobby, Rate: 5, SeatsLeft: 1}
		ctx, done := context.WithCancel(t.Context())
		g.watch.Streams = &told{now: c.now}
		g.keep(ctx, events.Follow{Stream: events.Line("gala")}, done, func(events.Message) {})
		g.watch.Streams = log
		if err := g.step(t.Context()); err != nil || len(log.data) != c.appended {
			t.Errorf("%s: %d records are appended (%v)", name, len(log.data), err)
		}
	}
}
