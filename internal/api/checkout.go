package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/problem"
	"onsale/internal/sale"
)

type checkoutRequest struct {
	Payment struct {
		PaymentMethod string `json:"payment_method"`
	} `json:"payment"`
	IdempotencyKey string `json:"idempotency_key"`
}

var (
	paymentMethod  = regexp.MustCompile(`^pm_[A-Za-z0-9_]{1,250}$`)
	idempotencyKey = regexp.MustCompile(`^[!-~]{1,255}$`)
)

func (r checkoutRequest) check() error {
	if !paymentMethod.MatchString(r.Payment.PaymentMethod) {
		return sale.Errorf(sale.Invalid, "bad_payment_method", "payment.payment_method must be the id of a Stripe payment method, pm_...")
	}
	if !idempotencyKey.MatchString(r.IdempotencyKey) {
		return sale.Errorf(sale.Invalid, "bad_idempotency_key", "idempotency_key must have 1 to 255 printable characters without spaces")
	}
	return nil
}

// errKeyReused is the same idempotency key with another body.
var errKeyReused = sale.Errorf(sale.Unprocessable, "idempotency_key_reused", "the idempotency key was used for another request")

// postCheckout accepts a checkout: 202 once the command is durable in CHECKOUTS. The same request again, at any
// time and on any node, finds the same order.
func (s *server) postCheckout(c *fiber.Ctx) error {
	req, err := problem.Body[checkoutRequest](c.Request())
	if err != nil {
		return err
	}
	if err := req.check(); err != nil {
		return err
	}
	o, session, err := s.inside(c, "", c.Get(sessionHeader))
	if err != nil {
		return err
	}
	holdID, err := uuid.Parse(c.Params("hold"))
	if err != nil {
		return sale.ErrNoHold
	}
	ctx := c.UserContext()
	order := sale.OrderID(o.event.ID, session, req.IdempotencyKey)
	request := sale.RequestHash(holdID, req.Payment.PaymentMethod)
	wait := s.waitFor(order, c.Get("Prefer"))
	defer wait.forget()
	found, known, err := s.findOrder(ctx, order)
	if err != nil {
		return err
	}
	if known && !bytes.Equal(found.RequestHash[:], request[:]) {
		return errKeyReused
	}
	if !known {
		if found, err = s.accept(ctx, o, session, holdID, order, request, req.Payment.PaymentMethod); err != nil {
			return err
		}
	}
	if found, err = wait.decided(c, found); err != nil {
		return err
	}
	c.Set(fiber.HeaderLocation, "/v1/orders/"+order.String())
	return c.Status(fiber.StatusAccepted).JSON(describeOrder(found))
}

// accept binds the hold to the order, stores the command, and remembers that it was accepted.
func (s *server) accept(ctx context.Context, o *onSale, session sale.SessionHash, holdID, order uuid.UUID, request [32]byte, method string) (sale.Order, error) {
	h, err := s.bind(ctx, o, session, holdID, order, request)
	if err != nil {
		return sale.Order{}, err
	}
	amount, err := o.price(h.Seats)
	if err != nil {
		return sale.Order{}, err
	}
	got, err := durable(ctx, s.checkouts, events.Outgoing{
		Subject: events.CheckoutSubject(o.event.ID), ID: order.String(),
		Data: events.Encode(events.CheckoutRequested{
			V: events.Version, OrderID: order, EventID: o.event.ID, Session: session, HoldID: h.ID, Seats: h.Seats, Amount: amount,
			Currency: o.event.Currency, PaymentMethod: method, RequestHash: request[:], RequestedAt: s.Now().UTC(),
			PaymentWindowMS: o.event.Rules.PaymentWindow.Milliseconds(),
		}),
	})
	if err != nil {
		return sale.Order{}, err
	}
	if got.ack.Duplicate {
		if err := s.sameRequest(ctx, got, request); err != nil {
			return sale.Order{}, err
		}
	}
	accepted := sale.Accepted{EventID: o.event.ID, Session: session, RequestHash: request[:], Seats: h.Seats, Amount: amount, Currency: o.event.Currency}
	if err := s.Memory.Accept(ctx, order, accepted); err != nil {
		// The command is durable and will be worked on: only a look at the order before that will not find it.
		s.Log.Warn("remember accepted checkout", "order_id", order, "error", err)
	}
	return processing(order, accepted), nil
}

// bind takes the hold for this order. One whose earlier order has no use for it may be tried again.
func (s *server) bind(ctx context.Context, o *onSale, session sale.SessionHash, hold, order uuid.UUID, request [32]byte) (sale.Hold, error) {
	// The payment begins once those before it are dealt with; the payworker extends the hold anew when it begins.
	waits, _ := s.sales.payments.Payments(s.Now())
	b := sale.Binding{Order: order, Request: request, Wait: waits.Wait, Window: o.event.Rules.PaymentWindow}
	h, err := s.Holds.Bind(ctx, o.event.ID, session, hold, b)
	if other := boundTo(err); other != "" {
		var lookErr error
		if b.Replace, lookErr = s.replaceable(ctx, other, hold); lookErr != nil {
			return sale.Hold{}, lookErr
		}
		if b.Replace != "" {
			if h, err = s.Holds.Bind(ctx, o.event.ID, session, hold, b); errors.Is(err, sale.ErrHoldOver) {
				s.gaveBack(o, h)
			}
		}
	}
	if err == nil {
		s.notice(o, h.ID, h.Seats, h.Left)
	}
	return h, err
}

// boundTo is the order that a hold is being paid with, where that is why it was refused.
func boundTo(err error) string {
	var e *sale.Error
	if !errors.As(err, &e) || e.Code != "checkout_in_progress" {
		return ""
	}
	order, _ := e.Fields["order_id"].(string)
	return order
}

// replaceable is the order that a hold is bound to, if it has no use for the hold: it got no seats and never will, or it is
// paid with another hold, which Redis has lost since. The hold is free again. "" otherwise.
func (s *server) replaceable(ctx context.Context, order string, hold uuid.UUID) (string, error) {
	id, err := uuid.Parse(order)
	if err != nil {
		return "", nil
	}
	o, err := s.orders.Do(ctx, id)
	if err != nil || o.ID != id {
		return "", err // or no worker has begun it
	}
	if o.Status == sale.PaymentFailed || o.Status == sale.Rejected || o.HoldID != hold {
		return order, nil
	}
	return "", nil
}

// sameRequest compares with the command that was stored first in the same place: the id of a message is made of its
// orders' ids, and not of what they ask for.
func (s *server) sameRequest(ctx context.Context, at stored, request [32]byte) error {
	m, err := s.Streams.Read(ctx, events.Checkouts, at.ack.Sequence)
	if err != nil {
		return sale.Errorf(sale.Unavailable, "broker_unavailable", "the stream could not be read; try again").Because(err)
	}
	records := m.Records()
	if at.record >= len(records) {
		return fmt.Errorf("message %d of %s has %d records, not one numbered %d", m.Sequence, events.Checkouts, len(records), at.record)
	}
	first, err := events.Decode[events.CheckoutRequested](records[at.record].Data)
	if err != nil {
		return err
	}
	if !bytes.Equal(first.RequestHash, request[:]) {
		return errKeyReused
	}
	return nil
}

func processing(id uuid.UUID, a sale.Accepted) sale.Order {
	o := sale.Order{ID: id, EventID: a.EventID, Session: a.Session, Seats: a.Seats, Amount: a.Amount, Currency: a.Currency, Status: sale.Processing}
	copy(o.RequestHash[:], a.RequestHash)
	return o
}

// findOrder looks in Postgres, and among the accepted checkouts that no worker has begun.
func (s *server) findOrder(ctx context.Context, id uuid.UUID) (sale.Order, bool, error) {
	o, err := s.orders.Do(ctx, id)
	if err != nil || o.ID == id {
		return o, err == nil, err
	}
	a, ok, err := s.Memory.Accepted(ctx, id)
	if err != nil {
		// Redis is away. The streams and Postgres still keep a retry from becoming a second order.
		s.Log.Warn("find accepted checkout", "order_id", id, "error", err)
		return sale.Order{}, false, nil
	}
	return processing(id, a), ok, nil
}

// getOrder answers the session that the order is of, and nobody else: its id can be computed by who guesses the
// idempotency key, since the hashes of sessions are public.
func (s *server) getOrder(c *fiber.Ctx) error {
	id, err := uuid.Parse(c.Params("order"))
	if err != nil {
		return errNoOrder
	}
	wait := s.waitFor(id, c.Get("Prefer"))
	defer wait.forget()
	o, known, err := s.findOrder(c.UserContext(), id)
	if err != nil {
		return err
	}
	if !known || sale.HashSession(o.EventID, c.Get(sessionHeader)) != o.Session {
		return errNoOrder
	}
	if o, err = wait.decided(c, o); err != nil {
		return err
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.JSON(describeOrder(o))
}

var errNoOrder = sale.Errorf(sale.NotFound, "order_not_found", "there is no such order of the session that "+sessionHeader+" names")

// describeOrder is an order as its buyer sees it.
func describeOrder(o sale.Order) fiber.Map {
	m := fiber.Map{"order_id": o.ID, "status": o.Status, "seats": o.Seats, "amount": o.Amount, "currency": o.Currency}
	if o.Reason != "" {
		m["reason"] = o.Reason
	}
	if o.ClientSecret != "" {
		m["client_secret"] = o.ClientSecret
	}
	return m
}

// The bounds of waiting for an outcome.
const (
	maxWait   = 30 * time.Second
	waitCheck = 2 * time.Second // Postgres is read so often even when nothing was told
)

// wait is one request's wait for an order to be decided. It begins before the order is read for the first time,
// so that no outcome falls between the reading and the waiting.
type wait struct {
	*server
	limit  time.Duration
	woken  <-chan outcome
	forget func() // must be called in the end
}

// waitFor begins to wait, for as long as the caller's Prefer header says.
func (s *server) waitFor(order uuid.UUID, prefer string) wait {
	w := wait{server: s, limit: preferredWait(prefer), forget: func() {}}
	if w.limit > 0 {
		w.woken, w.forget = s.sales.told.add(order)
	}
	return w
}

// decided returns the order as it is once it is decided, or when the time is up.
func (w wait) decided(c *fiber.Ctx, o sale.Order) (sale.Order, error) {
	if w.limit == 0 || o.Status != sale.Processing {
		return o, nil
	}
	c.Set("Preference-Applied", "wait="+strconv.Itoa(int(w.limit/time.Second)))
	deadline := time.NewTimer(w.limit)
	defer deadline.Stop()
	check := time.NewTicker(waitCheck)
	defer check.Stop()
	for {
		select {
		case told := <-w.woken:
			if told.status != "" {
				o.Status, o.Reason = told.status, told.reason
				return o, nil
			}
		case <-check.C:
		case <-deadline.C:
			return o, nil
		case <-w.life.Done():
			return o, nil // this node is going: the caller polls another
		}
		read, cancel := context.WithTimeout(context.WithoutCancel(c.UserContext()), requestLimit)
		found, known, err := w.findOrder(read, o.ID)
		cancel()
		if err != nil { // it was accepted: that it can't be looked up now is no refusal
			w.Log.Warn("look for an order's outcome", "order_id", o.ID, "error", err)
			continue
		}
		if known && found.Status != sale.Processing {
			return found, nil
		}
	}
}

// preferredWait reads RFC 7240's wait, in seconds; 0 for none.
func preferredWait(header string) time.Duration {
	for p := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if n, err := strconv.Atoi(strings.TrimSpace(value)); strings.EqualFold(strings.TrimSpace(name), "wait") && err == nil && n > 0 {
			return min(time.Duration(min(n, 3600))*time.Second, maxWait)
		}
	}
	return 0
}
