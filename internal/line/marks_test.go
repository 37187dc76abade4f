package line_test

import (
	"math/rand"
	"sync"
	"sync/atomic"
	"testing"

	"onsale/internal/line"
)

// Marks are a set: whatever is added and asked, they answer as a map would.
func TestMarks_AreASet(t *testing.T) {
	t.Parallel()
	type fan struct {
		lane   string
		number uint64
	}
	for seed := range int64(20) {
		r := rand.New(rand.NewSource(seed))
		var marks line.Marks
		model := map[fan]bool{}
		// Numbers fall together at the borders of the bitmap's containers, and far apart.
		number := func() uint64 { return []uint64{0, 1<<16 - 2, 1<<32 - 2, 1 << 40}[r.Intn(4)] + uint64(r.Intn(4)) }
		lane := func() string { return []string{"", "presale", "vip"}[r.Intn(3)] }
		for range 200 {
			f := fan{lane(), number()}
			if got := marks.Has(f.lane, f.number); got != model[f] {
				t.Fatalf("seed %d: %+v is marked: %v", seed, f, got)
			}
			from, to := number(), number()
			if r.Intn(10) == 0 {
				from = 0
			}
			var want uint64
			for m := range model {
				if m.lane == f.lane && m.number >= from && m.number < to {
					want++
				}
			}
			if got := marks.Count(f.lane, from, to); got != want {
				t.Fatalf("seed %d: Count(%q, %d, %d) = %d, want %d", seed, f.lane, from, to, got, want)
			}
			if r.Intn(2) == 0 {
				if added := marks.Add(f.lane, f.number); added == model[f] {
					t.Fatalf("seed %d: Add(%+v) = %v", seed, f, added)
				}
				model[f] = true
			}
		}
	}
}

// Of many who mark the same fan, one is the first.
func TestMarks_OneIsTheFirst(t *testing.T) {
	t.Parallel()
	const fans, goroutines = 500, 8
	var marks line.Marks
	var firsts atomic.Int64
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for n := range uint64(fans) {
				if marks.Add("", n) {
					firsts.Add(1)
				}
				if !marks.Has("", n) || marks.Count("", 0, n+1) < n+1 {
					t.Errorf("%d was marked and is not", n)
					return
				}
			}
		})
	}
	all.Wait()
	if firsts.Load() != fans || marks.Count("", 0, fans) != fans {
		t.Errorf("%d were the first of %d fans", firsts.Load(), fans)
	}
}
