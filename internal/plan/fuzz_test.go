package plan_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"onsale/internal/plan"
)

// Whatever the bytes, Parse gives an ErrInvalid or a plan that keeps what the package promises.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "null", "[]", "{}", "\ufeff{}", full, full[:len(full)/2], withSeats(), withSeats(seatJSON("A", "Stalls")),
		withSeats("null", "7", `"x"`, "[[]]", seatJSON("A", "Stalls"), seatJSON("A", "Pit"), seatJSON("Ä {}", "")),
		`{"zones":[{"rows":[{"seats":[{"position":{"x":1e999,"y":-1e308}}]}],"areas":[1,{"text":7}]}],"zones":7}`,
		`{"categories":[{"name":"S"},{"name":"S"},null,[]],"zones":{"x":[{}]},"size":{"width":-1}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := plan.Parse(bytes.NewReader(file))
		if err != nil {
			if !errors.Is(err, plan.ErrInvalid) || p != nil {
				t.Fatalf("Parse = %v, %v, want no plan and ErrInvalid", p, err)
			}
			return
		}
		prices := plan.Prices{}
		for _, category := range p.Categories {
			prices[category.Name] = 100
		}
		priced, err := p.Price(prices)
		if err != nil || len(priced) == 0 {
			t.Fatalf("Price = %d seats, %v, want some and no error", len(priced), err)
		}
		ids := map[string]bool{}
		for _, seat := range priced {
			if seat.ID == "" || len(seat.ID) > 64 || ids[seat.ID] {
				t.Fatalf("id %q is empty, long or used twice", seat.ID)
			}
			ids[seat.ID] = true
			if math.IsInf(seat.X, 0) || math.IsNaN(seat.X) || math.IsInf(seat.Y, 0) || math.IsNaN(seat.Y) {
				t.Fatalf("seat %s is at %v, %v", seat.ID, seat.X, seat.Y)
			}
		}
	})
}
