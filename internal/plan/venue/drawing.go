package venue

import (
	"fmt"
	"math"
	"strconv"

	"onsale/internal/plan"
)

// tenths is a position on the drawing in tenths of a pixel. Files have one decimal; in integers, the
// differences that they hold are exact.
type tenths struct{ x, y int }

func (t tenths) minus(o tenths) tenths { return tenths{t.x - o.x, t.y - o.y} }

func (t tenths) point() plan.Point { return plan.Point{X: float64(t.x) / 10, Y: float64(t.y) / 10} }

// pixels turns metres into whole pixels.
func pixels(metres float64) float64 { return math.Round(metres * pixelsPerMetre) }

// plan puts the layout on a drawing whose origin is its top left. Seats are written relative to their
// row, rows to their section, so that the numbers stay short.
func (l layout) plan() *plan.Plan {
	low, high := l.bounds()
	onDrawing := func(at vec) tenths {
		return tenths{
			x: int(math.Round((at.x - low.x + margin) * pixelsPerMetre * 10)),
			y: int(math.Round((at.y - low.y + margin) * pixelsPerMetre * 10)),
		}
	}
	p := &plan.Plan{
		Name:       l.name,
		Categories: l.categories,
		Size: plan.Size{
			Width:  math.Ceil((high.x - low.x + 2*margin) * pixelsPerMetre),
			Height: math.Ceil((high.y - low.y + 2*margin) * pixelsPerMetre),
		},
	}
	if len(l.scenery) > 0 {
		zone := plan.Zone{Name: "Scenery", Rows: []plan.Row{}}
		for _, s := range l.scenery {
			zone.Areas = append(zone.Areas, s.area(onDrawing))
		}
		p.Zones = append(p.Zones, zone)
	}
	for _, sec := range l.sections {
		p.Zones = append(p.Zones, sec.zone(onDrawing))
	}
	return p
}

func (sec section) zone(onDrawing func(vec) tenths) plan.Zone {
	origin := onDrawing(sec.rows[0].seats[0].at)
	zone := plan.Zone{
		Name:     sec.name,
		Position: origin.point(),
		Areas: []plan.Area{{
			Shape:    "text",
			Position: onDrawing(sec.title.at).minus(origin).point(),
			Text:     &plan.AreaLabel{Text: sec.title.text, Color: "#444444", Size: pixels(sec.title.size)},
		}},
	}
	for _, r := range sec.rows {
		start := onDrawing(r.seats[0].at)
		row := plan.Row{Number: r.letter, NumberPosition: "both", Position: start.minus(origin).point()}
		for i, s := range r.seats {
			number := strconv.Itoa(i + 1)
			row.Seats = append(row.Seats, plan.RowPlace{
				GUID:     fmt.Sprintf("%s-%s-%s", sec.id, r.letter, number),
				Number:   number,
				Position: onDrawing(s.at).minus(start).point(),
				Category: s.category,
				Radius:   seatRadiusPx,
			})
		}
		zone.Rows = append(zone.Rows, row)
	}
	return zone
}

func (s shape) area(onDrawing func(vec) tenths) plan.Area {
	area := plan.Area{Color: s.color, BorderColor: s.border}
	label := plan.Point{}
	if s.radius > 0 {
		area.Shape = "circle"
		area.Position = onDrawing(s.centre).point()
		area.Circle = &plan.Circle{Radius: pixels(s.radius)}
	} else {
		area.Shape = "rectangle"
		area.Position = onDrawing(vec{s.centre.x - s.width/2, s.centre.y - s.height/2}).point()
		area.Rectangle = &plan.Size{Width: pixels(s.width), Height: pixels(s.height)}
		label = plan.Point{X: area.Rectangle.Width / 2, Y: area.Rectangle.Height / 2}
	}
	if s.text != "" {
		area.Text = &plan.AreaLabel{Text: s.text, Position: label, Color: "#444444", Size: pixels(s.textSize)}
	}
	return area
}
