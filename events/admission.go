package events

import (
	"time"

	"onsale/internal/sale"
)

// Admission is one record of an event's admission log: everyone of a lane whose place is below its Serving may come
// in. Prev is the SHA-256 of the record before, as it was written, so that the log can't be changed in the middle.
type Admission struct {
	V       int        `json:"v"`
	EventID string     `json:"event_id"`
	N       uint64     `json:"n"` // 1 for the first record
	State   sale.State `json:"state"`
	Serving uint64     `json:"serving"` // of the general lane
	Rate    float64    `json:"rate"`    // fans a second that shall arrive inside
	// Release is how many places a second are called: Rate, and as many more as make up for those who don't come.
	// Absent where it is Rate.
	Release float64 `json:"release,omitempty"`
	Cap     int     `json:"cap,omitempty"`     // the most shoppers inside; absent for no such limit
	Inside  int     `json:"inside,omitempty"`  // as measured, where there is a Cap
	Skipped uint64  `json:"skipped,omitempty"` // places that were passed without a call, because their fans had left the line
	Reason  string  `json:"reason"`
	// Payments is there while Rate is below what the operator set, because payments take long.
	Payments *PaymentPace `json:"payments,omitempty"`
	// PacedTo is up to when the pace has been used: a later record calls at most Release times the time since.
	PacedTo time.Time `json:"paced_to"`
	At      time.Time `json:"at"`
	Prev    string    `json:"prev"` // hex; empty for the first record

	Line    *LineHead `json:"line,omitempty"`
	Lanes   []Lane    `json:"lanes,omitempty"` // the priority lanes
	Outlook Outlook   `json:"outlook,omitzero"`
	// Commitment is the hash of the draw's secret, in hex: in the first record, long before the draw.
	Commitment string `json:"commitment,omitempty"`
	Beacon     string `json:"beacon,omitempty"` // in the first record, "<chain>/<round>" of the public random value that the draw will use
	Draw       *Draw  `json:"draw,omitempty"`   // since the lobby was drawn
	Drawn      *Drawn `json:"drawn,omitempty"`  // in the record that opened the sale: how
}

// PaymentPace says why a line is slower than its operator set it.
type PaymentPace struct {
	Set    float64   `json:"set"`     // the operator's rate, fans a second
	WaitMS int64     `json:"wait_ms"` // how long a checkout would wait for its payment, when the rate was last changed for it
	At     time.Time `json:"at"`      // when that was
}

// Outlook is what a lane's own past says of the times to come; package line makes it and explains each number.
type Outlook struct {
	Flow   float64 `json:"flow,omitempty"`   // turns a second, as told: it changes seldom and never without a cause
	Yield  float64 `json:"yield,omitempty"`  // turns called of those that were due, measured; 1 is all
	Ran    float64 `json:"ran,omitempty"`    // seconds for which the line has run
	Swing  float64 `json:"swing,omitempty"`  // sum of the squared logarithms by which the flow changed
	Pauses float64 `json:"pauses,omitempty"` // how often the line was paused
	Paused float64 `json:"paused,omitempty"` // seconds for which it was, in all

	Rose   string    `json:"rose,omitempty"` // why ETAs last rose
	RoseAt time.Time `json:"rose_at,omitzero"`
}

// Lane is a priority lane: a line of its own with a share of the release.
type Lane struct {
	Name    string  `json:"name"`
	Share   float64 `json:"share"` // of the release, above 0 and below 1; the general lane has what the others leave
	Serving uint64  `json:"serving"`
	Granted uint64  `json:"granted"`          // how many joins the access codes given out so far allow
	Credit  float64 `json:"credit,omitempty"` // calls by which the lane is behind its share; the general lane has the opposite of all others'
	Outlook Outlook `json:"outlook,omitzero"`
}

// LineHead is what of the line's stream an admitter had read when it wrote a record. With it the log covers the joins
// too: none can be altered or slipped in behind.
type LineHead struct {
	Read uint64 `json:"read"` // sequence
	Root string `json:"root"` // hex; RFC 6962 Merkle root of the messages up to it, the seal among them
}

// Draw says how the places of the lobby follow from arrival numbers. docs/draw.md is precise.
type Draw struct {
	Sealed uint64 `json:"sealed"` // sequence of the seal in the line's stream: chunks before it are the lobby
	Seed   string `json:"seed"`   // hex of 32 bytes
}

// Drawn is the evidence of a draw, from which anyone can compute the seed again.
type Drawn struct {
	Root   string            `json:"root"`             // hex; RFC 6962 Merkle root of the chunks before the seal
	Chunks uint64            `json:"chunks"`           // how many there are
	Secret string            `json:"secret"`           // hex of 32 bytes
	Beacon string            `json:"beacon,omitempty"` // hex; the public random value, where the event named one
	Lobby  map[string]uint64 `json:"lobby"`            // joins before the seal, of each lane; "" is the general one
}

// Sealed divides the lobby from those who came later. It stands once in a line's stream, and its place there is the
// boundary.
type Sealed struct {
	V       int       `json:"v"`
	EventID string    `json:"event_id"`
	Secret  string    `json:"secret"` // hex of 32 bytes, whose commitment was published when the event was created
	At      time.Time `json:"at"`
}

// TurnOutcome is what a fan made of its turn; it is the last token of its subject.
type TurnOutcome string

const (
	TurnClaimed TurnOutcome = "claimed" // came when called, and was given a pass
	TurnLeft    TurnOutcome = "left"    // said that it won't come
)

// TurnReport tells what fans of one lane made of their turns, many in a message.
type TurnReport struct {
	V       int         `json:"v"`
	EventID string      `json:"event_id"`
	Outcome TurnOutcome `json:"outcome"`
	Lane    string      `json:"lane,omitempty"`
	Fans    []Turn      `json:"fans"`
	At      time.Time   `json:"at"`
	// Until is when the passes of those who came have run out, unless this is told of them again.
	Until time.Time `json:"until,omitzero"`
}

// Turn is one fan in a TurnReport.
type Turn struct {
	Arrival uint64           `json:"arrival"`
	Session sale.SessionHash `json:"session"`
}
