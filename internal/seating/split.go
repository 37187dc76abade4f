package seating

import "slices"

// split chooses seats that are not all together. Its groups are the longest runs of a neighbourhood, which is g rows of
// a zone that follow each other in the plan: of the least g whose neighbourhood has the seats in g groups or fewer, the
// first in the plan where no seat is left alone, or else the first. Where no neighbourhood has, the groups are the
// longest runs of the whole plan, so that they are as few as can be. The last group is what is still wanted, from an end
// of its run; where that would leave a seat alone, a run of the size that is wanted takes its place, if there is one.
// free is written to, and as it was in the end.
func split(runs []run, quantity int, free []bool) []int {
	left := 0
	for _, r := range runs {
		left += r.length()
	}
	if left < quantity {
		return nil
	}
	for rows := 1; rows <= quantity; rows++ {
		for _, alone := range []bool{false, true} {
			if chosen := neighbours(runs, rows, quantity, free, alone); chosen != nil {
				return chosen
			}
		}
	}
	return seats(longest(runs, quantity, len(runs)))
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

// neighbours chooses from the first neighbourhood of so many rows that has the seats in as many groups.
func neighbours(runs []run, rows, quantity int, free []bool, alone bool) []int {
	for first := range runs {
		if first > 0 && runs[first].row == runs[first-1].row {
			continue // the neighbourhood begins with the row
		}
		end := first
		for end < len(runs) && runs[end].zone == runs[first].zone && runs[end].row < runs[first].row+rows {
			end++
		}
		chosen := longest(runs[first:end], quantity, rows)
		if chosen != nil && (alone || !leaveOne(chosen, free)) {
			return seats(chosen)
		}
	}
	return nil
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

// longest chooses the longest runs until there are enough seats, nil where that takes more than so many groups.
func longest(runs []run, quantity, most int) []run {
	byLength := slices.Clone(runs)
	slices.SortStableFunc(byLength, func(a, b run) int { return b.length() - a.length() })
	var chosen []run
	for i, r := range byLength {
		if i == most {
			return nil
		}
		if r.length() == quantity+1 {
			if j := slices.IndexFunc(byLength[i:], func(r run) bool { return r.length() == quantity }); j >= 0 {
				r = byLength[i+j]
			}
		}
		r.to = min(r.to, r.from+quantity)
		chosen = append(chosen, r)
		if quantity -= r.length(); quantity == 0 {
			return chosen
		}
	}
	return nil
}
