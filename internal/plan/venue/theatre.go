package venue

import (
	"math"

	"onsale/internal/plan"
)

// Theatre returns a theatre of 800 seats: stalls of 18 rows in three blocks, and two balconies, which are
// drawn behind the stalls, though they hang above them.
func Theatre() *plan.Plan {
	l := layout{
		name: "Theatre",
		categories: []plan.Category{
			{Name: "Premium", Color: "#b8336a"},
			{Name: "Stalls", Color: "#2f6fb5"},
			{Name: "First Balcony", Color: "#2e8b57"},
			{Name: "Second Balcony", Color: "#d98a1f"},
		},
		scenery: []shape{{
			centre: vec{y: 8}, width: 15, height: 8, color: "#e8e4dc", border: "#6b6459", text: "Stage", textSize: 1.6,
		}},
	}
	stalls := []int{20, 20, 22, 22, 24, 24, 26, 26, 28, 28, 30, 30, 32, 32, 34, 34, 34, 34}
	premium := func(row, place, count int) string {
		fromSide := min(place, count-1-place)
		if row >= 1 && row <= 9 && fromSide >= sideBlock(count) {
			return "Premium"
		}
		return "Stalls"
	}
	only := func(name string) func(int, int, int) string {
		return func(int, int, int) string { return name }
	}
	l.sections = []section{
		balcony("Stalls", "Stalls", 16, 0.95, stalls, premium),
		balcony("Balcony1", "First Balcony", 35.5, 1, []int{42, 44, 46, 48}, only("First Balcony")),
		balcony("Balcony2", "Second Balcony", 42.5, 1, []int{38, 40, 42}, only("Second Balcony")),
	}
	return l.plan()
}

// sideBlock returns how many of a theatre row's seats are in each of the two side blocks.
func sideBlock(count int) int { return count / 4 }

// balcony returns rows of the given lengths on arcs about the origin, which lies at the back of the stage,
// each with two aisles. Seats count from the left as one faces the stage.
func balcony(id, name string, radius, depth float64, counts []int, category func(row, place, count int) string) section {
	sec := section{id: id, name: name, title: label{at: vec{y: radius - 1.2}, text: name, size: 1.2}}
	for i, letter := range rowLetters(len(counts)) {
		count := counts[i]
		gaps := make([]float64, count-1)
		for g := range gaps {
			gaps[g] = seatPitch
		}
		gaps[sideBlock(count)-1] += aisleWidth
		gaps[count-sideBlock(count)-1] += aisleWidth

		r := row{letter: letter}
		points := along(vec{}, radius+float64(i)*depth, math.Pi/2, gaps)
		for place := range points {
			at := points[count-1-place] // angles grow clockwise, which is from right to left here
			r.seats = append(r.seats, seat{at: at, category: category(i, place, count)})
		}
		sec.rows = append(sec.rows, r)
	}
	return sec
}
