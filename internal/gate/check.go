package gate

import (
	"errors"
	"log/slog"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"onsale/internal/pass"
	"onsale/internal/problem"
	"onsale/internal/sale"
)

// The listener's bounds.
const (
	maxBody   = 64 << 10 // gateways should send none
	maxHeader = 32 << 10
	maxConns  = 16 << 10
)

// An idle connection is kept for longer than a gateway keeps it, so that it is the gateway that closes.
var limits = problem.Limits{Read: 5 * time.Second, Write: 30 * time.Second, Idle: 75 * time.Second}

// The gate's headers.
const (
	sessionHeader = "Onsale-Session" // asked: the session that the pass was given to
	reasonHeader  = "Onsale-Reason"  // answered: the code of the refusal
	eventHeader   = "Onsale-Event"   // answered: what the backend may be told of who comes in
	subjectHeader = "Onsale-Subject"
)

var errUnguarded = sale.Errorf(sale.Forbidden, "unknown_event", "this gate was not told to guard that event")

func (g *gate) routes() *fiber.App {
	answer := problem.Handler(g.Log)
	// That the gate has nothing to go by was logged when the api was not reached, and need not be for each request.
	quiet := problem.Handler(slog.New(slog.DiscardHandler))
	app := fiber.New(fiber.Config{
		AppName: "onsale gate", DisableStartupMessage: true, BodyLimit: maxBody, ReadBufferSize: maxHeader, Concurrency: maxConns,
		Immutable: true,
		ErrorHandler: func(c *fiber.Ctx, err error) error {
			refuse := answer
			if errors.Is(err, errNotReady) {
				refuse = quiet
			}
			err = refuse(c, err)
			if why := c.GetRespHeader(reasonHeader); why != "" && c.Response().StatusCode() == fiber.StatusUnauthorized {
				c.Set(fiber.HeaderWWWAuthenticate, `Bearer error="invalid_token", error_description="`+why+`"`) // RFC 6750, section 3
			}
			return err
		},
	})
	app.Get("/healthz", func(c *fiber.Ctx) error { return c.SendString("ok\n") })
	app.Get("/readyz", g.ready)
	app.Get("/metrics", adaptor.HTTPHandler(promhttp.Handler()))
	// Gateways that check what they are asked for put it behind the path that they were told; it is not looked at.
	for _, path := range []string{"/check", "/check/:event", "/check/:event/*"} {
		app.All(path, g.check)
	}
	return app
}

// check answers 204 to who may go in.
func (g *gate) check(c *fiber.Ctx) error {
	c.Set(fiber.HeaderCacheControl, "no-store")
	claims, err := g.judge(c)
	if err != nil {
		code := sale.CodeOf(err)
		checks.WithLabelValues(code).Inc()
		c.Set(reasonHeader, code)
		return err
	}
	checks.WithLabelValues("admitted").Inc()
	c.Set(eventHeader, claims.EventID)
	c.Set(subjectHeader, claims.Session.String())
	return c.SendStatus(fiber.StatusNoContent)
}

// judge says whether the request may go in, to the event that the path names or to any that is guarded here.
func (g *gate) judge(c *fiber.Ctx) (pass.Claims, error) {
	eventID := c.Params("event")
	if eventID != "" && g.sales[eventID] == nil {
		return pass.Claims{}, errUnguarded
	}
	// Of two headers the gateway may have meant the one and the backend read the other.
	if len(c.Request().Header.PeekAll(fiber.HeaderAuthorization)) > 1 || len(c.Request().Header.PeekAll(sessionHeader)) > 1 {
		return pass.Claims{}, pass.ErrBad
	}
	claims, err := g.keys.verify(problem.Bearer(c.Request()))
	if err != nil {
		return pass.Claims{}, err
	}
	if eventID == "" {
		eventID = claims.EventID
	}
	if err := claims.Admit(eventID, c.Get(sessionHeader)); err != nil {
		return pass.Claims{}, err
	}
	w := g.sales[eventID]
	if w == nil {
		return pass.Claims{}, pass.ErrForeign
	}
	return claims, w.admits()
}

func (g *gate) ready(c *fiber.Ctx) error {
	if g.keys.current.Load() == nil {
		return c.Status(fiber.StatusServiceUnavailable).SendString("not ready: no public keys yet\n")
	}
	for id, w := range g.sales {
		if w.state.Load() == nil {
			return c.Status(fiber.StatusServiceUnavailable).SendString("not ready: no state of " + id + " yet\n")
		}
	}
	return c.SendString("ready\n")
}
