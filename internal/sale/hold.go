package sale

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// Hold is a session's claim on seats until it expires.
type Hold struct {
	ID        uuid.UUID
	EventID   string
	Session   SessionHash
	Seats     []string
	Fence     int64 // grows with every hold of the event
	ExpiresAt time.Time
	Order     string // the order that pays for it, "" for none yet
}

// Claim is an order's seats and the hold it took them with.
type Claim struct {
	EventID string
	Hold    uuid.UUID
	Seats   []string
}

// SeatState is who has a seat right now.
type SeatState struct {
	Held bool
	Sold string // the order, "" when not sold
}

// ErrNoHold is a hold that never was, has lapsed, or is another's.
var ErrNoHold = Errorf(NotFound, "hold_not_found", "there is no such hold; it may have lapsed")

// SeatsTaken is the refusal that names the seats someone else has.
func SeatsTaken(seats []string) *Error {
	return Errorf(Conflict, "seats_taken", "someone else has %s", strings.Join(seats, ", ")).With("seats", seats)
}

// Accepted is a checkout that was answered with 202 and may not have been begun yet.
type Accepted struct {
	EventID     string      `json:"event_id"`
	Session     SessionHash `json:"session"`
	RequestHash []byte      `json:"request_hash"`
	Seats       []string    `json:"seats"`
	Amount      int64       `json:"amount"`
	Currency    string      `json:"currency"`
}
