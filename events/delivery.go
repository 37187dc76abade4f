package events

import (
	"context"
	"time"
)

// Message is one message of a stream, or one of its records, as its readers see it.
type Message struct {
	Stream    string
	Subject   string
	Sequence  uint64
	Record    int // from 0, within a message of several records
	Header    map[string]string
	Data      []byte
	At        time.Time // when the stream stored it
	Delivered int       // how many times this consumer has been given it, from 1; 0 where nobody counts
	Pending   uint64    // how many messages wait behind it
}

// Outgoing is a message to be stored. With an ID, a second one within the duplicate window is dropped.
type Outgoing struct {
	Subject string
	ID      string
	Header  map[string]string
	Data    []byte
	// ExpectLast, when set, makes the append conditional: it is stored only if the last message of the
	// subject has this sequence (0: there is none). Losing that race is sale.Conflict, code "fenced".
	ExpectLast *uint64
}

// Ack tells where a message was stored, durably. A duplicate has the sequence of the first.
type Ack struct {
	Sequence  uint64
	Duplicate bool
}

// Handler does the work of one message. nil acknowledges it. The kind of a *sale.Error decides the rest:
// Invalid and its like are dead letters, everything else is given again later.
type Handler func(ctx context.Context, m Message) error

// Consume runs a worker's handler over a durable consumer until ctx ends, then drains.
type Consume func(ctx context.Context, handle Handler) error

// Start is where a follower begins.
type Start uint8

const (
	FromFirst          Start = iota // every message of the stream
	FromLastPerSubject              // the last message of each subject, then what comes
	FromNew                         // only what comes
	FromAfter                       // what stands after a sequence, then what comes
)

// Follow tells what to read in order, without acknowledgements.
type Follow struct {
	Stream      string
	Subject     string // "" for all
	From        Start
	After       uint64 // the sequence, with FromAfter
	HeadersOnly bool
}
