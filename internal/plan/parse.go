package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// What a plan may hold at most. The largest venues have about 120,000 seats.
const (
	maxBytes      = 64 << 20
	maxSeats      = 200_000
	maxRows       = maxSeats
	maxZones      = 10_000
	maxAreas      = 10_000
	maxCategories = 1_000
)

// Parse reads a seating plan of at most 64 MiB and 200,000 seats. Keys that it has no use for are
// ignored, because the format is another project's and grows; a decoration (an area) that can't be read
// is left out, because it keeps no seat from being sold. All problems with the rest are reported at
// once, the first 20 in full; every such error is ErrInvalid.
func Parse(r io.Reader) (*Plan, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read seating plan: %w", err)
	}
	if len(data) > maxBytes {
		return nil, problem{text: fmt.Sprintf("the file is larger than %d MiB", maxBytes>>20)}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // editors on Windows put it there
	if err := checkSyntax(data); err != nil {
		return nil, err
	}
	d := newDecoder(data)
	p := d.plan()
	if d.full != "" {
		return nil, problem{text: d.full}
	}
	found := d.render(p)
	p.check(found, d.broken)
	if err := found.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// checkSyntax reports where data stops being JSON. After it, reading data as JSON can't fail.
func checkSyntax(data []byte) error {
	err := json.Unmarshal(data, new(json.RawMessage))
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	at := syntax.Offset - 1 // the offset counts the offending byte
	if strings.HasPrefix(syntax.Error(), "unexpected end") {
		at = syntax.Offset
	}
	line, column := position(data, at)
	return problem{place: fmt.Sprintf("line %d, column %d", line, column), text: syntax.Error()}
}

// position turns an offset into a line and a column, both counted from 1, columns in characters.
func position(data []byte, offset int64) (line, column int) {
	before := data[:max(0, min(offset, int64(len(data))))]
	line = 1 + bytes.Count(before, []byte("\n"))
	column = 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return line, column
}

// mistyped is a value of the wrong JSON type. Its path is written once all names are known, since a
// zone's name may follow its rows.
type mistyped struct {
	at           place
	line, column int
	text         string
}

// decoder walks a plan element by element, so that no list grows past its bound however the file is made.
type decoder struct {
	data   []byte
	dec    *json.Decoder
	wrong  []mistyped
	more   int
	broken map[place]bool // seats and categories reported already, so not checked again
	full   string         // which bound was passed; reading stops there

	seats, rows, zones, areas, categories quota
}

// quota is how many items all lists of a kind may have together.
type quota struct{ used, limit int }

func newDecoder(data []byte) *decoder {
	return &decoder{
		data:       data,
		dec:        json.NewDecoder(bytes.NewReader(data)),
		broken:     map[place]bool{},
		seats:      quota{limit: maxSeats},
		rows:       quota{limit: maxRows},
		zones:      quota{limit: maxZones},
		areas:      quota{limit: maxAreas},
		categories: quota{limit: maxCategories},
	}
}

func (d *decoder) plan() *Plan {
	p := &Plan{}
	top := wholePlan()
	d.object(top, "the plan", func(key string) {
		switch key {
		case "name":
			d.value(top, key, &p.Name)
		case "size":
			d.value(top, key, &p.Size)
		case "categories":
			d.list(top, key, len(p.Categories), &d.categories, func(i int) {
				var category Category
				d.value(top.inCategory(i), "", &category)
				p.Categories = append(p.Categories, category)
			})
		case "zones":
			d.list(top, key, len(p.Zones), &d.zones, func(i int) {
				p.Zones = append(p.Zones, d.zone(top.inZone(i)))
			})
		default:
			d.skip()
		}
	})
	return p
}

func (d *decoder) zone(at place) Zone {
	var zone Zone
	d.object(at, "", func(key string) {
		switch key {
		case "name":
			d.value(at, key, &zone.Name)
		case "position":
			d.value(at, key, &zone.Position)
		case "areas":
			d.list(at, key, len(zone.Areas), &d.areas, func(int) {
				var area Area
				if json.Unmarshal(d.raw(), &area) == nil {
					zone.Areas = append(zone.Areas, area)
				}
			})
		case "rows":
			d.list(at, key, len(zone.Rows), &d.rows, func(i int) {
				zone.Rows = append(zone.Rows, d.row(at.inRow(i)))
			})
		default:
			d.skip()
		}
	})
	return zone
}

func (d *decoder) row(at place) Row {
	var row Row
	d.object(at, "", func(key string) {
		switch key {
		case "row_number":
			d.value(at, key, &row.Number)
		case "row_number_position":
			d.value(at, key, &row.NumberPosition)
		case "position":
			d.value(at, key, &row.Position)
		case "seats":
			d.list(at, key, len(row.Seats), &d.seats, func(i int) {
				row.Seats = append(row.Seats, d.seat(at.inSeat(i)))
			})
		default:
			d.skip()
		}
	})
	return row
}

// seat reads a seat, and sees to it that it has a position: two seats at their row's origin would be
// drawn as one.
func (d *decoder) seat(at place) RowPlace {
	var file struct {
		RowPlace
		Position *struct {
			X *float64 `json:"x"`
			Y *float64 `json:"y"`
		} `json:"position"`
	}
	start, ok := d.value(at, "", &file)
	if !ok {
		return file.RowPlace
	}
	switch {
	case file.Position == nil:
		d.mistake(at, start, "position is missing")
	case file.Position.X == nil:
		d.mistake(at, start, "position.x is missing")
	case file.Position.Y == nil:
		d.mistake(at, start, "position.y is missing")
	default:
		file.RowPlace.Position = Point{X: *file.Position.X, Y: *file.Position.Y}
	}
	return file.RowPlace
}
