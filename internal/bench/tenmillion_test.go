package bench

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// A small line goes through every phase, and nothing of it is left.
func TestTenMillion_EveryPhase(t *testing.T) {
	t.Parallel()
	top, err := os.MkdirTemp("", "onsale-bench-test-") // Postgres can reach it, also as another user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(top); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(top, 0o711); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var lines []string
	dir := filepath.Join(top, "data")
	r := &runner{Config{Dir: dir, Fans: MinFans, Log: slog.New(slog.DiscardHandler), Progress: func(line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	}}}
	results, err := runTenMillion(t.Context(), r, 100*time.Millisecond, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	bars := map[string]float64{
		"line-10m-redis": barRedis, "line-10m-node": barNode, "line-10m-node-restarted": barNode, "line-10m-restart": barRestart,
		"line-10m-seal": barSeal, "line-10m-tick-p99": barTick, "line-10m-tick-own-p99": barTick,
	}
	for _, x := range results {
		if bar, ok := bars[x.Bench]; ok && (x.Baseline != bar || x.Against != atMost || x.Ratio != x.Value/bar) {
			t.Errorf("%s has another bar: %+v", x.Bench, x)
		}
		delete(bars, x.Bench)
		if x.Value <= 0 && !strings.HasPrefix(x.Bench, "line-10m-node") || len(x.Samples) == 0 {
			t.Errorf("measured %+v", x)
		}
	}
	if len(bars) > 0 {
		t.Errorf("not measured: %v", bars)
	}
	if !slices.Contains(lines, "  the 10000 places are a permutation") {
		t.Errorf("told %q", lines)
	}
	for _, gone := range []string{"nats", "postgres", "redis"} {
		if _, err := os.Stat(filepath.Join(dir, gone)); !os.IsNotExist(err) {
			t.Errorf("%s is still there (%v)", gone, err)
		}
	}
}

// asIs gives each arrival the place that it says.
type asIs func(arrival uint64) uint64

func (p asIs) Place(_ string, arrival uint64) uint64 { return p(arrival) }

func TestPermutesFindsEveryFault(t *testing.T) {
	t.Parallel()
	const fans = 1000
	for name, c := range map[string]struct {
		place asIs
		want  string
	}{
		"a permutation": {func(a uint64) uint64 { return (a*7 + 3) % fans }, ""},
		"one twice": {func(a uint64) uint64 {
			if a == 999 {
				return 0
			}
			return a
		}, "two fans have the place 0"},
		"one too far": {func(a uint64) uint64 { return a + 1 }, "has the place 1000 of 1000"},
	} {
		rate, err := permutes(c.place, fans)
		if c.want == "" && (err != nil || rate <= 0) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %f, %v", name, rate, err)
		}
	}
}

func TestCheckComparesWithTheDraw(t *testing.T) {
	t.Parallel()
	lobby, err := line.NewLobby(events.Draw{Sealed: 9, Seed: draw.Hash{1}.String()}, map[string]uint64{general: 5000})
	if err != nil {
		t.Fatal(err)
	}
	right, wrong := lobby.Place(general, 7), lobby.Place(general, 8)
	if err := check(lobby, []placed{{Arrival: 7, Place: &right}}); err != nil {
		t.Error(err)
	}
	for _, is := range []placed{{Arrival: 7, Place: &wrong}, {Arrival: 7}} {
		if check(lobby, []placed{is}) == nil {
			t.Errorf("%+v passes", is)
		}
	}
}

// places is a Redis that remembers.
type places struct {
	mu    sync.Mutex
	known map[sale.SessionHash]line.Ticket
}

func (p *places) Remember(_ context.Context, _ line.Key, tickets []line.Ticket) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range tickets {
		p.known[t.Session] = t
	}
	return nil
}

func (p *places) Recall(_ context.Context, _ line.Key, sessions []sale.SessionHash) ([]*line.Ticket, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*line.Ticket, len(sessions))
	for i, session := range sessions {
		if t, ok := p.known[session]; ok {
			all[i] = &t
		}
	}
	return all, nil
}

// A place that is not the one that was stored is a fault, not a figure.
func TestFillNeedsTheStoredPlaces(t *testing.T) {
	t.Parallel()
	b := testLines(t)
	id, err := b.newLine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fill(t.Context(), b.streams, forgetful{}, id, 5, 3*fillChunk, func(uint64) {}); err == nil || !strings.Contains(err.Error(), "was stored") {
		t.Errorf("filled: %v", err)
	}
}

// forgetful is a Redis that knows nothing.
type forgetful struct{}

func (forgetful) Remember(context.Context, line.Key, []line.Ticket) error { return nil }

func (forgetful) Recall(_ context.Context, _ line.Key, sessions []sale.SessionHash) ([]*line.Ticket, error) {
	return make([]*line.Ticket, len(sessions)), nil
}

// What is known of a fan is what the stream has.
func TestFilledKnowsEveryFan(t *testing.T) {
	t.Parallel()
	const fans = 5*fillChunk + 17
	b := testLines(t)
	id, err := b.newLine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := &places{known: map[sale.SessionHash]line.Ticket{}}
	f, err := fill(t.Context(), b.streams, p, id, 5, fans, func(uint64) {})
	if err != nil || len(p.known) != fans {
		t.Fatalf("%d of %d are remembered (%v)", len(p.known), fans, err)
	}
	index := line.NewIndex()
	stop, err := b.follow(t.Context(), id, index)
	if err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil || index.Joined(general) != fans {
		t.Fatalf("%d joins are stored (%v)", index.Joined(general), err)
	}
	for arrival := range uint64(fans) {
		ticket := f.fan(arrival)
		if _, stored, _ := index.Arrival(ticket.Sequence, ticket.Index); stored != arrival || p.known[ticket.Session] != ticket {
			t.Fatalf("the fan %d has the ticket %+v, of %d; remembered is %+v", arrival, ticket, stored, p.known[ticket.Session])
		}
	}
	met := map[uint64]bool{}
	for range fans {
		_, arrival := f.someone()
		met[arrival] = true
	}
	if len(met) != fans {
		t.Errorf("%d of %d fans were met once", len(met), fans)
	}
}
