package plan_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"onsale/internal/plan"
	"onsale/internal/sale"
)

func TestParsePrices(t *testing.T) {
	t.Parallel()
	tests := map[string]plan.Prices{
		"Stalls=8500,Balcony=4500":           {"Stalls": 8500, "Balcony": 4500},
		" Stalls = 8500 , Upper Circle = 1 ": {"Stalls": 8500, "Upper Circle": 1},
		"A=B=100":                            {"A=B": 100},
		`"Rows A, B=4500",Box=9`:             {"Rows A, B": 4500, "Box": 9},
		"Stalls=1\nBalcony=1000000000000\n":  {"Stalls": 1, "Balcony": 1_000_000_000_000},
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, err := plan.ParsePrices(text)
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(got, want) {
				t.Errorf("ParsePrices = %v, want %v", got, want)
			}
		})
	}
}

func TestParsePrices_NamesEachProblem(t *testing.T) {
	t.Parallel()
	const whole = "the amount must be a positive whole number of minor units"
	tests := map[string]string{
		"":                          "prices: none are given",
		"Stalls":                    `prices[0] "Stalls": must be category=amount`,
		"Stalls=1,":                 `prices[1] "": must be category=amount`,
		"=100":                      `prices[0] "=100": the category is empty`,
		"Stalls=":                   `prices[0] "Stalls=": ` + whole,
		"Stalls=0":                  `prices[0] "Stalls=0": ` + whole,
		"Stalls=-5":                 `prices[0] "Stalls=-5": ` + whole,
		"Stalls=85.00":              `prices[0] "Stalls=85.00": ` + whole,
		"Stalls=1e3":                `prices[0] "Stalls=1e3": ` + whole,
		"Stalls=1000000000001":      `prices[0] "Stalls=1000000000001": the amount is larger than 1000000000000`,
		"Stalls=9":                  "",
		"S=99999999999999999999999": `prices[0] "S=99999999999999999999999": ` + whole,
		"S=1,S=2":                   `prices[1] "S=2": category "S" already has a price`,
		"S=x,S=2,T,=1": `prices[0] "S=x": ` + whole + "\n" + `prices[1] "S=2": category "S" already has a price` + "\n" +
			`prices[2] "T": must be category=amount` + "\n" + `prices[3] "=1": the category is empty`,
		`"S=1`: `prices: parse error on line 1, column 5: extraneous or missing " in quoted-field`,
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			prices, err := plan.ParsePrices(text)
			if want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantInvalid(t, err, want)
			if prices != nil {
				t.Error("prices are returned beside the error")
			}
		})
	}
}

func TestPrice(t *testing.T) {
	t.Parallel()
	p, err := plan.Parse(strings.NewReader(full))
	if err != nil {
		t.Fatal(err)
	}
	priced, err := p.Price(plan.Prices{"Stalls": 8500, "Boxes": 12000})
	if err != nil {
		t.Fatal(err)
	}
	want := []sale.Seat{
		{ID: "S-A-1", Zone: "Main", Row: "A", Number: "1", Category: "Stalls", Price: 8500, X: 110.35, Y: 200.3},
		{ID: "S:A/2#b_.", Zone: "Main", Row: "A", Number: "2", Category: "Boxes", Price: 12000, X: 84.75, Y: 210.1},
		{ID: "B1", Row: "B", Number: "1", Category: "Stalls", Price: 8500, X: 3, Y: 4},
	}
	if !slices.Equal(priced, want) {
		t.Errorf("Price = %+v\nwant %+v", priced, want)
	}
}

func TestPrice_NamesEachProblem(t *testing.T) {
	t.Parallel()
	p := &plan.Plan{
		Categories: []plan.Category{{Name: "Stalls"}, {Name: "Balcony"}, {Name: "Unused"}},
		Zones: []plan.Zone{{Rows: []plan.Row{{Seats: []plan.RowPlace{
			{GUID: "1", Category: "Stalls"}, {GUID: "2", Category: "Balcony"}, {GUID: "3", Category: "Balcony"},
		}}}}},
	}
	stray := &plan.Plan{
		Categories: []plan.Category{{Name: "Stalls"}},
		Zones:      []plan.Zone{{Rows: []plan.Row{{Seats: []plan.RowPlace{{GUID: "1", Category: "Pit"}}}}}},
	}
	tests := map[string]struct {
		plan   *plan.Plan
		prices plan.Prices
		want   string
	}{
		"unused needs none":  {p, plan.Prices{"Stalls": 1, "Balcony": 1}, ""},
		"unused may have":    {p, plan.Prices{"Stalls": 1, "Balcony": 1, "Unused": 1}, ""},
		"missing":            {p, plan.Prices{"Stalls": 1}, `categories[1] "Balcony": has no price, its seats are 2`},
		"unknown":            {p, plan.Prices{"Stalls": 1, "Balcony": 1, "stalls": 1}, `prices "stalls": the plan has no such category, it has "Stalls", "Balcony", "Unused"`},
		"not positive":       {p, plan.Prices{"Stalls": 0, "Balcony": -1}, "prices \"Balcony\": the amount -1 is not from 1 to 1000000000000\nprices \"Stalls\": the amount 0 is not from 1 to 1000000000000"},
		"too much":           {p, plan.Prices{"Stalls": 1, "Balcony": 1_000_000_000_001}, `prices "Balcony": the amount 1000000000001 is not from 1 to 1000000000000`},
		"of no category":     {stray, plan.Prices{"Stalls": 1}, `categories: seats are of category "Pit", which the plan lacks`},
		"all, in file order": {p, plan.Prices{"A": 1}, "categories[0] \"Stalls\": has no price, its seats are 1\ncategories[1] \"Balcony\": has no price, its seats are 2\nprices \"A\": the plan has no such category, it has \"Stalls\", \"Balcony\", \"Unused\""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			priced, err := tt.plan.Price(tt.prices)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantInvalid(t, err, tt.want)
			if priced != nil {
				t.Error("seats are returned beside the error")
			}
		})
	}
}
