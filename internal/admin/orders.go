package admin

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"onsale/internal/problem"
	"onsale/internal/sale"
)

// Orders is what was bought, and what became of the money.
type Orders interface {
	ListOrders(ctx context.Context, f sale.OrderFilter) ([]sale.History, error)
	History(ctx context.Context, order uuid.UUID) (sale.History, error)
	RequestRefund(ctx context.Context, order uuid.UUID, reason string, keepSeats bool) (sale.Refund, error)
}

// Order is an order as an operator sees it. Lists leave the payments out.
type Order struct {
	ID        uuid.UUID        `json:"order_id"`
	EventID   string           `json:"event_id"`
	HoldID    uuid.UUID        `json:"hold_id"`
	Status    sale.OrderStatus `json:"status"`
	Reason    string           `json:"reason,omitempty"`
	Seats     []string         `json:"seats"`
	Amount    int64            `json:"amount"` // minor units
	Currency  string           `json:"currency"`
	CreatedAt time.Time        `json:"created_at"`
	UpdatedAt time.Time        `json:"updated_at"`
	Attempts  []Attempt        `json:"attempts,omitempty"`
	Refunds   []Refund         `json:"refunds,omitempty"`
	Disputes  []Dispute        `json:"disputes,omitempty"`
}

// Attempt is one try to be paid.
type Attempt struct {
	ID        uuid.UUID         `json:"attempt_id"`
	State     sale.AttemptState `json:"state"`
	IntentID  string            `json:"intent_id,omitempty"`
	CreatedAt time.Time         `json:"created_at"`
	UpdatedAt time.Time         `json:"updated_at"`
}

// Refund is one try to pay an order back.
type Refund struct {
	ID        uuid.UUID        `json:"refund_id"`
	OrderID   uuid.UUID        `json:"order_id"`
	State     sale.RefundState `json:"state"`
	StripeID  string           `json:"stripe_id,omitempty"`
	Amount    int64            `json:"amount"` // minor units
	Currency  string           `json:"currency"`
	Reason    string           `json:"reason"`
	KeepSeats bool             `json:"keep_seats"`
	Failure   string           `json:"failure,omitempty"`
	CreatedAt time.Time        `json:"created_at"`
	UpdatedAt time.Time        `json:"updated_at"`
}

// Dispute is money that a buyer's bank demands back.
type Dispute struct {
	ID        string            `json:"dispute_id"`
	State     sale.DisputeState `json:"state"`
	Amount    int64             `json:"amount"` // minor units
	Currency  string            `json:"currency"`
	Reason    string            `json:"reason"`
	OpenedAt  time.Time         `json:"opened_at"`
	ClosedAt  time.Time         `json:"closed_at,omitzero"`
	UpdatedAt time.Time         `json:"updated_at"`
}

// RefundRequest is the body of POST /v1/orders/{id}/refund.
type RefundRequest struct {
	Reason    string `json:"reason"`
	KeepSeats bool   `json:"keep_seats,omitempty"`
}

// The bounds of what is asked for.
const (
	defaultOrders  = 50
	MaxOrders      = 1000 // in one list
	maxReasonBytes = 500
)

func (d Deps) orders(c *fiber.Ctx) error {
	f := sale.OrderFilter{EventID: c.Query("event"), Status: sale.OrderStatus(c.Query("status")), Limit: defaultOrders}
	if f.Status != "" && !slices.Contains(sale.OrderStatuses(), f.Status) {
		return sale.Errorf(sale.Invalid, "bad_status", "an order is none of %q; it is one of %v", f.Status, sale.OrderStatuses())
	}
	if limit := c.Query("limit"); limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 1 || n > MaxOrders {
			return sale.Errorf(sale.Invalid, "bad_limit", "limit must be 1 to %d", MaxOrders)
		}
		f.Limit = n
	}
	all, err := d.Orders.ListOrders(c.UserContext(), f)
	if err != nil {
		return err
	}
	out := make([]Order, len(all))
	for i, h := range all {
		out[i] = describe(h)
	}
	return c.JSON(fiber.Map{"orders": out})
}

var errNoOrder = sale.Errorf(sale.NotFound, "order_not_found", "there is no such order")

func (d Deps) order(c *fiber.Ctx) error {
	id, err := uuid.Parse(c.Params("order"))
	if err != nil {
		return errNoOrder
	}
	h, err := d.Orders.History(c.UserContext(), id)
	if err != nil {
		return err
	}
	return c.JSON(describe(h))
}

// refund asks for the whole of an order to be paid back: 202, and the payworker does it. Asking again finds the same
// refund, whatever has become of it.
func (d Deps) refund(c *fiber.Ctx) error {
	id, err := uuid.Parse(c.Params("order"))
	if err != nil {
		return errNoOrder
	}
	req, err := problem.Body[RefundRequest](c.Request())
	if err != nil {
		return err
	}
	if strings.TrimSpace(req.Reason) == "" || len(req.Reason) > maxReasonBytes || strings.ContainsRune(req.Reason, 0) {
		return sale.Errorf(sale.Invalid, "bad_reason", "reason must say why, in at most %d bytes", maxReasonBytes)
	}
	r, err := d.Orders.RequestRefund(c.UserContext(), id, req.Reason, req.KeepSeats)
	if err != nil {
		return err
	}
	return c.Status(fiber.StatusAccepted).JSON(describeRefund(r))
}

func describe(h sale.History) Order {
	o := Order{ID: h.Order.ID, EventID: h.Order.EventID, HoldID: h.Order.HoldID, Status: h.Order.Status, Reason: h.Order.Reason, Seats: h.Order.Seats,
		Amount: h.Order.Amount, Currency: h.Order.Currency, CreatedAt: h.CreatedAt, UpdatedAt: h.Order.UpdatedAt}
	for _, a := range h.Attempts {
		o.Attempts = append(o.Attempts, Attempt{ID: a.ID, State: a.State, IntentID: a.IntentID, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt})
	}
	for _, r := range h.Refunds {
		o.Refunds = append(o.Refunds, describeRefund(r))
	}
	for _, x := range h.Disputes {
		y := Dispute{ID: x.ID, State: x.State, Amount: x.Amount, Currency: x.Currency, Reason: x.Reason, OpenedAt: x.OpenedAt, UpdatedAt: x.UpdatedAt}
		if x.State.Closed() {
			y.ClosedAt = x.ClosedAt
		}
		o.Disputes = append(o.Disputes, y)
	}
	return o
}

func describeRefund(r sale.Refund) Refund {
	return Refund{ID: r.ID, OrderID: r.OrderID, State: r.State, StripeID: r.StripeID, Amount: r.Amount, Currency: r.Currency, Reason: r.Reason,
		KeepSeats: r.KeepSeats, Failure: r.Failure, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}
}

// Orders returns orders, newest first. Empty values select all; limit 0 takes the default.
func (c Client) Orders(ctx context.Context, eventID, status string, limit int) ([]Order, error) {
	q := url.Values{}
	for name, value := range map[string]string{"event": eventID, "status": status} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var answer struct {
		Orders []Order `json:"orders"`
	}
	err := c.call(ctx, http.MethodGet, "/v1/orders?"+q.Encode(), nil, &answer)
	return answer.Orders, err
}

// Order returns an order and all that became of its money.
func (c Client) Order(ctx context.Context, id uuid.UUID) (Order, error) {
	var o Order
	err := c.call(ctx, http.MethodGet, "/v1/orders/"+id.String(), nil, &o)
	return o, err
}

// Refund asks for the whole of an order to be paid back.
func (c Client) Refund(ctx context.Context, id uuid.UUID, reason string, keepSeats bool) (Refund, error) {
	var r Refund
	err := c.call(ctx, http.MethodPost, "/v1/orders/"+id.String()+"/refund", RefundRequest{Reason: reason, KeepSeats: keepSeats}, &r)
	return r, err
}
