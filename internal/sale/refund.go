package sale

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// RefundState is where a refund stands.
type RefundState string

const (
	RefundRequested RefundState = "requested" // recorded; Stripe may or may not have been called
	RefundPending   RefundState = "pending"   // Stripe has it, the bank has not decided
	RefundSucceeded RefundState = "succeeded"
	RefundFailed    RefundState = "failed" // the money stayed; the operator may ask again
)

// Refund is one try to pay the whole of an order back. Its id is Stripe's idempotency key.
type Refund struct {
	ID        uuid.UUID
	OrderID   uuid.UUID
	AttemptID uuid.UUID
	IntentID  string
	State     RefundState
	StripeID  string // "" until Stripe has answered
	Amount    int64
	Currency  string
	Reason    string // the operator's
	KeepSeats bool   // the seats stay sold
	Failure   string // why it failed, in Stripe's code
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Repayment is what Stripe says of a refund.
type Repayment struct {
	ID       string
	RefundID string // from the metadata; "" where it was made by hand
	IntentID string
	State    RefundState
	Amount   int64
	Currency string
	Failure  string // in Stripe's code, only where it failed
}

// DisputeState is where a dispute stands, in Stripe's words. Warnings are inquiries: no money has moved.
type DisputeState string

const (
	DisputeWarning            DisputeState = "warning_needs_response"
	DisputeWarningUnderReview DisputeState = "warning_under_review"
	DisputeWarningClosed      DisputeState = "warning_closed"
	DisputeNeedsResponse      DisputeState = "needs_response"
	DisputeUnderReview        DisputeState = "under_review"
	DisputeWon                DisputeState = "won"
	DisputeLost               DisputeState = "lost"
)

// disputeRank has all of them in the only order in which a dispute goes through them. A step may be left out;
// nothing follows won and lost.
var disputeRank = map[DisputeState]int{
	DisputeWarning: 1, DisputeWarningUnderReview: 2, DisputeWarningClosed: 3, DisputeNeedsResponse: 4, DisputeUnderReview: 5, DisputeWon: 6, DisputeLost: 6,
}

// Known says whether Stripe's word is one of ours.
func (s DisputeState) Known() bool { return disputeRank[s] > 0 }

// Before are the states that a dispute may come from.
func (s DisputeState) Before() []DisputeState {
	var before []DisputeState
	for other, rank := range disputeRank {
		if rank < disputeRank[s] {
			before = append(before, other)
		}
	}
	return before
}

// Closed says that the dispute has ended.
func (s DisputeState) Closed() bool {
	return s == DisputeWarningClosed || s == DisputeWon || s == DisputeLost
}

// Dispute is money that a buyer's bank demands back.
type Dispute struct {
	ID        string
	IntentID  string
	AttemptID uuid.UUID
	State     DisputeState
	Amount    int64
	Currency  string
	Reason    string
	OpenedAt  time.Time
	ClosedAt  time.Time // zero while it is open
	UpdatedAt time.Time
}

// Webhook is a webhook event that something was recorded because of; zero where there was none.
type Webhook struct {
	ID   string
	Type string
}

// History is an order and all that became of its money.
type History struct {
	Order     BookedOrder
	Attempts  []Attempt // oldest first, like the others
	Refunds   []Refund
	Disputes  []Dispute
	CreatedAt time.Time
}

// OrderFilter selects orders. Zero values select all.
type OrderFilter struct {
	EventID string
	Status  OrderStatus
	Limit   int // at most so many, newest first
}

// OrderStatuses are all of them.
func OrderStatuses() []OrderStatus {
	return []OrderStatus{Processing, AuthenticationRequired, PaymentFailed, Confirmed, Rejected, Voided, Refunded}
}

var refundNamespace = uuid.MustParse("5f0f6f5e-0f0c-5c0e-9a43-0d7c6f7a5b03")

// RefundID derives the n-th refund of an order, from 1.
func RefundID(order uuid.UUID, n int) uuid.UUID {
	return uuid.NewSHA1(refundNamespace, binary.BigEndian.AppendUint32(order[:], uint32(n)))
}
