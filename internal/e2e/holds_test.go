package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"onsale/internal/admin"
	"onsale/internal/testenv"
)

// best asks for the best seats.
func (v visitor) best(t *testing.T, wish map[string]any) answer {
	t.Helper()
	return call(t, "POST", v.base+"/v1/events/"+v.event+"/holds", map[string]any{"best": wish, "session": v.session}, v.headers()...)
}

// A crowd asks for the best two seats at once: everyone gets two that are together, nobody another's, until there are no
// more; and then everyone is told so.
func TestBestSeatsForACrowd(t *testing.T) {
	t.Parallel()
	l := together(t)
	create(t, l, "best-crowd", func(e *admin.CreateEvent) { e.Rate = 5000 })
	move(t, l, "best-crowd", "open", "open")
	const pairs = 20 // of forty seats in one row
	answers := make([]answer, pairs)
	var racing sync.WaitGroup
	for i := range answers {
		v := letIn(t, l, "best-crowd")
		racing.Go(func() { answers[i] = v.best(t, map[string]any{"quantity": 2, "category": "All"}) })
	}
	racing.Wait()
	owner := map[string]int{}
	got := 0
	for i, a := range answers {
		switch {
		case a.status == http.StatusCreated:
			got++
			for _, seat := range a.fields["seats"].([]any) {
				if other, twice := owner[seat.(string)]; twice {
					t.Errorf("fans %d and %d both hold %s", other, i, seat)
				}
				owner[seat.(string)] = i
			}
		case a.status != http.StatusConflict:
			t.Errorf("fan %d: %d %s", i, a.status, a.body)
		}
	}
	for got < pairs { // whoever was not quick enough may ask again
		if a := letIn(t, l, "best-crowd").best(t, map[string]any{"quantity": 2}); a.status != http.StatusCreated {
			t.Fatalf("with %d pairs left: %d %s", pairs-got, a.status, a.body)
		}
		got++
	}
	testenv.Eventually(t, "sold out hall", func() bool {
		a := letIn(t, l, "best-crowd").best(t, map[string]any{"quantity": 1})
		return a.status == http.StatusConflict && a.text("code") == "not_enough_seats"
	})
}

func TestBestSeatsRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	l := together(t)
	create(t, l, "best-bad", nil)
	move(t, l, "best-bad", "open", "open")
	v := letIn(t, l, "best-bad")
	for name, c := range map[string]struct {
		body any
		code string
	}{
		"both":               {map[string]any{"seat_ids": []string{"A-1"}, "best": map[string]any{"quantity": 1}, "session": v.session}, "seats_or_best"},
		"both, one empty":    {map[string]any{"seat_ids": []string{}, "best": map[string]any{"quantity": 1}, "session": v.session}, "seats_or_best"},
		"neither":            {map[string]any{"session": v.session}, "no_seats"},
		"none":               {map[string]any{"best": map[string]any{"quantity": 0}, "session": v.session}, "bad_quantity"},
		"less than none":     {map[string]any{"best": map[string]any{"quantity": -1}, "session": v.session}, "bad_quantity"},
		"too many":           {map[string]any{"best": map[string]any{"quantity": 9}, "session": v.session}, "too_many_seats"},
		"an unknown price":   {map[string]any{"best": map[string]any{"quantity": 1, "category": "Gold"}, "session": v.session}, "unknown_category"},
		"an unknown field":   {map[string]any{"best": map[string]any{"quantity": 1, "row": "A"}, "session": v.session}, "bad_json"},
		"a seat named twice": {map[string]any{"seat_ids": []string{"A-1", "A-1"}, "session": v.session}, "duplicate_seats"},
	} {
		a := call(t, "POST", v.base+"/v1/events/best-bad/holds", c.body, v.headers()...)
		if a.status != http.StatusBadRequest || a.text("code") != c.code {
			t.Errorf("%s: %d %s, want %s", name, a.status, a.body, c.code)
		}
	}
	if a := v.best(t, map[string]any{"quantity": 2}); a.status != http.StatusCreated || fmt.Sprint(a.fields["seats"]) != "[A-20 A-21]" {
		t.Errorf("the best two of a row of forty: %d %s", a.status, a.body)
	}
}

// What a session bought counts towards what it may get in the sale.
func TestASessionBuysNoMoreThanTheSaleAllows(t *testing.T) {
	t.Parallel()
	l := together(t)
	create(t, l, "sale-limit", func(e *admin.CreateEvent) { e.MaxSeatsPerSale = 3 })
	move(t, l, "sale-limit", "open", "open")
	if a := call(t, "GET", l.BaseURL+"/v1/events/sale-limit", nil); a.fields["max_seats_per_sale"] != 3.0 {
		t.Errorf("the event tells %s", a.body)
	}
	v := letIn(t, l, "sale-limit")
	h := v.hold(t, "A-1", "A-2")
	if h.status != http.StatusCreated {
		t.Fatalf("hold: %d %s", h.status, h.body)
	}
	if a := v.checkout(t, h.text("hold_id"), "pm_card_visa", "first", "Prefer", "wait=20"); a.text("status") != "confirmed" {
		t.Fatalf("checkout: %d %s", a.status, a.body)
	}
	var refused answer
	testenv.Eventually(t, "refusal over the sale's limit", func() bool { // the hold ends when the seats are marked as sold
		refused = v.hold(t, "A-3", "A-4")
		return refused.text("code") != "session_has_hold"
	})
	if refused.status != http.StatusConflict || refused.text("code") != "sale_limit" || refused.fields["bought"] != 2.0 {
		t.Errorf("two more: %d %s", refused.status, refused.body)
	}
	if a := v.best(t, map[string]any{"quantity": 2}); a.text("code") != "sale_limit" {
		t.Errorf("the best two: %d %s", a.status, a.body)
	}
	if a := v.hold(t, "A-3"); a.status != http.StatusCreated {
		t.Errorf("the third: %d %s", a.status, a.body)
	}
}

// A seat that its holder gives back can be held at once on the node that was told so, whoever was refused before.
func TestAReleasedSeatIsNotRefusedFromMemory(t *testing.T) {
	t.Parallel()
	l := together(t)
	create(t, l, "given-back", nil)
	move(t, l, "given-back", "open", "open")
	first, second := letIn(t, l, "given-back"), letIn(t, l, "given-back")
	for range 5 {
		h := first.hold(t, "A-1", "A-2")
		if h.status != http.StatusCreated {
			t.Fatalf("hold: %d %s", h.status, h.body)
		}
		if again := first.hold(t, "A-2", "A-1"); again.status != http.StatusCreated || again.text("hold_id") != h.text("hold_id") {
			t.Errorf("the same hold again: %d %s", again.status, again.body)
		}
		if a := second.hold(t, "A-1", "A-3"); a.status != http.StatusConflict || fmt.Sprint(a.fields["seats"]) != "[A-1]" {
			t.Errorf("another's seat: %d %s", a.status, a.body)
		}
		if a := call(t, "DELETE", l.BaseURL+"/v1/holds/"+h.text("hold_id"), nil, first.headers()...); a.status != http.StatusNoContent {
			t.Fatalf("release: %d %s", a.status, a.body)
		}
		h = second.hold(t, "A-1", "A-3")
		if h.status != http.StatusCreated {
			t.Fatalf("a seat that was given back: %d %s", h.status, h.body)
		}
		if a := call(t, "DELETE", l.BaseURL+"/v1/holds/"+h.text("hold_id"), nil, second.headers()...); a.status != http.StatusNoContent {
			t.Fatalf("release: %d %s", a.status, a.body)
		}
	}
}
