package api

import (
	"bytes"
	"context"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"onsale/internal/problem"
	"onsale/internal/sale"
	"onsale/internal/seatmap"
)

// Headers of the seat map's answers, ready to be copied.
var (
	privateNoCache = []byte("private, no-cache") // a cache of the client's own may keep it, and asks each time
	varyHeader     = []byte(fiber.HeaderVary)
	varyBy         = []byte(fiber.HeaderAcceptEncoding)
	etagHeader     = []byte(fiber.HeaderETag)
)

// viewer finds the event of a call that may see its seats.
func (s *server) viewer(ctx *fasthttp.RequestCtx, event string) (*onSale, sale.SessionHash, error) {
	o, session, err := s.entitled(context.Background(), &ctx.Request, event, string(ctx.Request.Header.Peek(sessionHeader)))
	if err != nil {
		return nil, session, err
	}
	return o, session, selling(o.last().State)
}

// getSeats answers the whole map, or what changed in it since a version. A client that has the map already, as its
// entity tag says, is told so and no more: most calls are that.
func (s *server) getSeats(ctx *fasthttp.RequestCtx, event string) error {
	o, _, err := s.viewer(ctx, event)
	if err != nil {
		return err
	}
	m, err := s.seatsOf(context.Background(), o)
	if err != nil {
		return err
	}
	as, ok := seatmap.Accepted(ctx.Request.Header.Peek(fiber.HeaderAcceptEncoding))
	if !ok {
		return fiber.ErrNotAcceptable
	}
	h := &ctx.Response.Header
	h.SetCanonical(cacheControl, privateNoCache)
	h.SetCanonical(varyHeader, varyBy)
	since := string(ctx.QueryArgs().Peek("since"))
	if since != "" {
		if d := m.Current().Since(since); d != nil {
			sendSeats(ctx, &d.Encoded, as)
			return nil
		}
	}
	page := m.Page(s.Now(), since)
	tag := page.Tag(as)
	h.SetCanonical(etagHeader, tag)
	if hasTag(ctx.Request.Header.Peek(fiber.HeaderIfNoneMatch), tag) {
		ctx.SetStatusCode(fiber.StatusNotModified)
		return nil
	}
	sendSeats(ctx, page, as)
	return nil
}

// encoded is bytes in several encodings.
type encoded interface {
	Bytes(as seatmap.Encoding) ([]byte, seatmap.Encoding)
}

func sendSeats(ctx *fasthttp.RequestCtx, e encoded, as seatmap.Encoding) {
	raw, as := e.Bytes(as)
	if as != seatmap.Identity {
		ctx.Response.Header.SetContentEncoding(as.String())
	}
	ctx.Response.Header.SetContentTypeBytes(jsonType)
	ctx.Response.SetBodyRaw(raw)
}

// hasTag says whether an If-None-Match has an entity tag. The comparison is the weak one, as RFC 9110, section 13.1.2
// asks for.
func hasTag(header, tag []byte) bool {
	if bytes.Equal(header, tag) {
		return true
	}
	for len(header) > 0 {
		var one []byte
		one, header, _ = bytes.Cut(header, []byte{','}) // no tag of ours has a comma
		one = bytes.TrimPrefix(bytes.TrimSpace(one), []byte("W/"))
		if bytes.Equal(one, tag) || len(one) == 1 && one[0] == '*' {
			return true
		}
	}
	return false
}

// snapshot is what each seat of an event is, in plan order, as this node knows: no older than 100 ms, and of what other
// nodes do no older than their notices. It is shared and must not be changed. It fails only where nothing is known yet
// and Redis is away.
func (s *server) snapshot(ctx context.Context, o *onSale) ([]seatmap.State, error) {
	m, err := s.seatsOf(ctx, o)
	if err != nil {
		return nil, err
	}
	return m.Current().States, nil
}

// The bounds of the streams of changes.
const (
	maxStreams  = 10_000 // on a node; each takes a connection, a goroutine and about 20 KB
	streamsWait = 5 * time.Second
)

// getSeatStream answers with the changes of the map as they come.
func (s *server) getSeatStream(ctx *fasthttp.RequestCtx, event string) error {
	o, session, err := s.viewer(ctx, event)
	if err != nil {
		return err
	}
	m, err := s.seatsOf(context.Background(), o)
	if err != nil {
		return err
	}
	if err := s.streams.add(session); err != nil {
		return err
	}
	since := string(ctx.Request.Header.Peek("Last-Event-ID"))
	if since == "" {
		since = string(ctx.QueryArgs().Peek("since"))
	}
	problem.Streaming(ctx)
	h := &ctx.Response.Header
	h.SetContentType("text/event-stream")
	h.SetCanonical(cacheControl, noStore)
	h.Set("X-Accel-Buffering", "no") // nginx would gather frames
	h.SetConnectionClose()
	ctx.Response.SetBodyStream(s.newSeatStream(o, m, session, problem.Bearer(&ctx.Request), since), -1)
	return nil
}
