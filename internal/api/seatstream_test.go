package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
		life: life, streams: newStreams(streams), heartbeat: heartbeat, notices: newNotices(h, time.Now), told: newWaiters(),
	}
	s.sales = newSales(s)
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

// Holds lapse by the time that was left, whatever the time of day is elsewhere; what has no notice is found out within
// two seconds, and counted; while Redis is away the map goes on.
func TestSeatFeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o, h, end := theatreNode(t, 1)
		defer end()
		want := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := shown(t, s, o); got != want {
				t.Errorf("the seats are %s, want %s", got, want)
			}
		}
		want(0, "aaa")
		s.sales.heard(events.Encode(events.SeatsNotice{V: 1, EventID: "gala", Holds: []events.HoldNotice{{HoldID: uuid.UUID{1}, Seats: []string{"a"}, LeftMS: 1200}}}))
		h.set(func() { h.held["a"] = true })
		want(cutEvery, "haa")
		h.set(func() { h.held["a"] = false })
		want(1200*time.Millisecond, "aaa")
		h.set(func() { h.held["b"] = true })
		want(2*time.Second, "aha")
		h.set(func() { h.held["b"] = false })
		want(2*time.Second, "aaa")
		h.set(func() { h.sold = []string{"c"} })
		for range 7 { // it is asked for meanwhile
			time.Sleep(5 * time.Second)
			shown(t, s, o)
		}
		want(0, "aas")

		h.set(func() { h.away = errors.New("away") })
		want(3*time.Second, "aas")
		time.Sleep(time.Minute)
		want(0, "aas")
		h.set(func() { h.away = nil })
		time.Sleep(askedFor + 3*time.Second)
		before := h.looked()
		time.Sleep(askedFor)
		if looks := h.looked() - before; looks > 0 {
			t.Errorf("%d looks at a map that nobody asks for", looks)
		}
		h.set(func() { h.held["a"] = true })
		want(0, "has") // who asks again is not shown what was
	})
}

func TestSeatFeed_FailsWhereNothingIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o, h, end := theatreNode(t, 1)
		defer end()
		h.set(func() { h.away = errors.New("away") })
		for range 2 {
			if _, err := s.snapshot(t.Context(), o); err == nil {
				t.Error("all seats are said to be available")
			}
		}
		h.set(func() { h.away = nil })
		if got := shown(t, s, o); got != "aaa" {
			t.Errorf("the seats are %s", got)
		}
	})
}

func TestSeatFeed_FollowsOrders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o, _, end := theatreNode(t, 1)
		defer end()
		order := func(outcome events.OrderOutcome, id byte, seats ...string) {
			s.sales.ordered(events.Message{Data: events.Encode(events.Order{V: 1, Outcome: outcome, OrderID: uuid.UUID{id}, HoldID: uuid.UUID{id}, EventID: "gala", Seats: seats})})
		}
		want := func(want string) {
			t.Helper()
			time.Sleep(cutEvery)
			synctest.Wait()
			if got := shown(t, s, o); got != want {
				t.Errorf("the seats are %s, want %s", got, want)
			}
		}
		order(events.OrderConfirmed, 1, "a") // before anyone asks
		want("saa")
		s.notice(o, uuid.UUID{2}, []string{"b", "c"}, time.Hour)
		want("shh")
		order(events.OrderConfirmed, 3, "c")
		order(events.OrderRejected, 2, "b", "c")
		want("sas")
		order(events.OrderVoided, 1, "a")
		want("aas")
	})
}

// What becomes of holds within a moment is told at once, in order; what nobody hears is counted, and not kept.
func TestNotices_AreGathered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o, h, end := theatreNode(t, 1)
		defer end()
		for i := range byte(3) {
			s.notice(o, uuid.UUID{i}, []string{"a"}, time.Second)
			s.notice(o, uuid.UUID{i}, []string{"a"}, 0)
		}
		time.Sleep(noticeEvery)
		synctest.Wait()
		told := h.heard()
		if len(told) != 1 || len(told[0].Holds) != 6 || told[0].Holds[4].HoldID != (uuid.UUID{2}) || told[0].Holds[4].LeftMS != 980 || told[0].Holds[5].LeftMS != 0 {
			t.Fatalf("told %+v", told)
		}
		for range maxNotices + 10 {
			s.notice(o, uuid.UUID{1}, []string{"a"}, time.Second)
		}
		if n := s.notices.size(); n != maxNotices {
			t.Errorf("%d wait", n)
		}
		h.set(func() { h.missed = true })
		time.Sleep(noticeEvery)
		synctest.Wait()
		if told := h.heard(); len(told) != 1 || s.notices.size() != 0 {
			t.Errorf("told %d times, %d wait", len(told), s.notices.size())
		}
	})
}

// Nodes of an event look at it together only by chance, and one that is looked at by many is looked at once.
func TestSeatFeed_IsMadeOnce(t *testing.T) {
	t.Parallel()
	s, o, h, end := theatreNode(t, 1)
	defer end()
	var all sync.WaitGroup
	var failed atomic.Int64
	for range 50 {
		all.Go(func() {
			if _, err := s.snapshot(t.Context(), o); err != nil {
				failed.Add(1)
			}
		})
	}
	all.Wait()
	if looks := h.looked(); failed.Load() > 0 || looks > 2 {
		t.Errorf("%d failed, and Redis was looked at %d times", failed.Load(), looks)
	}
}
