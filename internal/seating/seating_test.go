package seating

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"onsale/internal/plan"
	"onsale/internal/plan/venue"
	"onsale/internal/sale"
)

// hall is rows of so many seats, a unit apart. An aisle is a gap of two more.
func hall(rows ...[]int) []sale.Seat {
	var seats []sale.Seat
	for r, parts := range rows {
		x := 0.0
		for _, n := range parts {
			for range n {
				name := string(rune('A' + r))
				seats = append(seats, sale.Seat{ID: fmt.Sprintf("%s-%d", name, len(seats)), Zone: "Stalls", Row: name, Category: "All", X: x, Y: float64(r)})
				x++
			}
			x += 2
		}
	}
	return seats
}

// picture reads a drawing of what is free: 'o' is, all else but a space is not.
func picture(s string) (free []bool) {
	for _, c := range s {
		if c != ' ' {
			free = append(free, c == 'o')
		}
	}
	return free
}

func first(int) int { return 0 }

func TestChoose(t *testing.T) {
	t.Parallel()
	even := hall([]int{8}, []int{8}, []int{8})
	for name, c := range map[string]struct {
		seats []sale.Seat
		free  string
		n     int
		want  []int
	}{
		"the middle of the first row":                {even, "oooooooo oooooooo oooooooo", 2, []int{3, 4}},
		"the next row where the first is short":      {even, "xoxoxoxo oooooooo oooooooo", 2, []int{11, 12}},
		"no seat is left alone":                      {even, "xxoooxxx oooooooo oooooooo", 2, []int{11, 12}},
		"one is where nothing else is together":      {even, "xxoooxxx xxxxxxxx xxxxxxxx", 2, []int{3, 4}},
		"an end of the row where the middle is gone": {even, "oooxxxoo xxxxxxxx xxxxxxxx", 2, []int{6, 7}},
		"no block across an aisle":                   {hall([]int{1, 3}, []int{2}), "ooxx oo", 2, []int{4, 5}},
		"the row's middle, aisles or not":            {hall([]int{2, 4, 2}), "oooooooo", 2, []int{2, 3}},
		"split over two rows that follow":            {even, "xxoooxxx xxxoooxx xxxxxxxx", 6, []int{2, 3, 4, 11, 12, 13}},
		"split in one row":                           {even, "ooxxxxoo xxxxxxxx oxxxxxxx", 4, []int{0, 1, 6, 7}},
		"rather a group more than rows far apart":    {even, "oooxxxxx xxxxxxxx oooxxxxx", 6, []int{0, 1, 2, 16, 17, 18}},
		"what is split leaves no seat alone":         {even, "xoooxxxx xxxxooox xxxxxoox", 5, []int{12, 13, 14, 21, 22}},
		"all that is left":                           {even, "oxxxxxxx xxxxxxxx xxxxxxxo", 2, []int{0, 23}},
		"fewer than wanted":                          {even, "oxxxxxxx xxxxxxxx xxxxxxxo", 3, nil},
		"none is wanted":                             {even, "oooooooo oooooooo oooooooo", 0, nil},
		"another plan's picture":                     {even, "oooo", 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := New(c.seats).Choose(Wish{Quantity: c.n}, picture(c.free), first); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestACrowdIsSpreadOverGoodBlocks(t *testing.T) {
	t.Parallel()
	seats := hall([]int{20}, []int{20})
	free := picture("oooooooooooooooooooo oooooooooooooooooooo")
	for _, c := range []struct{ among, least, most int }{{1, 1, 1}, {4, 4, 5}, {16, 16, 17}, {1000, 34, 34}} {
		offered := 0
		New(seats).Choose(Wish{Quantity: 2, Among: c.among}, free, func(n int) int { offered = n; return n - 1 })
		if offered < c.least || offered > c.most {
			t.Errorf("among %d: %d blocks, want %d to %d", c.among, offered, c.least, c.most)
		}
	}
}

// alone says whether a free seat has none free beside it.
func (p *Plan) alone(free []bool, seat int) bool {
	for _, s := range p.segments {
		if seat >= s.low && seat < s.high {
			return free[seat] && (seat == s.low || !free[seat-1]) && (seat+1 == s.high || !free[seat+1])
		}
	}
	return false
}

// leaves is how many seats a choice leaves alone that were not before.
func (p *Plan) leaves(free []bool, chosen []int) (n int) {
	after := slices.Clone(free)
	for _, seat := range chosen {
		after[seat] = false
	}
	for i := range free {
		if p.alone(after, i) && !p.alone(free, i) {
			n++
		}
	}
	return n
}

// together are all blocks of a wish, in the order of the plan: by brute force.
func (p *Plan) together(w Wish, free []bool) (blocks [][]int) {
	for _, s := range p.segments {
		for from := s.low; from+w.Quantity <= s.high; from++ {
			block := span(from, from+w.Quantity)
			if !slices.ContainsFunc(block, func(i int) bool { return !free[i] || w.Category != "" && p.seats[i].Category != w.Category }) {
				blocks = append(blocks, block)
			}
		}
	}
	return blocks
}

func TestChooseHoldsItsPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var rows [][]int
		for range rapid.IntRange(1, 6).Draw(t, "rows") {
			rows = append(rows, rapid.SliceOfN(rapid.IntRange(1, 9), 1, 3).Draw(t, "parts"))
		}
		seats := hall(rows...)
		cheap := rapid.SliceOfN(rapid.Bool(), len(seats), len(seats)).Draw(t, "cheap")
		for i := range seats {
			if cheap[i] {
				seats[i].Category = "Cheap"
			}
			if i > len(seats)/2 {
				seats[i].Zone = "Balcony"
			}
		}
		free := rapid.SliceOfN(rapid.Bool(), len(seats), len(seats)).Draw(t, "free")
		w := Wish{Quantity: rapid.IntRange(1, 8).Draw(t, "quantity"), Category: rapid.SampledFrom([]string{"", "", "Cheap"}).Draw(t, "category")}
		p := New(seats)
		got := p.Choose(w, free, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") })

		left := 0
		for i := range seats {
			if free[i] && (w.Category == "" || seats[i].Category == w.Category) {
				left++
			}
		}
		if got == nil {
			if left >= w.Quantity {
				t.Fatalf("nothing of %d seats", left)
			}
			return
		}
		if len(got) != w.Quantity || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != w.Quantity {
			t.Fatalf("%v for %d", got, w.Quantity)
		}
		for _, i := range got {
			if !free[i] || w.Category != "" && seats[i].Category != w.Category {
				t.Fatalf("seat %d is taken, or of another category", i)
			}
		}
		p.checkTogether(t, w, free, got)
	})
}

// checkTogether checks a choice against all blocks that there are.
func (p *Plan) checkTogether(t *rapid.T, w Wish, free []bool, got []int) {
	blocks := p.together(w, free)
	if len(blocks) == 0 {
		return
	}
	fine := slices.DeleteFunc(slices.Clone(blocks), func(b []int) bool { return w.Quantity < 1 || p.leaves(free, b) > 0 })
	best := fine
	if len(fine) == 0 {
		best = blocks
	}
	if !slices.ContainsFunc(best, func(b []int) bool { return slices.Equal(b, got) }) {
		t.Fatalf("%v is not one of %v", got, best)
	}
	row := func(i int) string { return p.seats[i].Zone + p.seats[i].Row }
	if row(got[0]) != row(best[0][0]) {
		t.Fatalf("%v is in row %s, the first that has such a block is %s", got, row(got[0]), row(best[0][0]))
	}
}

// TestOfARealVenue looks at a theatre, whose rows have aisles and are bent.
func TestOfARealVenue(t *testing.T) {
	t.Parallel()
	seats := priced(t, venue.Theatre())
	p := New(seats)
	free := make([]bool, len(seats))
	for i := range free {
		free[i] = true
	}
	sold := 0
	for ; ; sold++ {
		got := p.Choose(Wish{Quantity: 2}, free, first)
		if got == nil {
			break
		}
		a, b := seats[got[0]], seats[got[1]]
		if gap := math.Hypot(a.X-b.X, a.Y-b.Y); sold < len(seats)/4 && (a.Row != b.Row || gap > 20) {
			t.Fatalf("%s and %s are %.0f apart, with %d pairs sold of %d seats", a.ID, b.ID, gap, sold, len(seats))
		}
		free[got[0]], free[got[1]] = false, false
	}
	if sold != len(seats)/2 {
		t.Errorf("%d pairs of %d seats", sold, len(seats))
	}
}

func priced(tb testing.TB, p *plan.Plan) []sale.Seat {
	tb.Helper()
	prices := plan.Prices{}
	for _, c := range p.Categories {
		prices[c.Name] = 5000
	}
	seats, err := p.Price(prices)
	if err != nil {
		tb.Fatal(err)
	}
	return seats
}
