package redis

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/internal/sale"
)

// loseASeat sells one seat from under a hold, to another who paid late, and returns that order.
func (r *rig) loseASeat(h sale.Hold, seat string) uuid.UUID {
	r.Helper()
	order := uuid.New()
	if err := r.MarkSold(r.Context(), h.EventID, fan(99), uuid.New(), order, []string{seat}); err != nil {
		r.Fatal(err)
	}
	return order
}

// mustLack takes seats that someone else has some of.
func (r *rig) mustLack(session sale.SessionHash, wanted, lacks []string) {
	r.Helper()
	_, err := r.Take(r.Context(), show, session, wanted, long)
	if named := takenSeats(r.T, err); !slices.Equal(named, lacks) {
		r.Errorf("named %v, want %v", named, lacks)
	}
}

func TestBindOfAHoldThatLostASeat(t *testing.T) {
	t.Parallel()
	r := setup(t)
	h := r.take(fan(1), time.Minute, "A-1", "A-2", "A-3")
	r.loseASeat(h, "A-2")
	err := bind(t.Context(), r.Client, h, uuid.New(), [32]byte{}, time.Hour, "")
	if named := takenSeats(t, err); !slices.Equal(named, []string{"A-2"}) {
		t.Errorf("named %v", named)
	}
	if found, err := r.Find(t.Context(), show, h.Session, h.ID); err != nil || found.Order != "" || time.Until(found.ExpiresAt) > time.Minute {
		t.Errorf("a refused order is bound: %+v (%v)", found, err)
	}
}

// A hold that lost a seat is of no use: its session gives it up by asking for the same seats again.
func TestTakeAgainEndsAHoldThatLostASeat(t *testing.T) {
	t.Parallel()
	r := setup(t)
	h := r.take(fan(1), long, "A-1", "A-2")
	r.loseASeat(h, "A-2")
	r.mustLack(fan(1), h.Seats, []string{"A-2"})
	if _, err := r.Find(t.Context(), show, h.Session, h.ID); !errors.Is(err, sale.ErrNoHold) {
		t.Errorf("the hold that lost a seat: %v", err)
	}
	r.take(fan(2), long, "A-1")
}

// A hold that an order is being paid with stays, whatever it lost: its session may not give up what its order still needs.
func TestTakeAgainLeavesAHoldThatIsBeingPaid(t *testing.T) {
	t.Parallel()
	r := setup(t)
	h := r.take(fan(1), long, "A-1", "A-2")
	order := r.bind(h)
	late := r.loseASeat(h, "A-2")
	stays := func() {
		t.Helper()
		if found, err := r.Find(t.Context(), show, h.Session, h.ID); err != nil || found.Order != order.String() {
			t.Errorf("the hold that is being paid: %+v (%v)", found, err)
		}
		r.mustLack(fan(2), []string{"A-1"}, []string{"A-1"})
	}
	for range 2 {
		r.mustLack(fan(1), h.Seats, []string{"A-2"})
		stays()
	}
	if err := r.MarkVoided(t.Context(), show, fan(99), late, []string{"A-2"}); err != nil {
		t.Fatal(err)
	}
	if again := r.take(fan(1), long, h.Seats...); again.ID != h.ID || again.Fence != h.Fence {
		t.Errorf("nobody else has its seats, and it is %+v, want %+v", again, h)
	}
	stays()
}
