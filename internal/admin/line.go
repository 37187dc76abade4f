package admin

import (
	"slices"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/access"
	"onsale/internal/line"
	"onsale/internal/problem"
	"onsale/internal/sale"
)

// line shows the last record of an event's admission log.
func (d Deps) line(c *fiber.Ctx) error {
	eventID := c.Params("event")
	if err := sale.CheckEventID(eventID); err != nil {
		return err
	}
	m, found, err := d.Log.Last(c.UserContext(), events.Admissions, events.AdmissionSubject(eventID))
	if err != nil {
		return err
	}
	if !found {
		return sale.Errorf(sale.NotFound, "event_not_found", "no admission log of %q: there is no such event, or no admitter has run since it was created", eventID)
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(m.Data)
}

func (d Deps) rate(c *fiber.Ctx) error {
	req, err := problem.Body[struct {
		Rate float64 `json:"rate"`
	}](c.Request())
	if err != nil {
		return err
	}
	if !(req.Rate > 0 && req.Rate <= line.MaxRate) {
		return sale.Errorf(sale.Invalid, "bad_rate", "rate must be above 0 and at most 1000000 fans a second")
	}
	if err := d.Paces.SetRate(c.UserContext(), c.Params("event"), req.Rate); err != nil {
		return err
	}
	return c.JSON(fiber.Map{"event_id": c.Params("event"), "rate": req.Rate})
}

func (d Deps) shoppers(c *fiber.Ctx) error {
	req, err := problem.Body[struct {
		Cap *int `json:"cap"`
	}](c.Request())
	if err != nil {
		return err
	}
	// Without its field it would lift the limit.
	if req.Cap == nil || *req.Cap < 0 || *req.Cap > maxCap {
		return sale.Errorf(sale.Invalid, "bad_cap", "cap must be 0 to %d shoppers; 0 lifts the limit", maxCap)
	}
	if err := d.Paces.SetCap(c.UserContext(), c.Params("event"), *req.Cap); err != nil {
		return err
	}
	return c.JSON(fiber.Map{"event_id": c.Params("event"), "cap": *req.Cap})
}

func (d Deps) payments(c *fiber.Ctx) error {
	req, err := problem.Body[struct {
		Pace *bool `json:"pace"`
	}](c.Request())
	if err != nil {
		return err
	}
	if req.Pace == nil {
		return sale.Errorf(sale.Invalid, "bad_pace", "pace must be true or false")
	}
	if err := d.Paces.SetPaceByPayments(c.UserContext(), c.Params("event"), *req.Pace); err != nil {
		return err
	}
	return c.JSON(fiber.Map{"event_id": c.Params("event"), "pace": *req.Pace})
}

func (d Deps) lane(c *fiber.Ctx) error {
	req, err := problem.Body[struct {
		Share *float64 `json:"share"`
	}](c.Request())
	if err != nil {
		return err
	}
	lane := c.Params("lane")
	if err := sale.CheckLane(lane); err != nil {
		return err
	}
	if req.Share == nil || !(*req.Share >= 0 && *req.Share <= line.MaxShares) {
		return sale.Errorf(sale.Invalid, "bad_share", "share must be 0 to %g of the release", line.MaxShares)
	}
	if err := d.Paces.SetLane(c.UserContext(), c.Params("event"), lane, *req.Share); err != nil {
		return err
	}
	return c.JSON(fiber.Map{"event_id": c.Params("event"), "lane": lane, "share": *req.Share})
}

// MaxCodes is how many access codes one call gives out at most: it bounds what one answer carries.
const MaxCodes = 100_000

// codes gives out access codes. They are recorded before they are told, so the public log never counts too few.
func (d Deps) codes(c *fiber.Ctx) error {
	req, err := problem.Body[struct {
		Count int    `json:"count"`
		Uses  int    `json:"uses"`
		Note  string `json:"note,omitempty"`
	}](c.Request())
	if err != nil {
		return err
	}
	b := access.Batch{ID: uuid.New(), Lane: c.Params("lane"), Count: req.Count, Uses: orElse(req.Uses, 1)}
	if err := b.Check(); err != nil {
		return err
	}
	if b.Count > MaxCodes || len(req.Note) > 200 {
		return sale.Errorf(sale.Invalid, "bad_batch", "count must be 1 to %d codes at a time, and a note at most 200 bytes", MaxCodes)
	}
	eventID := c.Params("event")
	if err := d.Paces.GrantCodes(c.UserContext(), eventID, req.Note, b); err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(fiber.Map{
		"event_id": eventID, "lane": b.Lane, "batch_id": b.ID, "uses": b.Uses, "codes": slices.Collect(d.Codes.All(eventID, b)),
	})
}
