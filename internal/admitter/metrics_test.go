package admitter

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sumOf is the sum of a histogram's observations, in seconds.
func sumOf(t *testing.T, name string) float64 {
	t.Helper()
	all, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			return f.GetMetric()[0].GetHistogram().GetSampleSum()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// A tick that took a minute, most of it for the append, counts as a minute in the one and as the rest in the other.
func TestTickIsMeasuredWithAndWithoutItsAppend(t *testing.T) {
	t.Parallel()
	const whole, own = "onsale_admitter_tick_seconds", "onsale_admitter_tick_own_seconds"
	wholeBefore, ownBefore := sumOf(t, whole), sumOf(t, own)
	w := startTick()
	failed := errors.New("not stored")
	if err := w.append(func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("append = %v", err)
	}
	w.began, w.appending = w.began.Add(-time.Minute), w.appending+50*time.Second
	w.end()
	if took := sumOf(t, whole) - wholeBefore; took < 60 || took > 65 {
		t.Errorf("the tick took %f s", took)
	}
	if took := sumOf(t, own) - ownBefore; took < 10 || took > 15 {
		t.Errorf("without the append it took %f s", took)
	}
}
