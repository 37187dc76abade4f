// Package record is an event's public records: their shapes, and the check that anyone can make of them. It promises
// that records it finds nothing wrong with are whole, that the lobby was drawn as was promised before it opened, and
// that everyone was called in the order and at the pace that the log states. It is pure; the api serves the records,
// `onsale verify` and the audit check them. What the operator alone measures it can't check: who left and was passed
// without a call (the Summary says how many), how calls were divided among the lanes, who is inside.
package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/line"
)

// Draw is the public page of an event's draw, and of where its log ends.
type Draw struct {
	EventID    string        `json:"event_id"`
	Commitment string        `json:"commitment"`       // hex; from the log's first record
	Beacon     string        `json:"beacon,omitempty"` // "<chain>/<round>", where the event named one
	Draw       *events.Draw  `json:"draw"`             // null before the lobby is drawn
	Drawn      *events.Drawn `json:"drawn"`
	Head       *Head         `json:"head"` // null before the first record
}

// Head is the last record of a log when the page was made: nothing after it vouches for it but this.
type Head struct {
	N    uint64 `json:"n"`
	Hash string `json:"hash"` // hex of the SHA-256 of the record as it was written
}

// HeadOf is the head of a log with this last record.
func HeadOf(n uint64, written []byte) *Head {
	sum := sha256.Sum256(written)
	return &Head{N: n, Hash: hex.EncodeToString(sum[:])}
}

// Message is a message of the line's stream as it is shown, one a line: a chunk or the seal, as it was written.
type Message struct {
	Sequence uint64 `json:"sequence"`
	Chunk    []byte `json:"chunk,omitempty"`  // base64
	Sealed   []byte `json:"sealed,omitempty"` // base64 of JSON
}

// Body is what the message holds.
func (m Message) Body() []byte {
	if m.Sealed != nil {
		return m.Sealed
	}
	return m.Chunk
}

// Breach is one thing that is wrong, and the record that shows it.
type Breach struct {
	Record string // such as "admission 17", "line 4" (a sequence), "draw", "ticket"
	What   string
}

func (b Breach) String() string { return b.Record + ": " + b.What }

// maxBreaches bounds what is told: after the first few, the rest follow from them.
const maxBreaches = 20

// Checker checks the records of one event. Give it the page of the draw, then the whole admission log, then the whole
// line, each in order, and then ask for what was found.
type Checker struct {
	// Now is the time by the clock of whoever checks, asked for as each record is taken. Nil does not check that the
	// records are from the past.
	Now func() time.Time

	eventID  string
	page     Draw
	breaches []Breach

	admissions  uint64
	first, last *events.Admission
	written     []byte
	drawn       *events.Admission
	headSeen    bool
	heads       []head // of the log's records, each once, in order
	setBack     time.Duration

	tree   *draw.Tree
	index  *line.Index
	sealed uint64
	lobby  *line.Lobby
	coded  map[string][]uint64 // by priority lane: the beginning of each join's session hash
}

// NewChecker begins the check of an event's records.
func NewChecker(eventID string) *Checker {
	return &Checker{eventID: eventID, tree: draw.NewTree(), index: line.NewIndex(), coded: map[string][]uint64{}}
}

func (c *Checker) find(record, what string, args ...any) {
	if len(c.breaches) < maxBreaches {
		c.breaches = append(c.breaches, Breach{record, fmt.Sprintf(what, args...)})
	}
}

// exact reads JSON that is exactly what this package would write: an altered byte anywhere is an error.
func exact[M any](raw []byte) (M, error) {
	var m M
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, err
	}
	if again := events.Encode(m); !bytes.Equal(again, raw) {
		return m, fmt.Errorf("it is not written as it should be")
	}
	return m, nil
}

// Page takes the page of the draw.
func (c *Checker) Page(raw []byte) {
	page, err := exact[Draw](bytes.TrimSuffix(raw, []byte{'\n'}))
	if err != nil {
		c.find("draw", "%v", err)
		return
	}
	if page.EventID != c.eventID {
		c.find("draw", "it is of event %q", page.EventID)
	}
	c.page = page
}

// Admission takes the next record of the log, as it was written.
func (c *Checker) Admission(raw []byte) {
	c.admissions++ // names count the records, whatever number stands in them
	name := fmt.Sprintf("admission %d", c.admissions)
	a, err := exact[events.Admission](raw)
	if err == nil && a.EventID != c.eventID {
		err = fmt.Errorf("it is of event %q", a.EventID)
	}
	if err == nil {
		err = line.Obeys(c.written, c.last, a)
	}
	if err != nil {
		c.find(name, "%v", err)
	}
	if a.N == 0 {
		return // not to be read at all: the next one is held against the one before
	}
	if c.first == nil {
		c.first = &a
	}
	if a.Drawn != nil && a.Draw != nil && c.drawn == nil {
		c.drawn = &a
		if err := line.CheckDraw(c.eventID, c.first.Commitment, *a.Draw, *a.Drawn); err != nil {
			c.find(name, "%v", err)
		}
		if (c.first.Beacon == "") != (a.Drawn.Beacon == "") {
			c.find(name, "the event named beacon %q, the draw used %q", c.first.Beacon, a.Drawn.Beacon)
		}
	}
	if c.Now != nil && a.At.After(c.Now().Add(fromTheFuture)) {
		c.find(name, "it is from %s, which is still to come", a.At.Format(time.RFC3339))
	}
	if c.last != nil && a.PacedTo.Before(c.last.PacedTo) {
		c.setBack += c.last.PacedTo.Sub(a.PacedTo)
	}
	c.vouches(a)
	if c.page.Head != nil && a.N == c.page.Head.N {
		c.headSeen = true
		if got := HeadOf(a.N, raw); *got != *c.page.Head {
			c.find(name, "its hash is %s, the page of the draw says %q", got.Hash, c.page.Head.Hash)
		}
	}
	c.last, c.written = &a, bytes.Clone(raw)
}

// fromTheFuture is by how much the clock of whoever checks may be behind the admitter's.
const fromTheFuture = time.Minute

// Line takes the next message of the line, as a line of its page. The log must have been read before.
func (c *Checker) Line(raw []byte) {
	want := c.tree.Size() + 1
	name := fmt.Sprintf("line %d", want)
	m, err := exact[Message](raw)
	if err != nil {
		c.find(name, "%v", err)
		return
	}
	c.Take(m)
}

// Take is Line for a message that was read already.
func (c *Checker) Take(m Message) {
	want := c.tree.Size() + 1
	name := fmt.Sprintf("line %d", want)
	if m.Sequence != want || (m.Chunk == nil) == (m.Sealed == nil) {
		c.find(name, "a message with sequence %d stands there, or it is neither a chunk nor the seal", m.Sequence)
		return
	}
	if m.Sealed != nil {
		c.seal(name, m)
		c.index.Apply(m.Sequence, "", 0)
	} else {
		chunk, err := events.DecodeChunk(m.Chunk)
		if err != nil {
			c.find(name, "%v", err)
		}
		c.index.Apply(m.Sequence, chunk.Lane, uint16(len(chunk.Sessions)))
		if chunk.Lane != "" {
			for _, session := range chunk.Sessions {
				c.coded[chunk.Lane] = append(c.coded[chunk.Lane], binary.BigEndian.Uint64(session[:]))
			}
		}
	}
	c.tree.Append(m.Body())
	if len(c.heads) > 0 && c.heads[0].Read == c.tree.Size() {
		c.covered(name)
		c.heads = c.heads[1:]
	}
}

// seal checks the seal against the draw in the log.
func (c *Checker) seal(name string, m Message) {
	if c.sealed > 0 {
		c.find(name, "there is a seal already, at %d", c.sealed)
		return
	}
	c.sealed = m.Sequence
	s, err := exact[events.Sealed](m.Sealed)
	if err != nil {
		c.find(name, "%v", err)
		return
	}
	if c.drawn == nil {
		return // sealed, and not drawn yet
	}
	e := c.drawn.Drawn
	if s.EventID != c.eventID || s.Secret != e.Secret {
		c.find(name, "it is of event %q, or has another secret than the draw", s.EventID)
	}
	if c.drawn.Draw.Sealed != m.Sequence {
		c.find(name, "the draw says the seal is at %d", c.drawn.Draw.Sealed)
	}
	if root := c.tree.Root().String(); root != e.Root {
		c.find(name, "the chunks before it have the root %s, the draw says %q", root, e.Root)
	}
	if joined := c.index.Counts(); !sameCounts(joined, e.Lobby) {
		c.find(name, "%s joined the lanes before it, the draw says %q", events.Encode(joined), events.Encode(e.Lobby))
	}
	if c.lobby, err = line.NewLobby(*c.drawn.Draw, c.index.Counts()); err != nil {
		c.find(name, "%v", err)
	}
}

// sameCounts compares joins by lane; a lane that is absent has none.
func sameCounts(a, b map[string]uint64) bool {
	for lane, n := range a {
		if b[lane] != n {
			return false
		}
	}
	for lane, n := range b {
		if a[lane] != n {
			return false
		}
	}
	return true
}

// Summary is what was checked.
type Summary struct {
	Admissions uint64 // records of the log
	Messages   uint64 // of the line
	Uncovered  uint64 // of them after what the log's last record covers: joins too new to be vouched for
	Joined     map[string]uint64
	Drawn      bool
	// Skipped is how many places were passed without a call, because their fans had left. Who left is not public, so
	// the operator's word is all there is for it: pace does not bound these.
	Skipped uint64
	// SetBack is by how much the log's time was set back, in all, after clocks that were ahead. In any stretch of time
	// the log may have called by so much more than its pace.
	SetBack  time.Duration
	Breaches []Breach
}

// Finish checks what only the end shows.
func (c *Checker) Finish() Summary {
	if c.page.EventID != "" {
		c.finishPage()
	}
	if c.drawn != nil && c.sealed == 0 {
		c.find("line", "there is no seal, and the log has a draw")
	}
	if len(c.heads) > 0 {
		c.find("line", "it ends at %d, and the log covers it up to %d", c.tree.Size(), c.heads[len(c.heads)-1].Read)
	}
	s := Summary{Messages: c.tree.Size(), Joined: c.index.Counts(), Drawn: c.lobby != nil}
	if c.last != nil {
		s.Admissions, s.Skipped, s.SetBack = c.last.N, c.last.Skipped, c.setBack
		if s.Uncovered = s.Messages; c.last.Line != nil {
			s.Uncovered -= min(s.Messages, c.last.Line.Read)
		}
	}
	s.Breaches = c.breaches
	return s
}

// finishPage holds the page of the draw against the log.
func (c *Checker) finishPage() {
	if c.first == nil {
		if c.page.Head != nil {
			c.find("draw", "it names a record, and the log has none")
		}
		return
	}
	if c.page.Head == nil || !c.headSeen {
		c.find("draw", "the log has no record that it names as the last")
	}
	if c.page.Commitment != c.first.Commitment || c.page.Beacon != c.first.Beacon {
		c.find("draw", "its commitment or beacon is not that of the log's first record")
	}
	if c.drawn == nil {
		if c.page.Draw != nil || c.page.Drawn != nil {
			c.find("draw", "it has a draw, and the log has none")
		}
		return
	}
	// A page that names a record from before the draw may show it already, or not yet.
	shown := c.page.Draw != nil || c.page.Drawn != nil || c.page.Head != nil && c.page.Head.N >= c.drawn.N
	if shown && !bytes.Equal(events.Encode(Draw{Draw: c.page.Draw, Drawn: c.page.Drawn}), events.Encode(Draw{Draw: c.drawn.Draw, Drawn: c.drawn.Drawn})) {
		c.find("draw", "its draw is not the one in the log")
	}
}

// Place is the place of a ticket by the records alone, and who stands there; false where the line has no such join.
func (c *Checker) Place(t line.Ticket) (line.Place, bool) {
	lane, arrival, known := c.index.Arrival(t.Sequence, t.Index)
	if !known {
		return line.Place{}, false
	}
	p := line.Place{Lane: lane, Arrival: arrival, Number: arrival, Drawn: c.lobby != nil}
	if c.lobby != nil {
		p.Number = c.lobby.Place(lane, arrival)
	}
	return p, true
}
