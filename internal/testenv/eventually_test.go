package testenv_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onsale/internal/testenv"
)

// failing is a test that may fail: what it says is kept.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestEventuallyWaitsForWhatComes(t *testing.T) {
	t.Parallel()
	for _, comes := range []time.Duration{0, 3 * time.Millisecond, time.Second, 27 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			testenv.Eventually(t, "its time", func() bool { return time.Since(began) >= comes })
			if took := time.Since(began); took < comes || took > comes+20*time.Millisecond {
				t.Errorf("what comes after %s was seen after %s", comes, took)
			}
		})
	}
}

func TestEventuallyEndsTheTest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, began, ended := &failing{TB: t}, time.Now(), make(chan time.Time)
		go func() {
			defer func() { ended <- time.Now() }()
			testenv.Eventually(f, "what comes too late", func() bool { return time.Since(began) > time.Hour })
		}()
		took := (<-ended).Sub(began)
		if !strings.Contains(f.said, "what comes too late") || took < 28*time.Second || took > 29*time.Second {
			t.Errorf("after %s it says %q", took, f.said)
		}
	})
}
