package store_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/store"
)

// cable passes bytes on to a server, until it is cut: from then on connections that were made before say nothing more and
// stay open, as when a host has died. Those that are made later work.
type cable struct {
	address string

	mu  sync.Mutex
	cut chan struct{}
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{address: ln.Addr().String(), cut: make(chan struct{})}
	var ends sync.WaitGroup
	gone := make(chan struct{})
	t.Cleanup(func() {
		close(gone)
		ln.Close()
		ends.Wait()
	})
	ends.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			c.mu.Lock()
			cut := c.cut
			c.mu.Unlock()
			ends.Go(func() { carry(near, far, cut) })
			ends.Go(func() { carry(far, near, cut) })
			ends.Go(func() {
				<-gone
				near.Close()
				far.Close()
			})
		}
	})
	return c
}

// carry copies until the cable is cut or an end closes.
func carry(from, to net.Conn, cut <-chan struct{}) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-cut:
			_, _ = io.Copy(io.Discard, from) // nobody hears of it, not even of its end
			return
		default:
		}
		if _, wrong := to.Write(buf[:n]); err != nil || wrong != nil {
			to.Close()
			return
		}
	}
}

// die cuts it for all that are connected.
func (c *cable) die() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.cut)
	c.cut = make(chan struct{})
}

// A relay whose host, or whose Postgres, has gone without a word: neither end waits for TCP to notice. Postgres gives the
// lock to another relay, and the relay itself connects anew.
func TestRelayGoesOnAfterSilence(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	at, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	cable := newCable(t, at.Host)
	at.Host = cable.address
	out := newSink()
	s, err := store.Open(t.Context(), at.String(), 4, r.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	var idle sync.WaitGroup // connections that the pool will take up after the silence
	for range 3 {
		idle.Go(func() {
			if _, err := s.Attempts(t.Context(), []uuid.UUID{uuid.New()}); err != nil {
				t.Error(err)
			}
		})
	}
	idle.Wait()
	far := r.relay(s, events.Orders, out)
	want := r.tell(events.Orders, "before", 3)
	r.drained(events.Orders)
	cable.die()
	want = append(want, r.tell(events.Orders, "after", 3)...)
	deadline := time.Now().Add(time.Minute)
	for one[int](r, `SELECT count(*) FROM outbox`) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("nobody publishes; the relay says %v", far.errors())
		}
		time.Sleep(50 * time.Millisecond)
	}
	out.wantOnly(t, want)
	if len(far.errors()) == 0 {
		t.Error("the relay did not notice")
	}
}
