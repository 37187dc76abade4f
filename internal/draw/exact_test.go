package draw

import (
	"math"
	"testing"
)

// Why small lanes are shuffled: the exact distance of the keyed permutation from uniform, which docs/draw.md tables.
// Each round is a step of a Markov chain over all orders of the grid, under every round function alike.
func TestNetwork_SmallLanesWouldNotBeUniform(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rows, columns, n, rounds int
		want                     float64
	}{
		{2, 2, 3, 12, 8.1e-5}, {2, 2, 4, 12, 3.3e-4}, {2, 2, 4, 32, 3.1e-10},
		{3, 2, 6, 12, 0.023}, {4, 2, 5, 12, 0.012}, {4, 2, 6, 12, 0.019},
	} {
		if c.rows == 4 && testing.Short() {
			continue // 40,320 orders
		}
		got := totalVariation(c.rows, c.columns, c.n, c.rounds)
		if math.Abs(got-c.want) > 0.05*c.want {
			t.Errorf("%d joins on %d by %d after %d rounds: %.3g, documented is %.2g", c.n, c.rows, c.columns, c.rounds, got, c.want)
		}
	}
}

func totalVariation(rows, columns, n, rounds int) float64 {
	cells := rows * columns
	share := map[[8]uint8]float64{identity(cells): 1}
	for round := range rounds {
		maps := roundMaps(rows, columns, round)
		next := make(map[[8]uint8]float64, len(share))
		for order, p := range share {
			for _, m := range maps {
				moved := order
				for i := range cells {
					moved[i] = m[order[i]]
				}
				next[moved] += p / float64(len(maps))
			}
		}
		share = next
	}
	walked := map[[8]uint8]float64{}
	orders := 1.0
	for i := 2; i <= n; i++ {
		orders *= float64(i)
	}
	for order, p := range share {
		var places [8]uint8
		for i := range n {
			x := order[i]
			for int(x) >= n {
				x = order[x]
			}
			places[i] = x
		}
		walked[places] += p
	}
	distance := (orders - float64(len(walked))) / orders // orders that never come
	for _, p := range walked {
		distance += math.Abs(p - 1/orders)
	}
	return distance / 2
}

func identity(cells int) (order [8]uint8) {
	for i := range cells {
		order[i] = uint8(i)
	}
	return order
}

// roundMaps is what a round does to the cells, for each function that it can have.
func roundMaps(rows, columns, round int) [][8]uint8 {
	arguments, values := columns, rows
	if round%2 == 1 {
		arguments, values = rows, columns
	}
	functions := 1
	for range arguments {
		functions *= values
	}
	maps := make([][8]uint8, functions)
	for f := range maps {
		shifts, rest := make([]int, arguments), f
		for i := range shifts {
			shifts[i], rest = rest%values, rest/values
		}
		for x := range rows * columns {
			row, column := x/columns, x%columns
			if round%2 == 0 {
				row = (row + shifts[column]) % rows
			} else {
				column = (column + shifts[row]) % columns
			}
			maps[f][x] = uint8(row*columns + column)
		}
	}
	return maps
}
