package nats

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"onsale/events"
	"onsale/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const patience = 30 * time.Second // for what comes by a channel; a passing test waits for far less

// connect gives a client of a server that no other test has, with all streams made.
func connect(t *testing.T) *Client {
	t.Helper()
	c := dial(t, testenv.NATS(t))
	if err := c.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func dial(t *testing.T, url string) *Client {
	t.Helper()
	c, err := Connect(Config{URL: url, Name: t.Name(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func publish(t *testing.T, c *Client, subject, id, data string) events.Ack {
	t.Helper()
	ack, err := c.Publish(t.Context(), events.Outgoing{Subject: subject, ID: id, Data: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// fill publishes n messages, "0" to "n-1".
func fill(t *testing.T, c *Client, subject string, n int) {
	t.Helper()
	outs := make([]events.Outgoing, n)
	for i := range outs {
		outs[i] = events.Outgoing{Subject: subject, Data: fmt.Append(nil, i)}
	}
	if err := c.PublishAll(t.Context(), outs); err != nil {
		t.Fatal(err)
	}
}

// messages counts what a stream holds.
func messages(t *testing.T, c *Client, stream string) uint64 {
	t.Helper()
	s, err := c.js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// consumer is how a durable consumer stands.
func consumer(t *testing.T, c *Client, w Worker) *jetstream.ConsumerInfo {
	t.Helper()
	d, err := c.js.Consumer(t.Context(), w.Stream, w.Durable)
	if err != nil {
		t.Fatal(err)
	}
	return d.CachedInfo()
}

// consuming is a worker that runs until stop, or until the test ends.
func consuming(t *testing.T, c *Client, w Worker, handle events.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Consume(ctx, w, handle) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// seen collects messages from any goroutine.
type seen struct {
	mu  sync.Mutex
	all []events.Message
}

func (s *seen) add(m events.Message) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, m)
	return len(s.all)
}

func (s *seen) list() []events.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]events.Message(nil), s.all...)
}

func (s *seen) count() int { return len(s.list()) }
