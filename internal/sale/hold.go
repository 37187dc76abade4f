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
	Fence     int64         // grows with every hold of the event: of two holds of a seat, the later one has the higher
	Left      time.Duration // until it lapses, as Redis said when it was read
	ExpiresAt time.Time     // the same by the clock of who read it; nothing is decided by it
	Order     string        // the order that pays for it, "" for none yet
}

// Wanted are seats that a session wants to hold.
type Wanted struct {
	EventID string
	Session SessionHash
	Seats   []string
	TTL     time.Duration
	Most    int // seats that the session may get in the whole sale, with those it bought; 0 for no such limit
}

// Taking is what came of a Wanted: a hold, or why there is none.
type Taking struct {
	Hold    Hold
	Holders []Holder // who has the seats that were not free
	Err     error
}

// Holder is who had a seat when someone else wanted it.
type Holder struct {
	Seat    string
	Session SessionHash   // zero when it is sold
	Fence   int64         // of the hold
	Left    time.Duration // of the hold; when it is sold, negative
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

// ErrHoldOver is a hold whose payment failed, when another is to follow after the time that it was given without any.
var ErrHoldOver = Errorf(Conflict, "hold_over", "a payment with this hold failed, and its time is over; hold seats anew")

// SeatsTaken is the refusal that names the seats someone else has.
func SeatsTaken(seats []string) *Error {
	return &Error{Kind: Conflict, Code: "seats_taken", Detail: "someone else has " + strings.Join(seats, ", "), Fields: map[string]any{"seats": seats}}
}

// TooManyInSale is the refusal of seats to a session that would have more of a sale than it may.
func TooManyInSale(most, bought int) *Error {
	return Errorf(Conflict, "sale_limit", "a session can get at most %d seats in this sale; it has bought %d", most, bought).With("max_seats_per_sale", most).With("bought", bought)
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

// Binding gives a hold to the order that pays for it.
type Binding struct {
	Order   uuid.UUID
	Request [32]byte      // the hash of what was asked for: the same order again must be asked for in the same words
	Wait    time.Duration // until the payment has its turn: no fault of its fan
	Window  time.Duration // the hold lasts for at least so long after that
	Replace string        // the order that the hold may be bound to because its payment failed, "" for none
}
