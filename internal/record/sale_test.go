package record

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/sale"
)

const event = "gala"

var (
	began  = time.Date(2026, 3, 14, 18, 0, 0, 0, time.UTC)
	secret = draw.Secret{1, 2, 3}
	beacon = []byte{0xbe, 0xac}
)

// records are an event's public records, as they are served.
type records struct {
	page  []byte
	log   [][]byte
	lines [][]byte // of the line: chunks and the seal
}

// check is what a Checker finds in them.
func (r records) check() Summary {
	c := NewChecker(event)
	c.Page(r.page)
	for _, a := range r.log {
		c.Admission(a)
	}
	for _, l := range r.lines {
		c.Line(l)
	}
	return c.Finish()
}

// show is a whole sale as it happens: who writes what, as the admitter and the api do.
type show struct {
	t       *testing.T
	r       *rand.Rand
	now     time.Time
	control line.Control

	last    *events.Admission
	written []byte
	log     [][]byte

	tree   *draw.Tree
	index  *line.Index
	lines  [][]byte
	draw   *events.Draw
	drawn  *events.Drawn
	secret draw.Secret // that the seal tells
	heads  []uint64    // up to which sequences the log covers the line

	// What a dishonest operator does: to each record before it is written, instead of writing the seal, and the root that
	// the draw is made from, where that is not the line's.
	altered func(*events.Admission)
	sealing func()
	ground  draw.Hash
}

func newShow(t *testing.T) *show {
	s := &show{
		t: t, r: rand.New(rand.NewSource(1)), now: began, tree: draw.NewTree(), index: line.NewIndex(), secret: secret, altered: func(*events.Admission) {},
		control: line.Control{
			State: sale.Lobby, Rate: 40, SeatsLeft: 1000, Secret: secret, Beacon: "chain/9", Lanes: []line.LaneControl{{Name: "presale", Share: 0.25, Granted: 30}},
		},
	}
	s.sealing = s.writeSeal
	return s
}

// tick lets an admitter look.
func (s *show) tick() {
	s.t.Helper()
	s.now = s.now.Add(100 * time.Millisecond)
	seen := line.Seen{Joined: s.index.Counts(), Draw: s.draw, Drawn: s.drawn, Inside: 3, Left: func(_ string, from, to uint64) uint64 { return to/7 - from/7 }}
	if s.tree.Size() > 0 {
		seen.Line = &events.LineHead{Read: s.tree.Size(), Root: s.tree.Root().String()}
	}
	if len(s.log) > 8 {
		seen.Share, seen.Steady = 0.5, time.Minute
	}
	next, due := line.Next(s.last, s.written, event, s.control, seen, s.now)
	if !due {
		return
	}
	s.altered(&next)
	s.written = events.Encode(next)
	s.last, s.log = &next, append(s.log, s.written)
	if next.Line != nil && (len(s.heads) == 0 || next.Line.Read > s.heads[len(s.heads)-1]) {
		s.heads = append(s.heads, next.Line.Read)
	}
}

// join lets some fans join a lane at once.
func (s *show) join(lane string, fans int) {
	chunk := events.Chunk{Lane: lane}
	for range fans {
		var session sale.SessionHash
		s.r.Read(session[:])
		if chunk.Sessions = append(chunk.Sessions, session); lane != "" {
			chunk.Codes = append(chunk.Codes, events.CodeID(session[:8]))
		}
	}
	s.write(Message{Chunk: chunk.Encode()})
	s.index.Apply(s.tree.Size(), lane, uint16(fans))
}

func (s *show) write(m Message) {
	s.tree.Append(m.Body())
	m.Sequence = s.tree.Size()
	s.lines = append(s.lines, events.Encode(m))
}

// seal ends the lobby and draws it.
func (s *show) seal() {
	root, joined, sealed := s.tree.Root(), s.index.Counts(), s.tree.Size()+1
	s.sealing()
	if s.ground != (draw.Hash{}) {
		root = s.ground
	}
	s.draw, s.drawn = line.Evidence(event, sealed, secret, beacon, root, joined)
}

func (s *show) writeSeal() {
	s.write(Message{Sealed: events.Encode(events.Sealed{V: events.Version, EventID: event, Secret: fmt.Sprintf("%x", s.secret[:]), At: s.now})})
	s.index.Apply(s.tree.Size(), "", 0)
}

// play is a small sale from its lobby to its end.
func (s *show) play() records {
	s.t.Helper()
	s.tick()
	for _, fans := range []int{3, 1, 4} {
		s.join("", fans)
		s.join("presale", 2)
	}
	s.control.Cap = 30
	s.tick() // covers the lobby so far
	s.join("", 2)
	s.seal()
	s.control.State = sale.Open
	s.tick() // opens it
	for i := range 10 {
		if i%3 == 0 {
			s.join([]string{"", "presale"}[i%2], 1+i%2)
		}
		s.tick()
	}
	s.control.State = sale.Closed
	s.tick()
	return s.records()
}

func (s *show) records() records {
	page := Draw{EventID: event, Draw: s.draw, Drawn: s.drawn, Head: HeadOf(s.last.N, s.written)}
	first, err := events.Decode[events.Admission](s.log[0])
	if err != nil {
		s.t.Fatal(err)
	}
	page.Commitment, page.Beacon = first.Commitment, first.Beacon
	return records{events.Encode(page), s.log, s.lines}
}

// A whole sale, with a lobby of two lanes, later joins, places given up and fans who don't come, has nothing wrong with it.
func TestChecker_FindsNothingInAnHonestSale(t *testing.T) {
	t.Parallel()
	s := newShow(t)
	all := s.play()
	got := all.check()
	if len(got.Breaches) > 0 {
		t.Errorf("it finds %v", got.Breaches)
	}
	if got.Admissions != uint64(len(all.log)) || got.Messages != uint64(len(all.lines)) || got.Uncovered != 0 || !got.Drawn || got.Joined["presale"] < 7 || got.Joined[""] < 11 {
		t.Errorf("it checked %+v", got)
	}
	log := string(bytes.Join(all.log, nil))
	for _, part := range []string{`"reason":"cap_changed"`, `"reason":"opened"`, `"reason":"admitted"`, `"reason":"no_shows"`, `"reason":"closed"`, `"skipped":`, `"inside":3`, `"release":80`} {
		if !bytes.Contains([]byte(log), []byte(part)) {
			t.Errorf("no record has %s: the sale shows too little", part)
		}
	}
	if len(s.heads) < 3 {
		t.Errorf("the log covers the line at %v", s.heads)
	}
}

// Records from the middle of a sale are whole, too: before its first join, undrawn, sealed and not drawn yet, closed in
// its lobby; with joins that no record covers yet.
func TestChecker_FindsNothingOnTheWay(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]func(s *show){
		"created":         func(s *show) { s.tick() },
		"lobby":           func(s *show) { s.tick(); s.join("", 4); s.join("presale", 1) },
		"sealed, undrawn": func(s *show) { s.tick(); s.join("", 4); s.seal(); s.draw, s.drawn = nil, nil },
		"closed at once":  func(s *show) { s.tick(); s.join("", 4); s.control.State = sale.Closed; s.tick() },
		"an empty lobby": func(s *show) {
			s.tick()
			s.seal()
			s.control.State = sale.Open
			s.tick()
			s.join("", 3)
			s.tick()
		},
		"later joins": func(s *show) { s.play(); s.join("", 5); s.join("presale", 1) },
		"paused":      func(s *show) { s.tick(); s.seal(); s.control.State = sale.Paused; s.tick() },
	} {
		s := newShow(t)
		way(s)
		all := s.records()
		got := all.check()
		if len(got.Breaches) > 0 || got.Admissions != uint64(len(all.log)) || got.Messages != uint64(len(all.lines)) {
			t.Errorf("%s: it checked %+v", name, got)
		}
		covered := uint64(0)
		if s.last.Line != nil {
			covered = s.last.Line.Read
		}
		if got.Uncovered != got.Messages-covered {
			t.Errorf("%s: %d of %d messages are not covered, want %d", name, got.Uncovered, got.Messages, got.Messages-covered)
		}
	}
	if got := (records{page: events.Encode(Draw{EventID: event})}).check(); len(got.Breaches) > 0 {
		t.Errorf("before the first record: it finds %v", got.Breaches)
	}
}

// Everyone's place can be computed from the records alone: they are all different, and the lobby's come first.
func TestChecker_Place(t *testing.T) {
	t.Parallel()
	all := newShow(t).play()
	c := NewChecker(event)
	for _, a := range all.log {
		c.Admission(a)
	}
	taken := map[string]map[uint64]bool{"": {}, "presale": {}}
	lobby, moved := map[string]uint64{"": 10, "presale": 6}, 0
	sizes := map[uint64]int{}
	for _, l := range all.lines {
		c.Line(l)
		m, err := exact[Message](l)
		if err != nil {
			t.Fatal(err)
		}
		if chunk, err := events.DecodeChunk(m.Chunk); err == nil {
			sizes[m.Sequence] = len(chunk.Sessions)
		}
	}
	for sequence, joins := range sizes {
		for i := range uint32(joins) {
			p, known := c.Place(line.Ticket{Sequence: sequence, Index: i})
			if !known || !p.Drawn || taken[p.Lane][p.Number] {
				t.Fatalf("join %d of chunk %d has place %+v, %v: nobody's, or another's", i, sequence, p, known)
			}
			taken[p.Lane][p.Number] = true
			if (p.Arrival < lobby[p.Lane]) != (p.Number < lobby[p.Lane]) || p.Arrival >= lobby[p.Lane] && p.Number != p.Arrival {
				t.Errorf("join %d of chunk %d: %+v, the lobby has %v", i, sequence, p, lobby)
			}
			if p.Number != p.Arrival {
				moved++
			}
		}
	}
	if moved == 0 {
		t.Error("nobody's place was drawn")
	}
	for lane, places := range taken {
		for n := range uint64(len(places)) {
			if !places[n] {
				t.Errorf("nobody has place %d of lane %q", n, lane)
			}
		}
	}
	if p, known := c.Place(line.Ticket{Sequence: uint64(len(all.lines) + 1)}); known {
		t.Errorf("a chunk that is not there has place %+v", p)
	}
}
