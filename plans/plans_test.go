package plans_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"onsale/internal/plan"
	"onsale/internal/plan/venue"
	"onsale/plans"
)

func TestNames(t *testing.T) {
	t.Parallel()
	want := []string{"arena", "stadium", "theatre"}
	if got := plans.Names(); !reflect.DeepEqual(got, want) {
		t.Fatalf("Names() = %q, want %q", got, want)
	}
}

func TestOpen_UnknownNameListsThePlans(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"opera", "", "../plans/theatre", "theatre.json"} {
		_, err := plans.Open(name)
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("Open(%q) = %v, want fs.ErrNotExist", name, err)
		}
		if !strings.Contains(err.Error(), "arena, stadium, theatre") {
			t.Errorf("Open(%q) = %v, which doesn't list the plans", name, err)
		}
	}
}

// The committed files are what the generator writes.
func TestFiles_AreTheGenerators(t *testing.T) {
	t.Parallel()
	if made, shipped := len(venue.All()), len(plans.Names()); made != shipped {
		t.Fatalf("the generator makes %d plans, %d are shipped", made, shipped)
	}
	for _, v := range venue.All() {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			var want bytes.Buffer
			if err := venue.Write(&want, v.Make()); err != nil {
				t.Fatal(err)
			}
			if got := read(t, v.Name); !bytes.Equal(got, want.Bytes()) {
				t.Fatalf("%s.json is not what the generator writes: run go generate ./plans", v.Name)
			}
		})
	}
}

// Parsing a written plan gives the plan that was written: nothing is lost on the way.
func TestFiles_ParseToThePlansMade(t *testing.T) {
	t.Parallel()
	for _, v := range venue.All() {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			got, err := plan.Parse(bytes.NewReader(read(t, v.Name)))
			if err != nil {
				t.Fatal(err)
			}
			want := v.Make()
			for i := range want.Zones { // an empty list and none are the same to a reader
				if len(want.Zones[i].Rows) == 0 {
					want.Zones[i].Rows = nil
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatal("the parsed plan differs from the one that was written")
			}
		})
	}
}

// The README gives each plan's number of seats, and prices that price it to the last seat.
func TestREADME_FitsThePlans(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range plans.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, rest, found := strings.Cut(string(readme), "\n"+name+": ")
			if !found {
				t.Fatalf("README.md has no prices for %s", name)
			}
			line, _, _ := strings.Cut(rest, "\n")
			prices, err := plan.ParsePrices(line)
			if err != nil {
				t.Fatal(err)
			}
			p, err := plan.Parse(bytes.NewReader(read(t, name)))
			if err != nil {
				t.Fatal(err)
			}
			priced, err := p.Price(prices)
			if err != nil {
				t.Fatal(err)
			}
			if row := seatsInTable(string(readme), name); row != strconv.Itoa(len(priced)) {
				t.Errorf("README.md gives %q seats, want %d", row, len(priced))
			}
			for _, seat := range priced {
				if seat.Price != prices[seat.Category] || seat.Price <= 0 {
					t.Fatalf("seat %s costs %d, want its category's %d", seat.ID, seat.Price, prices[seat.Category])
				}
			}
		})
	}
}

// seatsInTable returns the last column of a plan's line in the README's table, without separators.
func seatsInTable(readme, name string) string {
	_, rest, _ := strings.Cut(readme, "| `"+name+"` |")
	line, _, _ := strings.Cut(rest, "\n")
	columns := strings.Split(strings.TrimSuffix(line, "|"), "|")
	return strings.ReplaceAll(strings.TrimSpace(columns[len(columns)-1]), ",", "")
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	file, err := plans.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
