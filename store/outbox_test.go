package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/testenv"
	"onsale/store"
)

// sink is what a relay publishes to.
type sink struct {
	mu    sync.Mutex
	ids   []string
	outs  map[string]events.Outgoing
	calls int
	fail  func(call int) error // nil for no failures
}

func newSink() *sink { return &sink{outs: map[string]events.Outgoing{}} }

func (s *sink) publish(_ context.Context, outs []events.Outgoing) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	for _, o := range outs {
		s.ids = append(s.ids, o.ID)
		s.outs[o.ID] = o
	}
	if s.fail != nil {
		return s.fail(s.calls)
	}
	return nil
}

func (s *sink) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ids)
}

// wantOnly checks that just these ids were published, each at least once.
func (s *sink) wantOnly(t *testing.T, want []string) {
	t.Helper()
	got := slices.Compact(slices.Sorted(slices.Values(s.all())))
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), got); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

// relaying is a relay that runs until stop, or until the test ends.
type relaying struct {
	stop   func()
	errors func() []error
}

func (r *rig) relay(s *store.Store, stream string, out *sink) relaying {
	ctx, cancel := context.WithCancel(r.Context())
	var mu sync.Mutex
	var errs []error
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Relay(ctx, stream, out.publish, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}()
	stop := func() { cancel(); <-done }
	r.Cleanup(stop)
	return relaying{stop: stop, errors: func() []error { mu.Lock(); defer mu.Unlock(); return slices.Clone(errs) }}
}

// tell writes n rows to the outbox in one transaction, as a transition does, and returns their ids.
func (r *rig) tell(stream, prefix string, n int) []string {
	r.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%04d", prefix, i)
	}
	r.exec(`INSERT INTO outbox (stream, subject, msg_id, payload)
		SELECT $1, 'order.show.confirmed', id, convert_to('{"of":"' || id || '"}', 'UTF8') FROM unnest($2::text[]) AS id`, stream, ids)
	return ids
}

func (r *rig) drained(stream string) {
	r.Helper()
	testenv.Eventually(r.T, "the outbox of "+stream+" is empty", func() bool {
		return one[int](r, `SELECT count(*) FROM outbox WHERE stream = $1`, stream) == 0
	})
}

func TestRelayPublishesInOrderWhatIsThere(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	out := newSink()
	ids := r.tell(events.Orders, "a", 1234) // more than two of the relay's reads
	r.tell(events.Payments, "other", 3)
	running := r.relay(r.store, events.Orders, out)
	r.drained(events.Orders)
	ids = append(ids, r.tell(events.Orders, "b", 3)...)
	r.drained(events.Orders)
	if diff := cmp.Diff(ids, out.all()); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	if o := out.outs["b-0002"]; o.Subject != "order.show.confirmed" || string(o.Data) != `{"of":"b-0002"}` || o.Header != nil || o.ExpectLast != nil {
		t.Errorf("got %+v", o)
	}
	if n := one[int](r, `SELECT count(*) FROM outbox WHERE stream = 'PAYMENTS'`); n != 3 {
		t.Errorf("%d rows of another stream are left", n)
	}
	if errs := running.errors(); len(errs) != 0 {
		t.Errorf("reported %v", errs)
	}
}

func TestRelayPublishesAgainWhatFailed(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	out := newSink()
	out.fail = func(call int) error {
		if call <= 2 {
			return errors.New("no broker")
		}
		return nil
	}
	ids := r.tell(events.Orders, "a", 5)
	running := r.relay(r.store, events.Orders, out)
	r.drained(events.Orders)
	if diff := cmp.Diff(slices.Repeat(ids, 3), out.all()); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	if errs := running.errors(); len(errs) != 2 {
		t.Errorf("reported %v", errs)
	}
}

func TestOneRelayIsActiveAndAnotherTakesOver(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	var outs []*sink
	var running []relaying
	for range 4 {
		outs = append(outs, newSink())
		running = append(running, r.relay(r.open(2), events.Orders, outs[len(outs)-1]))
	}
	used := map[int]bool{}
	for round := range 4 {
		for range 5 {
			r.tell(events.Orders, fmt.Sprint(round), 3)
			r.drained(events.Orders)
		}
		active := -1
		for i, out := range outs {
			if len(out.all()) > 0 {
				if active >= 0 {
					t.Errorf("round %d: two relays published", round)
				}
				active = i
			}
		}
		if active < 0 || used[active] {
			t.Fatalf("round %d: relay %d published", round, active)
		}
		used[active] = true
		running[active].stop()
		outs[active].mu.Lock()
		outs[active].ids = nil
		outs[active].mu.Unlock()
	}
}

// TestRelaysOfTwoStreamsDoNotWaitForEachOther would catch a lock that is not the stream's own.
func TestRelaysOfTwoStreamsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	orders, payments := newSink(), newSink()
	r.relay(r.store, events.Orders, orders)
	r.relay(r.store, events.Payments, payments)
	a, b := r.tell(events.Orders, "a", 2), r.tell(events.Payments, "b", 2)
	r.drained(events.Orders)
	r.drained(events.Payments)
	orders.wantOnly(t, a)
	payments.wantOnly(t, b)
}

// TestCommitIsRelayedSoon: a buyer waits for what comes of it, so forty commits one after the other are
// published in far less than a second each.
func TestCommitIsRelayedSoon(t *testing.T) {
	t.Parallel()
	const rounds = 40
	r := setup(t, rounds)
	published := make(chan string, 2*rounds)
	out := newSink()
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		r.store.Relay(ctx, events.Orders, func(ctx context.Context, outs []events.Outgoing) error {
			for _, o := range outs {
				published <- o.ID
			}
			return out.publish(ctx, outs)
		}, func(err error) { t.Error(err) })
	})
	defer done.Wait()
	defer cancel()
	var commands []events.CheckoutRequested
	for i := range rounds {
		commands = append(commands, checkout(i))
	}
	payments := r.authorized(commands...)
	start := time.Now()
	for _, p := range payments {
		r.want(r.commit(p), confirmed)
		select {
		case id := <-published:
			if id != r.messageID(p.OrderID, "confirmed") {
				t.Errorf("published %s", id)
			}
		case <-time.After(patience):
			t.Fatal("nothing is published")
		}
	}
	if took := time.Since(start); took > rounds/2*time.Second {
		t.Errorf("%d rounds took %s", rounds, took)
	}
}

// TestRelayLosesNothingOfConcurrentWriters: rows become visible out of the order of their ids.
func TestRelayLosesNothingOfConcurrentWriters(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 25
	r := setup(t, 1)
	out := newSink()
	running := r.relay(r.store, events.Payments, out)
	var want []string
	var mu sync.Mutex
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				begun, err := r.store.BeginAttempts(t.Context(), []events.CheckoutRequested{checkout(0)})
				if err != nil {
					t.Error(err)
					return
				}
				a := begun[0].Attempt
				if err := r.store.MarkAuthorized(t.Context(), []sale.Settlement{{Attempt: a, IntentID: "pi_" + a.ID.String()}}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				want = append(want, r.messageID(a.ID, "authorized"))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	r.drained(events.Payments)
	running.stop()
	out.wantOnly(t, want)
	if n := len(out.all()); n != writers*each {
		t.Errorf("%d published, of %d", n, writers*each)
	}
}

// TestRowThatCommitsLateIsPublished: it has a lower id than others that were published before.
func TestRowThatCommitsLateIsPublished(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	out := newSink()
	r.relay(r.store, events.Orders, out)
	slow, err := r.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Exec(t.Context(), `INSERT INTO outbox (stream, subject, msg_id, payload) VALUES ('ORDERS', 's', 'slow', '')`); err != nil {
		t.Fatal(err)
	}
	quick := r.tell(events.Orders, "quick", 2)
	testenv.Eventually(t, "the quick are published", func() bool { return len(out.all()) == 2 })
	if err := slow.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.drained(events.Orders)
	if diff := cmp.Diff(append(quick, "slow"), out.all()); diff != "" {
		t.Error(diff)
	}
}

// TestKilledRelayGoesOn loses its connection just after it published: the rows come again under their ids.
func TestKilledRelayGoesOn(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	out := newSink()
	var killed atomic.Bool
	out.fail = func(int) error {
		if killed.CompareAndSwap(false, true) {
			_, err := r.kill(context.WithoutCancel(t.Context()))
			return err
		}
		return nil
	}
	ids := r.tell(events.Orders, "a", 10)
	running := r.relay(r.store, events.Orders, out)
	r.drained(events.Orders)
	if diff := cmp.Diff(slices.Repeat(ids, 2), out.all()); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	if len(running.errors()) == 0 {
		t.Error("a lost connection was not reported")
	}
}

// TestRelayEndsWithItsContext wherever it waits: for its turn, for rows, or for another try.
func TestRelayEndsWithItsContext(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	failing := newSink()
	failing.fail = func(int) error { return errors.New("no broker") }
	var running []relaying
	for range 3 {
		running = append(running, r.relay(r.store, events.Orders, newSink()))
	}
	running = append(running, r.relay(r.store, events.Payments, failing))
	r.tell(events.Payments, "a", 1)
	testenv.Eventually(t, "the failing one has failed", func() bool { return len(running[3].errors()) > 0 })
	for _, one := range running {
		one.stop() // hangs the test if it doesn't
	}
	if n := one[int](r, `SELECT count(*) FROM outbox`); n != 1 {
		t.Errorf("%d rows are left", n)
	}
}
