package venue

import "math"

// vec is a position in metres.
type vec struct{ x, y float64 }

// polar returns the position at a distance from c, at an angle in radians. As y grows downward, angles
// grow clockwise on the drawing.
func polar(c vec, radius, angle float64) vec {
	return vec{x: c.x + radius*math.Cos(angle), y: c.y + radius*math.Sin(angle)}
}

func radians(degrees float64) float64 { return degrees * math.Pi / 180 }

// turn returns the angle, seen from the centre, between two points of a circle that are distance apart
// in a straight line.
func turn(radius, distance float64) float64 { return 2 * math.Asin(distance/2/radius) }

// along places len(gaps)+1 points on a circle, the gaps in a straight line between neighbours, with the
// middle of the row at the angle middle.
func along(c vec, radius, middle float64, gaps []float64) []vec {
	angles := make([]float64, len(gaps)+1)
	for i, gap := range gaps {
		angles[i+1] = angles[i] + turn(radius, gap)
	}
	first := middle - angles[len(gaps)]/2
	points := make([]vec, len(angles))
	for i, angle := range angles {
		points[i] = polar(c, radius, first+angle)
	}
	return points
}

// fill places as many seats as fit on an arc between two aisles, of which it leaves half at each end.
func fill(a arc, radius float64) []vec {
	free := (a.to - a.from) - turn(radius, aisleWidth+seatPitch)
	if free < 0 {
		return nil
	}
	count := 1 + int(free/turn(radius, seatPitch))
	if count < 2 {
		return []vec{polar(a.centre, radius, (a.from+a.to)/2)}
	}
	stretched := 2 * radius * math.Sin(free/float64(count-1)/2)
	gaps := make([]float64, count-1)
	for i := range gaps {
		gaps[i] = min(stretched, widestPitch)
	}
	return along(a.centre, radius, (a.from+a.to)/2, gaps)
}

// side says which part of an oval an arc is.
type side int

const (
	top side = iota
	right
	bottom
	left
	corner
)

// arc is a piece of a circle between two angles, clockwise.
type arc struct {
	side     side
	centre   vec
	radius   float64
	from, to float64
}

// split cuts an arc into n equal ones.
func (a arc) split(n int) []arc {
	parts := make([]arc, n)
	step := (a.to - a.from) / float64(n)
	for i := range parts {
		parts[i] = a
		parts[i].from = a.from + float64(i)*step
		parts[i].to = a.from + float64(i+1)*step
	}
	return parts
}

// oval returns a closed curve of eight arcs about the origin that meet without a kink: four gently curved
// sides, joined by corners of the given radius. It is 2*halfWidth wide and 2*halfHeight high; a side
// turns by 2*bend. A curve at a constant distance outside it is the same arcs with longer radii, which is
// why the rows of a stand can be arcs and yet parallel.
//
// With the corner of the lower right at (bend, 90°-bend), the arcs of the right (radius p) and the bottom
// (radius q) must share the corner's centre:
//
//	halfWidth - p + (p-corner)cos(bend) = (q-corner)sin(bend)
//	halfHeight - q + (q-corner)cos(bend) = (p-corner)sin(bend)
func oval(halfWidth, halfHeight, cornerRadius, bend float64) []arc {
	sin, cos := math.Sincos(bend)
	// (cos-1)p - sin*q = cornerRadius(cos-sin) - halfWidth, and the same mirrored.
	rightSide := cornerRadius*(cos-sin) - halfWidth
	bottomSide := cornerRadius*(cos-sin) - halfHeight
	det := (cos-1)*(cos-1) - sin*sin
	p := (rightSide*(cos-1) + bottomSide*sin) / det
	q := (bottomSide*(cos-1) + rightSide*sin) / det
	c := vec{x: (q - cornerRadius) * sin, y: (p - cornerRadius) * sin}

	quarter := math.Pi / 2
	at := func(s side, centre vec, radius, middle, half float64) arc {
		return arc{side: s, centre: centre, radius: radius, from: middle - half, to: middle + half}
	}
	cornerHalf := quarter/2 - bend
	return []arc{ // clockwise from the top
		at(top, vec{y: q - halfHeight}, q, -quarter, bend),
		at(corner, vec{c.x, -c.y}, cornerRadius, -quarter/2, cornerHalf),
		at(right, vec{x: halfWidth - p}, p, 0, bend),
		at(corner, vec{c.x, c.y}, cornerRadius, quarter/2, cornerHalf),
		at(bottom, vec{y: halfHeight - q}, q, quarter, bend),
		at(corner, vec{-c.x, c.y}, cornerRadius, 1.5*quarter, cornerHalf),
		at(left, vec{x: p - halfWidth}, p, 2*quarter, bend),
		at(corner, vec{-c.x, -c.y}, cornerRadius, 2.5*quarter, cornerHalf),
	}
}
