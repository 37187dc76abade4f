package redis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"onsale/internal/pace"
)

// TestPaceIsTheBucketsOwn: the script and internal/pace's Bucket grant the same, by Redis' clock.
func TestPaceIsTheBucketsOwn(t *testing.T) {
	t.Parallel()
	r := setup(t)
	dice := rand.New(rand.NewPCG(1, 2))
	for _, l := range []pace.Limit{{Rate: 25, Burst: 3}, {Rate: 0.5, Burst: 1}, {Rate: 3000, Burst: 300}} {
		p := r.Pace(time.Now().String(), l)
		var now time.Time
		b := pace.NewBucket(l, func() time.Time { return now })
		for range 300 {
			op, n := "reserve", dice.Int64N(int64(l.Burst))+1
			if dice.IntN(20) == 0 {
				op, n = "slow", dice.Int64N(2_000_000)
			}
			got, at, err := p.run(t.Context(), op, n)
			if err != nil {
				t.Fatal(err)
			}
			now = at
			var want pace.Grant
			if op == "reserve" {
				want, _ = b.Reserve(t.Context(), int(n))
			} else {
				want, _ = b.Slow(t.Context(), time.Duration(n)*time.Microsecond)
			}
			// The script rounds each reservation up to a microsecond.
			if diff := got.Wait - want.Wait; diff < -2*time.Microsecond || diff > 400*time.Microsecond || math.Abs(got.Rate-want.Rate) > 1e-9*l.Rate {
				t.Fatalf("%s %d of %+v: %+v, want %+v", op, n, l, got, want)
			}
		}
	}
}

// TestWorkersShareAPace: whatever the number of workers, by Redis' clock no stretch of time has more starts than the
// limit allows, and none of the turns is lost.
func TestWorkersShareAPace(t *testing.T) {
	t.Parallel()
	r := setup(t)
	limit := pace.Limit{Rate: 400, Burst: 20}
	const each = 150
	var mu sync.Mutex
	var starts []time.Time // by Redis' clock
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			other, err := Open(fmt.Sprintf("redis://%s/%d", r.db.Options().Addr, r.db.Options().DB))
			if err != nil {
				t.Error(err)
				return
			}
			defer other.Close()
			p := other.Pace("sk_test_shared", limit)
			for range each {
				g, now, err := p.run(t.Context(), "reserve", 1)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				starts = append(starts, now.Add(g.Wait))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	checkStarts(t, starts, limit)
	if took := starts[len(starts)-1].Sub(starts[0]); len(starts) != 4*each || took > 2*time.Second {
		t.Errorf("%d turns over %v", len(starts), took)
	}
	keys, err := r.db.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 1 || strings.Contains(keys[0], "sk_test") {
		t.Errorf("keys %v (%v)", keys, err)
	}
	if left := r.db.PTTL(t.Context(), keys[0]).Val(); left <= 0 {
		t.Errorf("it stays for %v", left)
	}
	if other := r.Pace("sk_test_other", limit); other.key == keys[0] {
		t.Error("another account has the same pace")
	}
}

// checkStarts sorts the times at which calls began and checks every stretch between two of them.
func checkStarts(t *testing.T, starts []time.Time, l pace.Limit) {
	t.Helper()
	slices.SortFunc(starts, time.Time.Compare)
	for i := range starts {
		for j := i + 1; j < len(starts); j++ {
			took := starts[j].Sub(starts[i])
			if n, most := j-i+1, float64(l.Burst)+l.Rate*took.Seconds()+1; float64(n) > most {
				t.Fatalf("%d calls began in %v, %.1f are the most", n, took, most)
			}
		}
	}
}

// TestPaceRecovers by Redis' clock: a step for each second since the refusal.
func TestPaceRecovers(t *testing.T) {
	t.Parallel()
	r := setup(t)
	p := r.Pace("sk_test_refused", pace.Limit{Rate: 20, Burst: 2})
	if g, err := p.Slow(t.Context(), 0); err != nil || g.Rate != 10 {
		t.Fatalf("after a refusal: %+v (%v)", g, err)
	}
	for _, ago := range []time.Duration{3 * time.Second, time.Hour} {
		if err := r.db.HIncrBy(t.Context(), p.key, "cut_at", -ago.Microseconds()).Err(); err != nil {
			t.Fatal(err)
		}
		want := pace.RateAfter(20, 10, ago)
		if g, err := p.Reserve(t.Context(), 1); err != nil || g.Rate != want {
			t.Errorf("%v later: %+v, want %g (%v)", ago, g, want, err)
		}
	}
}

// TestPaceAfterAClockThatWasAhead: a halving that lies in the future counts from now on.
func TestPaceAfterAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	r := setup(t)
	p := r.Pace("sk_test_ahead", pace.Limit{Rate: 100, Burst: 10})
	cut, now, err := p.run(t.Context(), "slow", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.db.HSet(t.Context(), p.key, "cut_at", now.Add(24*time.Hour).UnixMicro()).Err(); err != nil {
		t.Fatal(err)
	}
	if g, _, err := p.run(t.Context(), "reserve", 1); err != nil || g.Rate != cut.Rate {
		t.Errorf("the rate is %v, after a halving to %v (%v)", g.Rate, cut.Rate, err)
	}
	at, err := r.db.HGet(t.Context(), p.key, "cut_at").Int64()
	if err != nil || at < now.UnixMicro() || at > now.Add(time.Minute).UnixMicro() {
		t.Errorf("the halving is of %v, at %v (%v)", time.UnixMicro(at), now, err)
	}
}
