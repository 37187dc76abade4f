package venue

import (
	"fmt"

	"onsale/internal/plan"
)

// Arena returns an arena of about 15,000 seats set up for a concert: the stage at one end, blocks of
// chairs on the floor, and two tiers around, closed behind the stage.
func Arena() *plan.Plan {
	l := layout{
		name: "Arena",
		categories: []plan.Category{
			{Name: "Front Floor", Color: "#b8336a"},
			{Name: "Floor", Color: "#7a4fb0"},
			{Name: "Lower Bowl", Color: "#2f6fb5"},
			{Name: "Upper Bowl", Color: "#2e8b57"},
			{Name: "Upper End", Color: "#d98a1f"},
		},
		scenery: []shape{
			{centre: vec{y: -26}, width: 22, height: 11, color: "#e8e4dc", border: "#6b6459", text: "Stage", textSize: 2.4},
			{centre: vec{y: 32}, width: 8, height: 3, color: "#f4f4f4", border: "#9a9a9a", text: "Mixing desk", textSize: 1.2},
		},
		sections: floor(),
	}
	around := oval(21, 38, 14, radians(9))
	facing := func(a arc) bool { // has the stage in front of it, not beside or behind
		middle := polar(a.centre, a.radius, (a.from+a.to)/2)
		return middle.y > -24
	}
	lower := tier{
		first: 101, distance: 0, rows: 20, depth: 0.85, width: 14, open: facing,
		category: func(arc, int) string { return "Lower Bowl" },
	}
	upper := tier{
		first: 201, distance: 20.6, rows: 15, depth: 0.85, width: 15, open: facing,
		category: func(a arc, _ int) string {
			if polar(a.centre, a.radius, (a.from+a.to)/2).y > 32 {
				return "Upper End"
			}
			return "Upper Bowl"
		},
	}
	l.sections = append(l.sections, lower.sections(around)...)
	l.sections = append(l.sections, upper.sections(around)...)
	return l.plan()
}

// floor returns three columns of three blocks of chairs in straight rows, as they are put on a flat floor.
func floor() []section {
	const (
		columns, blocks = 3, 3
		rows, chairs    = 14, 20
		depth           = 0.95
		gangway         = 1.8 // free width between blocks
		front           = -17.5
	)
	blockWidth := (chairs - 1) * seatPitch
	var all []section
	for b := range blocks {
		for c := range columns {
			id := fmt.Sprintf("Floor%d", b*columns+c+1)
			category := "Floor"
			if b == 0 {
				category = "Front Floor"
			}
			start := vec{
				x: (float64(c)-float64(columns-1)/2)*(blockWidth+gangway) - blockWidth/2,
				y: front + float64(b)*(rows*depth+gangway),
			}
			sec := section{
				id:   id,
				name: fmt.Sprintf("Floor %d", b*columns+c+1),
			}
			sec.title = label{at: vec{x: start.x + blockWidth/2, y: start.y - 1}, text: sec.name, size: 1}
			for i, letter := range rowLetters(rows) {
				r := row{letter: letter}
				for n := range chairs {
					at := vec{x: start.x + float64(n)*seatPitch, y: start.y + float64(i)*depth}
					r.seats = append(r.seats, seat{at: at, category: category})
				}
				sec.rows = append(sec.rows, r)
			}
			all = append(all, sec)
		}
	}
	return all
}
