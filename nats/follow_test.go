package nats

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/jetstream"

	"onsale/events"
	"onsale/internal/testenv"
)

// following is a follower that runs until stop, or until the test ends.
type following struct {
	got      seen
	caughtUp atomic.Int64
	readAt   atomic.Int64 // how many were read when it had caught up
	stop     func()
}

func follow(t *testing.T, c *Client, f events.Follow) *following {
	t.Helper()
	x := &following{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	var returned atomic.Bool
	go func() {
		err := c.Follow(ctx, f, func() {
			x.readAt.Store(int64(x.got.count()))
			x.caughtUp.Add(1)
		}, func(m events.Message) {
			if returned.Load() {
				t.Error("called after Follow returned")
			}
			x.got.add(m)
		})
		returned.Store(true)
		done <- err
	}()
	ended := false
	x.stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := x.caughtUp.Load(); n != 1 {
			t.Errorf("caughtUp was called %d times", n)
		}
	}
	t.Cleanup(x.stop)
	return x
}

func (x *following) ready(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, "it has caught up", func() bool { return x.caughtUp.Load() == 1 })
}

// data waits for n messages and returns what they carry, in order.
func (x *following) data(t *testing.T, n int) []string {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("%d messages", n), func() bool { return x.got.count() >= n })
	var all []string
	for _, m := range x.got.list() {
		all = append(all, string(m.Data))
	}
	return all
}

func numbers(from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func same(t *testing.T, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
}

func TestFollowReadsEverythingInOrder(t *testing.T) {
	t.Parallel()
	c := connect(t)
	fill(t, c, ordered, 1200)
	x := follow(t, c, events.Follow{Stream: events.Checkouts})
	x.ready(t)
	if n := x.readAt.Load(); n != 1200 {
		t.Errorf("caught up after %d", n)
	}
	publish(t, c, ordered, "id", "new")
	same(t, append(numbers(0, 1200), "new"), x.data(t, 1201))
	for i, m := range x.got.list() {
		if m.Sequence != uint64(i+1) || m.Stream != events.Checkouts || m.Subject != ordered || m.At.IsZero() || m.Delivered != 0 {
			t.Fatalf("message %d: %+v", i, m)
		}
	}
	want := events.Message{Stream: events.Checkouts, Subject: ordered, Sequence: 1201, Data: []byte("new"), Header: map[string]string{"Nats-Msg-Id": "id"}}
	if diff := cmp.Diff(want, x.got.list()[1200], cmpopts.IgnoreFields(events.Message{}, "At")); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	x.stop()
	publish(t, c, ordered, "", "later")
	if n := x.got.count(); n != 1201 {
		t.Errorf("%d messages after the end", n)
	}
}

func TestFollowHeadersOnly(t *testing.T) {
	t.Parallel()
	c := connect(t)
	if err := c.EnsureLine(t.Context(), "show"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Publish(t.Context(), events.Outgoing{Subject: events.JoinedSubject("show"), ID: "1",
		Header: map[string]string{events.HeaderJoinCount: "17"}, Data: make([]byte, 5000)}); err != nil {
		t.Fatal(err)
	}
	x := follow(t, c, events.Follow{Stream: events.Line("show"), HeadersOnly: true})
	x.ready(t)
	m := x.got.list()[0]
	if len(m.Data) != 0 || m.Header[events.HeaderJoinCount] != "17" || m.Header[events.HeaderMsgID] != "1" {
		t.Errorf("got %+v", m)
	}
}

func TestFollowOneSubject(t *testing.T) {
	t.Parallel()
	c := connect(t)
	mine, other := events.CheckoutSubject("show"), events.CheckoutSubject("other")
	publish(t, c, other, "", "0")
	publish(t, c, mine, "", "1")
	publish(t, c, other, "", "2") // the stream's last is of another subject
	x := follow(t, c, events.Follow{Stream: events.Checkouts, Subject: mine})
	x.ready(t)
	if n := x.readAt.Load(); n != 1 {
		t.Errorf("caught up after %d", n)
	}
	publish(t, c, other, "", "3")
	publish(t, c, mine, "", "4")
	same(t, []string{"1", "4"}, x.data(t, 2))
}

func TestFollowFromTheLastOfEachSubject(t *testing.T) {
	t.Parallel()
	for name, subject := range map[string]string{"all": "", "one": events.AdmissionSubject("b")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t)
			for i := range 30 {
				publish(t, c, events.AdmissionSubject(string(rune('a'+i%3))), "", fmt.Sprint(i))
			}
			x := follow(t, c, events.Follow{Stream: events.Admissions, Subject: subject, From: events.FromLastPerSubject})
			x.ready(t)
			publish(t, c, events.AdmissionSubject("b"), "", "30")
			publish(t, c, events.AdmissionSubject("b"), "", "31")
			if subject == "" {
				same(t, []string{"27", "28", "29", "30", "31"}, x.data(t, 5))
			} else {
				same(t, []string{"28", "30", "31"}, x.data(t, 3))
			}
		})
	}
}

func TestFollowWhatIsNew(t *testing.T) {
	t.Parallel()
	c := connect(t)
	fill(t, c, ordered, 10)
	x := follow(t, c, events.Follow{Stream: events.Checkouts, From: events.FromNew})
	x.ready(t)
	publish(t, c, ordered, "", "a")
	publish(t, c, ordered, "", "b")
	same(t, []string{"a", "b"}, x.data(t, 2))
}

func TestFollowerOfAnEmptyStreamHasCaughtUp(t *testing.T) {
	t.Parallel()
	c := connect(t)
	for _, from := range []events.Start{events.FromFirst, events.FromLastPerSubject, events.FromNew} {
		x := follow(t, c, events.Follow{Stream: events.Orders, From: from})
		x.ready(t)
		if n := x.readAt.Load(); n != 0 {
			t.Errorf("caught up after %d", n)
		}
		x.stop()
	}
}

// TestFollowCatchesUpUnderWriters: whoever has caught up has read all that was there when it began.
func TestFollowCatchesUpUnderWriters(t *testing.T) {
	t.Parallel()
	c := connect(t)
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := 0; ctx.Err() == nil; i++ {
			if _, err := c.Publish(t.Context(), events.Outgoing{Subject: events.CheckoutSubject(fmt.Sprint(i % 5)), Data: fmt.Append(nil, i)}); err != nil {
				t.Error(err)
			}
		}
	}()
	for range 10 {
		for _, from := range []events.Start{events.FromFirst, events.FromLastPerSubject} {
			before := messages(t, c, events.Checkouts)
			x := follow(t, c, events.Follow{Stream: events.Checkouts, From: from})
			x.ready(t)
			read := x.got.list()[:x.readAt.Load()]
			if len(read) > 0 && read[len(read)-1].Sequence < before || len(read) == 0 && before > 0 {
				t.Errorf("caught up after %d messages of %d", len(read), before)
			}
			x.stop()
		}
	}
	stop()
	<-written
}

// TestFollowAcrossRestarts: every message once and in order, whatever the follower had read before.
func TestFollowAcrossRestarts(t *testing.T) {
	t.Parallel()
	server := testenv.NATSServer(t)
	c := dial(t, server.URL)
	if err := c.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	starts := []events.Start{events.FromFirst, events.FromLastPerSubject, events.FromNew}
	var all []*following
	for _, from := range starts {
		x := follow(t, c, events.Follow{Stream: events.Checkouts, From: from})
		x.ready(t)
		all = append(all, x)
	}
	// At the first restart they have not read anything yet.
	n := 0
	for round := range 3 {
		server.Stop()
		server.Start()
		// A client of its own publishes before the followers are back.
		writer := dial(t, server.URL)
		for range 25 {
			publish(t, writer, ordered, "", fmt.Sprint(n))
			n++
		}
		for i, x := range all {
			same(t, numbers(0, n), x.data(t, n))
			if t.Failed() {
				t.Fatalf("round %d, start %d", round, starts[i])
			}
		}
	}
}

func TestFollowEndsWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	server := testenv.NATSServer(t)
	c := dial(t, server.URL)
	if err := c.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	x := follow(t, c, events.Follow{Stream: events.Checkouts})
	x.ready(t)
	server.Stop()
	ended := make(chan struct{})
	go func() { x.stop(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
}

func TestFollowEndsQuietly(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	c := &Client{log: slog.New(slog.NewTextHandler(&log, nil))}
	ctx, cancel := context.WithCancel(t.Context())
	warn := c.warn(ctx, events.Orders)
	warn(nil, jetstream.ErrConnectionClosed)
	if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "stream=ORDERS") {
		t.Errorf("while it follows it said %q", said)
	}
	log.Reset()
	cancel()
	if warn(nil, jetstream.ErrConnectionClosed); log.Len() > 0 {
		t.Errorf("after its end it said %q", &log)
	}
}
