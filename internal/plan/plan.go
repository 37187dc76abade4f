// Package plan reads a venue's seating plan from pretix's open JSON format and prices its seats.
//
// It promises that a Plan it returned can be sold from: there is at least one seat, every seat has an
// id that is unique and safe in keys and addresses, and a category that the plan names. What stands in
// the way is reported all at once, each problem with its place in the file. The package is pure domain
// (it imports only the standard library and package sale), and anyone may import it.
package plan

import "math"

// DefaultRadius is a seat's radius, in the plan's units, where the file gives none (as pretix draws it).
const DefaultRadius = 10

// A Plan is a venue's seats, in the order of the file. Lengths and positions are in the file's own unit
// (pixels of a drawing): they place a seat on the map, and nothing is decided by them, so they are floats.
type Plan struct {
	Name       string     `json:"name"`
	Categories []Category `json:"categories"`
	Size       Size       `json:"size"` // zero where the file gives none
	Zones      []Zone     `json:"zones"`
}

// A Category is a price level; seats refer to it by name.
type Category struct {
	Name  string `json:"name"`
	Color string `json:"color,omitempty"` // as in CSS; not checked
}

// Size is the extent of a drawing, from its origin at the top left.
type Size struct {
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
}

// Point is a position: x grows to the right, y grows downward.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// A Zone is a part of a venue with a name of its own, such as a balcony or a section.
type Zone struct {
	Name     string `json:"name"`
	Position Point  `json:"position"`
	Areas    []Area `json:"areas,omitempty"`
	Rows     []Row  `json:"rows"`
}

// A Row is a row of seats. Its position is relative to its zone's.
type Row struct {
	Number         string     `json:"row_number"` // what the venue calls it, often a letter
	NumberPosition string     `json:"row_number_position,omitempty"`
	Position       Point      `json:"position"`
	Seats          []RowPlace `json:"seats"`
}

// A RowPlace is a seat as its row holds it. Its position is relative to its row's.
type RowPlace struct {
	GUID     string  `json:"seat_guid"`
	Number   string  `json:"seat_number"`
	Position Point   `json:"position"`
	Category string  `json:"category"`
	Radius   float64 `json:"radius,omitempty"` // zero: DefaultRadius
}

// A Seat is one seat of a plan with all that is known of it, by itself. It has no price; Price gives what can be sold.
type Seat struct {
	ID       string // the file's seat_guid, unique in the plan
	Zone     string
	Row      string
	Number   string
	Category string
	X, Y     float64 // from the plan's origin, to a thousandth of a unit
	Radius   float64
}

// Seats returns every seat, zone by zone and row by row, in the order of the file.
func (p *Plan) Seats() []Seat {
	seats := make([]Seat, 0, p.seatCount())
	for _, zone := range p.Zones {
		for _, row := range zone.Rows {
			for _, place := range row.Seats {
				at := zone.Position.plus(row.Position).plus(place.Position)
				radius := place.Radius
				if radius <= 0 {
					radius = DefaultRadius
				}
				seats = append(seats, Seat{
					ID: place.GUID, Zone: zone.Name, Row: row.Number, Number: place.Number,
					Category: place.Category, X: thousandths(at.X), Y: thousandths(at.Y), Radius: radius,
				})
			}
		}
	}
	return seats
}

func (p *Plan) seatCount() int {
	n := 0
	for _, zone := range p.Zones {
		for _, row := range zone.Rows {
			n += len(row.Seats)
		}
	}
	return n
}

func (p Point) plus(q Point) Point { return Point{X: p.X + q.X, Y: p.Y + q.Y} }

// thousandths rounds off what adding three decimal fractions in binary leaves behind.
func thousandths(v float64) float64 { return math.Round(v*1000) / 1000 }
