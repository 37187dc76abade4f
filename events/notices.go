package events

import "github.com/google/uuid"

// NoticeSubject carries an event's notices of holds from node to node. No stream has it: what nobody hears is gone.
func NoticeSubject(eventID string) string { return "notices." + eventID + ".seats" }

// AllNotices selects the notices of all events.
const AllNotices = "notices.*.seats"

// SeatsNotice tells the other nodes what became of holds, in the order in which it did.
type SeatsNotice struct {
	V       int          `json:"v"`
	EventID string       `json:"event_id"`
	Holds   []HoldNotice `json:"holds"`
}

// HoldNotice is how long a hold has its seats from now on. It is no time of day, so that the clocks of two nodes need not
// agree.
type HoldNotice struct {
	HoldID uuid.UUID `json:"hold_id"`
	Seats  []string  `json:"seats"`
	LeftMS int64     `json:"left_ms,omitempty"` // 0: it has them no more
}

// PaymentsNoticeSubject carries what payworkers tell of the payments, each once a second. No stream has it.
const PaymentsNoticeSubject = "notices.payments"

// CallsPerOrder is how many of the account's calls an order takes: its authorization and its capture.
const CallsPerOrder = 2

// PaymentsNotice tells how payments go.
type PaymentsNotice struct {
	V       int     `json:"v"`
	Node    string  `json:"node"`              // the payworker that says so
	Allowed float64 `json:"allowed,omitempty"` // calls a second that the account's workers may make together; absent for no limit
	Rate    float64 `json:"rate"`              // checkouts a second that this worker deals with, measured while enough wait
	Backlog uint64  `json:"backlog"`           // checkouts that are stored and not dealt with, by any worker
}
