package seating

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"onsale/internal/plan/venue"
)

// plainly splits as the rule reads: it sorts the runs of each neighbourhood, of each number of rows in turn.
func plainly(runs []run, quantity int, free []bool) []int {
	left := 0
	for _, r := range runs {
		left += r.length()
	}
	if left < quantity {
		return nil
	}
	for rows := 1; rows <= quantity; rows++ {
		for _, alone := range []bool{false, true} {
			for first := range runs {
				if first > 0 && runs[first].row == runs[first-1].row {
					continue // the neighbourhood begins with the row
				}
				end := first
				for end < len(runs) && runs[end].zone == runs[first].zone && runs[end].row < runs[first].row+rows {
					end++
				}
				chosen := sorted(runs[first:end], quantity, rows)
				if chosen != nil && (alone || !leaveOne(chosen, free)) {
					return seats(chosen)
				}
			}
		}
	}
	return seats(sorted(runs, quantity, len(runs)))
}

// sorted chooses the longest runs until there are enough seats, nil where that takes more than so many groups.
func sorted(runs []run, quantity, most int) []run {
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

// left is what is left of a plan's seats, in many shapes: some at random, pairs, each second one, and none in most rows.
var left = map[string]func(seat int) bool{
	"a tenth":     func(seat int) bool { return random(seat)%10 == 0 },
	"a half":      func(seat int) bool { return random(seat)%2 == 0 },
	"all but few": func(seat int) bool { return random(seat)%20 != 0 },
	"each second": func(seat int) bool { return seat%2 == 0 },
	"pairs":       func(seat int) bool { return seat%3 > 0 },
	"few":         func(seat int) bool { return random(seat)%300 == 0 },
	"mixed":       func(seat int) bool { return random(seat)%uint32(1+seat/2000) == 0 },
}

// random is a number that looks random, and is the same for a seat each time.
func random(seat int) uint32 {
	x := uint32(seat+1) * 2654435769
	x ^= x >> 15
	x *= 2246822519
	return x ^ x>>13
}

// free is what is left of so many seats.
func free(seats int, is func(seat int) bool) []bool {
	all := make([]bool, seats)
	for i := range all {
		all[i] = is(i)
	}
	return all
}

func TestSplitIsAsItsRuleReads(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var rows [][]int
		for range rapid.IntRange(1, 12).Draw(t, "rows") {
			rows = append(rows, rapid.SliceOfN(rapid.IntRange(1, 9), 1, 3).Draw(t, "parts"))
		}
		seats := hall(rows...)
		zones := rapid.IntRange(1, 3).Draw(t, "zones")
		for i := range seats {
			seats[i].Zone = fmt.Sprint(int(seats[i].Y) * zones / len(rows))
			if rapid.IntRange(0, 3).Draw(t, "cheap") == 0 {
				seats[i].Category = "Cheap"
			}
		}
		some := rapid.IntRange(1, 4).Draw(t, "some")
		left := free(len(seats), func(int) bool { return rapid.IntRange(0, 4).Draw(t, "free") < some })
		runs := New(seats).runs(Wish{Category: rapid.SampledFrom([]string{"", "All"}).Draw(t, "category")}, left)
		longest := 0
		for _, r := range runs {
			longest = max(longest, r.length())
		}
		quantity := longest + rapid.IntRange(1, 30).Draw(t, "more")
		before := slices.Clone(left)
		if got, want := split(runs, quantity, left), plainly(runs, quantity, slices.Clone(left)); !slices.Equal(got, want) {
			t.Fatalf("%d of %v: %v, want %v", quantity, left, got, want)
		}
		if !slices.Equal(left, before) {
			t.Fatal("what is free has changed")
		}
	})
}

func TestSplitOfARealVenueIsAsItsRuleReads(t *testing.T) {
	t.Parallel()
	seats := priced(t, venue.Theatre())
	p := New(seats)
	for name, is := range left {
		left := free(len(seats), is)
		for _, quantity := range []int{7, 10, 31, 99, 100} {
			runs := p.runs(Wish{}, left)
			if slices.ContainsFunc(runs, func(r run) bool { return r.length() >= quantity }) {
				continue // they are together
			}
			if got, want := split(runs, quantity, left), plainly(runs, quantity, left); !slices.Equal(got, want) {
				t.Errorf("%s: %d are %v, want %v", name, quantity, got, want)
			}
		}
	}
}

// A hundred seats of a stadium that are not together, the most that one hold has.
func BenchmarkChoose_Split(b *testing.B) {
	seats := priced(b, venue.Stadium())
	p := New(seats)
	for name, is := range left {
		left := free(len(seats), is)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Choose(Wish{Quantity: 100}, left, first)
			}
		})
	}
}
