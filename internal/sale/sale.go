// Package sale is the domain: events and their seats, orders and payment attempts, the states they can be in,
// and the errors everyone speaks. It is pure: no I/O, no clock of its own, and it imports nothing of Onsale,
// so every other package may import it.
package sale

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"regexp"
	"time"

	"github.com/google/uuid"
)

// State is where a sale stands. The operator moves it between Lobby, Open, Paused and Closed; SoldOut is what
// an open sale is while nothing is left.
type State string

const (
	Lobby   State = "lobby"    // joins are taken, nobody is admitted
	Open    State = "open"     // the line moves
	Paused  State = "paused"   // the line stands; those inside go on
	SoldOut State = "sold_out" // open, with nothing left to sell
	Closed  State = "closed"   // over for good
)

// Event is one thing on sale: a show on an evening, with one seating plan.
type Event struct {
	ID       string
	Name     string
	Currency string // ISO 4217, lower case as Stripe writes it
	State    State  // what the operator asked for; the line's own state is in the admissions
	Rate     float64
	OpensAt  time.Time // zero: opened by hand
	Rules    Rules
	Seats    int    // how many there are in all
	Cap      int    // the most shoppers inside, 0 for no such limit
	Beacon   string // "<chain>/<round>" of the public random value that the draw waits for, "" for none
}

// Rules bound what one session can do in a sale.
type Rules struct {
	MaxSeatsPerHold int
	MaxSeatsPerSale int           // in all orders of a session and its hold together; 0 for no limit but that of a hold
	HoldTTL         time.Duration // how long a fan has to pick and start paying
	PaymentWindow   time.Duration // what a checkout extends the hold to, at least
}

// Seat is one place that can be sold, with its price.
type Seat struct {
	ID       string
	Zone     string
	Row      string
	Number   string
	Category string
	Price    int64 // minor units of the event's currency
	X, Y     float64
}

// OrderStatus is where an order stands.
type OrderStatus string

const (
	Processing             OrderStatus = "processing"
	AuthenticationRequired OrderStatus = "authentication_required"
	PaymentFailed          OrderStatus = "payment_failed"
	Confirmed              OrderStatus = "confirmed" // the seats are the fan's
	Rejected               OrderStatus = "rejected"  // never charged
	Voided                 OrderStatus = "voided"    // was confirmed, could not be captured: the seats went back
	Refunded               OrderStatus = "refunded"
)

// Order is what a checkout became.
type Order struct {
	ID           uuid.UUID
	EventID      string
	Session      SessionHash
	HoldID       uuid.UUID
	Seats        []string
	Amount       int64
	Currency     string
	Status       OrderStatus
	Reason       string
	RequestHash  [32]byte
	ClientSecret string // Stripe's, of the attempt that waits for the buyer; for the buyer's page alone
}

// AttemptState is where a payment attempt stands.
type AttemptState string

const (
	Started        AttemptState = "started" // recorded; Stripe may or may not have been called
	ActionRequired AttemptState = "action_required"
	Authorized     AttemptState = "authorized"
	Declined       AttemptState = "declined"
	Captured       AttemptState = "captured"
	Canceled       AttemptState = "canceled"
	Disputed       AttemptState = "disputed"     // taken; the buyer's bank demands it back
	ChargedBack    AttemptState = "charged_back" // the bank has it back
	PaidBack       AttemptState = "refunded"     // it was given back
)

// Taken says whether the money of an attempt was taken, whatever became of it since.
func (s AttemptState) Taken() bool {
	return s == Captured || s == Disputed || s == ChargedBack || s == PaidBack
}

// Attempt is one try to be paid for an order. Its id is Stripe's idempotency key.
type Attempt struct {
	ID            uuid.UUID
	OrderID       uuid.UUID
	EventID       string
	HoldID        uuid.UUID
	Seats         []string
	State         AttemptState
	IntentID      string
	Amount        int64
	Currency      string
	PaymentMethod string
	CreatedAt     time.Time
	UpdatedAt     time.Time
	OrderStatus   OrderStatus // of its order, when both were read
}

// SessionHash stands for a session wherever it is stored or shown: the first 16 bytes of a SHA-256 over the
// event and the session. The session itself stays with the fan.
type SessionHash [16]byte

// HashSession hashes a session for one event, so that a session's hashes can't be linked across events.
func HashSession(eventID, session string) SessionHash {
	sum := digest("onsale session v1", eventID, session)
	return SessionHash(sum[:16])
}

// String is the hash as it stands in passes and records: base64url, no padding.
func (h SessionHash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// ParseSessionHash reads what String wrote.
func ParseSessionHash(s string) (SessionHash, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	// The decoder skips line breaks: only the length of what was written tells that there are none.
	if err != nil || len(b) != len(SessionHash{}) || len(s) != base64.RawURLEncoding.EncodedLen(len(b)) {
		return SessionHash{}, Errorf(Invalid, "bad_session_hash", "not a session hash")
	}
	return SessionHash(b), nil
}

// MarshalText and UnmarshalText give the hash its written form in JSON.
func (h SessionHash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText is the other direction of MarshalText.
func (h *SessionHash) UnmarshalText(b []byte) error {
	v, err := ParseSessionHash(string(b))
	*h = v
	return err
}

// CheckSession says whether a client's session is acceptable: 16 to 128 printable ASCII characters.
func CheckSession(session string) error {
	if len(session) < 16 || len(session) > 128 {
		return Errorf(Invalid, "bad_session", "session must have 16 to 128 characters")
	}
	for i := range len(session) {
		if session[i] <= ' ' || session[i] > '~' {
			return Errorf(Invalid, "bad_session", "session must be printable ASCII without spaces")
		}
	}
	return nil
}

var eventID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// CheckEventID says whether id can name an event: it becomes part of subjects, stream names and keys.
func CheckEventID(id string) error {
	if !eventID.MatchString(id) {
		return Errorf(Invalid, "bad_event_id", "an event id has 1 to 40 characters of a-z, 0-9 and -, and starts with a letter or digit")
	}
	return nil
}

var laneName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,19}$`)

// CheckLane says whether a name can be a priority lane's: it becomes part of chunks, headers and keys.
func CheckLane(name string) error {
	if !laneName.MatchString(name) || name == GeneralLane {
		return Errorf(Invalid, "bad_lane", "a lane's name has 1 to 20 characters of a-z, 0-9 and -, starts with a letter or digit, and is not %q", GeneralLane)
	}
	return nil
}

// GeneralLane is what the lane of those without an access code is called where a name is needed.
const GeneralLane = "general"

// Namespaces of the ids that are derived, so that a retry derives the same one.
var (
	orderNamespace   = uuid.MustParse("5f0f6f5e-0f0c-5c0e-9a43-0d7c6f7a5b01")
	attemptNamespace = uuid.MustParse("5f0f6f5e-0f0c-5c0e-9a43-0d7c6f7a5b02")
)

// OrderID derives the order of a checkout: the same event, session and idempotency key are the same order.
func OrderID(eventID string, session SessionHash, idempotencyKey string) uuid.UUID {
	sum := digest("order", eventID, string(session[:]), idempotencyKey)
	return uuid.NewSHA1(orderNamespace, sum[:])
}

// AttemptID derives the n-th attempt of an order, from 1.
func AttemptID(order uuid.UUID, n int) uuid.UUID {
	return uuid.NewSHA1(attemptNamespace, binary.BigEndian.AppendUint32(order[:], uint32(n)))
}

// RequestHash fixes what an idempotency key was first used for.
func RequestHash(hold uuid.UUID, paymentMethod string) [32]byte {
	return digest("checkout", hold.String(), paymentMethod)
}

// digest hashes parts with their lengths, so that no two lists of parts read alike. A join is hashed here, so what is
// short is put together on the stack.
func digest(parts ...string) [32]byte {
	var room [256]byte
	b := room[:0]
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}
