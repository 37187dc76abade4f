package draw

import (
	"fmt"
	"testing"
)

// Every way in which the exchanges can fall gives another order, and there are as many ways as orders: with even
// exchanges every order is exactly as likely as any other. No samples, no doubt.
func TestShuffle_EachOrderOnce(t *testing.T) {
	t.Parallel()
	for n := uint64(0); n <= 7; n++ {
		orders, ways := map[string]int{}, 1
		for i := uint64(2); i <= n; i++ {
			ways *= int(i)
		}
		for way := range ways {
			rest := uint64(way)
			list := shuffled(n, func(i uint64) uint64 {
				j := rest % (i + 1)
				rest /= i + 1
				return j
			})
			orders[fmt.Sprint(list)]++
		}
		if len(orders) != ways {
			t.Errorf("%d joins: %d ways give %d orders", n, ways, len(orders))
		}
	}
}

// The same with the hashes that the exchanges come from: all orders of 2 to 6 joins, over many keys.
func TestShuffle_OrdersOverManyKeys(t *testing.T) {
	t.Parallel()
	const keys = 40_000
	orders := 1
	for n := uint64(2); n <= 6; n++ {
		orders *= int(n)
		counts, shares := make([]int, orders), make([]float64, orders)
		for i := range shares {
			shares[i] = 1 / float64(orders)
		}
		for k := range keys {
			p, err := NewPermutation(keyOf(n, k), n)
			if err != nil {
				t.Fatal(err)
			}
			counts[rank(p)]++
		}
		uniformBins(t, fmt.Sprintf("orders of %d", n), counts, shares)
	}
}

// rank numbers the orders of n joins from 0 to n!-1.
func rank(p *Permutation) int {
	r := 0
	for i := range p.n {
		smaller := 0
		for j := i + 1; j < p.n; j++ {
			if p.Place(j) < p.Place(i) {
				smaller++
			}
		}
		r = r*int(p.n-i) + smaller
	}
	return r
}

// Where each of 1000 joins comes to stand, over many keys, coarsely for all of them.
func TestShuffle_PlacesOverManyKeys(t *testing.T) {
	t.Parallel()
	const n, keys, bins = 1000, 1000, 50
	arrivals := []uint64{0, 1, 499, 998, 999}
	counts := make([][bins]int, len(arrivals))
	for k := range keys {
		p, err := NewPermutation(keyOf(50, k), n)
		if err != nil {
			t.Fatal(err)
		}
		for i, arrival := range arrivals {
			counts[i][p.Place(arrival)*bins/n]++
		}
	}
	for i, arrival := range arrivals {
		uniformBins(t, fmt.Sprintf("place of %d", arrival), counts[i][:], binShares(n, bins))
	}
}
