// Package api is the service that fans, Stripe and other engineers' gateways talk to. A waiting fan's poll is
// answered from memory: followers keep each line's prefix sums and last admission. What changes something is
// answered after it is durable.
package api

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"onsale/events"
	"onsale/internal/access"
	"onsale/internal/batch"
	"onsale/internal/line"
	"onsale/internal/pass"
	"onsale/internal/problem"
	"onsale/internal/sale"
)

// Streams are the broker's streams.
type Streams interface {
	Publish(ctx context.Context, out events.Outgoing) (events.Ack, error)
	Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error
	Read(ctx context.Context, stream string, sequence uint64) (events.Message, error)
	Range(ctx context.Context, stream, subject string, from uint64, limit, maxBytes int) ([]events.Message, error)
	LineEpoch(ctx context.Context, eventID string) (uint64, error)
}

// Catalog is what is on sale, and what was ordered.
type Catalog interface {
	Events(ctx context.Context) ([]sale.Event, error)
	Seats(ctx context.Context, eventID string) ([]sale.Seat, error)
	Orders(ctx context.Context, ids []uuid.UUID) ([]sale.Order, error)
	SoldSeats(ctx context.Context, eventID string) ([]string, error)
}

// Holds are the claims on seats.
type Holds interface {
	TakeAll(ctx context.Context, wanted []sale.Wanted) ([]sale.Taking, error)
	Find(ctx context.Context, eventID string, session sale.SessionHash, id uuid.UUID) (sale.Hold, error)
	Release(ctx context.Context, eventID string, session sale.SessionHash, id uuid.UUID, order string) error
	Bind(ctx context.Context, eventID string, session sale.SessionHash, id uuid.UUID, b sale.Binding) (sale.Hold, error)
}

// Memory is what Redis remembers for all nodes.
type Memory interface {
	SeatStates(ctx context.Context, eventID string, seats []string) ([]sale.SeatState, error)
	Accept(ctx context.Context, order uuid.UUID, a sale.Accepted) error
	Accepted(ctx context.Context, order uuid.UUID) (sale.Accepted, bool, error)
}

// Places are the places that sessions have in a line, and what is left of the access codes.
type Places interface {
	Recall(ctx context.Context, k line.Key, sessions []sale.SessionHash) ([]*line.Ticket, error)
	Remember(ctx context.Context, k line.Key, tickets []line.Ticket) error
	Forget(ctx context.Context, k line.Key) error
	Redeem(ctx context.Context, k line.Key, code events.CodeID, uses int, session sale.SessionHash) (bool, error)
}

// Deps are what the service needs of the world.
type Deps struct {
	Listener net.Listener
	Streams  Streams
	Catalog  Catalog
	Holds    Holds
	Memory   Memory
	Places   Places
	Notices  Notices
	Webhook  func(body []byte, signature string) (events.StripeEvent, error) // verifies

	Tickets  line.Tickets
	Codes    access.Codes
	Passes   *pass.Keys
	Entry    Entry
	MaxChunk int // joins in one message; 1 is the baseline that the bench compares with

	Now   func() time.Time
	Log   *slog.Logger
	Ready *atomic.Bool // set once the node knows what the streams hold
}

// The listener's bounds.
const (
	maxBody       = 64 << 10
	maxHeader     = 16 << 10
	shutdownLimit = 15 * time.Second
	requestLimit  = 10 * time.Second
)

// A connection that sends nothing holds up a shutdown for as long as a request may take.
var limits = problem.Limits{Read: 5 * time.Second, Write: 30 * time.Second, Idle: 75 * time.Second}

type server struct {
	Deps
	life   context.Context // of the followers; ends when the service does
	sales  *sales
	orders *batch.Group[uuid.UUID, sale.Order]    // looks orders up, those of many requests at once
	takes  *batch.Group[sale.Wanted, sale.Taking] // takes seats, those of many requests at once

	checkouts, webhooks *batch.Group[events.Outgoing, stored] // what is answered once it is durable

	notices   *notices
	streams   *streams
	heartbeat time.Duration // of such a stream

	door    *door
	sending chan struct{} // one for each page of the public records, until it is written
	reading chan struct{} // one for each such page that is being read from its stream
	proving chan struct{} // one for each read for the draw and its receipts
}

var lookups = batch.Config{MaxItems: 128, Enough: 64, Patience: 3 * time.Millisecond, MaxInFlight: 2, MaxQueue: 16 << 10, Timeout: 5 * time.Second}

// Run serves until ctx ends, then finishes the requests under way.
func Run(ctx context.Context, d Deps) error {
	g, life := errgroup.WithContext(ctx)
	s := newServer(life, d)
	g.Go(func() error { return s.sales.follow(life) })
	context.AfterFunc(life, func() { d.Ready.Store(false) })
	g.Go(func() error { return problem.Serve(life, s.routes(), d.Listener, limits, shutdownLimit) })
	err := g.Wait()
	s.sales.drain()
	// Requests that are gone leave theirs to be stored: that ends before the connections do.
	s.checkouts.Wait()
	s.webhooks.Wait()
	return err
}

func newServer(life context.Context, d Deps) *server {
	s := &server{
		Deps: d, life: life, orders: batch.New(lookups, d.Catalog.Orders), door: newDoor(d.Entry),
		sending: make(chan struct{}, pagesAtOnce), reading: make(chan struct{}, readersAtOnce), proving: make(chan struct{}, proversAtOnce),
	}
	s.takes = batch.New(takeGroup, func(ctx context.Context, wanted []sale.Wanted) ([]sale.Taking, error) {
		return s.Holds.TakeAll(ctx, wanted)
	})
	s.checkouts, s.webhooks = batch.New(checkoutGroup, s.store), batch.New(webhookGroup, s.store)
	s.notices, s.streams, s.heartbeat = newNotices(d.Notices, d.Now), newStreams(maxStreams), heartbeat
	s.sales = newSales(life, d)
	return s
}

func (s *server) routes() *fiber.App {
	app := fiber.New(fiber.Config{
		AppName: "onsale api", DisableStartupMessage: true, ErrorHandler: problem.Handler(s.Log),
		BodyLimit: maxBody, ReadBufferSize: maxHeader,
		Immutable: true, // what a handler reads may outlive it: in a chunk, in a log
	})
	v1 := app.Group("/v1")
	// Polls are answered from memory, joins and holds bounded by their groups. They are too many to be given a timer each,
	// or an id where nothing went wrong.
	v1.Post("/queue/:event/join", routed(s.postJoin))
	v1.Get("/queue/:event/position", routed(s.getPosition))
	v1.Post("/events/:event/holds", routed(s.postHold))
	v1.Get("/events/:event/seats", routed(s.getSeats))
	v1.Get("/events/:event/seats/stream", routed(s.getSeatStream))
	v1.Get("/queue/:event", s.getQueue)
	app.Use(problem.RequestID, deadline)
	v1.Delete("/queue/:event/position", s.deletePosition)
	v1.Get("/queue/:event/draw", s.getDraw)
	v1.Get("/queue/:event/proof", s.getProof)
	v1.Get("/queue/:event/admissions", s.getAdmissions)
	v1.Get("/queue/:event/chunks", s.getChunks)
	v1.Get("/events", s.listEvents)
	v1.Get("/events/:event", s.getEvent)
	v1.Delete("/holds/:hold", s.deleteHold)
	v1.Post("/holds/:hold/checkout", s.postCheckout)
	v1.Get("/orders/:order", s.getOrder)
	v1.Post("/webhooks/stripe", s.postStripe)
	app.Get("/.well-known/jwks.json", s.getJWKS)
	app.Server().Handler = hot(app, s.Log,
		hotRoute{fiber.MethodPost, "/v1/queue/", "/join", s.postJoin},
		hotRoute{fiber.MethodGet, "/v1/queue/", "/position", s.getPosition},
		hotRoute{fiber.MethodPost, "/v1/events/", "/holds", s.postHold},
		hotRoute{fiber.MethodGet, "/v1/events/", "/seats", s.getSeats},
	)
	return app
}

// deadline bounds what a request may take, so that it is refused and not left hanging while a store is away.
// Waiting for an outcome, which the caller asked for, comes on top.
func deadline(c *fiber.Ctx) error {
	ctx, cancel := context.WithTimeout(c.UserContext(), requestLimit)
	defer cancel()
	c.SetUserContext(ctx)
	return c.Next()
}

func (s *server) getJWKS(c *fiber.Ctx) error {
	c.Set(fiber.HeaderCacheControl, "public, max-age=300")
	return c.JSON(fiber.Map{"keys": s.Passes.JWKS()})
}

// postStripe stores a verified webhook event. Stripe is answered 2xx only once it is durable.
func (s *server) postStripe(c *fiber.Ctx) error {
	e, err := s.Webhook(c.BodyRaw(), c.Get("Stripe-Signature"))
	if err != nil {
		return err
	}
	if _, err := durable(c.UserContext(), s.webhooks, events.Outgoing{Subject: events.StripeSubject(e.Type), ID: e.ID, Data: events.Encode(e)}); err != nil {
		return err
	}
	return c.JSON(fiber.Map{"received": true})
}
