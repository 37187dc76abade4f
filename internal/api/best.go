package api

import (
	"context"
	"math/rand/v2"
	"slices"
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
	choosers   chan struct{} // one for each who chooses or waits to
	choosing   sync.Mutex
	pending    goneSeats // chosen here a moment ago: others are offered others
}

func newBestSeats(seats []sale.Seat) *bestSeats {
	b := &bestSeats{
		plan: seating.New(seats), categories: map[string]bool{}, choosers: make(chan struct{}, maxChoosers),
		pending: goneSeats{seats: make([]goneSeat, len(seats))},
	}
	for _, t := range seats {
		b.categories[t.Category] = true
	}
	return b
}

// maxChoosers bounds those who choose or wait to, for each event of a node. A choice takes a stadium a millisecond or so,
// so the last of them waits for less than half a second.
const maxChoosers = 256

// A choice that someone else is quicker with is made again from what is known by then, among so many more blocks each
// time that a crowd which wants the same parts.
const (
	bestTries  = 6
	bestSpread = 4
)

var (
	errNotEnough = sale.Errorf(sale.Conflict, "not_enough_seats", "there are not so many seats left")
	errChoosing  = sale.Errorf(sale.Unavailable, "busy", "too many choose the best seats right now; try again")
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
		states, err := s.snapshot(ctx, o)
		if err != nil {
			return sale.Hold{}, nil, err
		}
		seats, err := s.chooseBest(o, session, wish, among, states)
		if err != nil {
			return sale.Hold{}, nil, err
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

// chooseBest chooses from the seats that are available, without those that this node saw held or chose a moment ago. Where
// these are too few it chooses among what others were offered, too: whether they get that is Redis's to say, and the
// refusal, when it is one, is the truth.
func (s *server) chooseBest(o *onSale, session sale.SessionHash, wish bestWish, among int, states []seatmap.State) ([]int, error) {
	select {
	case o.best.choosers <- struct{}{}:
		defer func() { <-o.best.choosers }()
	default:
		return nil, errChoosing
	}
	o.best.choosing.Lock()
	defer o.best.choosing.Unlock()
	free := make([]bool, len(states))
	for i, state := range states {
		free[i] = state == seatmap.Available
	}
	now := s.Now()
	o.gone.exclude(free, now)
	left := slices.Clone(free)
	o.best.pending.exclude(left, now)
	w := seating.Wish{Quantity: wish.Quantity, Category: wish.Category, Among: among}
	seats := o.best.plan.Choose(w, left, rand.IntN)
	if seats == nil {
		seats = o.best.plan.Choose(w, free, rand.IntN)
	}
	if seats == nil {
		return nil, errNotEnough
	}
	for _, seat := range seats {
		o.best.pending.saw(seat, session, 0, goneAge, now)
	}
	return seats, nil
}
