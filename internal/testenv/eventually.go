package testenv

import (
	"testing"
	"time"
)

const (
	// A passing test waits for far less. It is below the time after which a worker's message is given to another, so that
	// what comes only after that does not come at all.
	patience     = 28 * time.Second
	shortPause   = time.Millisecond
	longestPause = 20 * time.Millisecond // a look may cost calls over HTTP
)

// Eventually waits for a condition and ends the test when it does not come within 28 seconds. It looks again after a
// millisecond at first and after twenty later on. It must be called by the test's own goroutine.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	Within(t, patience, what, holds)
}

// Within is Eventually for what is slow by design.
func Within(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for pause := shortPause; !holds(); pause = min(2*pause, longestPause) {
		if time.Now().After(deadline) {
			t.Fatalf("not after %s: %s", limit, what)
		}
		time.Sleep(pause)
	}
}
