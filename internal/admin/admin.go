// Package admin is the operators' half of HTTP: creating sales, opening, pacing, pausing and closing them. It is
// mounted on the operations listener of the api, behind a token, and never on the public one.
package admin

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"onsale/events"
	"onsale/internal/access"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/plan"
	"onsale/internal/problem"
	"onsale/internal/sale"
)

// Catalog is what is on sale.
type Catalog interface {
	CreateEvent(ctx context.Context, e sale.Event, seats []sale.Seat, secret draw.Secret) error
	Events(ctx context.Context) ([]sale.Event, error)
	MoveSale(ctx context.Context, eventID string, to sale.State) error
}

// Paces are the operator's wishes for a line.
type Paces interface {
	SetRate(ctx context.Context, eventID string, rate float64) error
	SetCap(ctx context.Context, eventID string, shoppers int) error
	SetPaceByPayments(ctx context.Context, eventID string, on bool) error
	SetLane(ctx context.Context, eventID, lane string, share float64) error
	GrantCodes(ctx context.Context, eventID, note string, b access.Batch) error
}

// Log is the admission logs.
type Log interface {
	Last(ctx context.Context, stream, subject string) (events.Message, bool, error)
}

// Deps are what the routes need of the world.
type Deps struct {
	Token   string // the operator's secret
	Catalog Catalog
	Paces   Paces
	Orders  Orders
	Log     Log
	Codes   access.Codes
	Line    func(ctx context.Context, eventID string) error // makes an event's line
}

// Mount adds the routes below /admin, and those of orders below /v1/orders.
func Mount(app fiber.Router, d Deps) {
	orders := app.Group("/v1/orders", d.authorize)
	orders.Get("/", d.orders)
	orders.Get("/:order", d.order)
	orders.Post("/:order/refund", d.refund)
	r := app.Group("/admin", d.authorize)
	r.Get("/events", d.list)
	r.Post("/events", d.create)
	r.Get("/events/:event/line", d.line)
	r.Put("/events/:event/rate", d.rate)
	r.Put("/events/:event/cap", d.shoppers)
	r.Put("/events/:event/payments", d.payments)
	r.Put("/events/:event/lanes/:lane", d.lane)
	r.Post("/events/:event/lanes/:lane/codes", d.codes)
	for verb, state := range map[string]sale.State{"open": sale.Open, "resume": sale.Open, "pause": sale.Paused, "close": sale.Closed} {
		r.Post("/events/:event/"+verb, func(c *fiber.Ctx) error {
			if err := d.Catalog.MoveSale(c.UserContext(), c.Params("event"), state); err != nil {
				return err
			}
			return c.JSON(fiber.Map{"event_id": c.Params("event"), "state": state})
		})
	}
}

func (d Deps) authorize(c *fiber.Ctx) error {
	token := problem.Bearer(c.Request())
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(d.Token))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return sale.Errorf(sale.Unauthorized, "bad_admin_token", "the operator's token is missing or wrong")
	}
	return c.Next()
}

// CreateEvent is the body of POST /admin/events. Zero values take the defaults.
type CreateEvent struct {
	ID                   string           `json:"id"`
	Name                 string           `json:"name"`
	Currency             string           `json:"currency"`
	Rate                 float64          `json:"rate"`             // fans a second
	Cap                  int              `json:"cap,omitempty"`    // the most shoppers inside
	Beacon               string           `json:"beacon,omitempty"` // "<chain>/<round>" of a public random value that the draw waits for
	OpensAt              *time.Time       `json:"opens_at,omitempty"`
	MaxSeatsPerHold      int              `json:"max_seats_per_hold,omitempty"`
	MaxSeatsPerSale      int              `json:"max_seats_per_sale,omitempty"` // of a session, in all its orders; 0 for no limit
	HoldTTLSeconds       int              `json:"hold_ttl_seconds,omitempty"`
	PaymentWindowSeconds int              `json:"payment_window_seconds,omitempty"`
	Plan                 json.RawMessage  `json:"plan"`
	Prices               map[string]int64 `json:"prices"` // category to minor units
}

// Defaults of an event, and bounds.
const (
	DefaultMaxSeats      = 8
	DefaultHoldTTL       = 5 * time.Minute
	DefaultPaymentWindow = 3 * time.Minute
	MaxSeatsPerHold      = 100
	MaxHoldTTL           = time.Hour // and of the payment window
	maxCap               = 10_000_000
)

var currency = regexp.MustCompile(`^[a-z]{3}$`)

func (d Deps) create(c *fiber.Ctx) error {
	req, err := problem.Body[CreateEvent](c.Request())
	if err != nil {
		return err
	}
	e, seats, err := req.event()
	if err != nil {
		return sale.Errorf(sale.Invalid, "bad_event", "%s", err)
	}
	// The line first: an event that fans can find must have one, and a line without an event harms nobody.
	if err := d.Line(c.UserContext(), e.ID); err != nil {
		return err
	}
	secret, err := draw.NewSecret(rand.Reader)
	if err != nil {
		return err
	}
	if err := d.Catalog.CreateEvent(c.UserContext(), e, seats, secret); err != nil {
		return err
	}
	return c.Status(fiber.StatusCreated).JSON(fiber.Map{
		"event_id": e.ID, "state": sale.Lobby, "seats": len(seats), "commitment": draw.Commitment(secret),
	})
}

// event checks all of the request and says all that is wrong with it.
func (r CreateEvent) event() (sale.Event, []sale.Seat, error) {
	var wrong []error
	refuse := func(bad bool, what string) {
		if bad {
			wrong = append(wrong, errors.New(what))
		}
	}
	e := sale.Event{ID: r.ID, Name: r.Name, Currency: strings.ToLower(r.Currency), Rate: r.Rate, Cap: r.Cap, Beacon: r.Beacon, Rules: sale.Rules{
		MaxSeatsPerHold: orElse(r.MaxSeatsPerHold, DefaultMaxSeats),
		MaxSeatsPerSale: r.MaxSeatsPerSale,
		HoldTTL:         time.Duration(orElse(r.HoldTTLSeconds, int(DefaultHoldTTL/time.Second))) * time.Second,
		PaymentWindow:   time.Duration(orElse(r.PaymentWindowSeconds, int(DefaultPaymentWindow/time.Second))) * time.Second,
	}}
	if err := sale.CheckEventID(e.ID); err != nil {
		wrong = append(wrong, err)
	}
	refuse(!currency.MatchString(e.Currency), "currency must be an ISO 4217 code like eur")
	refuse(!(e.Rate > 0 && e.Rate <= line.MaxRate), "rate must be above 0 and at most 1000000 fans a second")
	refuse(e.Cap < 0 || e.Cap > maxCap, "cap must be 0 to 10000000 shoppers")
	if e.Beacon != "" {
		if _, err := draw.ParseBeaconRef(e.Beacon); err != nil {
			wrong = append(wrong, err)
		}
	}
	refuse(e.Rules.MaxSeatsPerHold < 1 || e.Rules.MaxSeatsPerHold > MaxSeatsPerHold, "max_seats_per_hold must be 1 to 100")
	refuse(e.Rules.MaxSeatsPerSale < 0 || e.Rules.MaxSeatsPerSale > 10_000, "max_seats_per_sale must be 0 to 10000; 0 for no limit")
	refuse(e.Rules.HoldTTL < time.Second || e.Rules.HoldTTL > MaxHoldTTL, "hold_ttl_seconds must be 1 to 3600")
	refuse(e.Rules.PaymentWindow < time.Second || e.Rules.PaymentWindow > MaxHoldTTL, "payment_window_seconds must be 1 to 3600")
	if r.OpensAt != nil {
		e.OpensAt = *r.OpensAt
	}
	p, err := plan.Parse(bytes.NewReader(r.Plan))
	if err != nil {
		return e, nil, errors.Join(append(wrong, err)...)
	}
	if e.Name == "" {
		e.Name = p.Name
	}
	refuse(e.Name == "", "the event has no name, and neither has its plan")
	seats, err := p.Price(r.Prices)
	if err != nil {
		wrong = append(wrong, err)
	}
	return e, seats, errors.Join(wrong...)
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

func (d Deps) list(c *fiber.Ctx) error {
	all, err := d.Catalog.Events(c.UserContext())
	if err != nil {
		return err
	}
	out := make([]fiber.Map, len(all))
	for i, e := range all {
		out[i] = fiber.Map{"event_id": e.ID, "name": e.Name, "state": e.State, "rate": e.Rate, "seats": e.Seats, "currency": e.Currency}
	}
	return c.JSON(fiber.Map{"events": out})
}
