package api

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/gofiber/fiber/v2"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/record"
	"onsale/internal/sale"
)

// The public records: the admission log and the line's own chunks, byte for byte, and what follows from them. They
// are read from the streams, and so are bounded in number at a time and in size.
const (
	maxRecords     = 4096
	maxRecordBytes = 4 << 20
	readersAtOnce  = 8
)

// publicRecords are what was read of an event's records once and never changes.
type publicRecords struct {
	mu    sync.Mutex
	first *events.Admission // of the log
	drawn *events.Admission // the record with the draw
	tree  *draw.Tree
}

// page reads a page of a stream's subject, unless too many do.
func (s *server) page(ctx context.Context, stream, subject string, after uint64, limit int) ([]events.Message, error) {
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	default:
		return nil, sale.Errorf(sale.Unavailable, "busy", "too many read the public records right now; try again")
	}
	return s.Streams.Range(ctx, stream, subject, after+1, limit, maxRecordBytes)
}

// pageOf reads ?after=SEQUENCE&limit=N.
func pageOf(c *fiber.Ctx) (after uint64, limit int, err error) {
	limit = maxRecords
	if v := c.Query("after"); v != "" {
		if after, err = strconv.ParseUint(v, 10, 62); err != nil {
			return 0, 0, sale.Errorf(sale.Invalid, "bad_page", "after must be the sequence of a record")
		}
	}
	if v := c.Query("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > maxRecords {
			return 0, 0, sale.Errorf(sale.Invalid, "bad_page", "limit must be 1 to %d records", maxRecords)
		}
	}
	return after, limit, nil
}

const ndjson = "application/x-ndjson"

// sendPage answers with records, one a line, and where the next page begins. A page that is followed by another never
// changes; the last one grows.
func sendPage(c *fiber.Ctx, all []events.Message, after uint64, write func(*bytes.Buffer, events.Message)) error {
	var b bytes.Buffer
	for _, m := range all {
		write(&b, m)
		b.WriteByte('\n')
		after = m.Sequence
	}
	cache := "public, max-age=1"
	if len(all) > 0 && all[len(all)-1].Pending > 0 {
		cache = "public, max-age=86400, immutable"
	}
	c.Set(fiber.HeaderCacheControl, cache)
	c.Set(fiber.HeaderContentType, ndjson)
	if len(all) > 0 {
		c.Set(fiber.HeaderLink, fmt.Sprintf("<%s?after=%d>; rel=\"next\"", c.Path(), after))
	}
	return c.Send(b.Bytes())
}

// getAdmissions answers with the admission log as it was written.
func (s *server) getAdmissions(c *fiber.Ctx) error {
	after, all, err := s.records(c, events.Admissions, func(o *onSale) string { return events.AdmissionSubject(o.event.ID) })
	if err != nil {
		return err
	}
	return sendPage(c, all, after, func(b *bytes.Buffer, m events.Message) { b.Write(m.Data) })
}

// getChunks answers with the line's chunks and its seal as they were written.
func (s *server) getChunks(c *fiber.Ctx) error {
	after, all, err := s.records(c, "", func(o *onSale) string { return events.LineSubjects(o.event.ID) })
	if err != nil {
		return err
	}
	return sendPage(c, all, after, func(b *bytes.Buffer, m events.Message) {
		r := record.Message{Sequence: m.Sequence}
		if events.IsSeal(m.Subject) {
			r.Sealed = m.Data
		} else {
			r.Chunk = m.Data
		}
		b.Write(events.Encode(r))
	})
}

// records reads the page that a call asks for; stream "" is the line's.
func (s *server) records(c *fiber.Ctx, stream string, subject func(*onSale) string) (uint64, []events.Message, error) {
	o, err := s.sales.find(c.UserContext(), c.Params("event"))
	if err != nil {
		return 0, nil, err
	}
	after, limit, err := pageOf(c)
	if err != nil {
		return 0, nil, err
	}
	if stream == "" {
		stream = events.Line(o.event.ID)
	}
	all, err := s.page(c.UserContext(), stream, subject(o), after, limit)
	return after, all, err
}

// drawRecords are the first record of an event's log, which has the commitment, and the one with its draw, nil while
// there is none.
func (s *server) drawRecords(ctx context.Context, o *onSale) (first, drawn *events.Admission, err error) {
	r := &o.records
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first != nil && (r.drawn != nil || o.last().Draw == nil) {
		return r.first, r.drawn, nil
	}
	var after uint64
	for {
		all, err := s.page(ctx, events.Admissions, events.AdmissionSubject(o.event.ID), after, maxRecords)
		if err != nil || len(all) == 0 {
			return r.first, r.drawn, err
		}
		for _, m := range all {
			a, err := events.Decode[events.Admission](m.Data)
			if err != nil {
				return nil, nil, err
			}
			if r.first == nil {
				r.first = &a
			}
			if after = m.Sequence; a.Drawn != nil {
				r.drawn = &a
				return r.first, r.drawn, nil
			}
		}
		if o.last().Draw == nil {
			return r.first, r.drawn, nil
		}
	}
}

// getDraw answers with the commitment and, once there is one, the draw and all that it follows from.
func (s *server) getDraw(c *fiber.Ctx) error {
	o, err := s.sales.find(c.UserContext(), c.Params("event"))
	if err != nil {
		return err
	}
	head := o.record.Load().head // before the rest is read: what it vouches for is there
	first, drawn, err := s.drawRecords(c.UserContext(), o)
	if err != nil {
		return err
	}
	page := record.Draw{EventID: o.event.ID, Head: head}
	if first != nil {
		page.Commitment, page.Beacon = first.Commitment, first.Beacon
	}
	if drawn != nil {
		page.Draw, page.Drawn = drawn.Draw, drawn.Drawn
	}
	c.Set(fiber.HeaderCacheControl, "public, max-age=1")
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(events.Encode(page))
}

// getProof answers a ticket from the lobby with its receipt: that the join was drawn, and where.
func (s *server) getProof(c *fiber.Ctx) error {
	o, t, place, err := s.standOf(c)
	if err != nil {
		return err
	}
	lobby := o.lobby.Load()
	switch {
	case lobby == nil:
		return sale.Errorf(sale.Conflict, "not_drawn", "the lobby has not been drawn yet")
	case t.Sequence > lobby.Sealed():
		return sale.Errorf(sale.Conflict, "not_in_lobby", "this ticket joined after the draw: its place is its arrival number, %d", place.Arrival)
	}
	tree, err := s.tree(c.UserContext(), o, lobby)
	if err != nil {
		return err
	}
	receipt, err := s.receipt(c.UserContext(), o, tree, t, place)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.JSON(fiber.Map{"receipt": receipt, "root": tree.Root(), "arrival": place.Arrival, "place": place.Number})
}

func (s *server) receipt(ctx context.Context, o *onSale, tree *draw.Tree, t line.Ticket, place line.Place) (draw.Receipt, error) {
	leaf := t.Sequence - 1
	first, count, err := tree.Tile(leaf)
	if err != nil {
		return draw.Receipt{}, err
	}
	var body []byte
	tile := make([]draw.Hash, 0, count)
	if err := s.chunks(ctx, o, first+1, first+count, func(sequence uint64, chunk []byte) {
		tile = append(tile, draw.LeafHash(chunk))
		if sequence == t.Sequence {
			body = chunk
		}
	}); err != nil {
		return draw.Receipt{}, err
	}
	path, err := tree.Proof(leaf, tile)
	return draw.Receipt{
		EventID: o.event.ID, Lane: place.Lane, Sequence: t.Sequence, Index: t.Index, Chunk: body, Leaf: leaf,
		TreeSize: tree.Size(), Path: path, Before: place.Arrival - uint64(t.Index),
	}, err
}

// tree is the Merkle tree of the chunks before the seal. The first who asks for a receipt waits until they are read.
func (s *server) tree(ctx context.Context, o *onSale, lobby *line.Lobby) (*draw.Tree, error) {
	r := &o.records
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tree != nil {
		return r.tree, nil
	}
	tree := draw.NewTree()
	if err := s.chunks(ctx, o, 1, lobby.Sealed()-1, func(_ uint64, chunk []byte) { tree.Append(chunk) }); err != nil {
		return nil, err
	}
	r.tree = tree
	return tree, nil
}

// chunks reads the chunks of the line from one sequence to another, both included.
func (s *server) chunks(ctx context.Context, o *onSale, from, to uint64, each func(sequence uint64, chunk []byte)) error {
	for from <= to {
		all, err := s.page(ctx, events.Line(o.event.ID), events.JoinedSubject(o.event.ID), from-1, int(min(to-from+1, maxRecords)))
		if err != nil {
			return err
		}
		for _, m := range all {
			if m.Sequence != from {
				return sale.Errorf(sale.Internal, "missing_chunk", "the line's chunk %d is missing", from)
			}
			each(m.Sequence, m.Data)
			from++
		}
		if len(all) == 0 {
			return sale.Errorf(sale.Internal, "missing_chunk", "the line's chunk %d is missing", from)
		}
	}
	return nil
}
