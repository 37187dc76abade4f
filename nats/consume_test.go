package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/jetstream"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/testenv"
)

// worker gives no message to another for want of an answer while a test runs: what comes again was refused.
func worker() Worker {
	return Worker{Durable: "worker", Stream: events.Checkouts, AckWait: time.Hour, Concurrency: 4}
}

// settled waits until every message of the stream is acknowledged or given up.
func settled(t *testing.T, c *Client, w Worker) {
	t.Helper()
	testenv.Eventually(t, "every message is settled", func() bool {
		i := consumer(t, c, w)
		return i.NumPending == 0 && i.NumAckPending == 0
	})
}

func TestHandledMessageIsAcknowledged(t *testing.T) {
	t.Parallel()
	c := connect(t)
	var got seen
	consuming(t, c, worker(), func(_ context.Context, m events.Message) error { got.add(m); return nil })
	ack, err := c.Publish(t.Context(), events.Outgoing{Subject: ordered, ID: "1", Header: map[string]string{"K": "v"}, Data: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "it is handled", func() bool { return got.count() == 1 })
	settled(t, c, worker())
	want := events.Message{Stream: events.Checkouts, Subject: ordered, Sequence: ack.Sequence, Data: []byte("x"), Delivered: 1,
		Header: map[string]string{"K": "v", "Nats-Msg-Id": "1"}}
	if diff := cmp.Diff(want, got.list()[0], cmpopts.IgnoreFields(events.Message{}, "At")); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	if got.list()[0].At.IsZero() {
		t.Error("it has no time")
	}
	if info := consumer(t, c, worker()); info.Config.MaxDeliver != maxDeliver || info.Config.MaxAckPending < 2*worker().Concurrency ||
		len(info.Config.BackOff) == 0 || info.Config.AckPolicy != jetstream.AckExplicitPolicy || info.NumRedelivered != 0 {
		t.Errorf("consumer: %+v", info)
	}
	if n := messages(t, c, events.Dead); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

func TestWorkerTakesItsSubjectsOnly(t *testing.T) {
	t.Parallel()
	c := connect(t)
	w := worker()
	w.Stream, w.Subjects = events.Payments, []string{events.PaymentsOf(events.PaymentAuthorized)}
	var got seen
	consuming(t, c, w, func(_ context.Context, m events.Message) error { got.add(m); return nil })
	for _, o := range []events.PaymentOutcome{events.PaymentDeclined, events.PaymentAuthorized, events.PaymentCaptured} {
		publish(t, c, events.PaymentSubject("show", o), "", string(o))
	}
	testenv.Eventually(t, "one is handled", func() bool { return got.count() == 1 })
	settled(t, c, w)
	if m := got.list(); len(m) != 1 || string(m[0].Data) != "authorized" {
		t.Errorf("got %+v", m)
	}
}

// TestWhatMayPassLaterIsGivenAgain with a pause that grows.
func TestWhatMayPassLaterIsGivenAgain(t *testing.T) {
	t.Parallel()
	c := connect(t)
	var mu sync.Mutex
	var at []time.Time
	var delivered []int
	consuming(t, c, worker(), func(_ context.Context, m events.Message) error {
		mu.Lock()
		defer mu.Unlock()
		at, delivered = append(at, time.Now()), append(delivered, m.Delivered)
		if m.Delivered < 4 {
			return sale.Errorf(sale.Unavailable, "away", "the database is away")
		}
		return nil
	})
	publish(t, c, ordered, "1", "x")
	testenv.Eventually(t, "it is handled at last", func() bool { mu.Lock(); defer mu.Unlock(); return len(at) == 4 })
	settled(t, c, worker())
	mu.Lock()
	defer mu.Unlock()
	for i := range delivered {
		if delivered[i] != i+1 {
			t.Errorf("deliveries are counted %v", delivered)
		}
		if i > 0 && at[i].Sub(at[i-1]) < pause(i)-50*time.Millisecond {
			t.Errorf("delivery %d came after %s, its pause is %s", i+1, at[i].Sub(at[i-1]), pause(i))
		}
	}
}

func TestPauseGrowsToItsLimit(t *testing.T) {
	t.Parallel()
	last := time.Duration(0)
	for delivered := 1; delivered <= maxDeliver; delivered++ {
		p := pause(delivered)
		if p < last || p > longestPause || p < firstPause || (p == last && p != longestPause) {
			t.Fatalf("after delivery %d: %s, before %s", delivered, p, last)
		}
		last = p
	}
	if last != longestPause || pause(1) != firstPause {
		t.Errorf("from %s to %s", pause(1), last)
	}
	// A dependency may be away for hours.
	if all := time.Duration(maxDeliver) * longestPause; all < 8*time.Hour {
		t.Errorf("given up after %s", all)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	plain := errors.New("no idea")
	kind := func(k sale.Kind) error { return fmt.Errorf("do it: %w", sale.Errorf(k, "code", "detail")) }
	for name, c := range map[string]struct {
		err      error
		failures int
		want     verdict
	}{
		"done":                       {nil, 1, ack},
		"done at last":               {nil, maxDeliver, ack},
		"invalid":                    {kind(sale.Invalid), 1, dead},
		"unauthorized":               {kind(sale.Unauthorized), 1, dead},
		"forbidden":                  {kind(sale.Forbidden), 1, dead},
		"not found":                  {kind(sale.NotFound), 1, dead},
		"unprocessable":              {kind(sale.Unprocessable), 1, dead},
		"too large":                  {kind(sale.TooLarge), 1, dead},
		"conflict":                   {kind(sale.Conflict), maxDeliver, retry},
		"unavailable":                {kind(sale.Unavailable), maxDeliver, retry},
		"a kind of a later version":  {kind(200), maxDeliver, retry},
		"unknown":                    {plain, 1, retry},
		"unknown, one before bound":  {plain, maxInternalTries - 1, retry},
		"unknown, at the bound":      {plain, maxInternalTries, dead},
		"internal by kind, at bound": {kind(sale.Internal), maxInternalTries, dead},
		"timeout":                    {context.DeadlineExceeded, 1, retry},
	} {
		if got := judge(c.err, c.failures); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestFailuresAreARecordsOwn, and the oldest are forgotten.
func TestFailuresAreARecordsOwn(t *testing.T) {
	t.Parallel()
	f := newFailures()
	for n := range maxInternalTries {
		if got := f.count(7, 1); got != n+1 {
			t.Fatalf("failure %d is counted as %d", n+1, got)
		}
	}
	if f.count(7, 0) != 1 || f.count(8, 1) != 1 {
		t.Error("another record's are counted")
	}
	for i := range maxFailing {
		f.count(9, i)
	}
	if f.of.Len() != maxFailing || f.count(7, 1) != 1 {
		t.Errorf("of %d records it is remembered", f.of.Len())
	}
}

// letters reads the dead letters, of which there must be n.
func letters(t *testing.T, c *Client, n uint64) []events.DeadLetter {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("%d dead letters", n), func() bool { return messages(t, c, events.Dead) == n })
	var all []events.DeadLetter
	for i := range n {
		m, err := c.Read(t.Context(), events.Dead, i+1)
		if err != nil {
			t.Fatal(err)
		}
		letter, err := events.Decode[events.DeadLetter](m.Data)
		if err != nil || m.Subject != events.DeadSubject(letter.Stream) {
			t.Fatalf("%s: %v", m.Subject, err)
		}
		all = append(all, letter)
	}
	return all
}

func TestWhatNeverWillPassIsADeadLetter(t *testing.T) {
	t.Parallel()
	c := connect(t)
	big := bytes.Repeat([]byte("x"), MaxMessageSize-1000)
	var calls atomic.Int64
	consuming(t, c, worker(), func(_ context.Context, m events.Message) error {
		calls.Add(1)
		return sale.Errorf(sale.Invalid, "bad_message", "not JSON")
	})
	publish(t, c, ordered, "", "\x00 not JSON")
	if _, err := c.Publish(t.Context(), events.Outgoing{Subject: ordered, Data: big}); err != nil {
		t.Fatal(err)
	}
	got := letters(t, c, 2)
	settled(t, c, worker())
	want := events.DeadLetter{V: events.Version, Stream: events.Checkouts, Sequence: 1, Subject: ordered, Consumer: "worker",
		Reason: "bad_message: not JSON", Data: []byte("\x00 not JSON")}
	for _, letter := range got {
		if letter.At.IsZero() {
			t.Error("it has no time")
		}
		letter.At = time.Time{}
		wanted := want
		if wanted.Sequence = letter.Sequence; letter.Sequence == 2 {
			wanted.Data = nil // too large for a copy: the stream still has it
		}
		if diff := cmp.Diff(wanted, letter); diff != "" {
			t.Errorf("letter (-want +got):\n%s", diff)
		}
	}
	if calls.Load() != 2 {
		t.Errorf("handled %d times", calls.Load())
	}
}

// TestOneMessageIsBuriedOnce although its worker dies between the burial and the termination.
func TestOneMessageIsBuriedOnce(t *testing.T) {
	t.Parallel()
	c := connect(t)
	m := events.Message{Stream: events.Checkouts, Subject: ordered, Sequence: 7, Data: []byte("x")}
	for range 3 {
		if err := c.bury(t.Context(), worker(), m, errors.New("no")); err != nil {
			t.Fatal(err)
		}
	}
	other := worker()
	other.Durable = "other"
	if err := c.bury(t.Context(), other, m, errors.New("no")); err != nil {
		t.Fatal(err)
	}
	if got := letters(t, c, 2); got[0].Consumer != "worker" || got[1].Consumer != "other" {
		t.Errorf("got %+v", got)
	}
}

func TestPanicIsTriedAgain(t *testing.T) {
	t.Parallel()
	c := connect(t)
	var handled seen
	consuming(t, c, worker(), func(_ context.Context, m events.Message) error {
		handled.add(m)
		if string(m.Data) == "bad" && m.Delivered == 1 {
			panic("out of range")
		}
		return nil
	})
	publish(t, c, ordered, "1", "bad")
	publish(t, c, ordered, "2", "good")
	testenv.Eventually(t, "both are handled, one twice", func() bool { return handled.count() == 3 })
	settled(t, c, worker())
	if n := messages(t, c, events.Dead); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

func TestHangingHandlerIsCutAndItsMessageGivenAgain(t *testing.T) {
	t.Parallel()
	c := connect(t)
	w := worker()
	w.AckWait = 400 * time.Millisecond
	var cut atomic.Int64
	var got seen
	consuming(t, c, w, func(ctx context.Context, m events.Message) error {
		if got.add(m) == 1 {
			<-ctx.Done()
			cut.Add(1)
			return ctx.Err()
		}
		return nil
	})
	publish(t, c, ordered, "1", "x")
	testenv.Eventually(t, "it is given again", func() bool { return got.count() >= 2 })
	settled(t, c, w)
	if cut.Load() != 1 {
		t.Error("the first handler's context did not end")
	}
}

// TestLostWorkersMessageIsGivenAgain: a process took it and was never heard of again.
func TestLostWorkersMessageIsGivenAgain(t *testing.T) {
	t.Parallel()
	c := connect(t)
	w := worker()
	w.AckWait = 300 * time.Millisecond
	stop := consuming(t, c, w, func(context.Context, events.Message) error { return nil })
	var durable jetstream.Consumer
	testenv.Eventually(t, "the consumer is made", func() (made bool) {
		var err error
		durable, err = c.js.Consumer(t.Context(), w.Stream, w.Durable)
		return err == nil
	})
	stop()
	publish(t, c, ordered, "1", "x")
	testenv.Eventually(t, "it is taken", func() bool { // a consumer is known a little before it can be asked
		lost, err := durable.Fetch(1)
		if err != nil {
			t.Fatal(err)
		}
		return <-lost.Messages() != nil
	})
	var got seen
	consuming(t, c, w, func(_ context.Context, m events.Message) error { got.add(m); return nil })
	testenv.Eventually(t, "another handles it", func() bool { return got.count() == 1 })
	settled(t, c, w)
	if got.list()[0].Delivered != 2 {
		t.Errorf("got %+v", got.list())
	}
}
