package api

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// lineStream is a line of chunks, two to a page.
type lineStream struct {
	Streams
	chunks []events.Chunk
}

func (l *lineStream) Range(_ context.Context, _, _ string, from uint64, _, _ int) ([]events.Message, error) {
	var page []events.Message
	for i := int(from) - 1; i < len(l.chunks) && len(page) < 2; i++ {
		page = append(page, events.Message{Subject: events.JoinedSubject("gala"), Sequence: uint64(i) + 1, Data: l.chunks[i].Encode()})
	}
	return page, nil
}

// keptPlaces is a Redis.
type keptPlaces struct {
	Places
	mu   sync.Mutex
	kept []line.Ticket
}

func (k *keptPlaces) Remember(_ context.Context, _ line.Key, tickets []line.Ticket) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = append(k.kept, tickets...)
	return nil
}

func (k *keptPlaces) Recall(_ context.Context, _ line.Key, sessions []sale.SessionHash) ([]*line.Ticket, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known := make([]*line.Ticket, len(sessions))
	for i, session := range sessions {
		for _, t := range k.kept {
			if t.Session == session && (known[i] == nil || t.Before(*known[i])) {
				known[i] = &t
			}
		}
	}
	return known, nil
}

// lineOf makes a line of chunks of a size, and a sale that has counted it.
func lineOf(chunks, size int) (*lineStream, *keptPlaces, *sales, *onSale) {
	stream, places := &lineStream{}, &keptPlaces{}
	s := &sales{Deps: Deps{Streams: stream, Places: places, Log: slog.New(slog.DiscardHandler)}}
	o := &onSale{event: sale.Event{ID: "gala"}, epoch: 7, line: line.NewIndex(), lanes: map[string]*lane{}}
	o.general = &lane{memory: newMemory(places, o.key(""))}
	for i := range chunks {
		c := events.Chunk{Sessions: make([]sale.SessionHash, size)}
		for j := range c.Sessions {
			c.Sessions[j] = sessionAt(i, j)
		}
		stream.chunks = append(stream.chunks, c)
		o.line.Apply(uint64(i)+1, "", uint16(size))
	}
	return stream, places, s, o
}

func sessionAt(chunk, index int) sale.SessionHash {
	return sale.SessionHash{1, byte(chunk >> 8), byte(chunk), byte(index >> 8), byte(index)}
}

// A node that begins knows who joined last, from the stream, and stores them all in Redis: the lowest place of each.
func TestReadEnd(t *testing.T) {
	t.Parallel()
	stream, places, s, o := lineOf(5, 3)
	stream.chunks[4].Sessions[2] = sessionAt(0, 1) // joined again
	if err := s.readEnd(t.Context(), o, 5); err != nil {
		t.Fatal(err)
	}
	o.general.memory.drain(t.Context())
	if len(places.kept) != 14 {
		t.Errorf("%d places were stored, want one for each session, 14", len(places.kept))
	}
	for chunk := range 5 {
		for index := range 3 {
			var got line.Ticket
			session := stream.chunks[chunk].Sessions[index]
			o.general.recent.Find(o.epoch, []sale.SessionHash{session}, func(_ int, t line.Ticket) { got = t })
			want := line.Ticket{Epoch: 7, Sequence: uint64(chunk) + 1, Index: uint32(index), Session: session}
			if session == sessionAt(0, 1) {
				want.Sequence, want.Index = 1, 1
			}
			if got != want {
				t.Errorf("the place of join %d/%d is %+v, want %+v", chunk+1, index, got, want)
			}
		}
	}
	if err := s.readEnd(t.Context(), o, 6); err == nil {
		t.Error("a line that ends too early is taken for read")
	}
}

// The end of a line is bounded in joins, not in chunks.
func TestBefore(t *testing.T) {
	t.Parallel()
	_, _, _, o := lineOf(200, 10)
	for joins, want := range map[uint64]uint64{0: 200, 9: 200, 10: 199, 25: 198, 1990: 1, 1999: 1, 2000: 0, 1 << 40: 0} {
		if got := o.before(200, joins); got != want {
			t.Errorf("no more than %d joined after %d, want %d", joins, got, want)
		}
	}
	empty := &onSale{line: line.NewIndex()}
	if got := empty.before(0, 10); got != 0 {
		t.Errorf("an empty line ends after %d", got)
	}
}
