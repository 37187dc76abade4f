package pace_test

import (
	"testing"
	"time"

	"onsale/internal/pace"
)

// TestRefusalHalvesTheRateAndItRecovers, by steps and up to the limit, and a second refusal in the same second is no news.
func TestRefusalHalvesTheRateAndItRecovers(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	b := pace.NewBucket(pace.Limit{Rate: 20, Burst: 2}, func() time.Time { return now })
	slow := func() float64 { g, _ := b.Slow(t.Context(), 0); return g.Rate }
	rate := func() float64 { g, _ := b.Reserve(t.Context(), 0); return g.Rate }
	is := func(what string, got, want float64) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %g, want %g", what, got, want)
		}
	}
	is("at first", rate(), 20)
	is("after a refusal", slow(), 10)
	now = now.Add(900 * time.Millisecond)
	is("after another, soon", slow(), 10)
	now = now.Add(100 * time.Millisecond)
	is("a second later", rate(), 11)
	is("after a refusal then", slow(), 5.5)
	now = now.Add(3 * time.Second)
	is("three seconds later", rate(), 8.5)
	now = now.Add(time.Hour)
	is("much later", rate(), 20)
	for range 20 {
		slow()
		now = now.Add(time.Second)
	}
	if g, _ := b.Slow(t.Context(), 0); g.Rate < 20*pace.LeastRate || g.Rate > 2 {
		t.Errorf("after many refusals: %g", g.Rate)
	}
}

// TestPauseStopsEveryone for as long as Stripe said.
func TestPauseStopsEveryone(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	b := pace.NewBucket(pace.Limit{Rate: 10, Burst: 5}, func() time.Time { return now })
	if _, err := b.Slow(t.Context(), 7*time.Second); err != nil {
		t.Fatal(err)
	}
	if g, _ := b.Reserve(t.Context(), 1); g.Wait < 7*time.Second || g.Wait > 8*time.Second {
		t.Errorf("the next turn is in %v", g.Wait)
	}
}

// TestBucketHoldsItsRate: in no stretch of time do more calls begin than the burst and the rate allow, and none is lost.
func TestBucketHoldsItsRate(t *testing.T) {
	t.Parallel()
	l := pace.Limit{Rate: 10, Burst: 4}
	now := time.Unix(1_700_000_000, 0)
	b := pace.NewBucket(l, func() time.Time { return now })
	var starts []time.Time
	for i := range 100 {
		n := i%3 + 1
		g, _ := b.Reserve(t.Context(), n)
		now = now.Add(g.Wait)
		for range n {
			starts = append(starts, now)
		}
		if i == 50 {
			now = now.Add(time.Minute) // unused time is worth the burst
		}
	}
	for i := range starts {
		for j := i + 1; j < len(starts); j++ {
			if most := float64(l.Burst) + l.Rate*starts[j].Sub(starts[i]).Seconds() + 1e-6; float64(j-i+1) > most {
				t.Fatalf("%d calls in %v", j-i+1, starts[j].Sub(starts[i]))
			}
		}
	}
	if took := starts[len(starts)-1].Sub(starts[0]) - time.Minute; took > time.Duration(len(starts))*100*time.Millisecond {
		t.Errorf("%d calls took %v", len(starts), took)
	}
}

// A clock that was ahead when a call was refused is put right: the rate recovers from then on, and can be halved again.
func TestClockThatWasAheadHoldsTheRateForNobody(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_700_000_000, 0)
	now := start.Add(24 * time.Hour)
	b := pace.NewBucket(pace.Limit{Rate: 100, Burst: 10}, func() time.Time { return now })
	cut, _ := b.Slow(t.Context(), 0)
	now = start
	if g, _ := b.Reserve(t.Context(), 1); g.Rate != cut.Rate {
		t.Errorf("the rate is %v, after a halving to %v", g.Rate, cut.Rate)
	}
	now = start.Add(time.Second)
	if g, _ := b.Slow(t.Context(), 0); g.Rate >= cut.Rate {
		t.Errorf("another refusal leaves the rate at %v", g.Rate)
	}
	now = start.Add(time.Minute)
	if g, _ := b.Reserve(t.Context(), 1); g.Rate != 100 {
		t.Errorf("after a minute the rate is %v", g.Rate)
	}
}
