package audit

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onsale/events"
	"onsale/internal/sale"
)

// readings has another world at each reading; the last one stays. A reading takes a time.
type readings struct {
	worlds []*world
	takes  time.Duration
	read   int // how many were begun
}

func (r *readings) now() *world { return r.worlds[min(r.read, len(r.worlds))-1] }

// Follow begins a reading with the first stream that gather reads.
func (r *readings) Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error {
	if f.Stream == events.Checkouts {
		r.read++
		time.Sleep(r.takes) // of the bubble's time
	}
	return r.now().Follow(ctx, f, caughtUp, each)
}

func (r *readings) Books(ctx context.Context) (sale.Books, error) { return r.now().Books(ctx) }

// of is a sale in which nothing waits, and the counts of some events are wrong.
func of(miscounted ...string) *world {
	w := clean()
	w.books.Outbox, w.refundOf("asked").CreatedAt = nil, noon.Add(24*time.Hour)
	for _, event := range miscounted {
		w.books.Counted[event]++
	}
	return w
}

// Only what every reading finds is a breach, and there are two readings at least where there is time for things to settle.
func TestRun_TellsWhatStays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		worlds        []*world
		takes, settle time.Duration
		want          string
		reads         int
	}{
		"clean":                            {[]*world{of()}, 0, time.Minute, "", 1},
		"wrong at once, no time to settle": {[]*world{of("play"), of()}, 0, 0, "play", 1},
		"wrong at first":                   {[]*world{of("play"), of()}, 0, time.Minute, "", 2},
		"another each time":                {[]*world{of("play"), of("noh")}, 0, time.Minute, "", 2},
		"wrong again later":                {[]*world{of("play", "noh"), of("noh"), of("play")}, 0, time.Minute, "", 3},
		"one of two stays":                 {[]*world{of("play", "noh"), of("noh", "empty")}, 0, 4 * pause, "noh", 5},
		"readings are slow, one is wrong":  {[]*world{of("play"), of()}, time.Hour, time.Minute, "", 2},
		"readings are slow, both are":      {[]*world{of("play")}, time.Hour, time.Minute, "play", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &readings{worlds: c.worlds, takes: c.takes}
				d := of().deps()
				d.Books, d.Streams, d.Settle = r, r, c.settle
				began := time.Now()
				d.Now = func() time.Time { return noon.Add(time.Since(began)) }
				report, err := Run(t.Context(), d)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, f := range report.Findings {
					got = append(got, f.Subject)
				}
				if strings.Join(got, " ") != c.want || r.read != c.reads {
					t.Errorf("after %d readings: %q, want %q after %d", r.read, got, c.want, c.reads)
				}
			})
		})
	}
}

// broken can't be read in one place.
type broken struct {
	*world
	at string
}

var errBroken = errors.New("it is broken")

func (b broken) broken(at string) error {
	if b.at == at {
		return errBroken
	}
	return nil
}

func (b broken) Books(ctx context.Context) (sale.Books, error) {
	return b.world.books, b.broken("postgres")
}

func (b broken) SeatKeys(context.Context, string) ([]sale.SeatKey, error) {
	return nil, b.broken("redis")
}

func (b broken) Each(context.Context, func(sale.Intent) bool) error {
	return b.broken("stripe")
}

func (b broken) EachRefund(context.Context, func(sale.Repayment) bool) error {
	return b.broken("stripe's refunds")
}

func (b broken) Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error {
	if err := b.broken(f.Stream); err != nil {
		return err
	}
	return b.world.Follow(ctx, f, caughtUp, each)
}

// What can't be read ends the audit, which says where: half a reading would name breaches that there are not.
func TestRun_EndsWhereItCannotRead(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		"postgres": "read postgres", "redis": "read redis", "stripe": "read stripe", "stripe's refunds": "read stripe", events.Checkouts: "read CHECKOUTS",
		events.Orders: "read ORDERS", events.Dead: "read DEAD", events.Admissions: "read ADMISSIONS", events.Line("play"): "read " + events.Line("play"),
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			b := broken{clean(), at}
			d := b.deps()
			d.Books, d.Seats, d.Intents, d.Streams = b, b, b, b
			if _, err := Run(t.Context(), d); !errors.Is(err, errBroken) || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// A message that can't be read is named by its stream and sequence.
func TestRun_NamesTheMessageThatItCannotRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(w *world)
		want  string
	}{
		"a checkout": {func(w *world) { w.store(events.Checkouts, "checkout.play", []byte("{")) }, "read CHECKOUTS at 19: "},
		"an order":   {func(w *world) { w.store(events.Orders, "order.play.confirmed", []byte(`{"v":99}`)) }, "read ORDERS at 20: "},
		"a chunk":    {func(w *world) { w.store(events.Line("noh"), "line.noh.joined", nil) }, "read LINE_noh at 2: "},
		"a chunk's header that counts otherwise": {func(w *world) {
			w.join("play", "", 2).Header[events.HeaderJoinCount] = "3"
		}, `read LINE_play at 3: its headers say 3 joins of lane "", its body has 2 of ""`},
		"a chunk's header of another lane": {func(w *world) {
			w.join("play", "", 2).Header[events.HeaderLane] = "presale"
		}, `read LINE_play at 3: its headers say 2 joins of lane "presale", its body has 2 of ""`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := clean()
			c.spoil(w)
			if _, err := Run(t.Context(), w.deps()); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// An audit that is called off while it waits for things to settle says so, and not what it has found so far.
func TestRun_CanBeCalledOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), pause/2)
		defer cancel()
		d := of("play").deps()
		d.Settle = time.Minute
		if r, err := Run(ctx, d); !errors.Is(err, context.DeadlineExceeded) || len(r.Findings) > 0 {
			t.Errorf("got %q, %v", r.Findings, err)
		}
	})
}

// stopping calls an audit off while a line is read.
type stopping struct {
	*world
	stop context.CancelFunc
}

func (s stopping) Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error {
	if f.Stream == events.Line("noh") {
		s.stop()
		return nil // a follower ends so, with nothing read
	}
	return s.world.Follow(ctx, f, caughtUp, each)
}

// An audit that is called off has no report: what it did not read is not clean.
func TestRun_CalledOffHasNoReport(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w := clean()
	d := w.deps()
	d.Streams = stopping{w, stop}
	if r, err := Run(ctx, d); !errors.Is(err, context.Canceled) {
		t.Errorf("got %+v, %v", r, err)
	}
}
