package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/testenv"
)

var ordered = events.CheckoutSubject("show")

func TestPublishStoresOnce(t *testing.T) {
	t.Parallel()
	c := connect(t)
	publish(t, c, ordered, "0", "before")
	out := events.Outgoing{Subject: ordered, ID: "1", Header: map[string]string{"Join-Count": "7"}, Data: []byte("x")}
	var first events.Ack
	for i := range 3 {
		ack, err := c.Publish(t.Context(), out)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = ack
		}
		if ack.Sequence != 2 || ack.Duplicate != (i > 0) {
			t.Errorf("time %d: %+v, first %+v", i, ack, first)
		}
	}
	for range 2 { // without an id each is its own
		publish(t, c, ordered, "", "y")
	}
	if n := messages(t, c, events.Checkouts); n != 4 {
		t.Errorf("%d messages", n)
	}
	m, err := c.Read(t.Context(), events.Checkouts, 2)
	if err != nil {
		t.Fatal(err)
	}
	if m.At.IsZero() {
		t.Error("it has no time")
	}
	m.At = time.Time{}
	if diff := cmp.Diff(events.Message{Stream: events.Checkouts, Subject: ordered, Sequence: 2, Data: []byte("x"),
		Header: map[string]string{"Nats-Msg-Id": "1", "Join-Count": "7"}}, m); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
}

func TestOneOfManyPublishersIsFirst(t *testing.T) {
	t.Parallel()
	c := connect(t)
	var firsts atomic.Int64
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			ack, err := c.Publish(t.Context(), events.Outgoing{Subject: ordered, ID: "wanted", Data: []byte("x")})
			if err != nil || ack.Sequence != 1 {
				t.Errorf("%+v (%v)", ack, err)
			}
			if !ack.Duplicate {
				firsts.Add(1)
			}
		})
	}
	all.Wait()
	if firsts.Load() != 1 || messages(t, c, events.Checkouts) != 1 {
		t.Errorf("%d were first, %d messages", firsts.Load(), messages(t, c, events.Checkouts))
	}
}

func expect(subject string, last uint64) events.Outgoing {
	return events.Outgoing{Subject: subject, Data: []byte("x"), ExpectLast: &last}
}

func TestExpectLastFences(t *testing.T) {
	t.Parallel()
	c := connect(t)
	mine, other := events.AdmissionSubject("show"), events.AdmissionSubject("other")
	for i, step := range []struct {
		out  events.Outgoing
		want uint64 // 0: fenced
	}{
		{expect(mine, 1), 0},
		{expect(mine, 0), 1},
		{expect(mine, 0), 0},
		{expect(other, 0), 2}, // each subject has its own last
		{expect(mine, 2), 0},
		{expect(mine, 1), 3},
		{expect(mine, 1), 0},
		{expect(mine, 3), 4},
	} {
		ack, err := c.Publish(t.Context(), step.out)
		if step.want == 0 {
			if sale.KindOf(err) != sale.Conflict || sale.CodeOf(err) != "fenced" {
				t.Errorf("step %d: %+v (%v), want fenced", i, ack, err)
			}
		} else if err != nil || ack.Sequence != step.want {
			t.Errorf("step %d: %+v (%v), want %d", i, ack, err, step.want)
		}
	}
	if n := messages(t, c, events.Admissions); n != 4 {
		t.Errorf("%d messages", n)
	}
}

func TestOneOfManyWritersExtendsTheLog(t *testing.T) {
	t.Parallel()
	c := connect(t)
	for last := range uint64(5) {
		var won atomic.Int64
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				_, err := c.Publish(t.Context(), expect(events.AdmissionSubject("show"), last))
				if err == nil {
					won.Add(1)
				} else if sale.CodeOf(err) != "fenced" {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%d writers follow %d", won.Load(), last)
		}
	}
}

func TestWhatCanNotBeStoredIsSaidSo(t *testing.T) {
	t.Parallel()
	c := connect(t)
	bounded, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for name, out := range map[string]events.Outgoing{
		"no stream":             {Subject: "nowhere", ID: "1"},
		"no stream, without id": {Subject: "nowhere"},
	} {
		if _, err := c.Publish(bounded, out); sale.KindOf(err) != sale.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.PublishAll(bounded, []events.Outgoing{{Subject: ordered, Data: []byte("x")}, {Subject: "nowhere"}}); sale.KindOf(err) != sale.Unavailable {
		t.Errorf("all: %v", err)
	}
	for _, size := range []int{MaxMessageSize + 1, 16 << 20} { // over the stream's limit, and over the server's
		_, err := c.Publish(t.Context(), events.Outgoing{Subject: ordered, ID: "2", Data: make([]byte, size)})
		if sale.KindOf(err) != sale.TooLarge {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestPublishSurvivesARestart: it is sent again until the server is back, and stored once.
func TestPublishSurvivesARestart(t *testing.T) {
	t.Parallel()
	server := testenv.NATSServer(t)
	c := dial(t, server.URL)
	if err := c.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish(t, c, ordered, "before", "x")
	server.Stop()
	const n = 20
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if _, err := c.Publish(t.Context(), events.Outgoing{Subject: ordered, ID: fmt.Sprint(i), Data: []byte("x")}); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := c.Publish(t.Context(), expect(events.AdmissionSubject("show"), 0)); sale.KindOf(err) != sale.Unavailable {
		t.Errorf("a conditional append must not be repeated: %v", err)
	}
	server.Start()
	all.Wait()
	if ack := publish(t, c, ordered, "before", "x"); ack.Sequence != 1 || !ack.Duplicate {
		t.Errorf("ids are forgotten: %+v", ack)
	}
	for i := range n {
		if ack := publish(t, c, ordered, fmt.Sprint(i), "x"); !ack.Duplicate {
			t.Errorf("%d was not stored", i)
		}
	}
	if got := messages(t, c, events.Checkouts); got != n+1 {
		t.Errorf("%d messages", got)
	}
}

// TestPublishAcrossRestarts has publishers that never wait for the server.
func TestPublishAcrossRestarts(t *testing.T) {
	t.Parallel()
	server := testenv.NATSServer(t)
	c := dial(t, server.URL)
	if err := c.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var stored atomic.Int64
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := c.Publish(t.Context(), events.Outgoing{Subject: ordered, ID: fmt.Sprint(w, "-", i), Data: []byte("x")}); err != nil {
					t.Error(err)
				}
				stored.Add(1)
			}
		})
	}
	for range 3 {
		before := stored.Load()
		testenv.Eventually(t, "they publish", func() bool { return stored.Load() > before+50 })
		server.Stop()
		server.Start()
	}
	before := stored.Load()
	testenv.Eventually(t, "they publish again", func() bool { return stored.Load() > before+50 })
	stop()
	all.Wait()
	if n := messages(t, c, events.Checkouts); n != uint64(stored.Load()) {
		t.Errorf("%d messages, %d were acknowledged", n, stored.Load())
	}
}

func TestPublishAllKeepsOrderAndDropsSecondCopies(t *testing.T) {
	t.Parallel()
	c := connect(t)
	const n = 5000 // more than may be on their way at once
	outs := make([]events.Outgoing, n)
	for i := range outs {
		outs[i] = events.Outgoing{Subject: ordered, ID: fmt.Sprint(i), Data: fmt.Append(nil, i)}
	}
	if err := c.PublishAll(t.Context(), outs[:n/2]); err != nil {
		t.Fatal(err)
	}
	if err := c.PublishAll(t.Context(), outs); err != nil {
		t.Fatal(err)
	}
	if err := c.PublishAll(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if got := messages(t, c, events.Checkouts); got != n {
		t.Errorf("%d messages", got)
	}
	for _, i := range []int{0, 1, n/2 - 1, n / 2, n - 1} {
		if m, err := c.Read(t.Context(), events.Checkouts, uint64(i+1)); err != nil || string(m.Data) != fmt.Sprint(i) {
			t.Errorf("at %d: %s (%v)", i, m.Data, err)
		}
	}
}

func TestPublishAllEndsWithItsContext(t *testing.T) {
	t.Parallel()
	server := testenv.NATSServer(t)
	c := dial(t, server.URL)
	if err := c.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	bounded, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := c.PublishAll(bounded, []events.Outgoing{{Subject: ordered, ID: "1", Data: []byte("x")}})
	if sale.KindOf(err) != sale.Unavailable {
		t.Errorf("got %v", err)
	}
	server.Start()
	testenv.Eventually(t, "it publishes again", func() bool {
		return c.PublishAll(t.Context(), []events.Outgoing{{Subject: ordered, ID: "1", Data: []byte("x")}}) == nil
	})
	if n := messages(t, c, events.Checkouts); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestLastAndRead(t *testing.T) {
	t.Parallel()
	c := connect(t)
	if _, ok, err := c.Last(t.Context(), events.Admissions, events.AdmissionSubject("show")); ok || err != nil {
		t.Errorf("an empty subject has a last message (%v)", err)
	}
	publish(t, c, events.AdmissionSubject("show"), "", "1")
	publish(t, c, events.AdmissionSubject("show"), "", "2")
	publish(t, c, events.AdmissionSubject("other"), "", "3")
	if m, ok, err := c.Last(t.Context(), events.Admissions, events.AdmissionSubject("show")); !ok || err != nil || m.Sequence != 2 || string(m.Data) != "2" {
		t.Errorf("got %+v %v (%v)", m, ok, err)
	}
	if _, _, err := c.Last(t.Context(), "NONE", "x"); err == nil {
		t.Error("a stream that isn't there has a last message")
	}
	for stream, sequence := range map[string]uint64{events.Admissions: 4, "NONE": 1} {
		if m, err := c.Read(t.Context(), stream, sequence); err == nil {
			t.Errorf("read %+v", m)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Read(ended, events.Admissions, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// What connects to no server says where it looked, and keeps the password to itself.
func TestConnect_SaysWhere(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"nats://127.0.0.1:1":                            "connect to nats at 127.0.0.1:1: ",
		"nats://ann:hush@127.0.0.1:1, hush@127.0.0.1:2": "connect to nats at 127.0.0.1:1, 127.0.0.1:2: ",
		"nats://ann:hush,127.0.0.1:1":                   "its URL can't be read",
		"nats://ann:hu%zzsh@127.0.0.1:1":                "its URL can't be read",
	} {
		c, err := Connect(Config{URL: url, Name: t.Name(), Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			c.Close()
			t.Errorf("%s is connected to", url)
			continue
		}
		if text := err.Error(); !strings.Contains(text, want) || strings.Contains(text, "hu") || strings.Contains(text, "ann") {
			t.Errorf("%s: %q, want %q", url, text, want)
		}
	}
}
