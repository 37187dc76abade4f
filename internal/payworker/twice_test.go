package payworker_test

import (
	"sync"
	"testing"

	"onsale/events"
	"onsale/internal/sale"
)

// Commands that were stored twice, beside others and in another order, as a caller's retry stores them: each is paid
// once, and a body that is not the order's is refused.
func TestCheckoutsStoredTwice(t *testing.T) {
	t.Parallel()
	r := setup(t)
	all := []events.CheckoutRequested{command("pm_card_visa"), command("pm_card_visa"), command("pm_card_visa")}
	other := all[1]
	other.PaymentMethod = "pm_card_mastercard"
	hash := sale.RequestHash(other.HoldID, other.PaymentMethod)
	other.RequestHash = hash[:]
	var outs []events.Outgoing
	for _, c := range append(all, all[2], all[0], all[1], all[1], other) {
		outs = append(outs, events.Outgoing{Subject: events.CheckoutSubject(show), ID: c.OrderID.String(), Data: events.Encode(c)})
	}
	var refused int
	for _, batch := range [][]events.Outgoing{outs[:3], outs[3:7], outs[7:], outs} {
		for _, m := range events.Pack(batch) {
			var done sync.WaitGroup
			errs := make([]error, m.RecordCount())
			for i, record := range (events.Message{Stream: events.Checkouts, Subject: m.Subject, Header: m.Header, Data: m.Data}).Records() {
				done.Go(func() { errs[i] = r.give(events.Checkouts, record.Data, 1) })
			}
			done.Wait()
			for _, err := range errs {
				if sale.CodeOf(err) == "idempotency_key_reused" {
					refused++
				} else if err != nil {
					t.Error(err)
				}
			}
		}
	}
	if refused != 2 {
		t.Errorf("the other body was refused %d times of 2", refused)
	}
	intents := 0
	if err := r.stripe.Each(t.Context(), func(sale.Intent) bool { intents++; return true }); err != nil || intents != len(all) {
		t.Errorf("%d intents of %d orders, %v", intents, len(all), err)
	}
	for _, c := range all {
		r.stands(c.OrderID, sale.Processing, sale.Authorized, sale.IntentRequiresCapture)
	}
}
