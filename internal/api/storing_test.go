package api

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/testenv"
	"onsale/nats"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// storing is a node on a real broker, and the broker.
func storing(t *testing.T) (*server, *nats.Client) {
	t.Helper()
	c, err := nats.Connect(nats.Config{URL: testenv.NATS(t), Name: t.Name(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	return newServer(t.Context(), Deps{Streams: c, Catalog: noOrders{}, Log: slog.New(slog.DiscardHandler), Now: time.Now}), c
}

// order is the checkout command of the n-th order of an event; body tells requests under one key apart.
func order(eventID string, n, body int) (events.Outgoing, [32]byte) {
	id := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, eventID, n))
	request := sale.RequestHash(id, fmt.Sprint(body))
	return events.Outgoing{Subject: events.CheckoutSubject(eventID), ID: id.String(), Data: events.Encode(events.CheckoutRequested{
		V: events.Version, OrderID: id, EventID: eventID, RequestHash: request[:]})}, request
}

// Each of many that are stored at once is where its caller is told, and they share messages.
func TestDurable_EachIsWhereItsCallerIsTold(t *testing.T) {
	t.Parallel()
	s, c := storing(t)
	const n = 600
	var all sync.WaitGroup
	var mu sync.Mutex
	messages := map[uint64]bool{}
	for i := range n {
		all.Go(func() {
			out, _ := order([]string{"gala", "matinee", "late"}[i%3], i, 1)
			got, err := durable(t.Context(), s.checkouts, out)
			if err != nil || got.ack.Duplicate {
				t.Errorf("order %d: %+v (%v)", i, got, err)
				return
			}
			m, err := c.Read(t.Context(), events.Checkouts, got.ack.Sequence)
			if err != nil {
				t.Error(err)
				return
			}
			if records := m.Records(); got.record >= len(records) || string(records[got.record].Data) != string(out.Data) || m.Subject != out.Subject {
				t.Errorf("order %d is not record %d of message %d", i, got.record, got.ack.Sequence)
			}
			mu.Lock()
			defer mu.Unlock()
			messages[got.ack.Sequence] = true
		})
	}
	all.Wait()
	if len(messages) > n/4 {
		t.Errorf("%d commands made %d messages", n, len(messages))
	}
}

// A lone one is a message under its own id: sent again it is not stored again.
func TestDurable_LoneOneKeepsItsID(t *testing.T) {
	t.Parallel()
	s, _ := storing(t)
	out, _ := order("gala", 1, 1)
	first, err := durable(t.Context(), s.checkouts, out)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := durable(t.Context(), s.checkouts, out); err != nil || !again.ack.Duplicate || again.ack.Sequence != first.ack.Sequence {
		t.Errorf("first %+v, again %+v (%v)", first, again, err)
	}
}

// What the broker refuses fails alone: those beside it are stored.
func TestStore_OneThatIsRefusedFailsAlone(t *testing.T) {
	t.Parallel()
	s, _ := storing(t)
	outs := make([]events.Outgoing, 30)
	for i := range outs {
		outs[i], _ = order([]string{"gala", "matinee"}[i%2], i, 1)
	}
	outs[7].Data = []byte(strings.Repeat("x", nats.MaxMessageSize+1))
	outs[9].Subject = "nowhere"
	bounded, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	got, err := s.store(bounded, outs)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range got {
		switch {
		case i == 7 && sale.KindOf(r.err) != sale.TooLarge, i == 9 && sale.KindOf(r.err) != sale.Unavailable:
			t.Errorf("record %d: %v", i, r.err)
		case i != 7 && i != 9 && r.err != nil:
			t.Errorf("record %d fails with them: %v", i, r.err)
		}
	}
}

// The id of a message is made of its orders' ids. One that was stored before with another body for one of them is not
// taken for the same: that order's key was reused, and those beside it find theirs.
func TestStore_AnotherBodyInACopyIsFound(t *testing.T) {
	t.Parallel()
	s, _ := storing(t)
	const n, other = 5, 3
	firsts, seconds, requests := make([]events.Outgoing, n), make([]events.Outgoing, n), make([][32]byte, n)
	for i := range n {
		firsts[i], _ = order("gala", i, 1)
		body := 1
		if i == other {
			body = 2
		}
		seconds[i], requests[i] = order("gala", i, body)
	}
	if _, err := s.store(t.Context(), firsts); err != nil {
		t.Fatal(err)
	}
	got, err := s.store(t.Context(), seconds)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range got {
		if !r.ack.Duplicate {
			t.Fatalf("record %d: %+v", i, r)
		}
		if err := s.sameRequest(t.Context(), r, requests[i]); (i == other) != (sale.CodeOf(err) == "idempotency_key_reused") || i != other && err != nil {
			t.Errorf("record %d: %v", i, err)
		}
	}
}

// One order many times at once is stored once, and another body under its key is found.
func TestStore_OneOrderManyTimesIsOneRecord(t *testing.T) {
	t.Parallel()
	s, c := storing(t)
	const other = 7
	var outs []events.Outgoing
	var requests [][32]byte
	for i := range 20 {
		body := 1
		if i == other {
			body = 2
		}
		out, request := order("gala", i%2, body)
		outs, requests = append(outs, out), append(requests, request)
	}
	got, err := s.store(t.Context(), outs)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Read(t.Context(), events.Checkouts, 1)
	if err != nil || len(m.Records()) != 2 {
		t.Errorf("2 orders are %d records (%v)", len(m.Records()), err)
	}
	for i, r := range got {
		if r.err != nil || r.ack.Sequence != 1 || r.record != i%2 || r.ack.Duplicate != (i >= 2) {
			t.Errorf("record %d: %+v", i, r)
		}
		if err := s.sameRequest(t.Context(), r, requests[i]); (i == other) != (sale.CodeOf(err) == "idempotency_key_reused") || i != other && err != nil {
			t.Errorf("record %d: %v", i, err)
		}
	}
}

// A broker that is away fails what waits for it, and is told of as what passes.
func TestStore_BrokerIsAway(t *testing.T) {
	t.Parallel()
	server := testenv.NATSServer(t)
	c, err := nats.Connect(nats.Config{URL: server.URL, Name: t.Name(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := newServer(t.Context(), Deps{Streams: c, Catalog: noOrders{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	outs := make([]events.Outgoing, 3)
	for i := range outs {
		outs[i], _ = order("gala", i, 1)
	}
	server.Stop()
	bounded, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	got, err := s.store(bounded, outs)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range got {
		if sale.KindOf(r.err) != sale.Unavailable {
			t.Errorf("record %d: %v", i, r.err)
		}
	}
	server.Start()
	if _, err := durable(t.Context(), s.checkouts, outs[0]); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}
