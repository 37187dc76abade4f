package store_test

import (
	"fmt"
	"slices"
	"testing"
)

func TestSoldSeatsAreThoseOfConfirmedOrders(t *testing.T) {
	t.Parallel()
	r := setup(t, 4)
	if got, err := r.store.SoldSeats(t.Context(), show); err != nil || len(got) != 0 {
		t.Errorf("before anything is sold: %v (%v)", got, err)
	}
	r.want(r.commit(r.authorized(checkout(2, 0))[0]), confirmed)
	got, err := r.store.SoldSeats(t.Context(), show)
	slices.Sort(got)
	if err != nil || fmt.Sprint(got) != fmt.Sprint([]string{seat(0), seat(2)}) {
		t.Errorf("sold are %v (%v)", got, err)
	}
	if got, err := r.store.SoldSeats(t.Context(), "other"); err != nil || len(got) != 0 {
		t.Errorf("of another event: %v (%v)", got, err)
	}
}
