package api

import (
	"testing"

	"github.com/google/uuid"

	"onsale/events"
)

// Who waits for an order is woken by every outcome of its payment but those after which it is still to be decided, or was.
func TestPaid_WakesWhereThereIsMoreToRead(t *testing.T) {
	t.Parallel()
	s, _, _ := serving(t, 0, 0)
	for outcome, wakes := range map[events.PaymentOutcome]bool{
		events.PaymentAuthorized: false, events.PaymentCaptured: false,
		events.PaymentDeclined: true, events.PaymentActionRequired: true, events.PaymentCanceled: true,
	} {
		order := uuid.New()
		woken, forget := s.told.add(order)
		s.sales.paid(events.Message{Subject: events.PaymentSubject("gala", outcome),
			Data: events.Encode(events.Payment{V: events.Version, Outcome: outcome, OrderID: order, EventID: "gala"})})
		select {
		case <-woken:
			if !wakes {
				t.Errorf("%s wakes", outcome)
			}
		default:
			if wakes {
				t.Errorf("%s wakes nobody", outcome)
			}
		}
		forget()
	}
}
