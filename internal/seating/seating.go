// Package seating chooses the best seats that are left in a plan. It promises what docs/holds.md says of best
// available: seats together where there are such, in the best row, near its middle, and none left alone. It is pure:
// it decides nothing, whoever wants the seats must still take them. Anyone may import it.
package seating

import (
	"math"
	"slices"

	"onsale/internal/sale"
)

// Plan is an event's rows in the order of its plan, which is their quality: the first is the best. It never changes,
// and is safe for concurrent use.
type Plan struct {
	seats    []sale.Seat
	segments []segment
}

// segment is seats that stand side by side: a row, or a part of one between aisles. Seats are named by their index in
// the plan.
type segment struct {
	low, high int // of its seats; high excluded
	zone      int // number of its zone, from 0
	row       int // number of its row in the plan, from 0
	middle    float64
}

// aisle is how much wider than the usual distance between the row's neighbours a gap must be for people on both its
// sides not to sit together.
const aisle = 1.6

// New reads the rows of an event's seats, which are in the order of its plan. Seats of a row follow each other there.
func New(seats []sale.Seat) *Plan {
	p := &Plan{seats: seats}
	zone, row := -1, -1
	for from := 0; from < len(seats); row++ {
		to := from + 1
		for to < len(seats) && seats[to].Zone == seats[from].Zone && seats[to].Row == seats[from].Row {
			to++
		}
		if from == 0 || seats[from].Zone != seats[from-1].Zone {
			zone++
		}
		p.cut(from, to, zone, row+1)
		from = to
	}
	return p
}

// cut cuts a row at its aisles.
func (p *Plan) cut(from, to, zone, row int) {
	gaps := make([]float64, 0, to-from)
	for i := from + 1; i < to; i++ {
		gaps = append(gaps, math.Hypot(p.seats[i].X-p.seats[i-1].X, p.seats[i].Y-p.seats[i-1].Y))
	}
	widest := math.Inf(1) // a row of one, or one whose places the plan doesn't tell
	if len(gaps) > 0 {
		if usual := slices.Sorted(slices.Values(gaps))[len(gaps)/2]; usual > 0 {
			widest = usual * aisle
		}
	}
	s := segment{low: from, zone: zone, row: row, middle: float64(from+to) / 2}
	for i, gap := range gaps {
		if gap > widest {
			s.high = from + i + 1
			p.segments = append(p.segments, s)
			s.low = s.high
		}
	}
	s.high = to
	p.segments = append(p.segments, s)
}

// Wish is what someone wants.
type Wish struct {
	Quantity int    // at least 1
	Category string // "" for any
	Among    int    // choose among so many of the best blocks at least; 1 for the best, and those just as good
}

// Choose returns the best seats for a wish in the order of the plan, as indexes of it, or nil where fewer than the
// quantity are left. free says which seats are, one for each of the plan; pick returns a number below n, to choose
// between blocks. The seats are together, in one row and without an aisle between them, if there are such: in the first
// row that has such a block which leaves no seat alone, that is free with none free beside it; if every block does, in
// the first row that has a block. Of a row's blocks the nearest to its middle is the best, and two that are as near are
// just as good. Else they are in groups, as split says.
func (p *Plan) Choose(w Wish, free []bool, pick func(n int) int) []int {
	if w.Quantity < 1 || len(free) != len(p.seats) {
		return nil
	}
	runs := p.runs(w, free)
	for _, alone := range []bool{false, true} {
		if blocks := best(runs, w, free, alone); len(blocks) > 0 {
			from := blocks[pick(len(blocks))].from
			return span(from, from+w.Quantity)
		}
	}
	return split(runs, w.Quantity, slices.Clone(free))
}

func span(from, to int) []int {
	all := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}

// run is free seats of the wanted category, side by side.
type run struct {
	*segment
	from, to int // to excluded
}

// runs are the free seats in the order of the plan.
func (p *Plan) runs(w Wish, free []bool) []run {
	wanted := func(i int) bool { return free[i] && (w.Category == "" || p.seats[i].Category == w.Category) }
	edges := 0
	for i := 1; i < len(free); i++ {
		if free[i] != free[i-1] {
			edges++
		}
	}
	all := make([]run, 0, edges/2+len(p.segments)) // to grow would take longer than all else
	for n := range p.segments {
		s := &p.segments[n]
		for i := s.low; i < s.high; i++ {
			if !wanted(i) {
				continue
			}
			r := run{segment: s, from: i}
			for i < s.high && wanted(i) {
				i++
			}
			r.to = i
			all = append(all, r)
		}
	}
	return all
}

// block is seats together.
type block struct {
	from int
	off  float64 // how far its middle is from its row's
}

// best are the best blocks of a wish, at least w.Among where there are so many, and all that are as good as the last of
// these. alone says whether they may leave a seat alone.
func best(runs []run, w Wish, free []bool, alone bool) []block {
	var found []block
	for len(runs) > 0 && len(found) < max(w.Among, 1) {
		row := runs[0].row
		var here []block
		for ; len(runs) > 0 && runs[0].row == row; runs = runs[1:] {
			here = runs[0].blocks(here, w.Quantity, free, alone)
		}
		slices.SortStableFunc(here, func(a, b block) int {
			switch {
			case a.off < b.off:
				return -1
			case a.off > b.off:
				return 1
			}
			return 0
		})
		for i, b := range here {
			if len(found) >= max(w.Among, 1) && (i == 0 || b.off > here[i-1].off) {
				break
			}
			found = append(found, b)
		}
	}
	return found
}

// blocks appends a run's blocks of a size.
func (r run) blocks(to []block, size int, free []bool, alone bool) []block {
	for from := r.from; from+size <= r.to; from++ {
		if alone || !r.leavesOne(free, from, from+size) {
			to = append(to, block{from: from, off: math.Abs(float64(2*from+size)/2 - r.middle)})
		}
	}
	return to
}

// leavesOne says whether a block leaves the seat before or after it alone.
func (s segment) leavesOne(free []bool, from, to int) bool {
	before := from > s.low && free[from-1] && (from-1 == s.low || !free[from-2])
	after := to < s.high && free[to] && (to+1 == s.high || !free[to+1])
	return before || after
}
