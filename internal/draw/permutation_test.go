package draw_test

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"onsale/internal/draw"
	"onsale/internal/sale"
)

func permutation(t testing.TB, key draw.Hash, n uint64) *draw.Permutation {
	t.Helper()
	p, err := draw.NewPermutation(key, n)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every size around a border of the method, in full: each place once, and back again.
func TestPermutation_IsOne(t *testing.T) {
	t.Parallel()
	for _, n := range []uint64{0, 1, 2, 3, 4, 5, 6, 7, 10, 100, 1000, 1023, 1024, 1025, 1026, 1055, 1056, 1057, 1089, 1156, 1157, 5000, 65_535, 65_536, 65_537} {
		p := permutation(t, draw.Hash{byte(n), byte(n >> 8)}, n)
		checkFull(t, p, n)
		for _, later := range []uint64{n, n + 1, n + 1_000_000, math.MaxUint64} {
			if p.Place(later) != later || p.Arrival(later) != later {
				t.Errorf("%d joins: %d, who came after the seal, does not keep its arrival number", n, later)
			}
		}
	}
}

func checkFull(t *testing.T, p *draw.Permutation, n uint64) {
	t.Helper()
	taken := make([]uint64, (n+63)/64)
	for arrival := range n {
		place := p.Place(arrival)
		if place >= n {
			t.Fatalf("%d joins: arrival %d has place %d", n, arrival, place)
		}
		if taken[place/64]>>(place%64)&1 == 1 {
			t.Fatalf("%d joins: place %d is given twice", n, place)
		}
		taken[place/64] |= 1 << (place % 64)
		if back := p.Arrival(place); back != arrival {
			t.Fatalf("%d joins: arrival %d has place %d, which has arrival %d", n, arrival, place, back)
		}
	}
}

func TestPermutation_TenMillion(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("looks at every place of ten million")
	}
	checkFull(t, permutation(t, draw.Hash{9}, fullLobby), fullLobby)
}

func TestPermutation_TooMany(t *testing.T) {
	t.Parallel()
	if _, err := draw.NewPermutation(draw.Hash{}, draw.MaxJoins); err != nil {
		t.Error(err)
	}
	_, err := draw.NewPermutation(draw.Hash{}, draw.MaxJoins+1)
	var refused *sale.Error
	if !errors.As(err, &refused) || refused.Code != "too_many_joins" {
		t.Errorf("%v, want too_many_joins", err)
	}
}

// One order of a large lobby: nothing of the order of arrival is left in it. Means and deviations are those of a
// random permutation (Knuth, volume 3, section 5.1, for descents; Spearman's coefficient has variance 1/(n-1)).
func TestPermutation_KeepsNothingOfTheOrder(t *testing.T) {
	t.Parallel()
	for _, n := range []uint64{1024, 1025, 30_000, 300_000} {
		for k := range byte(3) {
			p := permutation(t, draw.Hash{k, 3}, n)
			size := float64(n)
			distance, descents, close, keptHalf := 0.0, 0, 0, 0
			for i := range n {
				place := p.Place(i)
				d := float64(place) - float64(i)
				distance += d * d
				if i < n/2 && place < n/2 {
					keptHalf++
				}
				if i+1 == n {
					break
				}
				next := p.Place(i + 1)
				if next < place {
					descents++
				}
				if max(place, next)-min(place, next) <= n/50 {
					close++
				}
			}
			name := fmt.Sprintf("%d joins, key %d: ", n, k)
			within(t, name+"rank correlation", 1-6*distance/(size*(size*size-1)), 0, 1/math.Sqrt(size-1))
			within(t, name+"descents", float64(descents), (size-1)/2, math.Sqrt((size+1)/12))
			near := 2 * float64(n/50) * (size - float64(n/50+1)/2) / (size * (size - 1)) // of two drawn places
			within(t, name+"neighbours that stay close", float64(close), near*(size-1), 1.1*math.Sqrt(near*(size-1)))
			half := math.Floor(size / 2)
			within(t, name+"first half that stays so", float64(keptHalf), half*half/size, half*(size-half)/(size*math.Sqrt(size-1)))
		}
	}
}

// within refuses a value that is over 4.5 standard deviations away. Keys are fixed, so a test passes always or never.
func within(t *testing.T, what string, got, mean, deviation float64) {
	t.Helper()
	if z := (got - mean) / deviation; !(math.Abs(z) < 4.5) {
		t.Errorf("%s: %.6g is %.1f standard deviations from %.6g", what, got, z, mean)
	}
}

// Not parallel: other tests' allocations would be counted.
func TestPermutation_PlaceAllocatesNothing(t *testing.T) {
	for _, n := range []uint64{10, 10_000_000, draw.MaxJoins} {
		p := permutation(t, draw.Hash{1}, n)
		arrival := uint64(0)
		if allocs := testing.AllocsPerRun(100, func() { arrival = p.Arrival(p.Place(arrival)+1) % n }); allocs != 0 {
			t.Errorf("%d joins: %v allocations", n, allocs)
		}
	}
}

// Many goroutines ask one permutation; the race detector sees any write.
func TestPermutation_IsShared(t *testing.T) {
	t.Parallel()
	for _, n := range []uint64{500, 100_000, draw.MaxJoins} {
		p := permutation(t, draw.Hash{2}, n)
		want := p.Place(77)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 100 {
					if p.Place(77) != want || p.Arrival(want) != 77 {
						t.Error("a place changed")
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

func FuzzPermutation_Inverse(f *testing.F) {
	for _, n := range []uint64{0, 1, 2, 3, 1024, 1025, 10_000_000, draw.MaxJoins, math.MaxUint64} {
		f.Add([]byte("key"), n, n/2)
	}
	f.Fuzz(func(t *testing.T, key []byte, n, arrival uint64) {
		n %= draw.MaxJoins + 1
		var k draw.Hash
		copy(k[:], key)
		p := permutation(t, k, n)
		if n > 0 {
			arrival %= n
		}
		place := p.Place(arrival)
		if n > 0 && place >= n {
			t.Fatalf("%d joins: place %d", n, place)
		}
		if back := p.Arrival(place); back != arrival {
			t.Fatalf("%d joins: arrival %d has place %d, which has arrival %d", n, arrival, place, back)
		}
		if q := p.Arrival(arrival); p.Place(q) != arrival {
			t.Fatalf("%d joins: place %d has arrival %d, which has place %d", n, arrival, q, p.Place(q))
		}
	})
}
