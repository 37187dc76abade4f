package api

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"onsale/events"
	"onsale/internal/batch"
)

// What must be durable before a request is answered, checkouts and webhook events, is gathered: the records of one
// subject that arrive together are one message and one fsync (docs/adr/0011). A lone one is a message under its own id
// and waits for nobody.
//
// The broker's duplicate window does not cover this. It compares messages, so a record that is sent again beside other
// records, by a caller who was not told what became of the first, is stored twice. That changes nothing: BeginAttempts
// finds the order and its attempt by the order's id, and webhook_events has the event's. Nor does a broker decide which
// of two bodies under one idempotency key is the order's: Redis does when the hold is bound, and Postgres where Redis
// has forgotten that, since BeginAttempts refuses a command whose request hash is not its order's.
var (
	checkoutGroup = batch.Config{
		MaxItems: 64, Enough: 64, Patience: 20 * time.Millisecond, MaxInFlight: 2,
		// Waiting and the write together take less than a request may.
		MaxQueue: 8 << 10, MaxWait: requestLimit / 4, Timeout: requestLimit / 2,
	}
	// Nobody waits for a webhook's answer but Stripe.
	webhookGroup = batch.Config{
		MaxItems: 64, Enough: 64, Patience: 50 * time.Millisecond, MaxInFlight: 2,
		MaxQueue: 4 << 10, MaxWait: requestLimit / 4, Timeout: requestLimit / 2,
	}
)

// stored is where a record was stored, or why it was not. After an error that is sale.Unavailable it may have been.
type stored struct {
	ack    events.Ack
	record int // its number within the message
	err    error
}

// store stores records, those of a subject together where they fit into one message. A message that is refused fails
// its own records alone. Of several with one id the first is stored, and the others are its duplicates, as they would be
// had they come one by one.
func (s *server) store(ctx context.Context, outs []events.Outgoing) ([]stored, error) {
	type key struct{ subject, id string }
	first := make(map[key]int, len(outs))
	order := make([]int, 0, len(outs))
	for i, out := range outs {
		if _, again := first[key{out.Subject, out.ID}]; !again {
			first[key{out.Subject, out.ID}] = i
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(outs[a].Subject, outs[b].Subject) })
	sorted := make([]events.Outgoing, len(order))
	for to, from := range order {
		sorted[to] = outs[from]
	}
	results := make([]stored, len(outs))
	var sending sync.WaitGroup
	for _, m := range events.Pack(sorted) {
		n := m.RecordCount()
		of := order[:n]
		order = order[n:]
		sending.Go(func() {
			ack, err := s.Streams.Publish(ctx, m)
			for record, i := range of {
				results[i] = stored{ack, record, err}
			}
		})
	}
	sending.Wait()
	for i, out := range outs {
		if of := first[key{out.Subject, out.ID}]; of != i {
			results[i] = results[of]
			results[i].ack.Duplicate = true
		}
	}
	return results, nil
}

// durable stores one record, with those that arrive around it, and returns once it is durable.
func durable(ctx context.Context, g *batch.Group[events.Outgoing, stored], out events.Outgoing) (stored, error) {
	got, err := g.Do(ctx, out)
	if err == nil {
		err = got.err
	}
	return got, err
}
