package api

import (
	"context"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"onsale/internal/problem"
	"onsale/internal/sale"
)

// event is an event as the public sees it.
type event struct {
	ID         string           `json:"id"`
	Name       string           `json:"name"`
	Currency   string           `json:"currency"`
	State      sale.State       `json:"state"`
	OpensAt    *time.Time       `json:"opens_at"`
	Seats      int              `json:"seats"`
	SeatsLeft  int              `json:"seats_left"`
	Categories map[string]int64 `json:"categories,omitempty"` // the lowest price in each
	MaxSeats   int              `json:"max_seats_per_hold"`
}

func (s *server) describe(e sale.Event) event {
	_, sold := s.sales.soldOf(e.ID, nil)
	return event{ID: e.ID, Name: e.Name, Currency: e.Currency, State: s.sales.stateOf(e.ID), OpensAt: opensAt(e),
		Seats: e.Seats, SeatsLeft: max(e.Seats-sold, 0), MaxSeats: e.Rules.MaxSeatsPerHold}
}

func opensAt(e sale.Event) *time.Time {
	if e.OpensAt.IsZero() {
		return nil
	}
	t := e.OpensAt.UTC()
	return &t
}

func (s *server) listEvents(c *fiber.Ctx) error {
	s.sales.mu.RLock()
	list, looked := s.sales.list, s.sales.looked
	s.sales.mu.RUnlock()
	if !s.sales.current.Load() || looked.IsZero() {
		return errLineBehind
	}
	out := make([]event, len(list))
	for i, e := range list {
		out[i] = s.describe(e)
	}
	c.Set(fiber.HeaderCacheControl, "public, max-age=1")
	return c.JSON(fiber.Map{"events": out})
}

func (s *server) getEvent(c *fiber.Ctx) error {
	o, err := s.sales.find(c.UserContext(), c.Params("event"))
	if err != nil {
		return err
	}
	e := s.describe(o.event)
	e.Categories = map[string]int64{}
	for _, t := range o.seats {
		if low, ok := e.Categories[t.Category]; !ok || t.Price < low {
			e.Categories[t.Category] = t.Price
		}
	}
	c.Set(fiber.HeaderCacheControl, "public, max-age=1")
	return c.JSON(e)
}

// seatMap is a node's picture of an event's seats, taken again when it is older than seatMapAge.
type seatMap struct {
	taking singleflight.Group

	mu      sync.Mutex
	at      time.Time
	version int64
	states  []string
}

const seatMapAge = 200 * time.Millisecond

type seatAnswer struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Price  int64  `json:"price"`
}

func (s *server) getSeats(c *fiber.Ctx) error {
	o, _, err := s.inside(c, c.Params("event"), c.Get(sessionHeader))
	if err != nil {
		return err
	}
	if err := selling(o.last().State); err != nil {
		return err
	}
	states, version, err := s.seatStates(c.UserContext(), o)
	if err != nil {
		return err
	}
	seats := make([]seatAnswer, len(o.seats))
	for i, t := range o.seats {
		seats[i] = seatAnswer{t.ID, states[i], t.Price}
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.JSON(fiber.Map{"seats": seats, "currency": o.event.Currency, "version": version})
}

// seatStates are the statuses of an event's seats in plan order, at most seatMapAge old, and their version,
// which grows with every change that this node has seen.
func (s *server) seatStates(ctx context.Context, o *onSale) ([]string, int64, error) {
	m := &o.seatMap
	m.mu.Lock()
	fresh := s.Now().Sub(m.at) < seatMapAge
	states, version := m.states, m.version
	m.mu.Unlock()
	if fresh {
		return states, version, nil
	}
	_, err, _ := m.taking.Do("", func() (any, error) {
		at := s.Now()
		ids := make([]string, len(o.seats))
		for i, t := range o.seats {
			ids[i] = t.ID
		}
		found, err := s.Memory.SeatStates(ctx, o.event.ID, ids)
		if err != nil {
			return nil, err
		}
		next := make([]string, len(ids))
		for i, f := range found {
			switch {
			case f.Sold != "":
				next[i] = "sold"
			case f.Held:
				next[i] = "held"
			default:
				next[i] = "available"
			}
		}
		sold, _ := s.sales.soldOf(o.event.ID, ids)
		for _, id := range sold {
			next[o.ordinal[id]] = "sold"
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		for i := range next {
			if len(m.states) == 0 || next[i] != m.states[i] {
				m.version++
				break
			}
		}
		m.at, m.states = at, next
		return nil, nil
	})
	if err != nil {
		return nil, 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states, m.version, nil
}

type holdRequest struct {
	SeatIDs []string `json:"seat_ids"`
	Session string   `json:"session"`
}

func (s *server) postHold(c *fiber.Ctx) error {
	req, err := problem.Body[holdRequest](c.Request())
	if err != nil {
		return err
	}
	o, session, err := s.inside(c, c.Params("event"), req.Session)
	if err != nil {
		return err
	}
	amount, err := o.price(req.SeatIDs)
	if err != nil {
		return err
	}
	if err := selling(o.last().State); err != nil {
		return err
	}
	if sold, _ := s.sales.soldOf(o.event.ID, req.SeatIDs); len(sold) > 0 {
		return sale.SeatsTaken(sold) // known here: Redis need not be asked
	}
	h, err := s.Holds.Take(c.UserContext(), o.event.ID, session, req.SeatIDs, o.event.Rules.HoldTTL)
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(fiber.Map{
		"hold_id": h.ID, "expires_at": h.ExpiresAt, "seats": h.Seats, "amount": amount, "currency": o.event.Currency,
	})
}

// selling says whether those inside may go on. A paused line stands, the shop does not.
func selling(state sale.State) error {
	switch state {
	case sale.Open, sale.Paused, sale.SoldOut:
		return nil
	case sale.Closed:
		return sale.Errorf(sale.Conflict, "sale_closed", "the sale is over")
	}
	return sale.Errorf(sale.Conflict, "sale_not_open", "the sale has not opened")
}

// price checks a choice of seats and adds up what they cost, in minor units.
func (o *onSale) price(ids []string) (int64, error) {
	if len(ids) == 0 {
		return 0, sale.Errorf(sale.Invalid, "no_seats", "seat_ids must name at least one seat")
	}
	if len(ids) > o.event.Rules.MaxSeatsPerHold {
		return 0, sale.Errorf(sale.Invalid, "too_many_seats", "at most %d seats can be held at once", o.event.Rules.MaxSeatsPerHold)
	}
	var amount int64
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		i, known := o.ordinal[id]
		if !known {
			return 0, sale.Errorf(sale.Invalid, "unknown_seat", "there is no such seat in this event").With("seats", []string{id})
		}
		if seen[id] {
			return 0, sale.Errorf(sale.Invalid, "duplicate_seats", "a seat is named twice").With("seats", []string{id})
		}
		seen[id] = true
		amount += o.seats[i].Price
	}
	return amount, nil
}

// ownHold finds the hold of a call, which must be the caller's.
func (s *server) ownHold(c *fiber.Ctx) (*onSale, sale.Hold, error) {
	o, session, err := s.inside(c, "", c.Get(sessionHeader))
	if err != nil {
		return nil, sale.Hold{}, err
	}
	id, err := uuid.Parse(c.Params("hold"))
	if err != nil {
		return nil, sale.Hold{}, sale.ErrNoHold
	}
	h, err := s.Holds.Find(c.UserContext(), o.event.ID, id)
	if err == nil && h.Session != session {
		err = sale.ErrNoHold
	}
	return o, h, err
}

func (s *server) deleteHold(c *fiber.Ctx) error {
	_, h, err := s.ownHold(c)
	if err != nil {
		return err
	}
	failed, err := s.failedOrder(c.UserContext(), h)
	if err != nil {
		return err
	}
	if err := s.Holds.Release(c.UserContext(), h, failed); err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}
