package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/gofiber/fiber/v2"
	"golang.org/x/sync/singleflight"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/problem"
	"onsale/internal/record"
	"onsale/internal/sale"
)

// The public records: the admission log and the line's own chunks, byte for byte, and what follows from them. They
// are read from the streams, and so are bounded in number at a time and in size. A page counts until it is written:
// those who ask for pages and read nothing keep 64 of them in memory, of about 0.7 MB in base64, and no more.
const (
	maxRecords     = 4096
	maxRecordBytes = 4 << 20   // of what the node reads at its start
	maxPageBytes   = 512 << 10 // of a page, before base64
	maxProofBytes  = 1 << 20   // of one read for the draw and its receipts
	pagesAtOnce    = 64
	readersAtOnce  = 8
	proversAtOnce  = 8
)

// publicRecords are what was read of an event's records once and never changes.
type publicRecords struct {
	log  atomic.Pointer[drawLog]
	tree atomic.Pointer[draw.Tree] // of the whole lobby

	// One at a time reads the log, and one the lobby, from where the last one ended, whatever ended it; the fields are its own.
	reads   singleflight.Group
	logRead uint64 // sequence
	partial *draw.Tree
}

// drawLog are the records of the admission log that the draw needs.
type drawLog struct {
	first *events.Admission // which has the commitment
	drawn *events.Admission // which has the draw; nil while there is none
}

// read reads records of a stream's subject once there is a slot, within ctx.
func (s *server) read(ctx context.Context, slots chan struct{}, stream, subject string, after uint64, limit, maxBytes int) ([]events.Message, error) {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return nil, errBusy.Because(ctx.Err())
	}
	return s.Streams.Range(ctx, stream, subject, after+1, limit, maxBytes)
}

var errBusy = sale.Errorf(sale.Unavailable, "busy", "too many read the public records right now; try again")

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

const (
	ndjson    = "application/x-ndjson"
	lineExtra = 64 // bytes of a line beside its record
)

// sendPage answers with records, one a line, and where the next page begins. A page that is followed by another never
// changes; the last one grows. written is called when all is sent, or never will be.
func sendPage(c *fiber.Ctx, all []events.Message, after uint64, write func(*bytes.Buffer, events.Message), written func()) {
	var b bytes.Buffer
	size := 0
	for _, m := range all {
		size += base64.StdEncoding.EncodedLen(len(m.Data)) + lineExtra
	}
	b.Grow(size) // once: growing doubles what is kept while it is sent
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
	c.Context().SetBodyStream(&page{bytes.NewReader(b.Bytes()), written}, b.Len())
}

// page is an answer's body, which the server closes when it is written, or when its connection has ended.
type page struct {
	*bytes.Reader
	written func()
}

func (p *page) Close() error {
	p.written()
	return nil
}

// getAdmissions answers with the admission log as it was written.
func (s *server) getAdmissions(c *fiber.Ctx) error {
	return s.records(c, func(id string) (stream, subject string) { return events.Admissions, events.AdmissionSubject(id) },
		func(b *bytes.Buffer, m events.Message) { b.Write(m.Data) })
}

// getChunks answers with the line's chunks and its seal as they were written.
func (s *server) getChunks(c *fiber.Ctx) error {
	return s.records(c, func(id string) (stream, subject string) { return events.Line(id), events.LineSubjects(id) },
		func(b *bytes.Buffer, m events.Message) {
			r := record.Message{Sequence: m.Sequence}
			if events.IsSeal(m.Subject) {
				r.Sealed = m.Data
			} else {
				r.Chunk = m.Data
			}
			b.Write(events.Encode(r))
		})
}

// records answers with the page that a call asks for, unless too many others have not been read by who asked for them.
func (s *server) records(c *fiber.Ctx, of func(eventID string) (stream, subject string), write func(*bytes.Buffer, events.Message)) error {
	o, err := s.sales.find(c.UserContext(), c.Params("event"))
	if err != nil {
		return err
	}
	after, limit, err := pageOf(c)
	if err != nil {
		return err
	}
	select {
	case s.sending <- struct{}{}:
	default:
		return errBusy
	}
	written := sync.OnceFunc(func() { <-s.sending })
	stream, subject := of(o.event.ID)
	all, err := s.read(c.UserContext(), s.reading, stream, subject, after, limit, maxPageBytes)
	if err != nil {
		written()
		return err
	}
	sendPage(c, all, after, write, written)
	return nil
}

// once has one of those who ask at the same time read what is missing, for all of them. Whoever waits may give up; the
// reading goes on to its own limit.
func (s *server) once(ctx context.Context, o *onSale, what string, read func(context.Context) error) error {
	done := o.records.reads.DoChan(what, func() (any, error) {
		ctx, cancel := context.WithTimeout(s.life, requestLimit)
		defer cancel()
		return nil, read(ctx)
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return errBusy.Because(ctx.Err())
	}
}

// drawLog are the records of the log that the draw needs, as far as they are there.
func (s *server) drawLog(ctx context.Context, o *onSale) (drawLog, error) {
	if l := o.records.log.Load(); l.has(o) {
		return *l, nil
	}
	err := s.once(ctx, o, "log", func(ctx context.Context) error { return s.readLog(ctx, o) })
	if l := o.records.log.Load(); l != nil && err == nil {
		return *l, nil
	}
	return drawLog{}, err
}

// has says whether all is there that the event's log can have.
func (l *drawLog) has(o *onSale) bool {
	return l != nil && (l.drawn != nil || o.last().Draw == nil)
}

func (s *server) readLog(ctx context.Context, o *onSale) error {
	r := &o.records
	for !r.log.Load().has(o) {
		all, err := s.read(ctx, s.proving, events.Admissions, events.AdmissionSubject(o.event.ID), r.logRead, maxRecords, maxProofBytes)
		if err != nil || len(all) == 0 {
			return err
		}
		var l drawLog
		if known := r.log.Load(); known != nil {
			l = *known
		}
		for _, m := range all {
			a, err := events.Decode[events.Admission](m.Data)
			if err != nil {
				return err
			}
			if l.first == nil {
				l.first = &a
			}
			if l.drawn == nil && a.Drawn != nil {
				l.drawn = &a
			}
		}
		r.logRead = all[len(all)-1].Sequence
		r.log.Store(&l)
	}
	return nil
}

// getDraw answers with the commitment and, once there is one, the draw and all that it follows from.
func (s *server) getDraw(c *fiber.Ctx) error {
	o, err := s.sales.find(c.UserContext(), c.Params("event"))
	if err != nil {
		return err
	}
	head := o.record.Load().head // before the rest is read: what it vouches for is there
	l, err := s.drawLog(c.UserContext(), o)
	if err != nil {
		return err
	}
	page := record.Draw{EventID: o.event.ID, Head: head}
	if l.first != nil {
		page.Commitment, page.Beacon = l.first.Commitment, l.first.Beacon
	}
	if l.drawn != nil {
		page.Draw, page.Drawn = l.drawn.Draw, l.drawn.Drawn
	}
	c.Set(fiber.HeaderCacheControl, "public, max-age=1")
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(events.Encode(page))
}

// getProof answers a ticket from the lobby with its receipt: that the join was drawn, and where.
func (s *server) getProof(c *fiber.Ctx) error {
	o, t, place, err := s.standOf(c.UserContext(), c.Params("event"), problem.Bearer(c.Request()))
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

// tree is the Merkle tree of the chunks before the seal. The first who ask for a receipt wait until they are read.
func (s *server) tree(ctx context.Context, o *onSale, lobby *line.Lobby) (*draw.Tree, error) {
	r := &o.records
	if tree := r.tree.Load(); tree != nil {
		return tree, nil
	}
	err := s.once(ctx, o, "tree", func(ctx context.Context) error {
		if r.partial == nil {
			r.partial = draw.NewTree()
		}
		err := s.chunks(ctx, o, r.partial.Size()+1, lobby.Sealed()-1, func(_ uint64, chunk []byte) { r.partial.Append(chunk) })
		if err == nil {
			r.tree.Store(r.partial)
		}
		return err
	})
	return r.tree.Load(), err
}

// chunks reads the chunks of the line from one sequence to another, both included.
func (s *server) chunks(ctx context.Context, o *onSale, from, to uint64, each func(sequence uint64, chunk []byte)) error {
	for from <= to {
		all, err := s.read(ctx, s.proving, events.Line(o.event.ID), events.JoinedSubject(o.event.ID), from-1, int(min(to-from+1, maxRecords)), maxProofBytes)
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
