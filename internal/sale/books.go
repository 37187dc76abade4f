package sale

import (
	"time"

	"github.com/google/uuid"
)

// Books is all that an audit reads, as one transaction saw it.
type Books struct {
	Orders   map[uuid.UUID]BookedOrder
	Attempts map[uuid.UUID]Attempt
	Refunds  []Refund
	Disputes []Dispute
	Sold     []SoldSeat
	Counted  map[string]int // how many seats of an event are sold, as the admitters are told
	Outbox   []OutboxRow
	Events   []string
}

// BookedOrder is an order with its age.
type BookedOrder struct {
	Order
	UpdatedAt time.Time
}

// SoldSeat is a row of sold_seats. Known says whether the event has such a seat.
type SoldSeat struct {
	EventID string
	SeatID  string
	Order   uuid.UUID
	Known   bool
}

// OutboxRow is something that was not told yet.
type OutboxRow struct {
	Stream  string
	ID      string // of the message
	Created time.Time
}

// SeatKey is what Redis says of a seat that someone has.
type SeatKey struct {
	Seat    string
	Hold    string // "" when sold
	Sold    string // the order, "" when held
	Expires bool   // whether it has a time to live
}
