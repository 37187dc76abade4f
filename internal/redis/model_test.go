package redis

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"onsale/internal/sale"
)

// model is what holds are to be, in plain Go: no Redis, no expiry of keys, and a clock that moves when it is told to.
// The property test holds it against the scripts.
type model struct {
	now    time.Duration
	fence  int64 // the highest so far
	holds  []*modelHold
	owners map[string]modelOwner
	bought map[sale.SessionHash]map[uuid.UUID]int // seats by order
}

// modelOwner has a seat: a hold, or an order that bought it; nobody when both are nil.
type modelOwner struct {
	hold  *modelHold
	order uuid.UUID
}

type modelHold struct {
	id       uuid.UUID
	session  sale.SessionHash
	seats    []string
	fence    int64
	order    uuid.UUID // uuid.Nil for none yet
	request  [32]byte
	deadline time.Duration
	own      time.Duration // when it would have ended without its first order
	ended    bool
}

// result is what a call answers, without what can't be foreseen.
type result struct {
	code string   // of the refusal, "" for none
	of   string   // the hold or the order that is in the way
	seat []string // seats that someone else has
}

var (
	done   = result{}
	noHold = result{code: "hold_not_found"}
)

func newModel() *model {
	return &model{owners: map[string]modelOwner{}, bought: map[sale.SessionHash]map[uuid.UUID]int{}}
}

// pass moves the clock; holds whose time is up end.
func (m *model) pass(d time.Duration) {
	m.now += d
	for _, h := range m.holds {
		if !h.ended && h.deadline <= m.now {
			m.end(h)
		}
	}
}

// end ends a hold and frees the seats that are still its own.
func (m *model) end(h *modelHold) {
	h.ended = true
	for _, seat := range h.seats {
		if m.owners[seat].hold == h {
			delete(m.owners, seat)
		}
	}
}

func (m *model) live(session sale.SessionHash) *modelHold {
	for _, h := range m.holds {
		if !h.ended && h.session == session {
			return h
		}
	}
	return nil
}

// take returns the hold that the session has by now, or why it has none.
func (m *model) take(session sale.SessionHash, seats []string, ttl time.Duration, most int) (*modelHold, result) {
	if h := m.live(session); h != nil {
		switch {
		case !slices.Equal(h.seats, seats):
			return nil, result{code: "session_has_hold", of: h.id.String()}
		case m.lost(h) == "":
			return h, done
		case h.order != uuid.Nil:
			var lost []string
			for _, seat := range seats {
				if o, has := m.owners[seat]; has && o.hold != h {
					lost = append(lost, seat)
				}
			}
			if lost == nil {
				return h, done
			}
			return nil, result{code: "seats_taken", seat: lost}
		}
		m.end(h) // a seat was sold from under it
	}
	bought := 0
	for _, n := range m.bought[session] {
		bought += n
	}
	if most > 0 && bought+len(seats) > most {
		return nil, result{code: "sale_limit", of: fmt.Sprint(bought)}
	}
	var taken []string
	for _, seat := range seats {
		if _, has := m.owners[seat]; has {
			taken = append(taken, seat)
		}
	}
	if taken != nil {
		return nil, result{code: "seats_taken", seat: taken}
	}
	h := &modelHold{session: session, seats: seats, deadline: m.now + ttl}
	for _, seat := range seats {
		m.owners[seat] = modelOwner{hold: h}
	}
	m.holds = append(m.holds, h)
	return h, done
}

// lost is the first of a hold's seats that is no longer its own, "" for none.
func (m *model) lost(h *modelHold) string {
	for _, seat := range h.seats {
		if m.owners[seat].hold != h {
			return seat
		}
	}
	return ""
}

func (m *model) bind(h *modelHold, session sale.SessionHash, order uuid.UUID, request [32]byte, window time.Duration, replace string) result {
	switch {
	case h.ended, h.session != session:
		return noHold
	case h.order == order && h.request != request:
		return result{code: "idempotency_key_reused"}
	case h.order != uuid.Nil && h.order != order && h.order.String() != replace:
		return result{code: "checkout_in_progress", of: h.order.String()}
	case h.order != uuid.Nil && h.order != order && h.own <= m.now:
		m.end(h)
		return result{code: "hold_over"}
	}
	if seat := m.lost(h); seat != "" {
		return result{code: "seats_taken", seat: []string{seat}}
	}
	if h.order == uuid.Nil {
		h.own = h.deadline
	}
	if h.order != order || h.own > m.now {
		h.deadline = max(h.deadline, m.now+window)
	}
	h.order, h.request = order, request
	return done
}

func (m *model) extend(h *modelHold, order uuid.UUID, window time.Duration) bool {
	if h.ended || h.order != order || m.lost(h) != "" {
		return false
	}
	h.deadline = max(h.deadline, m.now+window)
	return true
}

// release is for whoever has the hold; order is the one on whose behalf, uuid.Nil for none.
func (m *model) release(h *modelHold, order uuid.UUID) result {
	switch {
	case h.ended:
		return noHold
	case h.order != uuid.Nil && h.order != order:
		return result{code: "checkout_in_progress", of: h.order.String()}
	}
	m.end(h)
	return done
}

// sell gives a hold's seats to an order, whoever has them.
func (m *model) sell(h *modelHold, order uuid.UUID) {
	m.end(h)
	for _, seat := range h.seats {
		m.owners[seat] = modelOwner{order: order}
	}
	if m.bought[h.session] == nil {
		m.bought[h.session] = map[uuid.UUID]int{}
	}
	m.bought[h.session][order] = len(h.seats)
}

func (m *model) void(h *modelHold, order uuid.UUID) {
	for _, seat := range h.seats {
		if m.owners[seat].order == order && m.owners[seat].hold == nil {
			delete(m.owners, seat)
		}
	}
	delete(m.bought[h.session], order)
}

// heldByOthers are the seats of a hold that another hold has.
func (m *model) heldByOthers(h *modelHold) []string {
	var others []string
	for _, seat := range h.seats {
		if o := m.owners[seat]; o.hold != nil && o.hold != h {
			others = append(others, seat)
		}
	}
	return others
}

// states are the seats as a seat map shows them.
func (m *model) states(seats []string) []sale.SeatState {
	out := make([]sale.SeatState, len(seats))
	for i, seat := range seats {
		switch o := m.owners[seat]; {
		case o.hold != nil:
			out[i].Held = true
		case o.order != uuid.Nil:
			out[i].Sold = o.order.String()
		}
	}
	return out
}
