package api

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"onsale/internal/batch"
	"onsale/internal/problem"
	"onsale/internal/sale"
)

// takeGroup bounds the round trips to Redis: what arrives while some are under way goes together with the next.
var takeGroup = batch.Config{
	MaxItems: 128, MaxInFlight: 2, Enough: 128, Patience: time.Millisecond,
	MaxQueue: 32 << 10, MaxWait: requestLimit / 2, Timeout: requestLimit / 2,
}

// holdRequest names seats, or what the best of them must be.
type holdRequest struct {
	SeatIDs []string  `json:"seat_ids"`
	Best    *bestWish `json:"best"`
	Session string    `json:"session"`
}

// plainHold reads a hold as nearly every client writes it, without the work of a JSON reader. What it does not know is
// left to one.
func plainHold(body []byte) (req holdRequest, ok bool) {
	const begin, next, session, end = `{"seat_ids":["`, `","`, `"],"session":"`, `"}`
	if !bytes.HasPrefix(body, []byte(begin)) || !bytes.HasSuffix(body, []byte(end)) {
		return req, false
	}
	for _, b := range body {
		if b < ' ' || b > '~' || b == '\\' {
			return req, false
		}
	}
	s := string(body[len(begin):])
	for {
		at := indexQuote(s)
		req.SeatIDs = append(req.SeatIDs, s[:at])
		s = s[at:]
		if len(s) > len(session) && s[:len(session)] == session {
			s = s[len(session):]
			req.Session = s[:indexQuote(s)]
			return req, s[len(req.Session):] == end
		}
		if len(s) <= len(next) || s[:len(next)] != next {
			return req, false
		}
		s = s[len(next):]
	}
}

// indexQuote is where the first quote of s is, or its end.
func indexQuote(s string) int {
	for i := range len(s) {
		if s[i] == '"' {
			return i
		}
	}
	return len(s)
}

// postHold takes seats for a session: all that it names, or the best that are left.
func (s *server) postHold(ctx *fasthttp.RequestCtx, event string) error {
	req, plain := plainHold(ctx.Request.Body())
	if !plain || string(ctx.Request.Header.ContentType()) != fiber.MIMEApplicationJSON {
		var err error
		if req, err = problem.Body[holdRequest](&ctx.Request); err != nil {
			return err
		}
	}
	background := context.Background() // a hold is bounded by its group
	o, session, err := s.entitled(background, &ctx.Request, event, req.Session)
	if err != nil {
		return err
	}
	seats, err := o.wanted(&req)
	if err != nil {
		return err
	}
	if err := selling(o.last().State); err != nil {
		return err
	}
	var h sale.Hold
	if req.Best == nil {
		h, err = s.hold(background, o, session, seats)
	} else {
		h, seats, err = s.holdBest(background, o, session, *req.Best)
	}
	if err != nil {
		return err
	}
	ctx.SetStatusCode(fiber.StatusCreated)
	ctx.Response.Header.SetContentTypeBytes(jsonType)
	ctx.Response.SetBodyRaw(holdJSON(h, o.cost(seats), o.event.Currency))
	return nil
}

// wanted checks what a request is for, and finds the seats that it names, none where it wants the best.
func (o *onSale) wanted(req *holdRequest) ([]int, error) {
	if req.Best == nil {
		return o.choice(req.SeatIDs)
	}
	if req.SeatIDs != nil {
		return nil, sale.Errorf(sale.Invalid, "seats_or_best", "give either seat_ids or best, not both")
	}
	return nil, o.checkWish(*req.Best)
}

// hold takes seats, named by their index in the plan. Those that this node knows to be sold, or held a moment ago, it
// refuses without asking Redis.
func (s *server) hold(ctx context.Context, o *onSale, session sale.SessionHash, seats []int) (sale.Hold, error) {
	ids := make([]string, len(seats))
	for i, seat := range seats {
		ids[i] = o.seats[seat].ID
	}
	if sold, _ := s.sales.soldOf(o.event.ID, ids); len(sold) > 0 {
		return sale.Hold{}, sale.SeatsTaken(sold)
	}
	if gone := o.gone.among(seats, session, s.Now()); len(gone) > 0 {
		taken := make([]string, len(gone))
		for i, at := range gone {
			taken[i] = ids[at]
		}
		slices.Sort(taken)
		return sale.Hold{}, sale.SeatsTaken(taken)
	}
	rules := &o.event.Rules
	got, err := s.takes.Do(ctx, sale.Wanted{EventID: o.event.ID, Session: session, Seats: ids, TTL: rules.HoldTTL, Most: rules.MaxSeatsPerSale})
	if err != nil {
		return sale.Hold{}, err
	}
	now := s.Now()
	for _, holder := range got.Holders {
		o.gone.saw(o.ordinal[holder.Seat], holder.Session, holder.Fence, holder.Left, now)
	}
	if got.Err == nil {
		for _, seat := range seats {
			o.gone.saw(seat, session, got.Hold.Fence, got.Hold.Left, now)
		}
		s.notice(o, got.Hold.ID, got.Hold.Seats, got.Hold.Left)
	}
	return got.Hold, got.Err
}

// holdJSON is the answer to a hold. Ids, seats and currencies need no escapes.
func holdJSON(h sale.Hold, amount int64, currency string) []byte {
	b := make([]byte, 0, 192+32*len(h.Seats))
	b = append(append(b, `{"hold_id":"`...), h.ID.String()...)
	b = h.ExpiresAt.AppendFormat(append(b, `","expires_at":"`...), time.RFC3339Nano)
	b = append(b, `","seats":[`...)
	for i, seat := range h.Seats {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), seat...), '"')
	}
	b = strconv.AppendInt(append(b, `],"amount":`...), amount, 10)
	return append(append(append(b, `,"currency":"`...), currency...), `"}`...)
}

// selling says whether those inside may go on. A paused line stands, the shop does not.
func selling(state sale.State) error {
	switch state {
	case sale.Open, sale.Paused, sale.SoldOut:
		return nil
	case sale.Closed:
		return sale.Errorf(sale.Conflict, "sale_closed", "the sale is over")
	}
	return sale.Errorf(sale.Conflict, "sale_not_open", "the sale has not opened")
}

// price checks a choice of seats and adds up what they cost, in minor units.
func (o *onSale) price(ids []string) (int64, error) {
	seats, err := o.choice(ids)
	return o.cost(seats), err
}

// cost is what seats cost together, in minor units.
func (o *onSale) cost(seats []int) (amount int64) {
	for _, seat := range seats {
		amount += o.seats[seat].Price
	}
	return amount
}

// choice checks a choice of seats, and finds them in the plan.
func (o *onSale) choice(ids []string) ([]int, error) {
	if len(ids) == 0 {
		return nil, sale.Errorf(sale.Invalid, "no_seats", "seat_ids must name at least one seat; or ask for the best")
	}
	if err := o.mayHold(len(ids)); err != nil {
		return nil, err
	}
	seats := make([]int, len(ids))
	for i, id := range ids {
		seat, known := o.ordinal[id]
		if !known {
			return nil, sale.Errorf(sale.Invalid, "unknown_seat", "there is no such seat in this event").With("seats", []string{id})
		}
		if slices.Contains(seats[:i], seat) {
			return nil, sale.Errorf(sale.Invalid, "duplicate_seats", "a seat is named twice").With("seats", []string{id})
		}
		seats[i] = seat
	}
	return seats, nil
}

// mayHold checks how many seats someone wants at once.
func (o *onSale) mayHold(seats int) error {
	if most := o.event.Rules.MaxSeatsPerHold; seats > most {
		return sale.Errorf(sale.Invalid, "too_many_seats", "at most %d seats can be held at once", most)
	}
	return nil
}

// ownHold finds the hold of a call, which must be the caller's.
func (s *server) ownHold(c *fiber.Ctx) (*onSale, sale.Hold, error) {
	o, session, err := s.inside(c, "", c.Get(sessionHeader))
	if err != nil {
		return nil, sale.Hold{}, err
	}
	id, err := uuid.Parse(c.Params("hold"))
	if err != nil {
		return nil, sale.Hold{}, sale.ErrNoHold
	}
	h, err := s.Holds.Find(c.UserContext(), o.event.ID, session, id)
	return o, h, err
}

func (s *server) deleteHold(c *fiber.Ctx) error {
	o, h, err := s.ownHold(c)
	if err != nil {
		return err
	}
	former, err := s.replaceable(c.UserContext(), h.Order, h.ID)
	if err != nil {
		return err
	}
	if err := s.Holds.Release(c.UserContext(), h.EventID, h.Session, h.ID, former); err != nil {
		return err
	}
	s.gaveBack(o, h)
	return c.SendStatus(fiber.StatusNoContent)
}

// gaveBack tells all nodes, and what this one remembers, that a hold is over.
func (s *server) gaveBack(o *onSale, h sale.Hold) {
	if seats, err := o.choice(h.Seats); err == nil { // a plan never changes: it has them
		o.gone.forget(seats, h.Fence)
		o.best.pending.forget(seats, h.Fence)
	}
	s.notice(o, h.ID, h.Seats, 0)
}
