package testenv

import (
	"testing"
	"time"
)

const (
	patience     = 90 * time.Second // a passing test waits for far less
	shortPause   = time.Millisecond
	longestPause = 20 * time.Millisecond // a look may cost calls over HTTP
)

// Eventually waits for a condition and ends the test when it does not come within a minute and a half. It looks again
// after a millisecond at first and after twenty later on. It must be called by the test's own goroutine.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := shortPause; !holds(); pause = min(2*pause, longestPause) {
		if time.Now().After(deadline) {
			t.Fatalf("not after %s: %s", patience, what)
		}
		time.Sleep(pause)
	}
}
