package api

import (
	"bytes"
	"context"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/batch"
	"onsale/internal/line"
	"onsale/internal/pass"
	"onsale/internal/problem"
	"onsale/internal/sale"
)

// joinGroup bounds the chunks: several in flight, so that the stream's fsync is shared and never waited for
// by all at once; but small ones only when nothing is in flight, because a chunk costs much the same whatever
// its size.
func joinGroup(maxChunk int) batch.Config {
	cfg := batch.Config{
		MaxItems: maxChunk, MaxInFlight: 4, Enough: min(128, maxChunk), Patience: 20 * time.Millisecond,
		MaxQueue: 64 << 10, MaxWait: requestLimit / 2, Timeout: requestLimit,
	}
	if maxChunk == 1 {
		cfg.MaxInFlight = 256 // one message a join, as many at once as there are callers
	}
	return cfg
}

// memoryLimit is how long a join waits for Redis to say whether the session has a place. The line goes on
// without an answer: the stream is the truth.
const memoryLimit = 500 * time.Millisecond

// join gives sessions their places: the one they have, or one in the next chunk.
func (s *sales) join(ctx context.Context, o *onSale, sessions []sale.SessionHash) ([]line.Ticket, error) {
	tickets := make([]line.Ticket, len(sessions))
	has := make([]bool, len(sessions))
	lap := laps("recall")
	recall, cancel := context.WithTimeout(ctx, memoryLimit)
	known, err := s.Places.Recall(recall, o.event.ID, o.epoch, sessions)
	cancel()
	if err != nil {
		placesFailed.Inc()
	}
	for i := range known {
		if known[i] != nil {
			tickets[i], has[i] = *known[i], true
		}
	}
	index := map[sale.SessionHash]uint32{} // in the chunk; a session that stands twice in a batch joins once
	var chunk []sale.SessionHash
	for i, session := range sessions {
		if _, twice := index[session]; !has[i] && !twice {
			index[session] = uint32(len(chunk))
			chunk = append(chunk, session)
		}
	}
	var sequence uint64
	if len(chunk) > 0 {
		lap("publish")
		if sequence, err = s.publishChunk(ctx, o, chunk); err != nil {
			return nil, err
		}
		lap("remember")
		fresh := s.remember(ctx, o, sequence, chunk)
		for i, session := range sessions {
			if !has[i] {
				tickets[i] = fresh[index[session]]
			}
		}
	}
	for i := range tickets {
		sequence = max(sequence, tickets[i].Sequence)
	}
	lap("follow")
	if err := o.line.WaitFor(ctx, sequence); err != nil {
		return nil, errLineBehind.Because(err)
	}
	lap("")
	return tickets, nil
}

// laps measures phases that follow each other: each call ends the one before.
func laps(phase string) func(next string) {
	start := time.Now()
	return func(next string) {
		now := time.Now()
		joinPhase.WithLabelValues(phase).Observe(now.Sub(start).Seconds())
		start, phase = now, next
	}
}

func (s *sales) publishChunk(ctx context.Context, o *onSale, chunk []sale.SessionHash) (uint64, error) {
	ack, err := s.Streams.Publish(ctx, events.Outgoing{
		Subject: events.JoinedSubject(o.event.ID), ID: uuid.NewString(),
		Header: map[string]string{events.HeaderJoinCount: strconv.Itoa(len(chunk))}, Data: events.EncodeChunk(chunk),
	})
	if err == nil {
		chunkSize.Observe(float64(len(chunk)))
	}
	return ack.Sequence, err
}

// remember stores the places of a chunk and returns the one that counts for each session: another node may
// have been faster with the same session.
func (s *sales) remember(ctx context.Context, o *onSale, sequence uint64, chunk []sale.SessionHash) []line.Ticket {
	tickets := make([]line.Ticket, len(chunk))
	for i, session := range chunk {
		tickets[i] = line.Ticket{Epoch: o.epoch, Sequence: sequence, Index: uint32(i), Session: session}
	}
	bounded, cancel := context.WithTimeout(ctx, memoryLimit)
	defer cancel()
	lowest, err := s.Places.Remember(bounded, o.event.ID, tickets)
	if err != nil {
		placesFailed.Inc()
		return tickets
	}
	return lowest
}

type joinRequest struct {
	Session string `json:"session"`
}

// plainJoin reads a join as nearly every client writes it, without the work of a JSON reader. What it does not
// know is left to one.
func plainJoin(body []byte) (joinRequest, bool) {
	session, ok := bytes.CutPrefix(body, []byte(`{"session":"`))
	if !ok {
		return joinRequest{}, false
	}
	session, ok = bytes.CutSuffix(session, []byte(`"}`))
	if !ok || bytes.ContainsFunc(session, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return joinRequest{}, false
	}
	return joinRequest{Session: string(session)}, true
}

func (s *server) postJoin(c *fiber.Ctx) error {
	o, err := s.sales.find(c.UserContext(), c.Params("event"))
	if err != nil {
		return err
	}
	req, plain := plainJoin(c.BodyRaw())
	if !plain || c.Get(fiber.HeaderContentType) != fiber.MIMEApplicationJSON {
		if req, err = problem.Body[joinRequest](c); err != nil {
			return err
		}
	}
	if err := sale.CheckSession(req.Session); err != nil {
		return err
	}
	if s.sales.admission(o.event.ID).State == sale.Closed {
		return sale.Errorf(sale.Conflict, "sale_closed", "the sale is over")
	}
	t, err := o.joins.Do(c.UserContext(), sale.HashSession(o.event.ID, req.Session))
	if err != nil {
		return err
	}
	st, err := s.stand(o, t)
	if err != nil {
		return err
	}
	answer := standing{Standing: st, ticket: s.Tickets.Sign(o.event.ID, t)} // a pass comes with a poll
	return answer.send(c.Status(fiber.StatusCreated))
}

func (s *server) getPosition(c *fiber.Ctx) error {
	o, err := s.sales.find(c.UserContext(), c.Params("event"))
	if err != nil {
		return err
	}
	t, err := s.Tickets.Verify(o.event.ID, problem.Bearer(c))
	if err != nil {
		return err
	}
	if t.Epoch != o.epoch {
		return line.ErrBadTicket
	}
	st, err := s.stand(o, t)
	if err != nil {
		return err
	}
	answer := standing{Standing: st}
	if st.State == line.Admitted {
		if answer.pass, answer.passExpiresAt, err = s.Passes.Issue(o.event.ID, t.Session); err != nil {
			return err
		}
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	return answer.send(c)
}

// stand says how a ticket stands now, from memory alone.
func (s *server) stand(o *onSale, t line.Ticket) (line.Standing, error) {
	arrival, ok := o.line.Arrival(t.Sequence, t.Index)
	if !ok {
		return line.Standing{}, errLineBehind
	}
	return line.Stand(arrival, *s.sales.admission(o.event.ID)), nil
}

func (s *server) getQueue(c *fiber.Ctx) error {
	o, err := s.sales.find(c.UserContext(), c.Params("event"))
	if err != nil {
		return err
	}
	a := s.sales.admission(o.event.ID)
	_, sold := s.sales.soldOf(o.event.ID, nil)
	c.Set(fiber.HeaderCacheControl, "public, max-age=1")
	return c.JSON(fiber.Map{
		"state": a.State, "opens_at": opensAt(o.event), "serving": a.Serving, "joined": o.line.Joined(),
		"rate": a.Rate, "seats_left": max(o.event.Seats-sold, 0),
	})
}

// sessionHeader proves the session where there is no body to hold it.
const sessionHeader = "Onsale-Session"

// inside checks the pass of a call: that it verifies, and that the caller has the session it was given to.
// eventID "" takes the event of the pass.
func (s *server) inside(c *fiber.Ctx, eventID, session string) (*onSale, sale.SessionHash, error) {
	claims, err := s.Passes.Verify(problem.Bearer(c))
	if err != nil {
		return nil, sale.SessionHash{}, err
	}
	if eventID == "" {
		eventID = claims.EventID
	}
	o, err := s.sales.find(c.UserContext(), eventID)
	if err != nil {
		return nil, sale.SessionHash{}, err
	}
	if claims.EventID != eventID || sale.CheckSession(session) != nil || claims.Session != sale.HashSession(eventID, session) {
		return nil, sale.SessionHash{}, pass.ErrForeign
	}
	return o, claims.Session, nil
}
