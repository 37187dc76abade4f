package plan

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"onsale/internal/sale"
)

// maxPrice, in minor units, keeps the sum over all seats of the largest plan within an int64.
const maxPrice = 1_000_000_000_000

// Prices maps a category's name to a seat's price in minor units of the event's currency.
type Prices map[string]int64

// ParsePrices reads prices in minor units as a person writes them: Stalls=8500,Balcony=4500. A pair
// whose name has a comma is put in double quotes as in CSV: "Rows A, B=4500". All problems are reported
// at once; each is ErrInvalid.
func ParsePrices(s string) (Prices, error) {
	pairs, err := splitPairs(s)
	if err != nil {
		return nil, err
	}
	var found problems
	prices := make(Prices, len(pairs))
	for i, pair := range pairs {
		at := fmt.Sprintf("prices[%d] %s", i, quote(pair))
		equals := strings.LastIndexByte(pair, '=') // a name may have an equals sign, an amount can't
		if equals < 0 {
			found.add(at, "must be category=amount")
			continue
		}
		name, digits := strings.TrimSpace(pair[:equals]), strings.TrimSpace(pair[equals+1:])
		amount, err := strconv.ParseInt(digits, 10, 64)
		switch _, taken := prices[name]; {
		case name == "":
			found.add(at, "the category is empty")
		case taken:
			found.add(at, "category %s already has a price", quote(name))
		case err != nil, amount <= 0:
			found.add(at, "the amount must be a positive whole number of minor units")
		case amount > maxPrice:
			found.add(at, "the amount is larger than %d", int64(maxPrice))
		}
		if name != "" {
			prices[name] = amount
		}
	}
	if len(pairs) == 0 {
		found.add("prices", "none are given")
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	return prices, nil
}

// splitPairs splits at commas and line ends that are not within double quotes.
func splitPairs(s string) ([]string, error) {
	lines := csv.NewReader(strings.NewReader(s))
	lines.FieldsPerRecord = -1
	lines.TrimLeadingSpace = true
	var pairs []string
	for {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return pairs, nil
		}
		if err != nil {
			return nil, problem{place: "prices", text: err.Error()}
		}
		pairs = append(pairs, fields...)
	}
}

// Price gives every seat its category's price, in the order of Seats. A category with seats needs a
// price, and a price needs a category of the plan: a misspelled name is an error, not a seat for free.
// All problems are reported at once; each is ErrInvalid.
func (p *Plan) Price(prices Prices) ([]sale.Seat, error) {
	seats := p.Seats()
	used := make(map[string]int, len(p.Categories))
	for _, seat := range seats {
		used[seat.Category]++
	}
	var found problems
	known := make(map[string]bool, len(p.Categories))
	for i, category := range p.Categories {
		known[category.Name] = true
		if _, ok := prices[category.Name]; !ok && used[category.Name] > 0 {
			found.add(p.path(wholePlan().inCategory(i)), "has no price, its seats are %d", used[category.Name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if !known[name] {
			found.add("categories", "seats are of category %s, which the plan lacks", quote(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(prices)) {
		at := "prices " + quote(name)
		if !known[name] {
			found.add(at, "the plan has no such category, it has %s", p.categoryNames())
		}
		if amount := prices[name]; amount <= 0 || amount > maxPrice {
			found.add(at, "the amount %d is not from 1 to %d", amount, int64(maxPrice))
		}
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	priced := make([]sale.Seat, len(seats))
	for i, s := range seats {
		priced[i] = sale.Seat{ID: s.ID, Zone: s.Zone, Row: s.Row, Number: s.Number, Category: s.Category, Price: prices[s.Category], X: s.X, Y: s.Y}
	}
	return priced, nil
}

func (p *Plan) categoryNames() string {
	const most = 20
	names := make([]string, 0, most+1)
	for i, category := range p.Categories {
		if i == most {
			names = append(names, "…")
			break
		}
		names = append(names, quote(category.Name))
	}
	return strings.Join(names, ", ")
}
