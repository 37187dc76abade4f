// Package venue makes seating plans of a theatre, an arena and a stadium: rows are arcs, seats stand as
// far apart as real ones, and the same seats come out every time. It promises plans that package plan
// accepts. The generator command and tests import it; a running service reads the files it made.
package venue

import (
	"math"

	"onsale/internal/plan"
)

// pixelsPerMetre is the scale of the drawings.
const pixelsPerMetre = 20

// Distances in metres, as venues build them.
const (
	seatPitch    = 0.52 // between the middles of neighbours
	widestPitch  = 0.55 // to which a row is stretched so that it ends at the aisle
	aisleWidth   = 1.2  // free width between the seats on both sides
	margin       = 3.0  // between the outermost seats and the edge of the drawing
	seatRadiusPx = 4    // pixels: drawn a little smaller than the pitch
)

// A Named is a plan that this package can make.
type Named struct {
	Name string // also the name of its file, without the extension
	Make func() *plan.Plan
}

// All returns the plans, the smallest venue first.
func All() []Named {
	return []Named{
		{Name: "theatre", Make: Theatre},
		{Name: "arena", Make: Arena},
		{Name: "stadium", Make: Stadium},
	}
}

// layout is a venue in metres, before it is moved onto a drawing. y grows downward.
type layout struct {
	name       string
	categories []plan.Category
	scenery    []shape
	sections   []section
}

// section becomes a zone. Its id begins the ids of its seats.
type section struct {
	id    string
	name  string
	title label
	rows  []row
}

// label is text about its middle, with letters of a size in metres.
type label struct {
	at   vec
	text string
	size float64
}

type row struct {
	letter string
	seats  []seat
}

type seat struct {
	at       vec
	category string
}

// shape is a rectangle or, with a radius, a circle, about its centre.
type shape struct {
	centre        vec
	width, height float64
	radius        float64
	color, border string
	text          string
	textSize      float64
}

// rowLetters returns the names of n rows: A to Z without I and O, which are mistaken for numbers, then AA
// and so on.
func rowLetters(n int) []string {
	const alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ"
	names := make([]string, n)
	for i := range names {
		name := alphabet[i%len(alphabet) : i%len(alphabet)+1]
		if i >= len(alphabet) {
			name = alphabet[i/len(alphabet)-1:i/len(alphabet)] + name
		}
		names[i] = name
	}
	return names
}

// bounds returns the corners of what the layout covers.
func (l layout) bounds() (low, high vec) {
	low = vec{math.Inf(1), math.Inf(1)}
	high = vec{math.Inf(-1), math.Inf(-1)}
	cover := func(at vec, dx, dy float64) {
		low = vec{min(low.x, at.x-dx), min(low.y, at.y-dy)}
		high = vec{max(high.x, at.x+dx), max(high.y, at.y+dy)}
	}
	for _, s := range l.scenery {
		cover(s.centre, max(s.width/2, s.radius), max(s.height/2, s.radius))
	}
	for _, sec := range l.sections {
		cover(sec.title.at, sec.title.size, sec.title.size/2)
		for _, r := range sec.rows {
			for _, seat := range r.seats {
				cover(seat.at, 0, 0)
			}
		}
	}
	return low, high
}
