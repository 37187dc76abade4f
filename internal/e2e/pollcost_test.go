package e2e

import (
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/access"
	"onsale/internal/api"
	"onsale/internal/entry"
	"onsale/internal/line"
	"onsale/internal/pass"
	"onsale/internal/redis"
	"onsale/internal/sale"
	"onsale/internal/testenv"
	"onsale/internal/up"
	"onsale/nats"
	"onsale/store"
)

// counted are the stores of an api node, with a count of the calls to them. The catalog is read again every two
// seconds, whoever polls, so that is not counted.
type counted struct {
	api.Streams
	api.Catalog
	api.Holds
	api.Memory
	api.Places
	calls atomic.Int64
}

func (c *counted) Publish(ctx context.Context, out events.Outgoing) (events.Ack, error) {
	c.calls.Add(1)
	return c.Streams.Publish(ctx, out)
}

func (c *counted) Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error {
	c.calls.Add(1)
	return c.Streams.Follow(ctx, f, caughtUp, each)
}

func (c *counted) Read(ctx context.Context, stream string, sequence uint64) (events.Message, error) {
	c.calls.Add(1)
	return c.Streams.Read(ctx, stream, sequence)
}

func (c *counted) Range(ctx context.Context, stream, subject string, from uint64, limit, maxBytes int) ([]events.Message, error) {
	c.calls.Add(1)
	return c.Streams.Range(ctx, stream, subject, from, limit, maxBytes)
}

func (c *counted) LineEpoch(ctx context.Context, eventID string) (uint64, error) {
	c.calls.Add(1)
	return c.Streams.LineEpoch(ctx, eventID)
}

func (c *counted) Seats(ctx context.Context, eventID string) ([]sale.Seat, error) {
	c.calls.Add(1)
	return c.Catalog.Seats(ctx, eventID)
}

func (c *counted) Orders(ctx context.Context, ids []uuid.UUID) ([]sale.Order, error) {
	c.calls.Add(1)
	return c.Catalog.Orders(ctx, ids)
}

func (c *counted) Recall(ctx context.Context, k line.Key, sessions []sale.SessionHash) ([]*line.Ticket, error) {
	c.calls.Add(1)
	return c.Places.Recall(ctx, k, sessions)
}

func (c *counted) Remember(ctx context.Context, k line.Key, tickets []line.Ticket) error {
	c.calls.Add(1)
	return c.Places.Remember(ctx, k, tickets)
}

func (c *counted) Redeem(ctx context.Context, k line.Key, code events.CodeID, uses int, session sale.SessionHash) (bool, error) {
	c.calls.Add(1)
	return c.Places.Redeem(ctx, k, code, uses, session)
}

func (c *counted) SeatStates(ctx context.Context, eventID string, seats []string) ([]sale.SeatState, error) {
	c.calls.Add(1)
	return c.Memory.SeatStates(ctx, eventID, seats)
}

// startCounted runs an api node in this process on a system's servers, with its calls counted.
func startCounted(t *testing.T, l *up.Local) (base string, c *counted, tickets line.Tickets) {
	t.Helper()
	secret, err := base64.StdEncoding.DecodeString(l.API.TicketSecret)
	if err != nil {
		t.Fatal(err)
	}
	passes, err := pass.ParseKeys(l.API.PassKeys, l.API.PassTTL, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	streams, err := nats.Connect(nats.Config{URL: l.NATSURL, Name: "counted", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	books, err := store.Open(t.Context(), l.DatabaseURL, 4, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	places, err := redis.Open(l.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c = &counted{Streams: streams, Catalog: books, Holds: places, Memory: places, Places: places}
	tickets = line.NewTickets(secret)
	var ready atomic.Bool
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- api.Run(ctx, api.Deps{
			Listener: ln, Streams: c, Catalog: c, Holds: c, Memory: c, Places: c, Notices: streams, Tickets: tickets, Codes: access.NewCodes(secret), Passes: passes,
			Entry: api.Entry{Proofs: entry.NewProofs(secret)}, MaxChunk: 1024, Now: time.Now, Log: quiet, Ready: &ready,
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error("run api:", err)
		}
		streams.Close()
		books.Close()
		if err := places.Close(); err != nil {
			t.Error(err)
		}
	})
	testenv.Eventually(t, "ready node", ready.Load)
	return "http://" + ln.Addr().String(), c, tickets
}

// A waiting fan's poll, and the page of its line, cost no call to any store: neither Redis nor Postgres nor a stream.
func TestPollsReadNoStore(t *testing.T) {
	t.Parallel()
	const n = 1500
	l := startLocal(t, dataDir(t)) // of its own: other tests' events would cost it calls
	create(t, l, "cheap", nil)
	sessions := make([]sale.SessionHash, n)
	for i := range sessions {
		sessions[i] = sale.HashSession("cheap", sessionOf("cheap", i))
	}
	sequence := publishChunk(t, l, "cheap", sessions)
	if err := operator(l).SetRate(t.Context(), "cheap", 0.001); err != nil {
		t.Fatal(err)
	}
	move(t, l, "cheap", "open", "open")
	epoch := join(t, l.BaseURL, "cheap", sessionOf("cheap", n)).spot.Epoch
	base, c, tickets := startCounted(t, l)
	testenv.Eventually(t, "line on the node", func() bool {
		q := queueOf(t, base, "cheap")
		return q.Joined == n+1 && q.State == "open"
	})
	settled(t, c)
	before := c.calls.Load()
	var answered atomic.Int64
	each(n, 16, func(i int) {
		f := fan{ticket: tickets.Sign("cheap", line.Ticket{Epoch: epoch, Sequence: sequence, Index: uint32(i), Session: sessions[i]})}
		a := call(t, "GET", base+"/v1/queue/cheap/position", nil, "Authorization", "Bearer "+f.ticket)
		if a.status == http.StatusOK && a.text("state") == "waiting" {
			answered.Add(1)
		}
		if i%10 == 0 {
			queueOf(t, base, "cheap")
		}
	})
	if calls := c.calls.Load() - before; calls != 0 {
		t.Errorf("%d polls made %d calls to stores", n, calls)
	}
	if answered.Load() < n-1 {
		t.Errorf("%d of %d polls were answered", answered.Load(), n)
	}
	if a := call(t, "POST", base+"/v1/queue/cheap/join", joinBody("someone-who-joins-it")); a.status != http.StatusCreated || c.calls.Load() == before {
		t.Errorf("a join makes no call to any store (%d %s): the count is broken", a.status, a.body)
	}
}

// settled waits until a node has done what it does when it begins: for a second nothing was counted.
func settled(t *testing.T, c *counted) {
	t.Helper()
	last, since := int64(-1), time.Now()
	testenv.Eventually(t, "quiet node", func() bool {
		if now := c.calls.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > time.Second // places are stored behind the joins, within half of that and a write
	})
}
