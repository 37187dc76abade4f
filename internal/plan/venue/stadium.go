package venue

import "onsale/internal/plan"

// Stadium returns a football stadium of about 60,000 seats: three tiers all around a pitch of 105 by 68
// metres.
func Stadium() *plan.Plan {
	const line = "#ffffff"
	l := layout{
		name: "Stadium",
		categories: []plan.Category{
			{Name: "Lower Side", Color: "#b8336a"},
			{Name: "Lower End", Color: "#7a4fb0"},
			{Name: "Club", Color: "#c9a227"},
			{Name: "Middle", Color: "#2f6fb5"},
			{Name: "Upper Side", Color: "#2e8b57"},
			{Name: "Upper End", Color: "#d9641f"},
		},
		scenery: []shape{
			{width: 111, height: 74, color: "#5d9c59", border: "#4c8549"},
			{width: 105, height: 68, color: "#6fb06a", border: line},
			{width: 0.4, height: 68, color: line, border: line},
			{radius: 9.15, color: "#6fb06a", border: line},
			{centre: vec{x: -44.25}, width: 16.5, height: 40.3, color: "#6fb06a", border: line},
			{centre: vec{x: 44.25}, width: 16.5, height: 40.3, color: "#6fb06a", border: line},
		},
	}
	sides := func(along, rest string) func(arc, int) string {
		return func(a arc, _ int) string {
			if a.side == top || a.side == bottom {
				return along
			}
			return rest
		}
	}
	around := oval(66, 48, 21, radians(11))
	tiers := []tier{
		{first: 101, distance: 0, rows: 23, depth: 0.8, width: 15, category: sides("Lower Side", "Lower End")},
		{first: 201, distance: 22, rows: 14, depth: 0.85, width: 16, category: sides("Club", "Middle")},
		{first: 301, distance: 37.5, rows: 24, depth: 0.8, width: 17, category: sides("Upper Side", "Upper End")},
	}
	for _, t := range tiers {
		l.sections = append(l.sections, t.sections(around)...)
	}
	return l.plan()
}
