package crowd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func TestConfigValidateNamesEveryProblem(t *testing.T) {
	t.Parallel()
	err := Config{BaseURL: "localhost:8080", Spread: time.Hour, Limit: time.Minute, Mix: Mix{"dancer": 1, Buyer: -1}}.Validate()
	for _, want := range []string{"base URL", "event id", "fans must be", "is longer than limit", `"dancer"`, "negative share"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate does not name %q: %v", want, err)
		}
	}
	if err := (Config{BaseURL: "https://sale.test", EventID: "e", Fans: 1}).Validate(); err != nil {
		t.Errorf("a good config is refused: %v", err)
	}
	if _, err := Run(t.Context(), Config{}); err == nil {
		t.Error("Run took an empty config")
	}
}

func TestMixDrawsByShare(t *testing.T) {
	t.Parallel()
	rng, drawn, mix := testRand(), map[Behaviour]int{}, DefaultMix()
	const draws = 100_000
	total := 0
	for _, parts := range mix {
		total += parts
	}
	for range draws {
		drawn[mix.draw(rng)]++
	}
	for _, b := range behaviours() {
		want := draws * mix[b] / total
		if got := drawn[b]; got < want*9/10 || got > want*11/10 {
			t.Errorf("%s was drawn %d times, want about %d", b, got, want)
		}
	}
	if got := (Mix{Fighter: 3}).draw(rng); got != Fighter {
		t.Errorf("a mix of fighters drew a %s", got)
	}
}

func TestMixWithoutFansIsRefused(t *testing.T) {
	t.Parallel()
	for _, m := range []Mix{{}, {Buyer: 0}} {
		if err := m.Validate(); err == nil {
			t.Errorf("Validate took %v", m)
		}
	}
	if err := (Mix{Buyer: 80, Retrier: 20}).Validate(); err != nil {
		t.Errorf("a good mix is refused: %v", err)
	}
}

func TestDrawQuantityIsMostlyTwo(t *testing.T) {
	t.Parallel()
	rng, drawn := testRand(), [5]int{}
	for range 10_000 {
		drawn[drawQuantity(rng)]++
	}
	if drawn[0] != 0 || drawn[2] < 4500 || drawn[1] == 0 || drawn[3] == 0 || drawn[4] == 0 {
		t.Errorf("quantities 0 to 4 were drawn %v times", drawn)
	}
}

func TestArrivals(t *testing.T) {
	t.Parallel()
	const n, spread = 10_000, time.Minute
	got := arrivals(testRand(), n, spread)
	if len(got) != n || !slices.IsSorted(got) || got[0] < 0 || got[n-1] > spread {
		t.Fatalf("%d arrivals from %s to %s", len(got), got[0], got[n-1])
	}
	early, _ := slices.BinarySearch(got, spread/10)
	half, _ := slices.BinarySearch(got, spread/2)
	if early < n*7/10 || early > n*9/10 || n-half < n/100 {
		t.Errorf("%d of %d came in the first tenth, %d in the second half", early, n, n-half)
	}
	if diff := cmp.Diff(got, arrivals(testRand(), n, spread)); diff != "" {
		t.Error("the same seed gave other arrivals")
	}
}

// listOf makes a seat list from "id:status" with statuses a, h and s.
func listOf(t *testing.T, seats ...string) *seatList {
	t.Helper()
	var got seatsAnswer
	for _, s := range seats {
		id, status, _ := strings.Cut(s, ":")
		status = map[string]string{"a": seatAvailable, "h": "held", "s": seatSold}[status]
		got.Seats = append(got.Seats, struct {
			ID     string `json:"id"`
			Status string `json:"status"`
		}{id, status})
	}
	return newSeatList(got, nil)
}

func TestPick(t *testing.T) {
	t.Parallel()
	hall := []string{"A-10:a", "A-9:a", "A-11:s", "B-1:a", "B-2:h", "B-3:a", "B-4:a", "B-5:a"}
	for name, tc := range map[string]struct {
		want  int
		avoid []string
		oneOf [][]string
	}{
		"side by side":      {want: 2, oneOf: [][]string{{"A-9", "A-10"}, {"B-3", "B-4"}, {"B-4", "B-5"}}},
		"the only three":    {want: 3, oneOf: [][]string{{"B-3", "B-4", "B-5"}}},
		"not the avoided":   {want: 2, avoid: []string{"B-4", "A-9"}, oneOf: [][]string{{"A-10", "B-1"}, {"B-1", "B-3"}, {"B-3", "B-5"}, {"B-5", "A-10"}}},
		"fewer if must be":  {want: 4, avoid: []string{"A-9", "A-10", "B-1", "B-4"}, oneOf: [][]string{{"B-3", "B-5"}, {"B-5", "B-3"}}},
		"none when avoided": {want: 1, avoid: []string{"A-9", "A-10", "B-1", "B-3", "B-4", "B-5"}, oneOf: [][]string{nil}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, rng, avoid, seen := listOf(t, hall...), testRand(), map[string]struct{}{}, map[string]bool{}
			for _, seat := range tc.avoid {
				avoid[seat] = struct{}{}
			}
			for range 200 {
				got := l.pick(rng, tc.want, avoid)
				if !slices.ContainsFunc(tc.oneOf, func(want []string) bool { return slices.Equal(want, got) }) {
					t.Fatalf("pick = %v, want one of %v", got, tc.oneOf)
				}
				seen[fmt.Sprint(got)] = true
			}
			if len(seen) != len(tc.oneOf) {
				t.Errorf("only %v were ever picked of %v", seen, tc.oneOf)
			}
		})
	}
	if got := listOf(t, "A-1:s", "A-2:h").pick(testRand(), 1, nil); got != nil {
		t.Errorf("pick in a full hall = %v", got)
	}
	if got := listOf(t).pick(testRand(), 1, nil); got != nil {
		t.Errorf("pick in an empty hall = %v", got)
	}
}

func TestFought(t *testing.T) {
	t.Parallel()
	if got := listOf(t, "A-2:h", "A-1:a", "A-3:a").fought(2); !slices.Equal(got, []string{"A-1", "A-2"}) {
		t.Errorf("fighters want %v", got)
	}
	if got := listOf(t, "A-1:a", "A-2:s").fought(2); got != nil {
		t.Errorf("fighters want the sold %v", got)
	}
}

func TestSeatListKeepsItsLayout(t *testing.T) {
	t.Parallel()
	l := listOf(t, "B-1:a", "A-10:s", "A-9:h")
	if diff := cmp.Diff([]string{"A-9", "A-10", "B-1"}, l.ids); diff != "" || l.free != 1 || l.sold != 1 || !l.available[2] || !l.gone[1] {
		t.Errorf("free %d sold %d %s", l.free, l.sold, diff)
	}
	same := newSeatList(seatsAnswer{Seats: []struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}{{"B-1", seatSold}, {"A-10", seatSold}, {"A-9", seatSold}}}, l)
	if same.layout != l.layout || same.sold != 3 || l.sold != 1 {
		t.Error("the same hall was laid out anew, or the older list was changed")
	}
	if other := listOf(t, "B-1:a"); newSeatList(seatsAnswer{}, other).layout == other.layout {
		t.Error("another hall was given the layout of the first")
	}
}

func TestInARow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		want bool
	}{{"A-1", "A-2", true}, {"A-9", "A-10", true}, {"A-1", "A-3", false}, {"A-1", "B-2", false}, {"A-2", "A-1", false}, {"box", "box", false}} {
		if got := inARow(tc.a, tc.b); got != tc.want {
			t.Errorf("inARow(%s, %s) = %t", tc.a, tc.b, got)
		}
	}
}

func TestBackoffAndRefusal(t *testing.T) {
	t.Parallel()
	for attempt := range 100 {
		if d := backoff(attempt); d < backoffFirst/2 || d > backoffMost {
			t.Fatalf("backoff(%d) = %s", attempt, d)
		}
	}
	now := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	for header, least := range map[string]time.Duration{
		"3": 3 * time.Second, "0": retryAfterMin, "-5": retryAfterMin, "99999": retryAfterMax,
		now.Add(7 * time.Second).Format(http.TimeFormat): 7 * time.Second,
		"": backoffFirst / 2, "soon": backoffFirst / 2,
	} {
		for range 50 {
			if d := afterRefusal(header, now, 0); d < least || d > least*2 {
				t.Fatalf("afterRefusal(%q) = %s, want from %s on", header, d, least)
			}
		}
	}
}

func TestFailureNames(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"timeout": context.DeadlineExceeded, "connection": io.ErrUnexpectedEOF,
		"malformed body": fmt.Errorf("%w: %w", errMalformed, errors.New("x")),
	} {
		if got := failure(err); got != want {
			t.Errorf("failure(%v) = %q, want %q", err, got, want)
		}
	}
}

// Neither calls that ask to wait nor those in line may take the connections of the others.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	c := newClient(Config{}, newMeter())
	var releases []func()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	fill := func(r request, n int, wantAsked func(int) bool) {
		t.Helper()
		for i := range n {
			asked, release, err := c.acquire(t.Context(), r)
			if err != nil || asked != wantAsked(i) {
				t.Fatalf("acquire %d: waits %t, %v", i, asked, err)
			}
			releases = append(releases, release)
		}
		if _, _, err := c.acquire(canceled, r); !errors.Is(err, context.Canceled) {
			t.Fatalf("a call past the bound was let through: %v", err)
		}
	}
	fill(request{call: callPosition}, maxLineConns, func(int) bool { return false })
	fill(checkoutRequest("h", cardGood, "k"), maxWaitingConns+maxInsideConns, func(i int) bool { return i < maxWaitingConns })
	for _, release := range releases {
		release()
	}
	if len(c.line)+len(c.inside)+len(c.waiting) != 0 {
		t.Error("connections were not given back")
	}
}

func TestSeatCacheIsReadOnceForAll(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newTestSale(3, 10)
		cfg, _, _ := serve(t, s)
		c := newCrowd(cfg.withDefaults())
		defer c.client.http.CloseIdleConnections()
		good := func(i int) (string, string) {
			session := fmt.Sprintf("session-%d", i)
			return fmt.Sprintf("%s/%d", session, time.Now().Add(time.Hour).UnixNano()), session
		}
		bad := func(int) (string, string) { return "no/pass", "no" }
		// readAll lets 50 fans look at once, and returns how many of them saw the hall.
		readAll := func(pass func(int) (string, string)) int64 {
			var looking sync.WaitGroup
			var saw atomic.Int64
			for i := range 50 {
				looking.Go(func() {
					p, session := pass(i)
					if l, _, err := c.seats.get(t.Context(), c.eventPath()+"/seats", p, session); err == nil && l != nil && len(l.ids) == 30 {
						saw.Add(1)
					}
				})
			}
			looking.Wait()
			return saw.Load()
		}
		if saw := readAll(bad); saw != 0 || s.seatReads != 0 {
			t.Fatalf("%d fans saw the seats without a pass", saw)
		}
		// A pass that is refused says nothing of the others.
		mixed := func(i int) (string, string) {
			if i%2 == 0 {
				return bad(i)
			}
			return good(i)
		}
		if saw := readAll(mixed); saw < 25 {
			t.Fatalf("%d of 25 fans with a pass saw the seats", saw)
		}
		for before := s.seatReads; s.seatReads < before+3; {
			if err := sleep(t.Context(), 2*seatsFreshFor); err != nil {
				t.Fatal(err)
			}
			reads := s.seatReads
			if saw := readAll(good); saw != 50 || s.seatReads != reads+1 {
				t.Fatalf("%d of 50 fans saw the seats in %d reads, want one", saw, s.seatReads-reads)
			}
		}
	})
}
