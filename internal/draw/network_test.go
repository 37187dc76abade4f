package draw

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

// untabled is the order of a networked lane without tables, as lanes above maxTabled have it.
func untabled(key Hash, n uint64) *Permutation {
	p := &Permutation{key: key, n: n}
	p.rows, p.columns = grid(n)
	return p
}

func TestGrid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, rows, columns uint64 }{
		{1025, 34, 31}, {1089, 34, 33}, {1156, 34, 34}, {1157, 36, 33},
		{10_000_000, 3164, 3161}, {1 << 26, 8192, 8192}, {MaxJoins, 1 << 20, 1 << 20}, {MaxJoins - 1, 1 << 20, 1 << 20},
	} {
		if rows, columns := grid(c.n); rows != c.rows || columns != c.columns {
			t.Errorf("grid(%d) = %d by %d, want %d by %d", c.n, rows, columns, c.rows, c.columns)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		n := maxShuffle + 1 + r.Uint64N(1<<(11+r.UintN(30)))
		if n > MaxJoins {
			continue
		}
		rows, columns := grid(n)
		if rows%2 != 0 || rows*rows < n || (rows-2)*(rows-2) >= n || rows*columns < n || rows*columns-n >= rows {
			t.Fatalf("grid(%d) = %d by %d", n, rows, columns)
		}
	}
}

// Two arrivals are told apart from two drawn places only by whether they share a row or a column. With random round
// functions that is a chain of three states, which is computed here without sampling, from both worst beginnings.
func TestNetwork_PairsAreUniform(t *testing.T) {
	t.Parallel()
	for _, n := range []uint64{maxShuffle + 1, 1089, 1 << 12, 1 << 16, 10_000_000, MaxJoins} {
		a, b := grid(n)
		rows, columns := float64(a), float64(b)
		pairs := rows*columns - 1
		uniform := [3]float64{(rows - 1) / pairs, (columns - 1) / pairs, (rows - 1) * (columns - 1) / pairs}
		for _, start := range [][3]float64{{1, 0, 0}, {0, 1, 0}} {
			p := start // the shares that are in one column, in one row, in neither
			for i := range rounds {
				if i%2 == 0 { // shifts rows by column: those of one column keep their distance, others lose it
					p = [3]float64{p[0], (p[1] + p[2]) / rows, (p[1] + p[2]) * (rows - 1) / rows}
				} else {
					p = [3]float64{(p[0] + p[2]) / columns, p[1], (p[0] + p[2]) * (columns - 1) / columns}
				}
				distance := (math.Abs(p[0]-uniform[0]) + math.Abs(p[1]-uniform[1]) + math.Abs(p[2]-uniform[2])) / 2
				if i == rounds-3 && distance > 1e-13 || i == rounds-1 && distance > 1e-15 {
					t.Errorf("%d joins: total variation %g after %d rounds", n, distance, i+1)
				}
			}
		}
	}
}

// Tables are an optimization: places are those of the hashes.
func TestNetwork_TablesChangeNothing(t *testing.T) {
	t.Parallel()
	for _, n := range []uint64{maxShuffle + 1, 1089, 4000, 10_000_000} {
		tabled, err := NewPermutation(Hash{7}, n)
		if err != nil {
			t.Fatal(err)
		}
		if tabled.tables[0] == nil {
			t.Fatalf("%d joins have no tables", n)
		}
		plain := untabled(Hash{7}, n)
		for i := range uint64(2000) {
			x := i * (n - 1) / 1999
			if tabled.Place(x) != plain.Place(x) || tabled.Arrival(x) != plain.Arrival(x) {
				t.Fatalf("%d joins: %d differs", n, x)
			}
		}
	}
}

// On an odd by odd grid every order would be an even permutation. 1089 is 33 squared: half of the orders must be odd.
// The count of fixed points tells whether more arrivals keep their place than the one expected.
func TestNetwork_ParityAndFixedPoints(t *testing.T) {
	t.Parallel()
	const n, keys = 33 * 33, 1000
	odd, fixed := 0, 0
	seen := make([]int, n)
	for k := range keys {
		p, err := NewPermutation(keyOf(1, k), n)
		if err != nil {
			t.Fatal(err)
		}
		cycles := 0
		for i := range uint64(n) {
			if seen[i] == k+1 {
				continue
			}
			cycles++
			for x := i; seen[x] != k+1; x = p.Place(x) {
				seen[x] = k + 1
				if p.Place(x) == x {
					fixed++
				}
			}
		}
		odd += (n - cycles) % 2
	}
	within(t, "odd permutations", float64(odd), keys/2, math.Sqrt(keys)/2)
	within(t, "fixed points", float64(fixed), keys, math.Sqrt(keys))
}

// Where one arrival comes to stand, over many draws, is uniform; so is where two neighbours do together. No tables,
// since each draw is asked for two places only.
func TestNetwork_PlacesOverManyDraws(t *testing.T) {
	t.Parallel()
	const keys, bins = 15_000, 20
	for i, c := range []struct{ n, arrival uint64 }{
		{1025, 0}, {1025, 1023}, {10_000_000, 0}, {10_000_000, 3160}, {MaxJoins, 12345},
	} {
		single, joint := make([]int, bins*bins), make([]int, bins*bins)
		for k := range keys {
			p := untabled(keyOf(uint64(100+i), k), c.n)
			a, b := p.Place(c.arrival), p.Place(c.arrival+1)
			single[a*bins*bins/c.n]++
			joint[a*bins/c.n*bins+b*bins/c.n]++
		}
		uniformBins(t, "place", single, binShares(c.n, bins*bins))
		uniformBins(t, "places of neighbours", joint, jointShares(c.n, bins))
	}
}

// binShares is the probability that a drawn place x falls into each bin x*bins/n.
func binShares(n uint64, bins int) []float64 {
	shares := make([]float64, bins)
	below := uint64(0)
	for i := range shares {
		upTo := (uint64(i+1)*n + uint64(bins) - 1) / uint64(bins) // the least x of the next bin
		shares[i] = float64(upTo-below) / float64(n)
		below = upTo
	}
	return shares
}

// jointShares is the same for two different places.
func jointShares(n uint64, bins int) []float64 {
	one := binShares(n, bins)
	shares := make([]float64, 0, bins*bins)
	for i, p := range one {
		for j, q := range one {
			if i == j {
				q -= 1 / float64(n)
			}
			shares = append(shares, p*q*float64(n)/float64(n-1))
		}
	}
	return shares
}

// uniformBins is Pearson's chi-square test. It refuses what is 5 standard deviations from the mean of the
// chi-square distribution, on either side: too even is no chance either.
func uniformBins(t *testing.T, what string, counts []int, shares []float64) {
	t.Helper()
	total := 0
	for _, c := range counts {
		total += c
	}
	sum := 0.0
	for i, c := range counts {
		expected := shares[i] * float64(total)
		if expected < 5 {
			t.Fatalf("%s: bin %d expects %.1f, too few for the test", what, i, expected)
		}
		sum += (float64(c) - expected) * (float64(c) - expected) / expected
	}
	freedom := float64(len(counts) - 1)
	within(t, what+": chi-square", sum, freedom, math.Sqrt(2*freedom))
}

// within refuses a value that is over 5 standard deviations away. Keys are fixed, so a test passes always or never.
func within(t *testing.T, what string, got, mean, deviation float64) {
	t.Helper()
	if z := (got - mean) / deviation; !(math.Abs(z) < 5) {
		t.Errorf("%s: %.6g is %.1f standard deviations from %.6g", what, got, z, mean)
	}
}

// keyOf makes the i-th key of a test.
func keyOf(test uint64, i int) Hash {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], test)
	binary.BigEndian.PutUint64(b[8:], uint64(i))
	return digest(b[:])
}
