package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/testenv"
)

// packed publishes n records, "0" to "n-1", as one message.
func packed(t *testing.T, c *Client, n int) {
	t.Helper()
	outs := make([]events.Outgoing, n)
	for i := range outs {
		outs[i] = events.Outgoing{Subject: ordered, ID: fmt.Sprint("id", i), Data: fmt.Append(nil, i)}
	}
	if outs = events.Pack(outs); len(outs) != 1 {
		t.Fatalf("%d records make %d messages", n, len(outs))
	}
	if err := c.PublishAll(t.Context(), outs); err != nil {
		t.Fatal(err)
	}
}

// counted is how often each record was handled.
type counted struct {
	mu sync.Mutex
	n  map[string]int
}

func (x *counted) add(m events.Message) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.n == nil {
		x.n = map[string]int{}
	}
	x.n[string(m.Data)]++
	return x.n[string(m.Data)]
}

func (x *counted) records() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.n)
}

func TestEveryRecordIsHandledOnce(t *testing.T) {
	t.Parallel()
	c := connect(t)
	packed(t, c, 60) // many more than there are slots
	publish(t, c, ordered, "", "alone")
	var got counted
	consuming(t, c, worker(), func(_ context.Context, m events.Message) error { got.add(m); return nil })
	testenv.Eventually(t, "all are handled", func() bool { return got.records() == 61 })
	settled(t, c, worker())
	for data, n := range got.n {
		if n != 1 {
			t.Errorf("%s was handled %d times", data, n)
		}
	}
	if info := consumer(t, c, worker()); info.NumRedelivered != 0 || info.AckFloor.Stream != 2 {
		t.Errorf("consumer: %+v", info)
	}
}

// TestOneRecordThatFailsBringsItsMessageAgain, until it succeeds.
func TestOneRecordThatFailsBringsItsMessageAgain(t *testing.T) {
	t.Parallel()
	c := connect(t)
	packed(t, c, 5)
	var got counted
	consuming(t, c, worker(), func(_ context.Context, m events.Message) error {
		if got.add(m) < 3 && string(m.Data) == "3" {
			return sale.Errorf(sale.Unavailable, "away", "not now")
		}
		return nil
	})
	testenv.Eventually(t, "all are handled", func() bool { return got.records() == 5 })
	settled(t, c, worker())
	got.mu.Lock()
	defer got.mu.Unlock()
	for i := range 5 {
		if n := got.n[fmt.Sprint(i)]; n != 3 {
			t.Errorf("record %d was handled %d times", i, n)
		}
	}
	if n := messages(t, c, events.Dead); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// TestOneRecordIsADeadLetterAlone: those beside it are done with.
func TestOneRecordIsADeadLetterAlone(t *testing.T) {
	t.Parallel()
	c := connect(t)
	packed(t, c, 5)
	var got counted
	consuming(t, c, worker(), func(_ context.Context, m events.Message) error {
		n := got.add(m)
		switch string(m.Data) {
		case "1", "4":
			return sale.Errorf(sale.Invalid, "bad", "never")
		case "2":
			if n == 1 { // brings the dead ones again, too: they are buried once
				return errors.New("not yet")
			}
		}
		return nil
	})
	testenv.Eventually(t, "all are handled", func() bool { return got.records() == 5 })
	settled(t, c, worker())
	dead := follow(t, c, events.Follow{Stream: events.Dead})
	dead.ready(t)
	var letters []string
	for _, m := range dead.got.list() {
		d, err := events.Decode[events.DeadLetter](m.Data)
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, string(d.Data))
	}
	slices.Sort(letters)
	if strings.Join(letters, " ") != "1 4" {
		t.Errorf("dead letters: %v", letters)
	}
}

// TestRecordIsBuriedForItsOwnFailures: however often its message was given, for a neighbour or to another worker, what
// fails is tried again until it has failed often enough; then it is a dead letter alone.
func TestRecordIsBuriedForItsOwnFailures(t *testing.T) {
	t.Parallel()
	c := connect(t)
	w := worker()
	stop := consuming(t, c, w, func(context.Context, events.Message) error { return nil })
	var durable jetstream.Consumer
	testenv.Eventually(t, "the consumer is made", func() (made bool) {
		var err error
		durable, err = c.js.Consumer(t.Context(), w.Stream, w.Durable)
		return err == nil
	})
	stop()
	packed(t, c, 3)
	var given jetstream.Msg
	for n := range maxInternalTries {
		var err error
		testenv.Eventually(t, "it is given", func() bool { given, err = durable.Next(jetstream.FetchMaxWait(10 * time.Second)); return err == nil })
		if n < maxInternalTries-1 {
			if err := given.Nak(); err != nil {
				t.Fatal(err)
			}
		}
	}
	d, err := c.delivery(w, given, newFailures())
	if err != nil {
		t.Fatal(err)
	}
	if d.records[1].Delivered < maxInternalTries {
		t.Fatalf("it was given %d times", d.records[1].Delivered)
	}
	d.left = 2 * maxInternalTries // as if each of these came with a delivery of its own
	fails := func(context.Context, events.Message) error { return errors.New("no idea") }
	d.handle(t.Context(), d.records[0], fails)
	for range maxInternalTries - 1 {
		d.handle(t.Context(), d.records[1], fails)
	}
	if n := messages(t, c, events.Dead); n != 0 {
		t.Fatalf("%d dead letters of records that may pass yet", n)
	}
	d.handle(t.Context(), d.records[1], fails)
	if got := letters(t, c, 1)[0]; got.Record != 1 || string(got.Data) != "1" || got.Reason != "no idea" {
		t.Errorf("the letter is %+v", got)
	}
}

// TestRecordsThatTakeLongAreNotGivenTwice: together they take longer than AckWait, each of them does not.
func TestRecordsThatTakeLongAreNotGivenTwice(t *testing.T) {
	t.Parallel()
	c := connect(t)
	packed(t, c, 12)
	w := worker()
	w.AckWait, w.Concurrency = 2*time.Second, 1
	var got counted
	consuming(t, c, w, func(_ context.Context, m events.Message) error {
		got.add(m)
		time.Sleep(300 * time.Millisecond)
		return nil
	})
	testenv.Eventually(t, "all are handled", func() bool { return got.records() == 12 })
	settled(t, c, w)
	if info := consumer(t, c, w); info.NumRedelivered != 0 {
		t.Errorf("%d were given again", info.NumRedelivered)
	}
}

func TestFollowReadsRecordsOneByOne(t *testing.T) {
	t.Parallel()
	c := connect(t)
	packed(t, c, 5)
	x := follow(t, c, events.Follow{Stream: events.Checkouts})
	x.ready(t)
	if n := x.readAt.Load(); n != 5 {
		t.Errorf("caught up after %d records", n)
	}
	publish(t, c, ordered, "", "5")
	same(t, numbers(0, 6), x.data(t, 6))
	for i, m := range x.got.list()[:5] {
		if m.Sequence != 1 || m.Record != i {
			t.Errorf("record %d: %+v", i, m)
		}
	}
}
