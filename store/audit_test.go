package store_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
)

func TestBooksHoldEverything(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	if err := r.store.CreateEvent(t.Context(), event("second"), plan(1), secret); err != nil {
		t.Fatal(err)
	}
	payments := r.authorized(checkout(0, 1), checkout(1))
	r.commit(payments...)
	started := r.begin(checkout(2))[0]
	r.exec(`INSERT INTO sold_seats VALUES ('show', 'Z-9', $1)`, payments[0].OrderID)
	now := r.clock.Now()
	got, err := r.store.Books(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	order := func(p events.Payment, status sale.OrderStatus, reason string) sale.BookedOrder {
		return sale.BookedOrder{UpdatedAt: now, Order: sale.Order{ID: p.OrderID, EventID: show, HoldID: p.HoldID, Seats: p.Seats, Amount: p.Amount,
			Currency: "eur", Status: status, Reason: reason}}
	}
	attempt := func(p events.Payment, state sale.AttemptState) sale.Attempt {
		return sale.Attempt{ID: p.AttemptID, OrderID: p.OrderID, State: state, IntentID: p.IntentID, Amount: p.Amount, Currency: "eur", UpdatedAt: now}
	}
	third := events.Payment{OrderID: started.OrderID, AttemptID: started.ID, HoldID: started.HoldID, Seats: started.Seats, Amount: started.Amount}
	want := sale.Books{
		Orders: map[uuid.UUID]sale.BookedOrder{
			payments[0].OrderID: order(payments[0], sale.Confirmed, ""),
			payments[1].OrderID: order(payments[1], sale.Rejected, "seats_sold"),
			started.OrderID:     order(third, sale.Processing, ""),
		},
		Attempts: map[uuid.UUID]sale.Attempt{
			payments[0].AttemptID: attempt(payments[0], sale.Authorized),
			payments[1].AttemptID: attempt(payments[1], sale.Authorized),
			started.ID:            attempt(third, sale.Started),
		},
		Sold: []sale.SoldSeat{
			{EventID: show, SeatID: seat(0), Order: payments[0].OrderID, Known: true},
			{EventID: show, SeatID: seat(1), Order: payments[0].OrderID, Known: true},
			{EventID: show, SeatID: "Z-9", Order: payments[0].OrderID},
		},
		Counted: map[string]int{show: 3},
		Outbox: []sale.OutboxRow{
			{Stream: events.Orders, ID: r.messageID(payments[0].OrderID, "confirmed")},
			{Stream: events.Orders, ID: r.messageID(payments[1].OrderID, "rejected")},
		},
		Events: []string{"second", show},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(sale.OutboxRow{}, "Created"),
		cmpopts.SortSlices(func(a, b sale.SoldSeat) bool { return a.SeatID < b.SeatID }),
		cmpopts.SortSlices(func(a, b string) bool { return a < b })); diff != "" {
		t.Errorf("books (-want +got):\n%s", diff)
	}
}

// TestBooksAreOneMoment reads them while orders are committed and voided: no snapshot may show half a change.
func TestBooksAreOneMoment(t *testing.T) {
	t.Parallel()
	const seats, orders = 30, 150
	r := setup(t, seats)
	var commands []events.CheckoutRequested
	for range orders {
		commands = append(commands, checkout(pick(1+rand.IntN(3), seats)...))
	}
	payments := r.authorized(commands...)
	ctx, stop := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		defer stop()
		for batch := range slices.Chunk(payments, 3) {
			if _, err := r.store.CommitOrders(t.Context(), batch, none(len(batch))); err != nil {
				t.Error(err)
			}
			if _, err := r.store.VoidOrder(t.Context(), orderOf(batch[0]), "x", sale.Webhook{}); err != nil {
				t.Error(err)
			}
		}
	})
	for reading := true; reading; {
		reading = ctx.Err() == nil // once more after the end
		b, err := r.store.Books(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		confirmedSeats, decided := 0, 0
		for _, o := range b.Orders {
			switch o.Status {
			case sale.Confirmed:
				confirmedSeats += len(o.Seats)
				decided++
			case sale.Rejected:
				decided++
			case sale.Voided:
				decided += 3 // confirmed, then voided, and its payment canceled
			}
		}
		if confirmedSeats != len(b.Sold) || decided != len(b.Outbox) {
			t.Errorf("%d seats of confirmed orders, %d sold; %d decisions, %d told", confirmedSeats, len(b.Sold), decided, len(b.Outbox))
		}
	}
	writer.Wait()
}
