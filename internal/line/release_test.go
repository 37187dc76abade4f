package line_test

import (
	"math"
	"testing"
	"time"

	"onsale/internal/line"
	"onsale/internal/sale"
)

// share is what is seen where that share of those called comes.
func share(of float64) line.Seen {
	s := seen(everyone)
	s.Share, s.Steady = of, time.Hour
	return s
}

// Where half of those who are called don't come, twice as many are called, and the record says so and why.
func TestNext_CallsForThoseWhoDoNotCome(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ share, release float64 }{
		{0.5, 200}, {0.8, 125}, {1, 0}, {0, 0}, {0.4, 250}, {0.1, 100 * line.MaxMakeUp}, {1e-9, 100 * line.MaxMakeUp}, {math.NaN(), 0},
	} {
		l := opened(t, 100)
		l.look(want(sale.Open, 100), share(c.share), began.Add(time.Millisecond))
		if told := l.last.Reason == "no_shows"; l.last.Release != c.release || told != (c.release > 0) || told && l.last.Serving != 0 {
			t.Errorf("a share of %g: %+v, want a release of %g", c.share, l.last, c.release)
		}
		l.run(want(sale.Open, 100), share(c.share), began, 10*time.Second, tick)
		if got, most := float64(l.last.Serving), line.Pace(*l.last)*10; got > most || got < most*0.98-2 {
			t.Errorf("a share of %g: %g were called in 10 s, want %g", c.share, got, most)
		}
		l.checkEveryWindow(line.Pace(*l.last))
	}
}

// A release is never below the rate, though it is rounded: those who verify the log would refuse it.
func TestNext_ReleaseIsNeverBelowTheRate(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{4999.3, 12.3449, 1.00004, 0.123449} {
		l := opened(t, 100)
		l.run(want(sale.Open, rate), share(1), began, 30*time.Second, tick)
		if l.last.Release != 0 || l.last.Serving == 0 {
			t.Errorf("%g a second, and everyone comes: %+v", rate, l.last)
		}
	}
}

// An admitter that has measured nothing, as after a restart, goes on with what the last record counted on.
func TestNext_KeepsTheReleaseOverARestart(t *testing.T) {
	t.Parallel()
	l := opened(t, 100)
	l.run(want(sale.Open, 100), share(0.5), began, time.Second, tick)
	unknown := seen(everyone)
	l.run(want(sale.Open, 100), unknown, began.Add(time.Second), time.Second, tick)
	if l.last.Release != 200 || l.last.Reason != "admitted" {
		t.Errorf("nothing is measured: %+v", l.last)
	}
	if l.look(want(sale.Open, 40), unknown, began.Add(2*time.Second)); l.last.Release != 80 || l.last.Reason != "rate_lowered" {
		t.Errorf("the rate is lowered: %+v", l.last)
	}
	if l.look(want(sale.Open, 40), share(1), began.Add(3*time.Second)); l.last.Release != 0 || l.last.Reason != "no_shows" {
		t.Errorf("everyone comes: %+v", l.last)
	}
}

// A line that is released lets everyone in; there is nothing to make up for.
func TestNext_AReleasedLineMakesUpForNobody(t *testing.T) {
	t.Parallel()
	l := opened(t, 100)
	l.run(want(sale.Open, 100), share(0.5), began, time.Second, tick)
	now := l.run(want(sale.Open, line.MaxRate), share(0.5), began.Add(time.Second), time.Second, tick)
	if l.last.Release != 0 || l.last.Rate != line.MaxRate || l.last.Serving < line.MaxRate/2 {
		t.Errorf("it is released: %+v", l.last)
	}
	if l.look(want(sale.Open, 100), share(0), now); l.last.Release != 0 || l.last.Reason != "rate_lowered" {
		t.Errorf("it is held again: %+v", l.last)
	}
}
