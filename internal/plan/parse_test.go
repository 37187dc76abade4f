package plan_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"onsale/internal/plan"
	"onsale/plans"
)

// full has the keys that drawing programs write beyond the ones that are read, and fractional positions.
const full = `{
  "name": "Hall",
  "version": 2,
  "categories": [{"name": "Stalls", "color": "#00f", "uuid": "c1"}, {"name": "Boxes"}],
  "size": {"width": 640.5, "height": 480, "unit": "px"},
  "zones": [
    {"uuid": "z0", "zone_id": "deco", "name": "Deco", "position": {"x": 5, "y": 5}, "rows": [], "areas": [
      {"shape": "polygon", "color": "#ccc", "border_color": "#111", "rotation": 12.5, "position": {"x": 1, "y": 2},
       "polygon": {"points": [{"x": 0, "y": 0}, {"x": 9.5, "y": 0}]}, "text": {"text": "Bar", "position": {"x": 3, "y": 4}}},
      {"shape": "circle", "circle": {"radius": 7}, "position": {"x": 0, "y": 0}},
      {"shape": "ellipse", "ellipse": {"radius": {"x": 7, "y": 8}}, "position": {"x": 0, "y": 0}},
      {"width": 10, "height": 20, "position": {"x": 0, "y": 0}, "text": "of an old schema, so left out"}
    ]},
    {"rows": [
      {"row_number": "A", "row_label": null, "seat_label": "Seat %s", "row_number_position": "start", "uuid": "r0",
       "position": {"x": 10.25, "y": 0.1}, "seats": [
        {"seat_guid": "S-A-1", "seat_number": "1", "uuid": "s1", "start_direction": "<>", "radius": 12,
         "position": {"x": 0.1, "y": 0.2}, "category": "Stalls"},
        {"seat_guid": "S:A/2#b_.", "seat_number": "2", "position": {"x": -25.5, "y": 1e1}, "category": "Boxes"}
      ]}
    ], "position": {"x": 100, "y": 200}, "name": "Main"},
    {"position": {"x": 0, "y": 0}, "rows": [{"row_number": "B", "row_number_position": null, "seats": [
      {"seat_guid": "B1", "seat_number": "1", "position": {"x": 3, "y": 4}, "category": "Stalls"}]}]}
  ],
  "start_at": {"deep": [[{"x": null}]]}
}`

func TestParse_ReadsWhatItKnowsAndIgnoresTheRest(t *testing.T) {
	t.Parallel()
	p, err := plan.Parse(strings.NewReader("\ufeff" + full))
	if err != nil {
		t.Fatal(err)
	}
	want := []plan.Seat{
		{ID: "S-A-1", Zone: "Main", Row: "A", Number: "1", Category: "Stalls", X: 110.35, Y: 200.3, Radius: 12},
		{ID: "S:A/2#b_.", Zone: "Main", Row: "A", Number: "2", Category: "Boxes", X: 84.75, Y: 210.1, Radius: 10},
		{ID: "B1", Row: "B", Number: "1", Category: "Stalls", X: 3, Y: 4, Radius: 10},
	}
	if got := p.Seats(); !reflect.DeepEqual(got, want) {
		t.Errorf("Seats() = %+v\nwant %+v", got, want)
	}
	if p.Name != "Hall" || p.Size != (plan.Size{Width: 640.5, Height: 480}) {
		t.Errorf("name %q, size %v", p.Name, p.Size)
	}
	categories := []plan.Category{{Name: "Stalls", Color: "#00f"}, {Name: "Boxes"}}
	if !reflect.DeepEqual(p.Categories, categories) {
		t.Errorf("categories = %v, want %v", p.Categories, categories)
	}
	areas := []plan.Area{
		{
			Shape: "polygon", Color: "#ccc", BorderColor: "#111", Rotation: 12.5, Position: plan.Point{X: 1, Y: 2},
			Polygon: &plan.Polygon{Points: []plan.Point{{}, {X: 9.5}}},
			Text:    &plan.AreaLabel{Text: "Bar", Position: plan.Point{X: 3, Y: 4}},
		},
		{Shape: "circle", Circle: &plan.Circle{Radius: 7}},
		{Shape: "ellipse", Ellipse: &plan.Ellipse{Radius: plan.Point{X: 7, Y: 8}}},
	}
	if got := p.Zones[0].Areas; !reflect.DeepEqual(got, areas) {
		t.Errorf("areas = %+v, want %+v", got, areas)
	}
	if row := p.Zones[1].Rows[0]; row.NumberPosition != "start" {
		t.Errorf("row number position = %q, want start", row.NumberPosition)
	}
}

func TestParse_ReadsTheShippedPlans(t *testing.T) {
	t.Parallel()
	for name, seats := range map[string]int{"theatre": 800, "arena": 15_156, "stadium": 60_874} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, err := plans.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			p, err := plan.Parse(file)
			if err != nil {
				t.Fatal(err)
			}
			ids := map[string]bool{}
			for _, seat := range p.Seats() {
				ids[seat.ID] = true
			}
			if len(ids) != seats {
				t.Errorf("%d ids, want %d", len(ids), seats)
			}
		})
	}
}

// seatJSON is a seat without a fault.
func seatJSON(guid, category string) string {
	return fmt.Sprintf(`{"seat_guid":%q,"seat_number":"1","position":{"x":0,"y":0},"category":%q}`, guid, category)
}

// withSeats is a plan with one row of seats.
func withSeats(seats ...string) string {
	return `{"name":"Hall","categories":[{"name":"Stalls"}],"zones":[{"name":"Main","rows":[{"row_number":"A","seats":[` +
		strings.Join(seats, ",\n") + `]}]}]}`
}

const inA0 = `zones[0] "Main" rows[0] "A" seats[0]`

func TestParse_NamesEachProblemAndItsPlace(t *testing.T) {
	t.Parallel()
	const allowed = `, allowed are letters A to Z and a to z, digits and -_.:/#`
	tests := map[string]struct {
		file string
		want string
	}{
		"empty file":      {"", "line 1, column 1: unexpected end of JSON input"},
		"cut off":         {"{\n \"name\": \"é", "line 2, column 12: unexpected end of JSON input"},
		"syntax":          {"{\n \"é\": 1,}", "line 2, column 9: invalid character '}' looking for beginning of object key string"},
		"text after":      {"{}\n{}", "line 2, column 1: invalid character '{' after top-level value"},
		"not a number":    {`{"size":NaN}`, "line 1, column 9: invalid character 'N' looking for beginning of value"},
		"not an object":   {" [1]", "line 1, column 2: the plan must be an object, not an array"},
		"zones no array":  {`{"categories":[{"name":"S"}],"zones":"x"}`, "line 1, column 38: zones must be an array, not a string"},
		"name no string":  {`{"name":7,` + withSeats(seatJSON("A", "Stalls"))[15:], "line 1, column 9: name must be a string, not a number"},
		"zone a number":   {`{"categories":[{"name":"S"}],"zones":[7]}`, "zones[0] (line 1, column 39): must be an object, not a number"},
		"rows an object":  {`{"categories":[{"name":"S"}],"zones":[{"rows":{},"name":"N"}]}`, `zones[0] "N" (line 1, column 47): rows must be an array, not an object`},
		"seats a boolean": {`{"categories":[{"name":"S"}],"zones":[{"rows":[{"seats":true}]}]}`, `zones[0] rows[0] (line 1, column 57): seats must be an array, not a boolean`},
		"zone position":   {`{"categories":[{"name":"S"}],"zones":[{"position":[1,2]}]}`, `zones[0] (line 1, column 51): position must be an object, not an array`},
		"size": {
			`{"size":{"width":"9"},` + withSeats(seatJSON("A", "Stalls"))[1:],
			"line 1, column 9: size.width must be a number, not a string",
		},
		"negative size": {
			`{"size":{"width":-1,"height":1},` + withSeats(seatJSON("A", "Stalls"))[1:],
			"size: width and height must not be negative",
		},
		"category name": {`{"categories":[{"name":[]}]}`, "categories[0] (line 1, column 16): name must be a string, not an array"},
		"list twice": {
			`{"categories":[{"name":"S"}],` + withSeats(seatJSON("A", "S"))[1:],
			"line 1, column 57: categories are given twice",
		},
		"no seats":      {`{"categories":[{"name":"S"}],"zones":[{"rows":[{"seats":[]}, null]}, null]}`, "zones: the plan has no seats"},
		"nothing":       {`{}`, "categories: the plan has no categories, so no seat has a price\nzones: the plan has no seats"},
		"seat a string": {withSeats(`"A-1"`), inA0 + " (line 1, column 108): must be an object, not a string"},
		"seat null":     {withSeats(`null`), inA0 + " (line 1, column 108): position is missing"},
		"x no number": {
			withSeats(seatJSON("A", "Stalls"), `{"seat_guid":"B","position":{"x":"1","y":0},"category":"Stalls"}`),
			`zones[0] "Main" rows[0] "A" seats[1] (line 2, column 1): position.x must be a number, not a string`,
		},
		"guid no string": {withSeats(`{"seat_guid":12}`), inA0 + " (line 1, column 108): seat_guid must be a string, not a number"},
		"x too large":    {withSeats(`{"position":{"x":1e999,"y":0}}`), inA0 + " (line 1, column 108): position.x is out of range: 1e999"},
		"x missing":      {withSeats(`{"position":{"y":0}}`), inA0 + " (line 1, column 108): position.x is missing"},
		"y missing":      {withSeats(`{"position":{"x":0,"y":null}}`), inA0 + " (line 1, column 108): position.y is missing"},
		"far away": {
			withSeats(`{"seat_guid":"A","position":{"x":1e10,"y":0},"category":"Stalls"}`),
			inA0 + ": the position is more than 1000000000 from the origin",
		},
		"guid missing":     {withSeats(`{"position":{"x":0,"y":0},"category":"Stalls"}`), inA0 + ": seat_guid is missing or empty"},
		"guid empty":       {withSeats(seatJSON("", "Stalls")), inA0 + ": seat_guid is missing or empty"},
		"guid of 64":       {withSeats(seatJSON(strings.Repeat("x", 64), "Stalls")), ""},
		"guid of 65":       {withSeats(seatJSON(strings.Repeat("x", 65), "Stalls")), inA0 + `: seat_guid "` + strings.Repeat("x", 65) + `" has 65 characters, the most is 64`},
		"guid space":       {withSeats(seatJSON("A 1", "Stalls")), inA0 + `: seat_guid "A 1" contains ' '` + allowed},
		"guid brace":       {withSeats(seatJSON("{A}", "Stalls")), inA0 + `: seat_guid "{A}" contains '{'` + allowed},
		"guid comma":       {withSeats(seatJSON("A,1", "Stalls")), inA0 + `: seat_guid "A,1" contains ','` + allowed},
		"guid quote":       {withSeats(seatJSON(`A"1`, "Stalls")), inA0 + `: seat_guid "A\"1" contains '"'` + allowed},
		"guid not ASCII":   {withSeats(seatJSON("Ä1", "Stalls")), inA0 + `: seat_guid "Ä1" contains 'Ä'` + allowed},
		"guid control":     {withSeats(`{"seat_guid":"A\u0000","position":{"x":0,"y":0},"category":"Stalls"}`), inA0 + `: seat_guid "A\x00" contains '\x00'` + allowed},
		"no category":      {withSeats(seatJSON("A", "")), inA0 + ": category is missing or empty"},
		"unknown category": {withSeats(seatJSON("A", "Stall")), inA0 + `: category "Stall" is not one of the plan's categories`},
		"no categories": {
			`{"zones":[{"rows":[{"seats":[` + seatJSON("A", "S") + `]}]}]}`,
			"categories: the plan has no categories, so no seat has a price",
		},
		"category twice": {
			`{"categories":[{"name":"S"},{"name":"T"},{"name":"S"},{}],"zones":[{"rows":[{"seats":[` + seatJSON("A", "S") + `]}]}]}`,
			`categories[2] "S": the name is already used at categories[0]` + "\ncategories[3]: name is missing or empty",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := plan.Parse(strings.NewReader(tt.file))
			if tt.want == "" {
				if err != nil {
					t.Fatalf("Parse = %v, want no error", err)
				}
				return
			}
			wantInvalid(t, err, tt.want)
			if p != nil {
				t.Error("a plan is returned beside the error")
			}
		})
	}
}

// A guid that is used twice is named with both places, in different zones too.
func TestParse_NamesBothPlacesOfADuplicate(t *testing.T) {
	t.Parallel()
	row := func(letter string, seats ...string) string {
		return fmt.Sprintf(`{"row_number":%q,"seats":[%s]}`, letter, strings.Join(seats, ","))
	}
	zone := func(name string, rows ...string) string {
		return fmt.Sprintf(`{"name":%q,"rows":[%s]}`, name, strings.Join(rows, ","))
	}
	file := `{"categories":[{"name":"S"}],"zones":[` + strings.Join([]string{
		zone("Deco"),
		zone("Stalls", row("A"), row("B"), row("C"), row("D", seatJSON("B-A-6", "S"))),
		zone("Balcony", row("A", seatJSON("1", "S"), seatJSON("2", "S"), seatJSON("3", "S"), seatJSON("4", "S"),
			seatJSON("5", "S"), seatJSON("B-A-6", "T"), seatJSON("b-a-6", "S"))),
	}, ",") + `]}`
	_, err := plan.Parse(strings.NewReader(file))
	wantInvalid(t, err,
		`zones[2] "Balcony" rows[0] "A" seats[5]: seat_guid "B-A-6" is already used at zones[1] "Stalls" rows[3] "D" seats[0]`+"\n"+
			`zones[2] "Balcony" rows[0] "A" seats[5]: category "T" is not one of the plan's categories`)
}

func TestParse_ListsTwentyProblemsAndCountsTheRest(t *testing.T) {
	t.Parallel()
	for _, n := range []int{20, 21, 500} {
		for kind, seat := range map[string]string{"checked": seatJSON("", "Stalls"), "mistyped": "7"} {
			_, err := plan.Parse(strings.NewReader(withSeats(strings.Split(strings.Repeat(seat+";", n), ";")[:n]...)))
			if !errors.Is(err, plan.ErrInvalid) {
				t.Fatalf("%d %s: %v, want ErrInvalid", n, kind, err)
			}
			lines := strings.Split(err.Error(), "\n")
			if n == 20 {
				if len(lines) != 20 || strings.Contains(err.Error(), "more") {
					t.Errorf("%d %s: %d lines, the last %q", n, kind, len(lines), lines[len(lines)-1])
				}
				continue
			}
			if want := fmt.Sprintf("and %d more", n-20); len(lines) != 21 || lines[20] != want {
				t.Errorf("%d %s: %d lines, the last %q, want %q", n, kind, len(lines), lines[len(lines)-1], want)
			}
		}
	}
}

func TestParse_CutsLongNamesInMessages(t *testing.T) {
	t.Parallel()
	_, err := plan.Parse(strings.NewReader(withSeats(seatJSON("A", strings.Repeat("é", 1_000_000)))))
	wantInvalid(t, err, inA0+`: category "`+strings.Repeat("é", 40)+`…" is not one of the plan's categories`)
}

func TestParse_IsBounded(t *testing.T) {
	t.Parallel()
	repeat := func(s string, n int) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	tests := map[string]struct {
		file io.Reader
		want string
	}{
		"bytes":      {io.MultiReader(strings.NewReader(strings.Repeat(" ", 64<<20)), strings.NewReader(full)), "the file is larger than 64 MiB"},
		"seats":      {strings.NewReader(withSeats(repeat("1", 200_001))), "the plan has more than 200000 seats"},
		"rows":       {strings.NewReader(`{"zones":[{"rows":[` + repeat("1", 200_001) + `]}]}`), "the plan has more than 200000 rows"},
		"zones":      {strings.NewReader(`{"zones":[` + repeat("{}", 10_001) + `]}`), "the plan has more than 10000 zones"},
		"areas":      {strings.NewReader(`{"zones":[{"areas":[` + repeat("{}", 10_001) + `]}]}`), "the plan has more than 10000 areas"},
		"categories": {strings.NewReader(`{"categories":[` + repeat("{}", 1_001) + `]}`), "the plan has more than 1000 categories"},
		"depth": {
			strings.NewReader(strings.Repeat("[", 20_000)),
			"line 1, column 10001: invalid character '[' exceeded max depth",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := plan.Parse(tt.file)
			wantInvalid(t, err, tt.want)
		})
	}
}

// The bound on seats counts them over all rows, and a plan at the bound is read.
func TestParse_TakesTheMostSeats(t *testing.T) {
	t.Parallel()
	rows := func(n int) io.Reader {
		var file bytes.Buffer
		file.WriteString(`{"categories":[{"name":"S"}],"zones":[`)
		for i := range n / 1000 {
			fmt.Fprintf(&file, `{"rows":[{"seats":[`)
			for j := range 1000 {
				fmt.Fprintf(&file, `{"seat_guid":"%d-%d","position":{"x":%d,"y":%d},"category":"S"},`, i, j, i, j)
			}
			file.Truncate(file.Len() - 1)
			file.WriteString("]}]},")
		}
		file.Truncate(file.Len() - 1)
		file.WriteString("]}")
		return &file
	}
	p, err := plan.Parse(rows(200_000))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(p.Seats()); got != 200_000 {
		t.Errorf("%d seats, want 200000", got)
	}
	over := `{"zones":[` + strings.Repeat(`{"rows":[{"seats":[`+strings.Repeat("1,", 999)+`1]}]},`, 201) + `{}]}`
	_, err = plan.Parse(strings.NewReader(over))
	wantInvalid(t, err, "the plan has more than 200000 seats")
}

// A reader's own error is not the file's fault.
func TestParse_PassesOnTheReadersError(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	_, err := plan.Parse(iotest.ErrReader(broken))
	if !errors.Is(err, broken) || errors.Is(err, plan.ErrInvalid) {
		t.Errorf("Parse = %v, want %v, which is not ErrInvalid", err, broken)
	}
}

func wantInvalid(t *testing.T, err error, want string) {
	t.Helper()
	if !errors.Is(err, plan.ErrInvalid) {
		t.Fatalf("error = %v, want ErrInvalid", err)
	}
	if got := err.Error(); got != want {
		t.Errorf("error =\n%s\nwant\n%s", got, want)
	}
}
