package events

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"

	"onsale/internal/sale"
)

// Version of the JSON messages. A reader takes its own version and older ones.
const Version = 1

// CheckoutRequested is the command to charge a hold and sell its seats. Its message id is the order's id.
type CheckoutRequested struct {
	V             int              `json:"v"`
	OrderID       uuid.UUID        `json:"order_id"`
	EventID       string           `json:"event_id"`
	Session       sale.SessionHash `json:"session"`
	HoldID        uuid.UUID        `json:"hold_id"`
	Seats         []string         `json:"seats"`
	Amount        int64            `json:"amount"` // minor units
	Currency      string           `json:"currency"`
	PaymentMethod string           `json:"payment_method"`
	RequestHash   []byte           `json:"request_hash"`
	RequestedAt   time.Time        `json:"requested_at"`
	// PaymentWindowMS is for how long the seats are kept once the payment is begun.
	PaymentWindowMS int64 `json:"payment_window_ms,omitempty"`
}

// PaymentOutcome is what became of an attempt; it is the last token of its subject.
type PaymentOutcome string

const (
	PaymentAuthorized      PaymentOutcome = "authorized"
	PaymentDeclined        PaymentOutcome = "declined"
	PaymentActionRequired  PaymentOutcome = "action_required"
	PaymentCanceled        PaymentOutcome = "canceled"
	PaymentCaptured        PaymentOutcome = "captured"
	PaymentRefundRequested PaymentOutcome = "refund_requested" // the command to pay an order back
	PaymentRefunded        PaymentOutcome = "refunded"
	PaymentRefundFailed    PaymentOutcome = "refund_failed"
	PaymentDisputed        PaymentOutcome = "disputed"
	PaymentDisputeWon      PaymentOutcome = "dispute_won"
	PaymentChargedBack     PaymentOutcome = "charged_back"
)

// Payment tells what became of a payment attempt.
type Payment struct {
	V         int            `json:"v"`
	Outcome   PaymentOutcome `json:"outcome"`
	AttemptID uuid.UUID      `json:"attempt_id"`
	OrderID   uuid.UUID      `json:"order_id"`
	EventID   string         `json:"event_id"`
	HoldID    uuid.UUID      `json:"hold_id"`
	Seats     []string       `json:"seats"`
	IntentID  string         `json:"intent_id,omitempty"`
	Amount    int64          `json:"amount"`
	Currency  string         `json:"currency"`
	Reason    string         `json:"reason,omitempty"`
	RefundID  uuid.UUID      `json:"refund_id,omitzero"`   // of the outcomes of refunds
	DisputeID string         `json:"dispute_id,omitempty"` // Stripe's, of the outcomes of disputes
	At        time.Time      `json:"at"`
}

// OrderOutcome is what became of an order; it is the last token of its subject.
type OrderOutcome string

const (
	OrderConfirmed OrderOutcome = "confirmed"
	OrderRejected  OrderOutcome = "rejected"
	OrderVoided    OrderOutcome = "voided"
	OrderRefunded  OrderOutcome = "refunded"
)

// Order tells what became of an order, with what its readers need to act without asking Postgres.
type Order struct {
	V         int              `json:"v"`
	Outcome   OrderOutcome     `json:"outcome"`
	OrderID   uuid.UUID        `json:"order_id"`
	EventID   string           `json:"event_id"`
	Session   sale.SessionHash `json:"session,omitzero"`
	HoldID    uuid.UUID        `json:"hold_id"`
	Seats     []string         `json:"seats"`
	AttemptID uuid.UUID        `json:"attempt_id"`
	IntentID  string           `json:"intent_id"`
	Amount    int64            `json:"amount"`
	Currency  string           `json:"currency"`
	Reason    string           `json:"reason,omitempty"`
	KeepSeats bool             `json:"keep_seats,omitempty"` // refunded, and the seats stay sold
	At        time.Time        `json:"at"`
}

// Frees says that the seats of an order that was confirmed are on sale again.
func (o Order) Frees() bool {
	return o.Outcome == OrderVoided || o.Outcome == OrderRefunded && !o.KeepSeats
}

// StripeEvent is a webhook event whose signature was verified at the door. It names what changed; the worker
// asks Stripe for the truth, so neither order nor age of an event matters.
type StripeEvent struct {
	V         int       `json:"v"`
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	Created   time.Time `json:"created"`
	IntentID  string    `json:"intent_id,omitempty"`
	AttemptID string    `json:"attempt_id,omitempty"` // from the intent's metadata
	ObjectID  string    `json:"object_id,omitempty"`  // the refund or dispute that it is about
}

// DeadLetter is a message that no retry will mend, kept until an operator decides.
type DeadLetter struct {
	V        int       `json:"v"`
	Stream   string    `json:"stream"`
	Sequence uint64    `json:"sequence"`
	Record   int       `json:"record,omitempty"` // from 0, within a message of several records
	Subject  string    `json:"subject"`
	Consumer string    `json:"consumer"`
	Reason   string    `json:"reason"`
	Data     []byte    `json:"data"`
	At       time.Time `json:"at"`
}

// Encode writes a message. The messages of this package always encode.
func Encode(m any) []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", m, err))
	}
	return b
}

// Decode reads a JSON message of this package. What it can't read is Invalid: no retry will mend it. A message of a
// version that is not known is said to be that, even where it no longer has the fields of M.
func Decode[M any](data []byte) (M, error) {
	var m M
	wrong := json.Unmarshal(data, &m)
	version := reflect.ValueOf(&m).Elem().FieldByName("V") // read with the rest: reading JSON is most of what a message costs
	if wrong != nil || !version.IsValid() {
		var head struct {
			V int `json:"v"`
		}
		if err := json.Unmarshal(data, &head); err != nil {
			var none M
			return none, sale.Errorf(sale.Invalid, "bad_message", "not JSON").Because(err)
		}
		version = reflect.ValueOf(head.V)
	}
	if v := version.Int(); v < 1 || v > Version {
		return m, sale.Errorf(sale.Invalid, "bad_message_version", "message version %d, this binary reads 1 to %d", v, Version)
	}
	if wrong != nil {
		return m, sale.Errorf(sale.Invalid, "bad_message", "not a %T", m).Because(wrong)
	}
	return m, nil
}
