package crowd

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// The states of a fan in line, as the position call tells them.
const (
	stateLobby    = "lobby"
	stateWaiting  = "waiting"
	stateAdmitted = "admitted"
	statePaused   = "paused"
	stateSoldOut  = "sold_out"
	stateClosed   = "closed"
	stateLeft     = "left"
)

// The statuses of an order that a fan acts upon.
const (
	orderProcessing    = "processing"
	orderAuthenticate  = "authentication_required"
	orderPaymentFailed = "payment_failed"
	orderConfirmed     = "confirmed"
	orderRejected      = "rejected"
	orderVoided        = "voided"
	orderRefunded      = "refunded"
)

// The statuses of a seat.
const (
	seatAvailable = "available"
	seatSold      = "sold"
)

// Stripe's test payment methods, each of which has one fixed outcome.
const (
	cardGood         = "pm_card_visa"
	cardDeclined     = "pm_card_visa_chargeDeclined"
	cardNoFunds      = "pm_card_visa_chargeDeclinedInsufficientFunds"
	cardAuthenticate = "pm_card_authenticationRequired"
)

// joined answers a join, and the part of it that positions share answers a poll.
type joined struct {
	Ticket      string `json:"ticket"`
	State       string `json:"state"`
	Position    *int64 `json:"position"`
	PollAfterMS int64  `json:"poll_after_ms"`
}

type position struct {
	State       string   `json:"state"`
	Position    *int64   `json:"position"`
	ETA         *float64 `json:"eta"`
	ETALow      *float64 `json:"eta_low"`
	ETAHigh     *float64 `json:"eta_high"`
	PollAfterMS int64    `json:"poll_after_ms"`
	Pass        string   `json:"pass"`
}

type queueStatus struct {
	State     string `json:"state"`
	Serving   int64  `json:"serving"`
	Joined    int64  `json:"joined"`
	SeatsLeft *int64 `json:"seats_left"`
}

type seatsAnswer struct {
	Seats []struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	} `json:"seats"`
}

type hold struct {
	ID       string   `json:"hold_id"`
	Seats    []string `json:"seats"` // nil when the answer that named them was lost
	Amount   int64    `json:"amount"`
	Currency string   `json:"currency"`
}

type order struct {
	ID           string   `json:"order_id"`
	Status       string   `json:"status"`
	Seats        []string `json:"seats"`
	Amount       int64    `json:"amount"`
	Currency     string   `json:"currency"`
	ClientSecret string   `json:"client_secret"`
}

// problem is RFC 9457's document with the members by which the sale names what conflicted.
type problem struct {
	Code   string   `json:"code"`
	Seats  []string `json:"seats"`
	HoldID string   `json:"hold_id"`
}

// over says whether a refusal means that there is nothing left for this fan to do.
func (p problem) over() (Outcome, bool) {
	switch {
	case strings.Contains(p.Code, "sold_out"):
		return SoldOut, true
	case strings.Contains(p.Code, "closed"):
		return Closed, true
	}
	return "", false
}

func (c *crowd) queuePath() string { return "/v1/queue/" + url.PathEscape(c.cfg.EventID) }
func (c *crowd) eventPath() string { return "/v1/events/" + url.PathEscape(c.cfg.EventID) }

func (c *crowd) queueRequest() request {
	return request{call: callQueue, method: http.MethodGet, path: c.queuePath()}
}

func (c *crowd) joinRequest(session string) request {
	return request{call: callJoin, method: http.MethodPost, path: c.queuePath() + "/join",
		body: encode(map[string]string{"session": session})}
}

func (c *crowd) positionRequest(ticket string) request {
	return request{call: callPosition, method: http.MethodGet, path: c.queuePath() + "/position", bearer: ticket}
}

func (c *crowd) holdRequest(session string, seats []string) request {
	return request{call: callHold, method: http.MethodPost, path: c.eventPath() + "/holds",
		body: encode(map[string]any{"seat_ids": seats, "session": session})}
}

func releaseRequest(holdID string) request {
	return request{call: callRelease, method: http.MethodDelete, path: "/v1/holds/" + url.PathEscape(holdID)}
}

func checkoutRequest(holdID, method, key string) request {
	return request{call: callCheckout, waitCall: callCheckoutWait, method: http.MethodPost,
		path: "/v1/holds/" + url.PathEscape(holdID) + "/checkout", wait: true,
		body: encode(map[string]any{
			"payment":         map[string]string{"payment_method": method},
			"idempotency_key": key,
		})}
}

func orderRequest(orderID string) request {
	return request{call: callOrder, waitCall: callOrderWait, method: http.MethodGet,
		path: "/v1/orders/" + url.PathEscape(orderID)}
}

// encode marshals maps of strings, which can't fail.
func encode(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic("crowd: encode request: " + err.Error())
	}
	return body
}
