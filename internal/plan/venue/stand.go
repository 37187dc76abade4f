package venue

import (
	"fmt"
	"math"
)

// tier is one storey of a stand around an oval: rows outward from a distance to it, cut into sections by
// aisles.
type tier struct {
	first    int     // the number of the first section; the others follow clockwise
	distance float64 // from the oval to the first row
	rows     int
	depth    float64 // from row to row
	width    float64 // of a section, about, at its middle row
	open     func(arc) bool
	category func(a arc, row int) string
}

// A section's number stands in the gangway behind its last row.
const (
	labelSize   = 1.6 // metres, the height of its digits
	labelBehind = 2.2 // metres from the last row
)

// sections builds a tier's sections. Numbers are given to closed ones too, so that a section keeps its
// number whatever the show.
func (t tier) sections(around []arc) []section {
	var all []section
	number := t.first
	letters := rowLetters(t.rows)
	middle := t.distance + float64(t.rows-1)/2*t.depth
	for _, whole := range around {
		length := (whole.radius + middle) * (whole.to - whole.from)
		for _, part := range whole.split(max(1, int(math.Round(length/t.width)))) {
			id := fmt.Sprint(number)
			number++
			if t.open != nil && !t.open(part) {
				continue
			}
			behind := part.radius + t.distance + float64(t.rows-1)*t.depth + labelBehind
			sec := section{
				id:    id,
				name:  "Section " + id,
				title: label{at: polar(part.centre, behind, (part.from+part.to)/2), text: id, size: labelSize},
			}
			for i, letter := range letters {
				radius := part.radius + t.distance + float64(i)*t.depth
				r := row{letter: letter}
				for _, at := range fill(part, radius) {
					r.seats = append(r.seats, seat{at: at, category: t.category(part, i)})
				}
				sec.rows = append(sec.rows, r)
			}
			all = append(all, sec)
		}
	}
	return all
}
