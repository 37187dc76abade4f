package api

import (
	"bytes"
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"onsale/events"
	"onsale/internal/batch"
	"onsale/internal/entry"
	"onsale/internal/line"
	"onsale/internal/problem"
	"onsale/internal/sale"
)

// joinGroup bounds the chunks: several in flight, so that the stream's fsync is shared and never waited for by all
// at once. A chunk costs much the same whatever its size, so a crowd's are gathered for a few milliseconds: a disk
// that syncs in less would only make them small. A lone join waits for nothing.
func joinGroup(maxChunk int) batch.Config {
	cfg := batch.Config{
		MaxItems: maxChunk, MaxInFlight: 4, Enough: min(256, maxChunk), Patience: 4 * time.Millisecond,
		MaxQueue: 64 << 10, MaxWait: requestLimit / 2, Timeout: requestLimit,
	}
	if maxChunk == 1 {
		cfg.MaxInFlight = 256 // one message a join, as many at once as there are callers
	}
	return cfg
}

// joining is one join on its way into a chunk.
type joining struct {
	session sale.SessionHash
	code    events.CodeID // of the access code that let it into a priority lane
}

// join gives sessions their places in a lane: the one they have, or one in the next chunk. Whatever races with it,
// here or on another node, all are told the same: the lowest place that the stream has.
func (s *sales) join(ctx context.Context, o *onSale, l *lane, joins []joining) ([]joined, error) {
	tickets := make([]line.Ticket, len(joins))
	has := make([]bool, len(joins))
	lap := laps("recall")
	s.recall(ctx, o, l, joins, func(i int, t line.Ticket) { tickets[i], has[i] = t, true })
	index := make(map[sale.SessionHash]uint32, len(joins)) // in the chunk; a session that stands twice in a batch joins once
	chunk := events.Chunk{Lane: l.name, Sessions: make([]sale.SessionHash, 0, len(joins))}
	for i, j := range joins {
		if _, twice := index[j.session]; !has[i] && !twice {
			index[j.session] = uint32(len(chunk.Sessions))
			chunk.Sessions = append(chunk.Sessions, j.session)
			if l.name != "" {
				chunk.Codes = append(chunk.Codes, j.code)
			}
		}
	}
	var sequence uint64
	if len(chunk.Sessions) > 0 {
		lap("publish")
		var err error
		if sequence, err = s.publishChunk(ctx, o, chunk); err != nil {
			return nil, err
		}
	}
	lap("follow")
	for i := range tickets {
		sequence = max(sequence, tickets[i].Sequence)
	}
	if err := o.line.WaitFor(ctx, sequence); err != nil {
		return nil, errLineBehind.Because(err)
	}
	if len(chunk.Sessions) > 0 {
		lap("remember")
		fresh := lowest(o, l, sequence, chunk.Sessions)
		l.memory.add(ctx, fresh, false)
		for i, j := range joins {
			if !has[i] {
				tickets[i] = fresh[index[j.session]]
			}
		}
	}
	lap("answer")
	all := s.answers(o, tickets)
	lap("")
	return all, nil
}

// lowest are the places of a chunk's sessions, once it has been read back: those in the chunk, or lower ones of the
// same sessions that others made at the same time.
func lowest(o *onSale, l *lane, sequence uint64, sessions []sale.SessionHash) []line.Ticket {
	tickets := o.tickets(sequence, sessions)
	l.recent.Find(o.epoch, sessions, func(i int, t line.Ticket) {
		if t.Before(tickets[i]) {
			tickets[i] = t
		}
	})
	return tickets
}

// recall finds the places that sessions have already. Those that this node knows to be new need not be asked for, and
// of those that joined lately it knows itself.
func (s *sales) recall(ctx context.Context, o *onSale, l *lane, joins []joining, found func(i int, t line.Ticket)) {
	sessions, maybe := make([]sale.SessionHash, len(joins)), make([]bool, len(joins))
	for i := range joins {
		sessions[i] = joins[i].session
	}
	l.sessions.Has(sessions, maybe)
	all := !o.known.Load()
	var at []int
	asked := sessions[:0]
	for i := range joins {
		if all || maybe[i] {
			at, asked = append(at, i), append(asked, joins[i].session)
		}
	}
	if len(asked) == 0 {
		return
	}
	var again []line.Ticket
	l.recent.Find(o.epoch, asked, func(n int, t line.Ticket) {
		found(at[n], t)
		at[n] = -1
		again = append(again, t)
	})
	if len(again) > 0 {
		l.memory.add(ctx, again, true) // the node that made such a place may have ended before it told Redis
	}
	missing := 0
	for n := range asked {
		if at[n] >= 0 {
			at[missing], asked[missing] = at[n], asked[n]
			missing++
		}
	}
	if missing == 0 {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, memoryLimit)
	defer cancel()
	known, err := s.Places.Recall(bounded, o.key(l.name), asked[:missing])
	if err != nil {
		placesFailed.Inc()
	}
	for n := range known {
		if known[n] != nil {
			found(at[n], *known[n])
		}
	}
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

func (s *sales) publishChunk(ctx context.Context, o *onSale, chunk events.Chunk) (uint64, error) {
	header := map[string]string{events.HeaderJoinCount: strconv.Itoa(len(chunk.Sessions))}
	if chunk.Lane != "" {
		header[events.HeaderLane] = chunk.Lane
	}
	ack, err := s.Streams.Publish(ctx, events.Outgoing{
		Subject: events.JoinedSubject(o.event.ID), ID: uuid.NewString(), Header: header, Data: chunk.Encode(),
	})
	if err == nil {
		chunkSize.Observe(float64(len(chunk.Sessions)))
	}
	return ack.Sequence, err
}

type joinRequest struct {
	Session string         `json:"session"`
	Code    string         `json:"code,omitempty"` // an access code, for a priority lane
	Proof   entry.Solution `json:"proof,omitzero"` // where one is asked for
}

// plainJoin reads a join as nearly every client writes it, without the work of a JSON reader. What it does not
// know is left to one.
func plainJoin(body []byte) (joinRequest, bool) {
	session, ok := bytes.CutPrefix(body, []byte(`{"session":"`))
	if !ok {
		return joinRequest{}, false
	}
	session, ok = bytes.CutSuffix(session, []byte(`"}`))
	if !ok {
		return joinRequest{}, false
	}
	for _, b := range session {
		if b < ' ' || b > '~' || b == '"' || b == '\\' {
			return joinRequest{}, false
		}
	}
	return joinRequest{Session: string(session)}, true
}

func (s *server) postJoin(ctx *fasthttp.RequestCtx, event string) error {
	background := context.Background() // a join is bounded by its group
	o, err := s.sales.find(background, event)
	if err != nil {
		return err
	}
	req, plain := plainJoin(ctx.Request.Body())
	if !plain || string(ctx.Request.Header.ContentType()) != fiber.MIMEApplicationJSON {
		if req, err = problem.Body[joinRequest](&ctx.Request); err != nil {
			return err
		}
	}
	if err := sale.CheckSession(req.Session); err != nil {
		return err
	}
	if o.last().State == sale.Closed {
		return sale.Errorf(sale.Conflict, "sale_closed", "the sale is over")
	}
	if err := s.door.pass(ctx, o.event.ID, req, s.Now()); err != nil {
		return err
	}
	lane, join, err := s.admit(background, o, req)
	if err != nil {
		return err
	}
	answer, err := lane.joins.Do(background, join)
	if err = cmp.Or(err, answer.err); err != nil {
		return err
	}
	ctx.SetStatusCode(fiber.StatusCreated)
	ctx.Response.Header.SetContentTypeBytes(jsonType)
	ctx.Response.SetBodyRaw(answer.json)
	return nil
}

// admit says which lane a join is for: with an access code, the code's, if it has a use left.
func (s *server) admit(ctx context.Context, o *onSale, req joinRequest) (l *lane, join joining, err error) {
	join.session = sale.HashSession(o.event.ID, req.Session)
	if req.Code == "" {
		return o.general, join, nil
	}
	grant, err := s.Codes.Read(o.event.ID, req.Code)
	if err != nil {
		return nil, join, err
	}
	join.code = grant.ID
	ok, err := s.Places.Redeem(ctx, o.key(grant.Lane), grant.ID, grant.Uses, join.session)
	if err == nil && !ok {
		err = sale.Errorf(sale.Forbidden, "code_used", "the access code has no use left")
	}
	if err != nil {
		return nil, join, err
	}
	return o.lane(grant.Lane), join, nil
}

// standOf verifies the ticket of a call and says where it stands, from memory alone.
func (s *server) standOf(ctx context.Context, event, ticket string) (*onSale, line.Ticket, line.Place, error) {
	o, err := s.sales.find(ctx, event)
	if err != nil {
		return nil, line.Ticket{}, line.Place{}, err
	}
	t, err := s.Tickets.Verify(o.event.ID, ticket)
	if err == nil && t.Epoch != o.epoch {
		err = line.ErrBadTicket
	}
	if err != nil {
		return nil, t, line.Place{}, err
	}
	place, err := o.place(t)
	return o, t, place, err
}

func (s *server) getPosition(ctx *fasthttp.RequestCtx, event string) error {
	ticket, now := problem.Bearer(&ctx.Request), s.Now()
	if wait, early := s.door.polls.NotBefore(ticket, now); early {
		return errTooEarly.After(wait)
	}
	o, t, place, err := s.standOf(context.Background(), event, ticket)
	if err != nil {
		return err
	}
	answer := standing{Standing: o.stand(place), place: place}
	if answer.State == line.Admitted {
		if answer.pass, answer.passExpiresAt, err = s.Passes.Issue(o.event.ID, t.Session); err != nil {
			return err
		}
		o.turns.claim(place, t.Session, answer.passExpiresAt)
	} else {
		s.door.told(ticket, answer.PollIn, now)
	}
	ctx.Response.Header.SetCanonical(cacheControl, noStore)
	answer.send(ctx)
	return nil
}

// Written without the work of a header's name, for the most frequent answer.
var cacheControl, noStore = []byte(fiber.HeaderCacheControl), []byte("no-store")

// deletePosition leaves the line. It is answered once the leaving is durable; doing it again changes nothing.
func (s *server) deletePosition(c *fiber.Ctx) error {
	o, t, place, err := s.standOf(c.UserContext(), c.Params("event"), problem.Bearer(c.Request()))
	if err != nil {
		return err
	}
	if !place.Left {
		if _, err := o.leaves.Do(c.UserContext(), leaving{place.Lane, events.Turn{Arrival: place.Arrival, Session: t.Session}}); err != nil {
			return err
		}
		o.left.Add(place.Lane, place.Arrival)
	}
	return c.SendStatus(fiber.StatusNoContent)
}

// sessionHeader proves the session where there is no body to hold it.
const sessionHeader = "Onsale-Session"

// inside checks the pass of a call: that it verifies, and that the caller has the session it was given to.
// eventID "" takes the event of the pass.
func (s *server) inside(c *fiber.Ctx, eventID, session string) (*onSale, sale.SessionHash, error) {
	return s.entitled(c.UserContext(), c.Request(), eventID, session)
}

// entitled is inside for what lies beneath the router.
func (s *server) entitled(ctx context.Context, r *fasthttp.Request, eventID, session string) (*onSale, sale.SessionHash, error) {
	claims, err := s.Passes.Verify(problem.Bearer(r))
	if err != nil {
		return nil, sale.SessionHash{}, err
	}
	if eventID == "" {
		eventID = claims.EventID
	}
	o, err := s.sales.find(ctx, eventID)
	if err != nil {
		return nil, sale.SessionHash{}, err
	}
	if err := claims.Admit(eventID, session); err != nil {
		return nil, sale.SessionHash{}, err
	}
	return o, claims.Session, nil
}
