package line_test

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"
	"time"

	"onsale/internal/line"
)

// turns are calls and claims in virtual time. Four of five claims come after a second, the rest after some tens.
type turns struct {
	*line.Shows
	r      *rand.Rand
	now    time.Time
	called uint64
	due    []dueClaim
	came   int // in all
}

type dueClaim struct {
	at    time.Time
	place uint64
}

func newTurns(known float64) *turns {
	t := &turns{Shows: line.NewShows(known), r: rand.New(rand.NewPCG(1, 2)), now: began}
	t.Released(0, began)
	return t
}

// second lets one second pass in which so many are called, of whom a share comes.
func (t *turns) second(calls uint64, share float64) {
	for place := t.called; place < t.called+calls; place++ {
		if t.r.Float64() >= share {
			continue
		}
		delay := time.Second
		if t.r.Float64() < 0.2 {
			delay = time.Duration(t.r.ExpFloat64() * float64(40*time.Second))
		}
		t.due = append(t.due, dueClaim{t.now.Add(delay), place})
	}
	t.called += calls
	t.Released(t.called, t.now)
	t.now = t.now.Add(time.Second)
	sort.Slice(t.due, func(i, j int) bool { return t.due[i].at.Before(t.due[j].at) })
	for len(t.due) > 0 && !t.due[0].at.After(t.now) {
		t.Claimed(t.due[0].place, t.due[0].at)
		t.due = t.due[1:]
		t.came++
	}
}

func (t *turns) check(test *testing.T, when string, share, tolerance float64) {
	test.Helper()
	got, measured := t.Share(t.now)
	if !measured || math.Abs(got-share) > tolerance {
		test.Errorf("%s the share is %.3f (measured: %v), want %.2f +- %.2f", when, got, measured, share, tolerance)
	}
}

// What lately called turns still have to come is reckoned with, long before the last have come.
func TestShows_ReckonWithLateClaims(t *testing.T) {
	t.Parallel()
	for _, share := range []float64{1, 0.7, 0.4} {
		s := newTurns(1)
		for range 15 {
			s.second(100, share)
		}
		s.check(t, "after 15 s", share, 0.08)
		for range 45 {
			s.second(100, share)
		}
		s.check(t, "after a minute", share, 0.05)
		for range 240 {
			s.second(100, share)
		}
		s.check(t, "after five minutes", share, 0.03)
	}
}

func TestShows_FollowAStep(t *testing.T) {
	t.Parallel()
	s := newTurns(1)
	for range 200 {
		s.second(50, 0.9)
	}
	for range 30 {
		s.second(50, 0.5)
	}
	s.check(t, "half a minute after a step", 0.5, 0.07)
}

// A burst after a pause is measured like any other turns, and the pause forgets nothing.
func TestShows_RememberOverAPause(t *testing.T) {
	t.Parallel()
	s := newTurns(1)
	for range 120 {
		s.second(20, 0.6)
	}
	for range 1800 {
		s.second(0, 0)
	}
	s.check(t, "after half an hour's pause", 0.6, 0.05)
	s.second(2000, 0.6)
	for range 5 {
		s.second(0, 0)
	}
	s.check(t, "after a burst", 0.6, 0.05)
}

func TestShows_StartFromWhatIsKnown(t *testing.T) {
	t.Parallel()
	s := newTurns(0.5)
	for range 10 {
		s.second(1, 1)
	}
	if got, measured := s.Share(s.now); got != 0.5 || measured {
		t.Errorf("after 10 turns the share is %g (measured: %v), want the 0.5 known before", got, measured)
	}
	for _, known := range []float64{math.NaN(), 7} {
		if got, _ := line.NewShows(known).Share(began); got != 1 {
			t.Errorf("from %g the share is %g, want 1", known, got)
		}
	}
}

// Fed with old records and claims at once, it says what it said before the restart.
func TestShows_CanBeMadeAgain(t *testing.T) {
	t.Parallel()
	s, again := newTurns(1), line.NewShows(1)
	again.Released(0, began)
	for i := range uint64(60) {
		again.Released((i+1)*30, began.Add(time.Duration(i)*time.Second))
		s.Released((i+1)*30, began.Add(time.Duration(i)*time.Second))
		s.Claimed(i*30, began.Add(time.Duration(i+1)*time.Second))
	}
	for i := range uint64(60) {
		again.Claimed(i*30, began.Add(time.Duration(i+1)*time.Second))
	}
	now := began.Add(time.Minute)
	want, _ := s.Share(now)
	if got, _ := again.Share(now); got != want {
		t.Errorf("made again, the share is %g, want %g", got, want)
	}
}

// A claim that is told twice counts once, and one of a place that was never called here doesn't.
func TestShows_CountAClaimOnce(t *testing.T) {
	t.Parallel()
	s := line.NewShows(1)
	s.Released(1000, began)
	s.Released(1200, began.Add(time.Second))
	for range 3 {
		for place := uint64(900); place < 1100; place++ {
			s.Claimed(place, began.Add(2*time.Second))
		}
		s.Claimed(1200, began.Add(2*time.Second))
	}
	if called, claimed := s.Places(); called != 200 || claimed != 100 {
		t.Errorf("%d were called and %d claimed, want 200 and 100", called, claimed)
	}
	if got, _ := s.Share(began.Add(10 * time.Minute)); math.Abs(got-0.5) > 0.05 {
		t.Errorf("where half come and say so three times the share is %.3f, want 0.5", got)
	}
}

// Places that were given up before their turn are nobody's no-shows.
func TestShows_LeaveOutTheSkipped(t *testing.T) {
	t.Parallel()
	s := line.NewShows(1)
	s.Released(0, began)
	for i := range uint64(100) {
		at := began.Add(time.Duration(i) * time.Second)
		s.Released((i+1)*20, at)
		s.Skipped(10)
		for place := i * 20; place < i*20+5; place++ {
			s.Claimed(place, at.Add(time.Second))
		}
	}
	if got, _ := s.Share(began.Add(100 * time.Second)); math.Abs(got-0.5) > 0.03 {
		t.Errorf("where 5 of 20 come and 10 had left the share is %.3f, want 0.5", got)
	}
}

func TestShows_AreBounded(t *testing.T) {
	t.Parallel()
	s := line.NewShows(1)
	s.Released(0, began)
	at, upTo := began, uint64(0)
	for i := range 2000 {
		at = at.Add(time.Second)
		upTo += 1 << (i % 25) // single calls up to a jump of millions
		s.Released(upTo, at)
		s.Claimed(upTo-1, at)
		if called, _ := s.Places(); called > 1<<22+1<<22 {
			t.Fatalf("%d places are remembered", called)
		}
	}
	for range 2000 {
		at = at.Add(time.Second)
		upTo++
		s.Released(upTo, at)
		s.Claimed(upTo-1, at)
	}
	if called, claimed := s.Places(); called != 300 || claimed != 300 {
		t.Errorf("of single calls %d are remembered, and %d claims, want 300", called, claimed)
	}
}

func TestRelease(t *testing.T) {
	t.Parallel()
	const long = time.Minute
	for name, c := range map[string]struct {
		rate, share, lastRate, last float64
		since                       time.Duration
		want                        float64
	}{
		"all come":              {100, 1, 100, 100, long, 100},
		"all come, odd rate":    {123456.7, 1, 100, 100, long, 123456.7},
		"half come":             {100, 0.5, 100, 100, long, 200},
		"hardly any come":       {100, 0.1, 100, 100, long, 100 * line.MaxMakeUp},
		"none come":             {100, 0, 100, 100, long, 100 * line.MaxMakeUp},
		"no number":             {100, math.NaN(), 100, 150, long, 100},
		"little changed":        {100, 0.51, 100, 200, long, 200},
		"enough changed":        {100, 0.52, 100, 200, long, 192.3},
		"changed just now":      {100, 0.9, 100, 200, 900 * time.Millisecond, 200},
		"a new rate, just now":  {101, 0.5, 100, 200, 0, 202},
		"no rate":               {0, 0.5, 100, 200, long, 0},
		"first, nothing before": {100, 0.8, 0, 0, 0, 125},
	} {
		if got := line.Release(c.rate, c.share, c.lastRate, c.last, c.since); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: release %g, want %g", name, got, c.want)
		}
	}
}

// With the measured share, those who come are within a tenth of the rate a minute after each step of the rate or of
// the share.
func TestRelease_ConvergesWithShows(t *testing.T) {
	t.Parallel()
	s := newTurns(1)
	rate, release, since := 100.0, 100.0, began
	for _, step := range []struct{ rate, share float64 }{{100, 1}, {100, 0.5}, {200, 0.5}, {80, 0.5}, {80, 0.9}, {80, 0.4}} {
		for second := range 180 {
			share, _ := s.Share(s.now)
			next := line.Release(step.rate, share, rate, release, s.now.Sub(since))
			if next != release {
				since = s.now
			}
			rate, release = step.rate, next
			before := s.came
			if second == 60 || second == 160 {
				for range 20 {
					s.second(uint64(math.Round(release)), step.share)
				}
				if came := float64(s.came-before) / 20; math.Abs(came/step.rate-1) > 0.1 {
					t.Errorf("rate %g, share %g: after %d s %.1f a second come", step.rate, step.share, second, came)
				}
				continue
			}
			s.second(uint64(math.Round(release)), step.share)
		}
	}
}
