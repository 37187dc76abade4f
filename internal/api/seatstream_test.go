package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"onsale/events"
	"onsale/internal/pass"
	"onsale/internal/sale"
)

// theatre is a Redis and a Postgres that know of seats, and fellow nodes who hear notices.
type theatre struct {
	Catalog
	mu     sync.Mutex
	held   map[string]bool
	sold   []string
	away   error
	looks  int
	told   []events.SeatsNotice
	missed bool // what is told
}

func (h *theatre) SeatStates(_ context.Context, _ string, seats []string) ([]sale.SeatState, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looks++
	out := make([]sale.SeatState, len(seats))
	for i, seat := range seats {
		out[i].Held = h.held[seat]
	}
	return out, h.away
}

func (h *theatre) SoldSeats(context.Context, string) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sold, nil
}

func (h *theatre) Notify(_ string, data []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.missed {
		return errors.New("nobody hears")
	}
	m, err := events.Decode[events.SeatsNotice](data)
	h.told = append(h.told, m)
	return err
}

func (h *theatre) Listen(ctx context.Context, _ string, _ func(), _ func([]byte)) error {
	<-ctx.Done()
	return nil
}

// Accept and Accepted are of no use here.
func (h *theatre) Accept(context.Context, uuid.UUID, sale.Accepted) error { return nil }

func (h *theatre) Accepted(context.Context, uuid.UUID) (sale.Accepted, bool, error) {
	return sale.Accepted{}, false, nil
}

func (h *theatre) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// looked is how often Redis was looked at.
func (h *theatre) looked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.looks
}

// heard is what the other nodes were told.
func (h *theatre) heard() []events.SeatsNotice {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.told)
}

// size is how many changes of holds wait to be told.
func (n *notices) size() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.count
}

// theatreNode is a node with an event of the seats a, b and c, on the clock of a bubble.
func theatreNode(t *testing.T, streams int) (*server, *onSale, *theatre, context.CancelFunc) {
	t.Helper()
	h := &theatre{held: map[string]bool{}}
	passes, err := pass.ParseKeys(passKeys, time.Minute, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	life, end := context.WithCancel(t.Context())
	s := &server{
		Deps: Deps{Memory: h, Catalog: h, Notices: h, Passes: passes, Now: time.Now, Log: slog.New(slog.DiscardHandler)},
		life: life, streams: newStreams(streams), heartbeat: heartbeat, notices: newNotices(h, time.Now),
	}
	s.sales = newSales(life, s.Deps)
	o := &onSale{event: sale.Event{ID: "gala", Currency: "eur"}, ordinal: map[string]int{}}
	for i, id := range []string{"a", "b", "c"} {
		o.seats, o.ordinal[id] = append(o.seats, sale.Seat{ID: id}), i
	}
	o.record.Store(inLobby)
	s.sales.byID["gala"] = o
	return s, o, h, end
}

// passKeys is a key for tests alone.
const passKeys = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// shown is what the map shows, as letters.
func shown(t *testing.T, s *server, o *onSale) string {
	t.Helper()
	states, err := s.snapshot(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, state := range states {
		b.WriteByte("ahs"[state])
	}
	return b.String()
}

func (s *server) open(t *testing.T, o *onSale, since string) (*seatStream, *watched) {
	t.Helper()
	m, err := s.seatsOf(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := s.Passes.Issue("gala", sale.SessionHash{1})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.streams.add(sale.SessionHash{1}); err != nil {
		t.Fatal(err)
	}
	return s.newSeatStream(o, m, sale.SessionHash{1}, token, since), m
}

// read is the next frame.
func read(t *testing.T, s *seatStream) string {
	t.Helper()
	b := make([]byte, 4096)
	n, err := s.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return string(b[:n])
}

// A client that reads slowly is told what it missed in one frame; while nothing changes it hears a heartbeat; when its
// pass is over the stream is too.
func TestSeatStream_Reads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o, h, end := theatreNode(t, 1)
		defer end()
		r, m := s.open(t, o, "")
		if got := read(t, r); !strings.HasPrefix(got, "id: "+m.Current().Version+"\nevent: version\n") {
			t.Errorf("it begins with %q", got)
		}
		for i, seat := range []string{"a", "b", "a", "c"} {
			h.set(func() { h.held[seat] = true })
			s.notice(o, uuid.UUID{byte(i)}, []string{seat}, time.Hour)
			time.Sleep(time.Second)
		}
		got := read(t, r)
		if strings.Count(got, "\nevent: ") != 1 || !strings.Contains(got, `"changes":[{"id":"a","status":"held"},{"id":"b","status":"held"},{"id":"c","status":"held"}]}`) {
			t.Errorf("what was missed is told as %q", got)
		}
		if got := read(t, r); got != string(heartbeatFrame) {
			t.Errorf("a heartbeat is %q", got)
		}
		began := time.Now()
		for read(t, r) != "" { // the pass is good for a minute, and its leeway
		}
		if took := time.Since(began); took < 30*time.Second || took > 80*time.Second {
			t.Errorf("a stream outlives its pass by %s", took)
		}
		if err := errors.Join(r.Close(), r.Close()); err != nil || s.streams.all != 0 || len(s.streams.each) != 0 {
			t.Errorf("%d streams are left, %v", s.streams.all, err)
		}
	})
}

func TestSeatStream_EndsWithTheServiceAndTheSale(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(o *onSale, end func()){
		"service": func(_ *onSale, end func()) { end() },
		"sale": func(o *onSale, _ func()) {
			o.record.Store(&logged{Admission: events.Admission{State: sale.Closed}})
			o.seatMap.close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, o, _, end := theatreNode(t, 1)
				defer end()
				r, _ := s.open(t, o, "")
				read(t, r)
				began := time.Now()
				time.AfterFunc(time.Second, func() { stop(o, end) })
				if got := read(t, r); got != "" || time.Since(began) > time.Second {
					t.Errorf("after %s it reads %q", time.Since(began), got)
				}
			})
		})
	}
}

// A stream on which there is always something to say ends with its pass as any other does.
func TestSeatStream_BusyOneEndsWithItsPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o, h, end := theatreNode(t, 1)
		defer end()
		r, m := s.open(t, o, "")
		defer func() { _ = r.Close() }()
		began := time.Now()
		for n := 0; ; n++ {
			h.set(func() { h.held["a"] = n%2 == 0 })
			if n%2 == 0 {
				m.Hold(uuid.UUID{1}, []string{"a"}, time.Now().Add(time.Hour))
			} else {
				m.Free(uuid.UUID{1}, []string{"a"})
			}
			m.changed()
			time.Sleep(3 * cutEvery) // so that there is an edition before it is read
			synctest.Wait()
			if read(t, r) == "" {
				break
			}
			if time.Since(began) > 5*time.Minute {
				t.Fatal("the stream outlives its pass")
			}
		}
		if took := time.Since(began); took < 30*time.Second || took > 90*time.Second {
			t.Errorf("the stream ended after %s", took)
		}
	})
}

// One session can't have all the streams of a node.
func TestSeatStream_SessionHasAFew(t *testing.T) {
	t.Parallel()
	s := newStreams(maxStreamsEach + 1)
	one, other := sale.SessionHash{1}, sale.SessionHash{2}
	for range maxStreamsEach {
		if err := s.add(one); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.add(one); !errors.Is(err, errTooManyTabs) {
		t.Errorf("one tab too many: %v", err)
	}
	if err := s.add(other); err != nil {
		t.Errorf("another session: %v", err)
	}
	s.remove(one)
	if err := s.add(one); err != nil {
		t.Errorf("after one was closed: %v", err)
	}
}

// Streams are bounded: one more is refused, with word of when to come again, until another has ended.
func TestSeatStream_IsBounded(t *testing.T) {
	t.Parallel()
	s, o, _, end := theatreNode(t, 1)
	defer end()
	s.sales.current.Store(true)
	o.record.Store(&logged{Admission: events.Admission{State: sale.Open}})
	const session = "a-session-of-a-test"
	token, _, err := s.Passes.Issue("gala", sale.HashSession("gala", session))
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (*fasthttp.RequestCtx, error) {
		ctx := &fasthttp.RequestCtx{}
		ctx.Request.Header.Set("Authorization", "Bearer "+token)
		ctx.Request.Header.Set(sessionHeader, session)
		return ctx, s.getSeatStream(ctx, "gala")
	}
	first, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	var busy *sale.Error
	if _, err := ask(); !errors.Is(err, errTooManyStreams) || !errors.As(err, &busy) || busy.Wait != streamsWait {
		t.Errorf("one too many: %v", err)
	}
	if err := first.Response.CloseBodyStream(); err != nil {
		t.Error(err)
	}
	next, err := ask()
	if err != nil {
		t.Fatalf("after one has ended: %v", err)
	}
	if err := next.Response.CloseBodyStream(); err != nil {
		t.Error(err)
	}
}
