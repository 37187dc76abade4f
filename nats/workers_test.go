package nats

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"onsale/events"
	"onsale/internal/testenv"
)

func TestWorkersShareTheMessages(t *testing.T) {
	t.Parallel()
	const n = 400
	c := connect(t)
	var mu sync.Mutex
	times := map[string]int{}
	var by [2]atomic.Int64
	both := make(chan struct{})
	handler := func(i int) events.Handler {
		return func(ctx context.Context, m events.Message) error {
			if by[i].Add(1) == 1 && by[1-i].Load() > 0 {
				close(both)
			}
			select { // nobody runs ahead before the other has had one
			case <-both:
			case <-ctx.Done():
				return ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			times[string(m.Data)]++
			return nil
		}
	}
	second := dial(t, c.conn.ConnectedUrl())
	consuming(t, c, worker(), handler(0))
	fill(t, c, ordered, n)
	consuming(t, second, worker(), handler(1))
	testenv.Eventually(t, "all are handled", func() bool { mu.Lock(); defer mu.Unlock(); return len(times) == n })
	settled(t, c, worker())
	for data, k := range times {
		if k != 1 {
			t.Errorf("%s was handled %d times", data, k)
		}
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	const n = 60
	c := connect(t)
	fill(t, c, ordered, n)
	var now, most, done atomic.Int64
	full := make(chan struct{})
	consuming(t, c, worker(), func(ctx context.Context, _ events.Message) error {
		k := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); k > m && !most.CompareAndSwap(m, k); m = most.Load() {
		}
		if k == int64(worker().Concurrency) && done.Load() == 0 {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		select {
		case <-full:
		case <-ctx.Done():
			return ctx.Err()
		}
		done.Add(1)
		return nil
	})
	testenv.Eventually(t, "all are handled", func() bool { return done.Load() == n })
	settled(t, c, worker())
	if m := most.Load(); m != int64(worker().Concurrency) {
		t.Errorf("%d handlers at once", m)
	}
}

// TestShutdownFinishesWhatIsUnderWay: nothing is acknowledged that was not handled, and nothing is cut.
func TestShutdownFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	const n = 200
	c := connect(t)
	fill(t, c, ordered, n)
	var begun, finished, late atomic.Int64
	var returned atomic.Bool
	release := make(chan struct{})
	handle := func(ctx context.Context, _ events.Message) error {
		begun.Add(1)
		if returned.Load() {
			late.Add(1)
		}
		select {
		case <-release:
		case <-ctx.Done():
			return ctx.Err()
		}
		finished.Add(1)
		return nil
	}
	stop := consuming(t, c, worker(), handle)
	testenv.Eventually(t, "handlers are under way", func() bool { return begun.Load() == int64(worker().Concurrency) })
	stopped := make(chan struct{})
	go func() { stop(); returned.Store(true); close(stopped) }()
	select {
	case <-stopped:
		t.Error("it returned while handlers were under way")
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	select {
	case <-stopped:
	case <-time.After(patience):
		t.Fatal("it does not return")
	}
	if late.Load() != 0 || begun.Load() != finished.Load() {
		t.Errorf("%d begun, %d finished, %d after the return", begun.Load(), finished.Load(), late.Load())
	}
	acked := func() int64 {
		info := consumer(t, c, worker())
		return n - int64(info.NumPending) - int64(info.NumAckPending)
	}
	testenv.Eventually(t, "what was handled is acknowledged", func() bool { return acked() == finished.Load() })
	if acked := acked(); acked == n {
		t.Errorf("%d acknowledged, %d handled", acked, finished.Load())
	}
}

// TestStartAndStopManyTimes loses nothing and handles nothing after it has returned.
func TestStartAndStopManyTimes(t *testing.T) {
	t.Parallel()
	const n = 600
	c := connect(t)
	w := worker()
	w.AckWait = 2 * time.Second
	fill(t, c, ordered, n)
	var mu sync.Mutex
	handledAs := map[uint64]int{}
	for range 15 {
		var running atomic.Bool
		running.Store(true)
		enough := make(chan struct{})
		var once sync.Once
		var count atomic.Int64
		stop := consuming(t, c, w, func(_ context.Context, m events.Message) error {
			if !running.Load() {
				t.Error("handled after the return")
			}
			mu.Lock()
			handledAs[m.Sequence]++
			all := len(handledAs) == n
			mu.Unlock()
			if count.Add(1) == 10 || all {
				once.Do(func() { close(enough) })
			}
			return nil
		})
		select {
		case <-enough:
		case <-time.After(patience):
			t.Fatal("nothing is handled")
		}
		stop()
		running.Store(false)
		mu.Lock()
		all := len(handledAs) == n
		mu.Unlock()
		if all {
			break
		}
	}
	consuming(t, c, w, func(_ context.Context, m events.Message) error {
		mu.Lock()
		defer mu.Unlock()
		handledAs[m.Sequence]++
		return nil
	})
	testenv.Eventually(t, "all are handled", func() bool { mu.Lock(); defer mu.Unlock(); return len(handledAs) == n })
	settled(t, c, w)
}

func TestWorkerSurvivesARestartOfTheServer(t *testing.T) {
	t.Parallel()
	server := testenv.NATSServer(t)
	c := dial(t, server.URL)
	if err := c.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := worker()
	w.AckWait = 2 * time.Second
	var got seen
	consuming(t, c, w, func(_ context.Context, m events.Message) error { got.add(m); return nil })
	for round := range 3 {
		fill(t, c, ordered, 20)
		want := 20 * (round + 1)
		testenv.Eventually(t, fmt.Sprintf("round %d is handled", round), func() bool {
			sequences := map[uint64]bool{}
			for _, m := range got.list() {
				sequences[m.Sequence] = true
			}
			return len(sequences) == want
		})
		server.Stop()
		server.Start()
		testenv.Eventually(t, "the connection heals", func() bool { return c.Check(t.Context()) == nil })
	}
	settled(t, c, w)
}

// TestServersAdvisoriesAreKept: what the server itself gave up on is in DEAD.
func TestServersAdvisoriesAreKept(t *testing.T) {
	t.Parallel()
	c := connect(t)
	durable, err := c.js.CreateConsumer(t.Context(), events.Checkouts, jetstream.ConsumerConfig{
		Durable: "hopeless", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 50 * time.Millisecond, MaxDeliver: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, c, ordered, "1", "x")
	if _, err := durable.Next(); err != nil {
		t.Fatal(err)
	}
	// The server looks when somebody asks for more.
	testenv.Eventually(t, "the advisory", func() bool {
		if _, err := durable.Fetch(1, jetstream.FetchMaxWait(100*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		return messages(t, c, events.Dead) == 1
	})
	m, err := c.Read(t.Context(), events.Dead, 1)
	if err != nil {
		t.Fatal(err)
	}
	var advisory struct {
		Stream   string `json:"stream"`
		Consumer string `json:"consumer"`
		Sequence uint64 `json:"stream_seq"`
	}
	if err := json.Unmarshal(m.Data, &advisory); err != nil || advisory.Stream != events.Checkouts || advisory.Consumer != "hopeless" || advisory.Sequence != 1 {
		t.Errorf("%s: %s (%v)", m.Subject, m.Data, err)
	}
}

func TestConsumeOfAMissingStreamIsAnError(t *testing.T) {
	t.Parallel()
	c := dial(t, testenv.NATS(t))
	if err := c.Consume(t.Context(), worker(), nil); err == nil {
		t.Error("it consumes what isn't there")
	}
	if err := c.Follow(t.Context(), events.Follow{Stream: events.Checkouts}, nil, nil); err == nil {
		t.Error("it follows what isn't there")
	}
}
