package api

import (
	"context"
	"math/rand/v2"
	"sync"

	"onsale/internal/sale"
	"onsale/internal/seating"
	"onsale/internal/seatmap"
)

// bestWish asks for the best seats that are left.
type bestWish struct {
	Quantity int    `json:"quantity"`
	Category string `json:"category"` // "" for any
}

// bestSeats chooses the best seats of an event.
type bestSeats struct {
	plan       *seating.Plan
	categories map[string]bool
	choosing   sync.Mutex
	pending    goneSeats // chosen here a moment ago: others are offered others
}

func newBestSeats(seats []sale.Seat) *bestSeats {
	b := &bestSeats{plan: seating.New(seats), categories: map[string]bool{}, pending: goneSeats{seats: make([]goneSeat, len(seats))}}
	for _, t := range seats {
		b.categories[t.Category] = true
	}
	return b
}

// A choice that someone else is quicker with is made again from what is known by then, among so many more blocks each
// time that a crowd which wants the same parts.
const (
	bestTries  = 6
	bestSpread = 4
)

var (
	errNotEnough = sale.Errorf(sale.Conflict, "not_enough_seats", "there are not so many seats left")
	errBestTaken = sale.Errorf(sale.Conflict, "best_seats_taken", "others were quicker with each choice; try again")
)

func (o *onSale) checkWish(w bestWish) error {
	if w.Quantity < 1 {
		return sale.Errorf(sale.Invalid, "bad_quantity", "best.quantity must be at least 1")
	}
	if w.Category != "" && !o.best.categories[w.Category] {
		return sale.Errorf(sale.Invalid, "unknown_category", "there is no such category in this event")
	}
	return o.mayHold(w.Quantity)
}

// holdBest takes the best seats that are left.
func (s *server) holdBest(ctx context.Context, o *onSale, session sale.SessionHash, wish bestWish) (sale.Hold, []int, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	among := 1
	for range bestTries {
		free, err := s.available(ctx, o)
		if err != nil {
			return sale.Hold{}, nil, err
		}
		seats := s.chooseBest(o, session, wish, among, free)
		if seats == nil {
			return sale.Hold{}, nil, errNotEnough
		}
		h, err := s.hold(ctx, o, session, seats)
		if err == nil {
			return h, seats, nil
		}
		o.best.pending.forget(seats, 0)
		if sale.CodeOf(err) != "seats_taken" {
			return sale.Hold{}, nil, err
		}
		among *= bestSpread
	}
	return sale.Hold{}, nil, errBestTaken
}

// chooseBest chooses from the seats that are free, without those that this node saw held or chose a moment ago.
func (s *server) chooseBest(o *onSale, session sale.SessionHash, wish bestWish, among int, free []bool) []int {
	o.best.choosing.Lock()
	defer o.best.choosing.Unlock()
	now := s.Now()
	o.gone.exclude(free, now)
	o.best.pending.exclude(free, now)
	seats := o.best.plan.Choose(seating.Wish{Quantity: wish.Quantity, Category: wish.Category, Among: among}, free, rand.IntN)
	for _, seat := range seats {
		o.best.pending.saw(seat, session, 0, goneAge, now)
	}
	return seats
}

// available says of each seat whether it is free, by the picture that this node has: a moment old.
func (s *server) available(ctx context.Context, o *onSale) ([]bool, error) {
	states, err := s.snapshot(ctx, o)
	free := make([]bool, len(states))
	for i, state := range states {
		free[i] = state == seatmap.Available
	}
	return free, err
}
