package venue_test

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"regexp"
	"strings"
	"sync"
	"testing"

	"onsale/internal/plan"
	"onsale/internal/plan/venue"
)

// counts are the seats of each category; the README of the plans folder gives the sums.
var counts = map[string]map[string]int{
	"theatre": {"Premium": 114, "Stalls": 386, "First Balcony": 180, "Second Balcony": 120},
	"arena":   {"Front Floor": 840, "Floor": 1680, "Lower Bowl": 6238, "Upper Bowl": 4024, "Upper End": 2374},
	"stadium": {
		"Lower Side": 7728, "Lower End": 10304, "Club": 5082, "Middle": 8768, "Upper Side": 9408, "Upper End": 19584,
	},
}

// written gives each plan as it reads after having been written; it is made once for all tests.
var written = func() map[string]func() (*plan.Plan, error) {
	all := map[string]func() (*plan.Plan, error){}
	for _, v := range venue.All() {
		all[v.Name] = sync.OnceValues(func() (*plan.Plan, error) {
			var file bytes.Buffer
			if err := venue.Write(&file, v.Make()); err != nil {
				return nil, err
			}
			return plan.Parse(&file)
		})
	}
	return all
}()

// each runs a check on every plan.
func each(t *testing.T, check func(t *testing.T, name string, p *plan.Plan)) {
	t.Helper()
	t.Parallel()
	for name, read := range written {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := read()
			if err != nil {
				t.Fatal(err)
			}
			check(t, name, p)
		})
	}
}

func TestSeatsByCategory(t *testing.T) {
	each(t, func(t *testing.T, name string, p *plan.Plan) {
		got := map[string]int{}
		for _, seat := range p.Seats() {
			got[seat.Category]++
		}
		if !maps.Equal(got, counts[name]) {
			t.Errorf("seats by category = %v, want %v", got, counts[name])
		}
	})
}

func TestTheatreHas800Seats(t *testing.T) {
	t.Parallel()
	if got := len(venue.Theatre().Seats()); got != 800 {
		t.Errorf("%d seats, want 800", got)
	}
}

// No two seats anywhere in a venue are nearer than a seat is wide.
func TestSeatsDoNotOverlap(t *testing.T) {
	const width = 0.5 * 20 // pixels
	each(t, func(t *testing.T, _ string, p *plan.Plan) {
		type cell struct{ x, y int }
		grid := map[cell][]plan.Seat{}
		for _, seat := range p.Seats() {
			home := cell{int(seat.X / width), int(seat.Y / width)}
			for dx := -1; dx <= 1; dx++ {
				for dy := -1; dy <= 1; dy++ {
					for _, other := range grid[cell{home.x + dx, home.y + dy}] {
						if d := math.Hypot(seat.X-other.X, seat.Y-other.Y); d < width {
							t.Fatalf("%s and %s are %.2f apart, want at least %.0f", seat.ID, other.ID, d, width)
						}
					}
				}
			}
			grid[home] = append(grid[home], seat)
		}
	})
}

func TestEverySeatIsInsideTheDrawing(t *testing.T) {
	each(t, func(t *testing.T, _ string, p *plan.Plan) {
		for _, s := range p.Seats() {
			if s.X < s.Radius || s.Y < s.Radius || s.X > p.Size.Width-s.Radius || s.Y > p.Size.Height-s.Radius {
				t.Fatalf("%s is at %v, %v, outside %v", s.ID, s.X, s.Y, p.Size)
			}
		}
	})
}

// Neighbours of a row stand as in a real venue, except across an aisle.
func TestSeatsAreEvenlySpaced(t *testing.T) {
	const nearest, farthest, aisle = 10.2, 11.2, 34.0 // pixels, a tenth of one lost to rounding
	each(t, func(t *testing.T, _ string, p *plan.Plan) {
		for _, zone := range p.Zones {
			for _, row := range zone.Rows {
				for i := 1; i < len(row.Seats); i++ {
					a, b := row.Seats[i-1], row.Seats[i]
					d := math.Hypot(a.Position.X-b.Position.X, a.Position.Y-b.Position.Y)
					if d < nearest || d > farthest && math.Abs(d-aisle) > 1 {
						t.Fatalf("%s and %s are %.2f apart, want from %v to %v, or an aisle", a.GUID, b.GUID, d, nearest, farthest)
					}
				}
			}
		}
	})
}

// Rows are arcs: the middle seat of a row lies off the straight line between its ends. The chairs on a
// floor alone stand straight.
func TestRowsAreCurved(t *testing.T) {
	each(t, func(t *testing.T, _ string, p *plan.Plan) {
		for _, zone := range p.Zones {
			for _, row := range zone.Rows {
				last, middle := row.Seats[len(row.Seats)-1].Position, row.Seats[len(row.Seats)/2].Position
				off := math.Abs(last.X*middle.Y-last.Y*middle.X) / math.Hypot(last.X, last.Y)
				if straight := strings.HasPrefix(zone.Name, "Floor"); (off < 0.5) != straight {
					t.Fatalf("%s row %s bends by %.2f pixels", zone.Name, row.Number, off)
				}
			}
		}
	})
}

func TestIDsAreWhatAPersonWouldSay(t *testing.T) {
	pattern := regexp.MustCompile(`^(Stalls|Balcony[12]|Floor[1-9]|[123]\d\d)-[A-HJ-NP-Z]{1,2}-[1-9]\d?$`)
	each(t, func(t *testing.T, _ string, p *plan.Plan) {
		for _, seat := range p.Seats() {
			if !pattern.MatchString(seat.ID) {
				t.Fatalf("id %q does not match %v", seat.ID, pattern)
			}
			if !strings.HasSuffix(seat.ID, "-"+seat.Row+"-"+seat.Number) {
				t.Fatalf("id %q is not that of row %s seat %s", seat.ID, seat.Row, seat.Number)
			}
		}
	})
}

func TestCategoriesHaveDistinctColours(t *testing.T) {
	each(t, func(t *testing.T, _ string, p *plan.Plan) {
		seen := map[string]string{}
		for _, category := range p.Categories {
			if other, taken := seen[category.Color]; taken || category.Color == "" {
				t.Errorf("%s has colour %q, as has %q", category.Name, category.Color, other)
			}
			seen[category.Color] = category.Name
		}
	})
}

func TestWrite_FilesStaySmallWithALinePerRow(t *testing.T) {
	t.Parallel()
	for _, v := range venue.All() {
		p := v.Make()
		var file bytes.Buffer
		if err := venue.Write(&file, p); err != nil {
			t.Fatal(err)
		}
		if file.Len() > 8<<20 {
			t.Errorf("%s takes %d bytes, want at most 8 MiB", v.Name, file.Len())
		}
		rows := 0
		for _, zone := range p.Zones {
			rows += len(zone.Rows)
		}
		if got := strings.Count(file.String(), "\n{\"row_number\""); got != rows {
			t.Errorf("%s: %d lines begin a row, want %d", v.Name, got, rows)
		}
	}
}

func TestWrite_ReportsTheWritersError(t *testing.T) {
	t.Parallel()
	if err := venue.Write(fullDisk{}, venue.Theatre()); !errors.Is(err, errFull) {
		t.Errorf("Write = %v, want %v", err, errFull)
	}
}

var errFull = errors.New("disk full")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }
