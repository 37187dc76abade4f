package crowd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

func (s *testSale) nextID(kind string) string {
	s.lastID++
	return fmt.Sprintf("%s-%d", kind, s.lastID)
}

func (s *testSale) hold(w http.ResponseWriter, r *http.Request, session string) {
	var body struct {
		SeatIDs []string `json:"seat_ids"`
		Session string   `json:"session"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if body.Session != session {
		refuse(w, http.StatusForbidden, "wrong_session", nil)
		return
	}
	if h := s.live[session]; h != nil && time.Now().Before(h.expires) {
		refuse(w, http.StatusConflict, "session_has_hold", map[string]any{"hold_id": h.id})
		return
	}
	var taken []string
	for _, id := range body.SeatIDs {
		if !s.sellTwice && (s.sold[id] != "" || s.holderOf(id) != nil) {
			taken = append(taken, id)
		}
	}
	if len(taken) > 0 {
		refuse(w, http.StatusConflict, "seats_taken", map[string]any{"seats": taken})
		return
	}
	h := &testHold{id: s.nextID("hold"), session: session, seats: body.SeatIDs, expires: time.Now().Add(s.holdTTL)}
	s.holds[h.id], s.live[session] = h, h
	reply(w, http.StatusCreated, map[string]any{"hold_id": h.id, "expires_at": h.expires, "seats": h.seats,
		"amount": s.price * int64(len(h.seats)), "currency": "eur"})
}

func (s *testSale) release(w http.ResponseWriter, r *http.Request, session string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.live[session]
	if h == nil || h.id != r.PathValue("id") {
		refuse(w, http.StatusNotFound, "hold_not_found", nil)
		return
	}
	if !s.keepHolds {
		delete(s.live, session)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *testSale) checkout(w http.ResponseWriter, r *http.Request, session string) {
	var body struct {
		Payment struct {
			Method string `json:"payment_method"`
		} `json:"payment"`
		Key string `json:"idempotency_key"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	s.mu.Lock()
	key := session + "/" + body.Key
	o := s.byKey[key]
	if o == nil || s.newOrderEachTime {
		h := s.live[session]
		if h == nil || h.id != r.PathValue("id") || time.Now().After(h.expires) {
			s.mu.Unlock()
			refuse(w, http.StatusNotFound, "hold_not_found", nil)
			return
		}
		o = &testOrder{id: s.nextID("order"), session: session, method: body.Payment.Method, hold: h,
			status: orderProcessing, seats: h.seats, decided: time.Now().Add(s.payTime)}
		h.expires = time.Now().Add(time.Hour) // covers the payment
		s.orders[o.id], s.byKey[key] = o, o
	}
	s.mu.Unlock()
	s.awaitOutcome(r, o)
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Location", "/v1/orders/"+o.id)
	reply(w, http.StatusAccepted, map[string]any{"order_id": o.id, "status": s.settleOrder(o)})
}

// awaitOutcome honours Prefer: wait=N.
func (s *testSale) awaitOutcome(r *http.Request, o *testOrder) {
	seconds, err := strconv.Atoi(strings.TrimPrefix(r.Header.Get("Prefer"), "wait="))
	if err != nil {
		return
	}
	s.mu.Lock()
	left := time.Until(o.decided)
	s.mu.Unlock()
	pause(r, min(left, time.Duration(seconds)*time.Second))
}

// settleOrder decides an order once its time has come, and returns its status.
func (s *testSale) settleOrder(o *testOrder) string {
	if o.status != orderProcessing || time.Now().Before(o.decided) {
		return o.status
	}
	switch {
	case o.method == cardAuthenticate:
		o.status = orderAuthenticate
	case (o.method == cardDeclined || o.method == cardNoFunds) && !s.declinedPays:
		o.status = orderPaymentFailed
	default:
		s.confirm(o)
	}
	return o.status
}

func (s *testSale) confirm(o *testOrder) {
	for _, seat := range o.seats {
		if s.sold[seat] != "" && !s.sellTwice {
			o.status = orderRejected
			return
		}
	}
	for _, seat := range o.seats {
		s.sold[seat] = o.id
	}
	o.status = orderConfirmed
	delete(s.live, o.session)
}

// authenticate is the cardholder's bank; the intent is named for its order.
func (s *testSale) authenticate(intent string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.orders[strings.TrimPrefix(intent, "pi_")]
	if o == nil || o.status != orderAuthenticate {
		return fmt.Errorf("no challenge for %q", intent)
	}
	s.confirm(o)
	return nil
}

func (s *testSale) order(w http.ResponseWriter, r *http.Request, session string) {
	s.mu.Lock()
	o := s.orders[r.PathValue("id")]
	s.mu.Unlock()
	if o == nil || o.session != session || s.forgetOrders {
		refuse(w, http.StatusNotFound, "order_not_found", nil)
		return
	}
	s.awaitOutcome(r, o)
	s.mu.Lock()
	defer s.mu.Unlock()
	body := map[string]any{"order_id": o.id, "status": s.settleOrder(o), "seats": o.seats,
		"amount": s.price * int64(len(o.seats)), "currency": "eur"}
	switch {
	case o.status == orderAuthenticate:
		body["client_secret"] = "pi_" + o.id + "_secret_x"
	case s.emptyOrders:
		body["seats"] = []string{}
	case s.changeAmount:
		body["amount"] = 1
	case s.unconfirm && o.status == orderConfirmed:
		if s.polls[o.id]++; s.polls[o.id] > 1 {
			body["status"] = orderRejected
		}
	}
	reply(w, http.StatusOK, body)
}
