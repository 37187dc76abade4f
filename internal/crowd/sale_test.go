package crowd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// faults are the ways in which a testSale breaks, or lies. Lies are breaches of the contract that a
// crowd must report; the others are what an honest sale may suffer.
type faults struct {
	throttleEvery int // every n-th call is answered 429
	resetEvery    int // every n-th call loses its connection, in turn before and after it was carried out
	slowEvery     int // every n-th call is answered after the client has lost patience

	// Those inside get no fresh pass once all is sold, and so can't ask for their order any more.
	shutInside bool
	// Every checkout that is accepted is carried out, and its answer lost.
	loseCheckouts bool

	sellTwice, worsenPlace, nullPlace, forgetOrders, emptyOrders   bool
	newOrderEachTime, otherTicket, declinedPays, keepHolds         bool
	changeAmount, noPass, sendBack, unconfirm, refuseTicket, noETA bool
}

// testSale is a whole sale in memory, by the HTTP contract.
type testSale struct {
	faults
	rate    float64       // admissions a second, from opensAt on
	opensAt time.Time     // in the lobby before
	passTTL time.Duration // of a pass
	holdTTL time.Duration
	payTime time.Duration // until an order has its outcome
	price   int64

	mu        sync.Mutex
	requests  int
	seats     []string
	sold      map[string]string // seat to order
	places    map[string]int64  // session to arrival number
	sessions  []string          // by arrival number
	polls     map[string]int64
	holds     map[string]*testHold
	live      map[string]*testHold // by session
	orders    map[string]*testOrder
	byKey     map[string]*testOrder // by session and idempotency key
	lastID    int
	seatReads int
}

type testHold struct {
	id, session string
	seats       []string
	expires     time.Time
}

type testOrder struct {
	id, session, method string
	hold                *testHold
	status              string
	seats               []string
	decided             time.Time
}

func newTestSale(rows, perRow int) *testSale {
	s := &testSale{rate: 50, opensAt: time.Now(), passTTL: time.Minute, holdTTL: 30 * time.Second,
		payTime: 300 * time.Millisecond, price: 4500,
		sold: map[string]string{}, places: map[string]int64{}, polls: map[string]int64{}, holds: map[string]*testHold{},
		live: map[string]*testHold{}, orders: map[string]*testOrder{}, byKey: map[string]*testOrder{}}
	for r := range rows {
		for n := range perRow {
			s.seats = append(s.seats, fmt.Sprintf("%c-%d", 'A'+r, n+1))
		}
	}
	return s
}

// handler serves the contract, with the faults around it.
func (s *testSale) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/queue/show", s.queue)
	mux.HandleFunc("POST /v1/queue/show/join", s.join)
	mux.HandleFunc("GET /v1/queue/show/position", s.position)
	mux.HandleFunc("GET /v1/events/show/seats", s.inside(s.listSeats))
	mux.HandleFunc("POST /v1/events/show/holds", s.inside(s.hold))
	mux.HandleFunc("DELETE /v1/holds/{id}", s.inside(s.release))
	mux.HandleFunc("POST /v1/holds/{id}/checkout", s.inside(s.checkout))
	mux.HandleFunc("GET /v1/orders/{id}", s.inside(s.order))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests++
		n := s.requests
		s.mu.Unlock()
		every := func(k int) bool { return k > 0 && n%k == 0 }
		switch {
		case every(s.throttleEvery):
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, "overloaded", nil)
		case every(s.slowEvery):
			mux.ServeHTTP(httptest.NewRecorder(), r)
			pause(r, waitTimeout+time.Second)
		case every(s.resetEvery):
			if n/s.resetEvery%2 == 0 {
				mux.ServeHTTP(httptest.NewRecorder(), r)
			}
			hangUp(w)
		case s.loseCheckouts && strings.HasSuffix(r.URL.Path, "/checkout"):
			kept := httptest.NewRecorder()
			mux.ServeHTTP(kept, r)
			if kept.Code == http.StatusAccepted {
				hangUp(w)
				return
			}
			w.WriteHeader(kept.Code)
			_, _ = kept.Body.WriteTo(w)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

func hangUp(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		conn.Close()
	}
}

// pause waits, or until the client has gone.
func pause(r *http.Request, d time.Duration) { _ = sleep(r.Context(), d) }

func reply(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, code string, more map[string]any) {
	body := map[string]any{"type": "about:blank", "title": code, "status": status, "code": code}
	for k, v := range more {
		body[k] = v
	}
	reply(w, status, body)
}

func (s *testSale) queue(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply(w, http.StatusOK, map[string]any{"state": "open", "serving": s.serving(), "joined": len(s.sessions),
		"rate": s.rate, "seats_left": len(s.seats) - len(s.sold)})
}

func (s *testSale) serving() int64 {
	return max(0, int64(time.Since(s.opensAt).Seconds()*s.rate))
}

// stand is what a session is told of its place.
func (s *testSale) stand(session string) (state string, place any) {
	ahead := s.places[session] - s.serving()
	switch {
	case len(s.sold) == len(s.seats) && !s.sellTwice && (ahead >= 0 || s.shutInside):
		return stateSoldOut, nil
	case time.Now().Before(s.opensAt):
		return stateLobby, nil
	case ahead < 0:
		return stateAdmitted, nil
	}
	if s.worsenPlace {
		s.polls[session]++
		ahead += 1000 * s.polls[session]
	}
	return stateWaiting, ahead + 1
}

func (s *testSale) join(w http.ResponseWriter, r *http.Request) {
	var body struct{ Session string }
	_ = json.NewDecoder(r.Body).Decode(&body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.places[body.Session]; !known {
		s.places[body.Session] = int64(len(s.sessions))
		s.sessions = append(s.sessions, body.Session)
	}
	ticket := body.Session
	if s.otherTicket {
		s.lastID++
		ticket += "/" + strconv.Itoa(s.lastID)
	}
	state, place := s.stand(body.Session)
	reply(w, http.StatusCreated, map[string]any{"ticket": ticket, "state": state, "position": place, "eta": nil, "poll_after_ms": 500})
}

func bearer(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func (s *testSale) position(w http.ResponseWriter, r *http.Request) {
	session, _, _ := strings.Cut(bearer(r), "/")
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.places[session]; !known || s.refuseTicket {
		refuse(w, http.StatusUnauthorized, "bad_ticket", nil)
		return
	}
	state, place := s.stand(session)
	body := map[string]any{"state": state, "position": place, "eta": nil, "poll_after_ms": 500}
	if n, ok := place.(int64); ok {
		eta := float64(n) / s.rate
		body["eta"], body["eta_low"], body["eta_high"] = eta, eta*0.8, eta*1.2
		if s.noETA {
			body["eta_low"] = eta * 2
		}
		if s.nullPlace {
			body["position"] = nil
		}
	}
	if state == stateAdmitted && !s.noPass {
		expires := time.Now().Add(s.passTTL)
		body["pass"] = session + "/" + strconv.FormatInt(expires.UnixNano(), 10)
		body["pass_expires_at"] = expires
	}
	if s.polls[session]++; s.sendBack && state == stateAdmitted && s.polls[session]%2 == 0 {
		body["state"], body["position"] = stateWaiting, 7
	}
	reply(w, http.StatusOK, body)
}

// inside lets a call through that has a valid pass and the session it is bound to.
func (s *testSale) inside(next func(http.ResponseWriter, *http.Request, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, expiry, _ := strings.Cut(bearer(r), "/")
		nanos, err := strconv.ParseInt(expiry, 10, 64)
		if err != nil || time.Now().After(time.Unix(0, nanos)) || r.Header.Get("Onsale-Session") != session {
			refuse(w, http.StatusUnauthorized, "pass_expired", nil)
			return
		}
		next(w, r, session)
	}
}

func (s *testSale) holderOf(seat string) *testHold {
	for _, h := range s.live {
		for _, held := range h.seats {
			if held == seat && time.Now().Before(h.expires) {
				return h
			}
		}
	}
	return nil
}

func (s *testSale) listSeats(w http.ResponseWriter, r *http.Request, _ string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seatReads++
	tag := strings.Builder{}
	var seats []map[string]any
	for _, id := range s.seats {
		status := seatAvailable
		switch {
		case s.sellTwice:
		case s.sold[id] != "":
			status = seatSold
		case s.holderOf(id) != nil:
			status = "held"
		}
		tag.WriteByte(status[0])
		seats = append(seats, map[string]any{"id": id, "status": status, "price": s.price})
	}
	etag := strconv.Quote(tag.String())
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	reply(w, http.StatusOK, map[string]any{"seats": seats, "currency": "eur", "version": s.requests})
}
