package bench

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/stack"
	"onsale/nats"
)

const shortSample = 50 * time.Millisecond

func testLines(t *testing.T) *lineBench {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s, err := stack.StartNATS(t.Context(), stack.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	client, err := nats.Connect(nats.Config{URL: s.URL, Name: t.Name(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	replicated := func(context.Context, string, uint64) error { return nil }
	return &lineBench{streams: client, replicated: replicated, duration: shortSample, dir: dir}
}

// altered are lines whose follower is given other headers than were published.
type altered struct {
	lineStreams
	count func(m events.Message) string
}

func (a altered) Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error {
	return a.lineStreams.Follow(ctx, f, caughtUp, func(m events.Message) {
		m.Header[events.HeaderJoinCount] = a.count(m)
		each(m)
	})
}

func TestLineStreamMeasuresEverySetting(t *testing.T) {
	t.Parallel()
	r := &runner{Config{Dir: filepath.Join(t.TempDir(), "data"), Samples: 1, Duration: shortSample,
		Log: slog.New(slog.DiscardHandler), Progress: func(string) {}}}
	results, err := benchLineStream(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range results {
		names = append(names, x.Bench)
		if x.Value <= 0 || x.Baseline <= 0 || x.Ratio <= 0 || x.Against == "" {
			t.Errorf("got %+v", x)
		}
	}
	want := "line-stream line-stream-bare line-stream-disk line-stream-4096 " +
		"line-stream-r3 line-stream-r3-bare line-stream-r3-disk line-stream-r3-4096"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("measured %s", got)
	}
}

// A sample whose index differs from what was acknowledged is no figure.
func TestLineSampleChecksTheIndex(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		count func(m events.Message) string
		want  string
	}{
		"as published": {func(m events.Message) string { return m.Header[events.HeaderJoinCount] }, ""},
		"one less in a chunk": {func(m events.Message) string {
			if m.Sequence == 3 {
				return "15"
			}
			return m.Header[events.HeaderJoinCount]
		}, "were acknowledged"},
		"no count": {func(events.Message) string { return "many" }, "without its count"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := testLines(t)
			b.streams = altered{b.streams, c.count}
			rate, err := b.followed(t.Context(), LineLoad{Chunk: 16, InFlight: 2})
			switch {
			case c.want == "" && (err != nil || rate <= 0):
				t.Errorf("measured %f (%v)", rate, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("measured %f (%v), want an error of %q", rate, err, c.want)
			}
		})
	}
}

func TestLineSampleNeedsEveryReplica(t *testing.T) {
	t.Parallel()
	b := testLines(t)
	missing := errors.New("2 of 3 replicas")
	var stream string
	var sequence uint64
	b.replicated = func(_ context.Context, s string, last uint64) error {
		stream, sequence = s, last
		return missing
	}
	if _, err := b.followed(t.Context(), LineLoad{Chunk: 16, InFlight: 2}); !errors.Is(err, missing) {
		t.Errorf("got %v", err)
	}
	m, err := b.streams.(*nats.Client).Read(t.Context(), stream, sequence)
	if err != nil || m.Subject != events.JoinedSubject("bench-1") {
		t.Errorf("asked for %s at %d: %+v (%v)", stream, sequence, m, err)
	}
}

// Sessions must differ, or a line that knows them would store fewer joins than were sent.
func TestChunksHaveNewSessions(t *testing.T) {
	t.Parallel()
	const size, publishers, messages = 64, 3, 10
	seen := map[string]bool{}
	for w := range publishers {
		c := chunks{eventID: "show", publisher: uint32(w), sessions: make([]sale.SessionHash, size)}
		for range messages {
			out := c.next()
			chunk, err := events.DecodeChunk(out.Data)
			if err != nil || len(chunk.Sessions) != size || out.Header[events.HeaderJoinCount] != strconv.Itoa(size) || seen[out.ID] {
				t.Fatalf("made %+v (%v)", out, err)
			}
			seen[out.ID] = true
			for _, session := range chunk.Sessions {
				seen[string(session[:])] = true
			}
		}
	}
	if want := publishers * messages * (size + 1); len(seen) != want {
		t.Errorf("%d sessions and ids, want %d", len(seen), want)
	}
}
