package admitter

import (
	"sync"
	"time"
)

const (
	// clockAhead is by how much this clock may be ahead of the broker's for records to be appended.
	clockAhead = 5 * time.Second
	// clockKept is for how long a message tells what time it is at the broker.
	// It is short because one that came late, after a lost connection, says that this clock is ahead when it isn't.
	clockKept = 30 * time.Second
)

// brokerClock tells the time at the broker, from when it stored the messages that are read and how long ago that was by
// a clock that nobody sets. A message is stored a little before it is read, so what it tells is too early by that much:
// the latest time that any tells is the best. Safe for concurrent use.
type brokerClock struct {
	elapsed func() time.Duration // since the service began

	mu    sync.Mutex
	known bool
	at    time.Time // stored
	read  time.Duration
}

func newBrokerClock() brokerClock {
	began := time.Now()
	return brokerClock{elapsed: func() time.Duration { return time.Since(began) }}
}

// saw takes when a message was stored that was read just now; zero says nothing.
func (c *brokerClock) saw(stored time.Time) {
	if stored.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	read := c.elapsed()
	if old := read-c.read > clockKept; !c.known || old || stored.After(c.at.Add(read-c.read)) {
		c.known, c.at, c.read = true, stored, read
	}
}

// ahead is by how much a clock that says now is ahead of the broker's, at most; false where no message told.
func (c *brokerClock) ahead(now time.Time) (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	since := c.elapsed() - c.read
	if !c.known || since > clockKept {
		return 0, false
	}
	// Round(0) drops the monotonic reading: the wall clock is what stands in the records.
	return now.Round(0).Sub(c.at.Add(since)), true
}
