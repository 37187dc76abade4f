package api

import (
	"time"

	"github.com/gofiber/fiber/v2"

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
	MaxPerSale int              `json:"max_seats_per_sale"` // of a session, in all its orders; 0 for no limit
}

func (s *server) describe(e sale.Event) event {
	_, sold := s.sales.soldOf(e.ID, nil)
	return event{ID: e.ID, Name: e.Name, Currency: e.Currency, State: s.sales.stateOf(e.ID), OpensAt: opensAt(e),
		Seats: e.Seats, SeatsLeft: max(e.Seats-sold, 0), MaxSeats: e.Rules.MaxSeatsPerHold, MaxPerSale: e.Rules.MaxSeatsPerSale}
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
