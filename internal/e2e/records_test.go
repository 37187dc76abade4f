package e2e

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"onsale/internal/admin"
	"onsale/internal/beacon/double"
	"onsale/internal/draw"
	"onsale/internal/sale"
	"onsale/internal/testenv"
)

// page computes what a fan is told from the cacheable page of its line and its arrival number alone, as web pages do.
type page struct {
	queuePage
	order *draw.Permutation
}

func pageOf(t *testing.T, base, event string) page {
	t.Helper()
	p := page{queuePage: queueOf(t, base, event)}
	if p.Draw == nil || p.Lobby == nil {
		t.Fatalf("the page of %s has no draw: %+v", event, p.queuePage)
	}
	seed, err := draw.ParseHash(p.Draw.Seed)
	if err != nil {
		t.Fatal(err)
	}
	if p.order, err = draw.NewPermutation(draw.LaneKey(seed, ""), *p.Lobby); err != nil {
		t.Fatal(err)
	}
	return p
}

// eta is the wait of a position, linear between those of the page.
func (p page) eta(position uint64) (seconds float64, known bool) {
	for i, w := range p.Waits {
		if position > w.Position {
			continue
		}
		if position == w.Position {
			return float64(w.ETA), true
		}
		from := p.Waits[i-1]
		part := float64(position-from.Position) / float64(w.Position-from.Position)
		return float64(from.ETA) + part*float64(w.ETA-from.ETA), true
	}
	return 0, false
}

// A web page computes the place, position and wait of a fan from the line's cacheable page, and a poll says the same.
// The places of a lobby of many chunks, and of those who came later, are each there once.
func TestPagesComputeWhatPollsSay(t *testing.T) {
	t.Parallel()
	const lobby, later = 300, 40
	l := together(t)
	create(t, l, "drawn", nil)
	fans := joinMany(t, l.BaseURL, "drawn", 0, lobby, 30)
	for _, f := range []fan{fans[0], fans[lobby-1]} {
		if a := ask(t, l.BaseURL, "drawn", f); a.text("state") != "lobby" || a.fields["position"] != nil || a.fields["eta"] != nil || a.fields["place"] != nil {
			t.Errorf("in the lobby: %s", a.body)
		}
	}
	move(t, l, "drawn", "open", "open")
	testenv.Eventually(t, "admission", func() bool { return queueOf(t, l.BaseURL, "drawn").Serving >= 30 })
	// So slow that nobody is called while the page is compared with the polls.
	if err := operator(l).SetRate(t.Context(), "drawn", 0.002); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "slow line", func() bool { return queueOf(t, l.BaseURL, "drawn").Rate == 0.002 })
	fans = append(fans, joinMany(t, l.BaseURL, "drawn", lobby, lobby+later, 10)...)
	open := pageOf(t, l.BaseURL, "drawn")
	if *open.Lobby != lobby || open.Joined != lobby+later {
		t.Fatalf("%d joined, %d in the lobby", open.Joined, *open.Lobby)
	}
	seen := make([]bool, len(fans))
	for i, f := range fans {
		place := open.order.Place(f.arrival)
		if place >= uint64(len(fans)) || seen[place] {
			t.Fatalf("arrival %d has place %d, which is another's or nobody's", f.arrival, place)
		}
		seen[place] = true
		if i >= lobby && place != f.arrival {
			t.Errorf("arrival %d came after the draw and has place %d", f.arrival, place)
		}
	}
	moved := 0
	for _, f := range fans[:lobby] {
		if open.order.Place(f.arrival) != f.arrival {
			moved++
		}
	}
	if moved < lobby/2 {
		t.Errorf("the draw moved %d of %d", moved, lobby)
	}
	each(len(fans), 8, func(i int) { mustSay(t, l.BaseURL, open, fans[i]) })
	if now := queueOf(t, l.BaseURL, "drawn"); now.Serving != open.Serving {
		t.Fatalf("the line moved from %d to %d while it was compared", open.Serving, now.Serving)
	}

	move(t, l, "drawn", "pause", "paused")
	paused := pageOf(t, l.BaseURL, "drawn")
	for _, f := range fans[lobby:] {
		a := ask(t, l.BaseURL, "drawn", f)
		if want := paused.order.Place(f.arrival) - paused.Serving + 1; a.text("state") != "paused" || number(t, a, "position") != want || a.fields["eta"] != nil {
			t.Errorf("paused, at position %d: %s", want, a.body)
		}
	}
	if s := mustVerify(t, l.BaseURL, "drawn"); !s.Drawn || s.Messages < 4 {
		t.Errorf("checked: %+v", s)
	}
	receiptsProve(t, l.BaseURL, "drawn", fans[:20], fans[lobby])
}

// mustSay polls for a fan and compares with the page. The page's waits are those of its record: where the record changed
// between page and poll, both are read again.
func mustSay(t *testing.T, base string, p page, f fan) {
	t.Helper()
	a := ask(t, base, "drawn", f)
	testenv.Eventually(t, "poll between two pages of one record", func() bool {
		now := queueOf(t, base, "drawn")
		if now.At.Equal(p.At) {
			return true
		}
		p.queuePage = now
		a = ask(t, base, "drawn", f)
		return false
	})
	place := p.order.Place(f.arrival)
	if a.status != http.StatusOK || number(t, a, "place") != place || number(t, a, "arrival") != f.arrival {
		t.Errorf("the page gives arrival %d the place %d, the poll says %s", f.arrival, place, a.body)
		return
	}
	if place < p.Serving {
		if a.text("state") != "admitted" || number(t, a, "position") != 0 || a.text("pass") == "" {
			t.Errorf("place %d with serving %d: %s", place, p.Serving, a.body)
		}
		return
	}
	position := place - p.Serving + 1
	if a.text("state") != "waiting" || number(t, a, "position") != position {
		t.Errorf("the page gives place %d the position %d, the poll says %s", place, position, a.body)
	}
	eta, known := p.eta(position)
	if got := float64(number(t, a, "eta")); !known || math.Abs(got-eta) > 1 {
		t.Errorf("the page gives position %d a wait of %g s (%t), the poll says %s", position, eta, known, a.body)
	}
}

// receiptsProve checks that fans' receipts prove their joins, and nothing that was altered.
func receiptsProve(t *testing.T, base, event string, fans []fan, later fan) {
	t.Helper()
	proofOf := func(f fan) answer {
		return call(t, "GET", base+"/v1/queue/"+event+"/proof", nil, "Authorization", "Bearer "+f.ticket)
	}
	if a := proofOf(later); a.status != http.StatusConflict || a.text("code") != "not_in_lobby" {
		t.Errorf("the receipt of one who came later: %d %s", a.status, a.body)
	}
	for _, f := range fans {
		a := proofOf(f)
		var got struct {
			Receipt draw.Receipt `json:"receipt"`
			Root    draw.Hash    `json:"root"`
			Arrival uint64       `json:"arrival"`
		}
		if err := json.Unmarshal(a.body, &got); err != nil || a.status != http.StatusOK {
			t.Fatalf("receipt: %d %s, %v", a.status, a.body, err)
		}
		drawn := call(t, "GET", base+"/v1/queue/"+event+"/draw", nil).fields["drawn"].(map[string]any)
		session := sale.HashSession(event, f.session)
		if err := got.Receipt.Verify(got.Root, session); err != nil || drawn["root"] != got.Root.String() || got.Receipt.Arrival() != f.arrival || got.Arrival != f.arrival {
			t.Errorf("the receipt %s of arrival %d under the root %s: %v", a.body, f.arrival, drawn["root"], err)
		}
		for what, alter := range map[string]func(r *draw.Receipt, root *draw.Hash, s *sale.SessionHash){
			"chunk":    func(r *draw.Receipt, _ *draw.Hash, _ *sale.SessionHash) { r.Chunk[len(r.Chunk)-1] ^= 1 },
			"version":  func(r *draw.Receipt, _ *draw.Hash, _ *sale.SessionHash) { r.Chunk[0] ^= 1 },
			"path":     func(r *draw.Receipt, _ *draw.Hash, _ *sale.SessionHash) { r.Path[0][31] ^= 1 },
			"leaf":     func(r *draw.Receipt, _ *draw.Hash, _ *sale.SessionHash) { r.Leaf ^= 1; r.Sequence = r.Leaf + 1 },
			"sequence": func(r *draw.Receipt, _ *draw.Hash, _ *sale.SessionHash) { r.Sequence++ },
			"root":     func(_ *draw.Receipt, root *draw.Hash, _ *sale.SessionHash) { root[0] ^= 1 },
			"session":  func(_ *draw.Receipt, _ *draw.Hash, s *sale.SessionHash) { s[15] ^= 1 },
		} {
			r, root, s := got.Receipt, got.Root, session
			r.Chunk, r.Path = bytes.Clone(r.Chunk), append([]draw.Hash(nil), r.Path...)
			alter(&r, &root, &s)
			if r.Verify(root, s) == nil {
				t.Errorf("a receipt with another %s proves it too", what)
			}
		}
	}
}

// relayAt serves a chain of random values that stands just before a round, until it is let on.
func relayAt(t *testing.T, round uint64) (chain *double.Double, url string, publish func()) {
	t.Helper()
	genesis := time.Date(2026, 3, 14, 18, 0, 0, 0, time.UTC)
	at := genesis.Add(time.Duration(round-1) * 3 * time.Second)
	var now atomic.Int64
	now.Store(at.Add(-time.Second).Unix())
	chain, err := double.New(double.Config{
		Seed: bytes.Repeat([]byte("seed"), 8), Genesis: genesis, Period: 3 * time.Second, Now: func() time.Time { return time.Unix(now.Load(), 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(chain)
	t.Cleanup(server.Close)
	return chain, server.URL, func() { now.Store(at.Unix()) }
}

// A lobby that waits for a public random value is sealed and stays a lobby until that is published, and the draw is made
// with it. An admitter that can't read such values says so and leaves the lobby to others.
func TestDrawWaitsForItsBeacon(t *testing.T) {
	t.Parallel()
	const round = 100
	l := together(t) // whose admitter knows no relay
	chain, relay, publish := relayAt(t, round)
	name := draw.BeaconRef{Chain: chain.Chain().Hash, Round: round}.String()
	create(t, l, "random", func(e *admin.CreateEvent) { e.Beacon = name })
	fans := joinMany(t, l.BaseURL, "random", 0, 50, 10)
	blind := runNode(t, l, "admitter")
	if err := operator(l).Move(t.Context(), "random", "open"); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "word of the missing relay", func() bool {
		return strings.Contains(blind.log.String(), "set --beacon-url") && strings.Contains(blind.log.String(), "event_id=random")
	})
	reader := runNode(t, l, "admitter", "BEACON_URL="+relay)
	testenv.Eventually(t, "asking for the value", func() bool { return chain.Requests() >= 3 })
	if !strings.Contains(reader.log.String(), "not published yet") {
		t.Errorf("the admitter does not say what it waits for:\n%s", reader.log)
	}
	sealed := 0
	for _, raw := range published(t, l.BaseURL, "random", "chunks") {
		if strings.Contains(string(raw), `"sealed"`) {
			sealed++
		}
	}
	if q := queueOf(t, l.BaseURL, "random"); sealed != 1 || q.State != "lobby" || q.Draw != nil {
		t.Errorf("before the value: %d seals, %+v", sealed, q)
	}
	if a := ask(t, l.BaseURL, "random", fans[0]); a.text("state") != "lobby" {
		t.Errorf("before the value: %s", a.body)
	}
	publish()
	testenv.Eventually(t, "open sale", func() bool { return queueOf(t, l.BaseURL, "random").State == "open" })
	value := chain.Value(round)
	drawn := call(t, "GET", l.BaseURL+"/v1/queue/random/draw", nil)
	if got := drawn.fields["drawn"].(map[string]any)["beacon"]; got != hex.EncodeToString(value.Randomness[:]) || drawn.text("beacon") != name {
		t.Errorf("the draw used %v of %s, want %x of %s", got, drawn.text("beacon"), value.Randomness, name)
	}
	if s := mustVerify(t, l.BaseURL, "random"); !s.Drawn {
		t.Errorf("checked: %+v", s)
	}
	testenv.Eventually(t, "admission of all", func() bool { return queueOf(t, l.BaseURL, "random").Serving == 50 })
}
