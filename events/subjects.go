// Package events is the wire contract: the streams, the subjects, the messages and their codec. What stands
// here is written to disks that outlive every binary, so a change keeps old messages readable. Golden files
// beside the tests hold each message as it was first written. It imports the domain alone.
package events

import "strings"

// The streams. LINE_<event> is made for each event; the others once.
const (
	Admissions = "ADMISSIONS"
	Turns      = "TURNS"
	Checkouts  = "CHECKOUTS"
	Payments   = "PAYMENTS"
	Orders     = "ORDERS"
	Stripe     = "STRIPE"
	Dead       = "DEAD"
)

// LinePrefix begins the name of every event's line.
const LinePrefix = "LINE_"

// Line is the stream of an event's line. Its order is the order of arrival.
func Line(eventID string) string { return LinePrefix + eventID }

// LineSubjects is all that goes into an event's line.
func LineSubjects(eventID string) string { return "line." + eventID + ".>" }

// JoinedSubject carries chunks of joins.
func JoinedSubject(eventID string) string { return "line." + eventID + ".joined" }

// SealedSubject carries the one message that divides the lobby from those who came later.
func SealedSubject(eventID string) string { return "line." + eventID + ".sealed" }

// IsSeal says whether a message of a line's stream is the seal, and not a chunk.
func IsSeal(subject string) bool { return strings.HasSuffix(subject, ".sealed") }

// TurnSubject carries what fans made of their turns.
func TurnSubject(eventID string, o TurnOutcome) string { return "turn." + eventID + "." + string(o) }

// TurnsOf selects one outcome over all events.
func TurnsOf(o TurnOutcome) string { return "turn.*." + string(o) }

// AdmissionSubject carries an event's admissions; there is one subject an event, so the last message of the
// subject is the event's state.
func AdmissionSubject(eventID string) string { return "admission." + eventID }

// CheckoutSubject carries an event's checkout commands.
func CheckoutSubject(eventID string) string { return "checkout." + eventID + ".requested" }

// PaymentSubject carries the outcomes of payment attempts.
func PaymentSubject(eventID string, o PaymentOutcome) string {
	return "payment." + eventID + "." + string(o)
}

// PaymentsOf selects one outcome over all events.
func PaymentsOf(o PaymentOutcome) string { return "payment.*." + string(o) }

// OrderSubject carries the outcomes of orders.
func OrderSubject(eventID string, o OrderOutcome) string { return "order." + eventID + "." + string(o) }

// StripeSubject carries verified webhook events of a type, which has dots of its own.
func StripeSubject(eventType string) string { return "stripe." + eventType }

// DeadSubject carries what a stream's workers gave up on.
func DeadSubject(stream string) string { return "dead." + stream }

// MaxDeliveriesAdvisories is where the server says that it has given up on a message.
const MaxDeliveriesAdvisories = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"

// Headers of a chunk of joins.
const (
	HeaderMsgID     = "Nats-Msg-Id"
	HeaderJoinCount = "Join-Count"
	HeaderLane      = "Lane" // absent in the general lane
)
