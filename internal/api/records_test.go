package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/problem"
	"onsale/internal/sale"
	"onsale/internal/testenv"
)

// storedLine is a line whose messages are read as a broker does: by limit and by bytes.
type storedLine struct {
	Streams
	bodies [][]byte

	mu     sync.Mutex
	froms  []uint64 // of each read
	refuse func(reads int) error
}

func (l *storedLine) Range(ctx context.Context, _, _ string, from uint64, limit, maxBytes int) ([]events.Message, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.froms = append(l.froms, from)
	if l.refuse != nil {
		if err := l.refuse(len(l.froms)); err != nil {
			return nil, err
		}
	}
	var all []events.Message
	for size := 0; int(from) <= len(l.bodies) && len(all) < limit && size < maxBytes; from++ {
		body := l.bodies[from-1]
		all, size = append(all, events.Message{Subject: events.JoinedSubject("gala"), Sequence: from, Data: body, Pending: uint64(len(l.bodies)) - from}), size+len(body)
	}
	return all, ctx.Err()
}

// serving is a node that has an event whose line has chunks of a size.
func serving(t *testing.T, chunks, size int) (*server, *onSale, *storedLine) {
	t.Helper()
	stored := &storedLine{}
	for i := range chunks {
		stored.bodies = append(stored.bodies, append(make([]byte, size-1), byte(i)))
	}
	s := newServer(t.Context(), Deps{Streams: stored, Catalog: noOrders{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	o := &onSale{event: sale.Event{ID: "gala"}, line: line.NewIndex()}
	o.record.Store(inLobby)
	s.sales.byID["gala"] = o
	s.sales.current.Store(true)
	return s, o, stored
}

type noOrders struct{ Catalog }

// dialed accepts connections whose two ends meet in memory: nothing is sent before it is read.
type dialed chan net.Conn

func (d dialed) Accept() (net.Conn, error) {
	if c, open := <-d; open {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (d dialed) Close() error   { return nil }
func (d dialed) Addr() net.Addr { return &net.TCPAddr{} }

// Clients that ask for pages and read nothing have a bounded number of pages of a bounded size kept for them, for a
// bounded time; then others get theirs.
func TestUnreadPagesAreBounded(t *testing.T) {
	t.Parallel()
	s, _, stored := serving(t, 300, 16<<10)
	ln := make(dialed)
	done := make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		done <- problem.Serve(ctx, s.routes(), ln, problem.Limits{Write: 2 * time.Second}, time.Second)
	}()
	ask := func() net.Conn {
		client, server := net.Pipe()
		ln <- server
		if _, err := fmt.Fprint(client, "GET /v1/queue/gala/chunks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return client
	}
	answer := func() (status int, size int) {
		client := ask()
		defer client.Close()
		resp, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		return resp.StatusCode, len(body)
	}
	for range pagesAtOnce {
		defer ask().Close()
	}
	testenv.Eventually(t, "all pages are being sent", func() bool {
		stored.mu.Lock()
		defer stored.mu.Unlock()
		return len(stored.froms) == pagesAtOnce && len(s.reading) == 0
	})
	if status, _ := answer(); status != http.StatusServiceUnavailable {
		t.Errorf("one more page: %d, and nobody has read the others", status)
	}
	testenv.Eventually(t, "the pages are given up", func() bool { return len(s.sending) == 0 })
	if status, size := answer(); status != http.StatusOK || size < maxPageBytes || size > 3*maxPageBytes/2 {
		t.Errorf("a page after that: %d, of %d bytes", status, size)
	}
	testenv.Eventually(t, "the page is sent", func() bool { return len(s.sending) == 0 })
	stop()
	close(ln)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Whoever keeps all pages busy keeps nobody from the draw and the receipts.
func TestPagesDontHoldUpTheDraw(t *testing.T) {
	t.Parallel()
	s, o, stored := serving(t, 0, 0)
	for range cap(s.sending) {
		s.sending <- struct{}{}
	}
	for range cap(s.reading) {
		s.reading <- struct{}{}
	}
	stored.bodies = [][]byte{
		events.Encode(events.Admission{V: events.Version, N: 1, EventID: "gala", Commitment: "abc", State: sale.Lobby}),
		events.Encode(events.Admission{V: events.Version, N: 2, EventID: "gala", State: sale.Open, Draw: &events.Draw{Sealed: 9, Seed: "x"}, Drawn: &events.Drawn{Root: "r"}}),
	}
	app := s.routes()
	get := func(path string) (int, string) {
		resp, err := app.Test(httptest.NewRequest("GET", "/v1/queue/gala"+path, nil), -1)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if status, body := get("/chunks"); status != http.StatusServiceUnavailable {
		t.Errorf("a page: %d %s", status, body)
	}
	for range 2 {
		if status, body := get("/draw"); status != http.StatusOK || !strings.Contains(body, `"commitment":"abc"`) || !strings.Contains(body, `"root":"r"`) {
			t.Errorf("the draw: %d %s", status, body)
		}
	}
	if len(stored.froms) != 1 {
		t.Errorf("the log was read %d times", len(stored.froms))
	}
	lobby, err := line.NewLobby(events.Draw{Sealed: 3, Seed: draw.Hash{1}.String()}, map[string]uint64{"": 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.tree(t.Context(), o, lobby); err != nil {
		t.Errorf("the tree: %v", err)
	}
}

// A lobby that takes longer to read than one request lasts is read on by the next, and nobody waits longer than they
// want to.
func TestTreeIsReadOn(t *testing.T) {
	t.Parallel()
	const chunks = 3 * maxRecords
	s, o, stored := serving(t, chunks, 4)
	lobby, err := line.NewLobby(events.Draw{Sealed: chunks + 1, Seed: draw.Hash{1}.String()}, map[string]uint64{"": 1})
	if err != nil {
		t.Fatal(err)
	}
	away := errors.New("the broker is away")
	stored.refuse = func(reads int) error {
		if reads%2 == 0 {
			return away
		}
		return nil
	}
	for range 2 {
		if _, err := s.tree(t.Context(), o, lobby); !errors.Is(err, away) {
			t.Fatalf("a read that fails: %v", err)
		}
	}
	tree, err := s.tree(t.Context(), o, lobby)
	if err != nil {
		t.Fatal(err)
	}
	want := draw.NewTree()
	for _, b := range stored.bodies {
		want.Append(b)
	}
	if tree.Root() != want.Root() || tree.Size() != chunks {
		t.Errorf("%d leaves, root %s", tree.Size(), tree.Root())
	}
	if got := fmt.Sprint(stored.froms); got != "[1 4097 4097 8193 8193]" {
		t.Errorf("it was read from %s", got)
	}

	s, o, stored = serving(t, 2, 4)
	held := make(chan struct{})
	stored.refuse = func(int) error { <-held; return nil }
	lobby, err = line.NewLobby(events.Draw{Sealed: 3, Seed: draw.Hash{1}.String()}, map[string]uint64{"": 1})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := s.tree(ctx, o, lobby); sale.KindOf(err) != sale.Unavailable {
			t.Errorf("who waits no longer is told %v", err)
		}
		cancel()
	}
	close(held)
	if tree, err := s.tree(t.Context(), o, lobby); err != nil || tree.Size() != 2 {
		t.Errorf("after that: %v", err)
	}
}
