package seating

import (
	"slices"
	"sort"
)

// split chooses seats that are not all together. Its groups are the longest runs of a neighbourhood, which is g rows of
// a zone that follow each other in the plan: of the least g whose neighbourhood has the seats in g groups or fewer, the
// first in the plan where no seat is left alone, or else the first. Where no neighbourhood has, the groups are the
// longest runs of the whole plan, so that they are as few as can be. The last group is what is still wanted, from an end
// of its run; where that would leave a seat alone, a run of the size that is wanted takes its place, if there is one.
// Every run must be shorter than the quantity: else the seats are together. free is written to, and as it was in the
// end.
func split(runs []run, quantity int, free []bool) []int {
	left := 0
	for _, r := range runs {
		left += r.length()
	}
	if left < quantity {
		return nil
	}
	w := shelve(runs, quantity)
	longest := len(w.shelves) - 1
	least := (quantity + longest - 1) / longest
	// What g rows have in g groups, they and the next have in g+1: so the least g can be searched for.
	rows := least + sort.Search(quantity+1-least, func(more int) bool {
		for range w.neighbourhoods(least + more) {
			if w.enough(quantity, least+more) {
				return true
			}
		}
		return false
	})
	if rows > quantity {
		w.whole()
		return seats(w.longest(nil, quantity))
	}
	var first, chosen []run
	for range w.neighbourhoods(rows) {
		if !w.enough(quantity, rows) {
			continue
		}
		if chosen = w.longest(chosen[:0], quantity); !leaveOne(chosen, free) {
			return seats(chosen)
		}
		if first == nil {
			first = slices.Clone(chosen)
		}
	}
	return seats(first)
}

func (r run) length() int { return r.to - r.from }

// seats are the seats of runs, in the order of the plan.
func seats(runs []run) (all []int) {
	for _, r := range runs {
		all = append(all, span(r.from, r.to)...)
	}
	slices.Sort(all)
	return all
}

// leaveOne says whether groups leave a seat alone, once all of them are taken.
func leaveOne(groups []run, free []bool) bool {
	take := func(left bool) {
		for _, r := range groups {
			for i := r.from; i < r.to; i++ {
				free[i] = left
			}
		}
	}
	take(false)
	defer take(true)
	return slices.ContainsFunc(groups, func(r run) bool { return r.leavesOne(free, r.from, r.to) })
}

// window is some of a plan's runs that follow each other, sorted by their length without sorting: it knows of each
// length all runs in the order of the plan, and a window is a part of each such list.
type window struct {
	runs    []run
	shelves []shelf // by length
}

type shelf struct {
	runs     []int32 // all of the length, by index
	from, to int     // those in the window; to excluded
}

// shelve makes the window of runs that are shorter than a limit.
func shelve(runs []run, limit int) *window {
	w := &window{runs: runs, shelves: make([]shelf, limit)}
	for i, r := range runs {
		s := &w.shelves[r.length()]
		s.runs = append(s.runs, int32(i))
	}
	for len(w.shelves[len(w.shelves)-1].runs) == 0 {
		w.shelves = w.shelves[:len(w.shelves)-1]
	}
	return w
}

// whole widens the window to the plan.
func (w *window) whole() {
	for i := range w.shelves {
		s := &w.shelves[i]
		s.from, s.to = 0, len(s.runs)
	}
}

// neighbourhoods moves the window over the neighbourhoods of so many rows, in the order of the plan. Each begins with a
// row that has a run.
func (w *window) neighbourhoods(rows int) func(yield func() bool) {
	return func(yield func() bool) {
		for i := range w.shelves {
			w.shelves[i].from, w.shelves[i].to = 0, 0
		}
		end := 0
		for first := 0; first < len(w.runs); {
			zone, row := w.runs[first].zone, w.runs[first].row
			for ; end < len(w.runs) && w.runs[end].zone == zone && w.runs[end].row < row+rows; end++ {
				w.shelves[w.runs[end].length()].to++
			}
			if !yield() {
				return
			}
			for ; first < len(w.runs) && w.runs[first].row == row; first++ {
				w.shelves[w.runs[first].length()].from++
			}
		}
	}
}

// enough says whether the window has so many seats in so many runs.
func (w *window) enough(quantity, most int) bool {
	for length := len(w.shelves) - 1; length > 0 && most > 0 && quantity > 0; length-- {
		n := min(most, w.shelves[length].to-w.shelves[length].from)
		quantity, most = quantity-n*length, most-n
	}
	return quantity <= 0
}

// longest appends the window's longest runs until there are enough seats, which the window must have.
func (w *window) longest(chosen []run, quantity int) []run {
	for length := len(w.shelves) - 1; quantity > 0; length-- {
		for _, i := range w.in(length) {
			if length == quantity+1 && len(w.in(quantity)) > 0 {
				i = w.in(quantity)[0]
			}
			r := w.runs[i]
			r.to = min(r.to, r.from+quantity)
			chosen = append(chosen, r)
			if quantity -= r.length(); quantity == 0 {
				break
			}
		}
	}
	return chosen
}

// in are the window's runs of a length, by index.
func (w *window) in(length int) []int32 {
	s := &w.shelves[length]
	return s.runs[s.from:s.to]
}
