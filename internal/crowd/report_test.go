package crowd

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func testSnapshots() (now, before snapshot) {
	before = snapshot{elapsed: 40 * time.Second, requests: 1000, joined: 4000, paid: 10, held: 20}
	now = snapshot{
		elapsed: 42 * time.Second, fans: 5000, state: "open", sold: 200, total: 800,
		stages: [stageKinds]int64{stageWaiting: 4100, stageChoosing: 60, stageHolding: 30, stagePaying: 9},
		joined: 5000, held: 120, paid: 90, ended: 801, gaveUp: 711, failed: 3, throttled: 12, requests: 9000,
		ledger: ledgerCounts{Violations: 1, Disputes: 2},
		calls: []CallStats{
			{Call: "join", Count: 5000, P50: 900 * time.Microsecond, P95: 4200 * time.Microsecond, P99: 17 * time.Millisecond},
			{Call: "seats", Count: 40, P50: time.Millisecond, P95: time.Millisecond, P99: 1500 * time.Millisecond},
		},
	}
	return now, before
}

func TestPlainLine(t *testing.T) {
	t.Parallel()
	want := "   42s  sold 200/800 | joined 5000 waiting 4100 choosing 60 holding 30 paying 9 paid 90 gave up 711 errors 3 | " +
		"per second: calls 4000 joins 500 paid 40 | p99: join 17ms | violations 1 (2 seats disputed)"
	if diff := cmp.Diff(want, plainLine(testSnapshots())); diff != "" {
		t.Error(diff)
	}
}

func TestBlock(t *testing.T) {
	t.Parallel()
	want := []string{
		"▕██████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░▏ 200/800 seats sold   line: open   42s",
		"fans 5000: joined 5000  waiting 4100  choosing 60  holding 30  paying 9",
		"done 801: paid 90  gave up 711   errors 3  throttled 12",
		"per second: calls 4000  joins 500  holds 50  paid 40",
		"violations 1  seats disputed 2",
		"call               count       p50       p95       p99",
		"join                5000     900µs     4.2ms      17ms",
		"seats                 40     1.0ms     1.0ms      1.5s",
	}
	if diff := cmp.Diff(want, block(testSnapshots())); diff != "" {
		t.Error(diff)
	}
}

func TestReporterRedrawsItsBlock(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	r := &reporter{out: &out, interactive: true}
	now, before := testSnapshots()
	r.write(before)
	if strings.Contains(out.String(), "A\x1b") || r.drawn != 6 {
		t.Fatalf("the first block of %d lines moved up: %q", r.drawn, out.String())
	}
	out.Reset()
	r.write(now)
	if !strings.HasPrefix(out.String(), "\x1b[6A\x1b[2K") || r.drawn != 8 {
		t.Errorf("the second block of %d lines is not drawn over the first: %q", r.drawn, out.String())
	}
	for line := range strings.SplitSeq(out.String(), "\n") {
		line = strings.TrimPrefix(strings.TrimPrefix(line, "\x1b[6A"), "\x1b[2K")
		if n := utf8.RuneCountInString(line); n > lineWidth {
			t.Errorf("a line of %d signs would wrap: %q", n, line)
		}
	}
}

func TestBarStaysInItsFrame(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ done, total, full int64 }{{0, 0, 0}, {5, 0, 0}, {0, 10, 0}, {5, 10, barWidth / 2}, {10, 10, barWidth}, {99, 10, barWidth}, {-1, 10, 0}} {
		got := bar(tc.done, tc.total)
		if n := int64(strings.Count(got, "█")); n != tc.full || utf8.RuneCountInString(got) != barWidth+2 {
			t.Errorf("bar(%d, %d) has %d full: %s", tc.done, tc.total, n, got)
		}
	}
}

func TestHallTakesTheBestSource(t *testing.T) {
	t.Parallel()
	c := newCrowd(Config{}.withDefaults())
	hall := func(bought, wantSold, wantTotal int64) {
		t.Helper()
		if sold, total := c.hall(bought); sold != wantSold || total != wantTotal {
			t.Errorf("hall(%d) = %d of %d, want %d of %d", bought, sold, total, wantSold, wantTotal)
		}
	}
	left := func(n int64) queueStatus { return queueStatus{SeatsLeft: &n} }
	hall(3, 3, 0)
	c.watch.saw(left(100))
	c.watch.saw(left(90))
	hall(3, 10, 100)
	hall(12, 12, 100)
	c.seats.list = listOf(t, "A-1:s", "A-2:a", "A-3:a")
	c.watch.saw(left(2))
	hall(1, 1, 3)
}

func testSummary() Summary {
	return Summary{
		EventID: "show", Fans: 10, Arrived: 9, Joined: 9, Elapsed: 65 * time.Second, LimitReached: true,
		Outcomes: map[Behaviour]map[Outcome]int{
			Fighter: {Bought: 1}, Buyer: {Bought: 4, SoldOut: 2}, LeavesLine: {LeftLine: 2},
		},
		OrdersAccepted: 6, OrdersConfirmed: 5, SeatsConfirmed: 11, OrdersUnchecked: 1,
		CallsAnswered: 120, Failed: 2, Throttled: 1,
		Calls:      []CallStats{{Call: "join", Count: 9, P50: time.Millisecond, P95: 2 * time.Millisecond, P99: 3 * time.Millisecond, Max: 2 * time.Second}},
		Refusals:   map[string]int64{"hold seats_taken": 7, "join connection": 2},
		Violations: Violations{Count: 3, Texts: []string{"seat A-1 is sold twice: orders o-1 and o-2"}},
	}
}

func TestSummaryReport(t *testing.T) {
	t.Parallel()
	want := `event show: 9 of 10 fans came, 9 joined, in 1m5s (stopped by the limit)
orders: 6 accepted, 5 confirmed with 11 seats, 1 could not be read again at the end
calls: 120 answered, 2 failed, 1 throttled

    behaviour  fans  bought  sold_out  left_line
        buyer     6       4         2          0
  leaves_line     2       0         0          2
      fighter     1       1         0          0
          all     9       5         2          2

  call  answered    p50    p95    p99   max
  join         9  1.0ms  2.0ms  3.0ms  2.0s

     not a success  times
  hold seats_taken      7
   join connection      2

violations: 3
  seat A-1 is sold twice: orders o-1 and o-2
  and 2 more
`
	s := testSummary()
	if diff := cmp.Diff(want, s.String()); diff != "" {
		t.Error(diff)
	}
	var b strings.Builder
	if n, err := s.WriteTo(&b); err != nil || n != int64(len(want)) || b.String() != want {
		t.Errorf("WriteTo = %d, %v:\n%s", n, err, b.String())
	}
	if _, err := s.WriteTo(brokenWriter{}); !errors.Is(err, errBroken) {
		t.Errorf("WriteTo a broken writer = %v", err)
	}
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestSummaryAsJSON(t *testing.T) {
	t.Parallel()
	want := testSummary()
	body, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Summary
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMeterStats(t *testing.T) {
	t.Parallel()
	m := newMeter()
	for i := range 100 {
		m.observe(callJoin, time.Duration(i+1)*time.Millisecond)
	}
	m.observe(callSlot, 0)
	m.observe(callSeats, time.Hour)
	got := m.stats()
	if len(got) != 3 || got[1].Call != "join" || got[1].Count != 100 || m.total.calls.Load() != 101 {
		t.Fatalf("stats = %+v", got)
	}
	for _, tc := range []struct{ got, want time.Duration }{{got[1].P50, 50 * time.Millisecond},
		{got[1].P99, 99 * time.Millisecond}, {got[2].Max, latencyMax * time.Microsecond}} {
		if tc.got < tc.want*98/100 || tc.got > tc.want*102/100 {
			t.Errorf("latency is %s, want about %s", tc.got, tc.want)
		}
	}
	for i := range 3 * noteKinds {
		m.note(callJoin, strings.Repeat("x", i))
	}
	if len(m.notes) != noteKinds+1 || m.notes[otherNotes] != 2*noteKinds {
		t.Errorf("%d kinds of notes, %d others", len(m.notes), m.notes[otherNotes])
	}
}
