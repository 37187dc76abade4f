package crowd

import (
	"context"
	"net/http"

	"golang.org/x/sync/errgroup"
)

// recheckers bounds how many orders are looked at together.
const recheckers = 32

// recheck reads every order that stands, and every one without an outcome, once more when all fans are
// done: what was confirmed must still be there, with the same seats. Orders whose fan no longer gets a
// pass can't be read, and are counted as unchecked.
func (c *crowd) recheck(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, recheckLimit)
	defer cancel()
	// Grouped by fan, since a fan and its pass belong to one goroutine.
	byFan := map[*fan][]*record{}
	for _, rec := range c.ledger.open() {
		byFan[rec.fan] = append(byFan[rec.fan], rec)
	}
	var group errgroup.Group
	group.SetLimit(recheckers)
	for f, records := range byFan {
		group.Go(func() error {
			for _, rec := range records {
				f.recheck(ctx, rec)
			}
			return nil
		})
	}
	_ = group.Wait() // the goroutines return none
}

func (f *fan) recheck(ctx context.Context, rec *record) {
	got, a, err := sendWithPass[order](ctx, f, orderRequest(rec.id))
	switch {
	case err != nil || a.passRefused():
		f.crowd.meter.total.unchecked.Add(1)
		return
	case a.status == http.StatusNotFound:
		f.violate("order %s was %s and is not found", rec.id, rec.status)
		return
	case !a.ok():
		f.crowd.meter.failed(callOrder, a.what())
		f.crowd.meter.total.unchecked.Add(1)
		return
	}
	f.crowd.ledger.observe(rec, got, true)
	if f.owed == rec && rec.status != orderProcessing {
		f.owed = nil
		if outcome := f.outcomeOf(rec); outcome != "" {
			f.outcome = outcome
		}
	}
	if f.outcome == Bought && (rec.status == orderVoided || rec.status == orderRefunded) {
		f.outcome = Undone
	}
}
