package store_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
)

func TestBeginRecordsTheOrderAndItsAttempt(t *testing.T) {
	t.Parallel()
	r := setup(t, 4)
	c := checkout(2, 0)
	a := r.begin(c)[0]
	now := r.clock.Now()
	want := sale.Attempt{ID: sale.AttemptID(c.OrderID, 1), OrderID: c.OrderID, EventID: show, HoldID: c.HoldID, Seats: []string{seat(2), seat(0)},
		State: sale.Started, Amount: price(0) + price(2), Currency: "eur", PaymentMethod: "pm_card_visa", CreatedAt: now, UpdatedAt: now, OrderStatus: sale.Processing}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Errorf("attempt (-want +got):\n%s", diff)
	}
	read, err := r.attempt(a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read); diff != "" {
		t.Errorf("attempt as read (-want +got):\n%s", diff)
	}
	order, err := r.order(c.OrderID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sale.Order{ID: c.OrderID, EventID: show, Session: c.Session, HoldID: c.HoldID, Seats: c.Seats, Amount: c.Amount,
		Currency: "eur", Status: sale.Processing, RequestHash: [32]byte(c.RequestHash)}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if n := one[int](r, `SELECT count(*) FROM outbox`); n != 0 {
		t.Errorf("%d messages tell of what has no outcome yet", n)
	}
}

func TestUnknownAttemptAndOrderAreNotFound(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	if _, err := r.attempt(uuid.New()); sale.KindOf(err) != sale.NotFound {
		t.Errorf("attempt: %v", err)
	}
	if o, err := r.order(uuid.New()); err != nil || o.ID != uuid.Nil {
		t.Errorf("order: %v", err)
	}
}

func TestAttemptsAreReadInTheOrderAsked(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	all := r.begin(checkout(0), checkout(1), checkout(2))
	got, err := r.store.Attempts(t.Context(), []uuid.UUID{all[2].ID, uuid.New(), all[0].ID, all[2].ID})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]sale.Attempt{all[2], {}, all[0], all[2]}, got); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	if none, err := r.store.Attempts(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("got %v (%v)", none, err)
	}
}

func TestOneCommandManyTimesAtOnceIsOneAttempt(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	c, companion := checkout(0, 1), checkout(2)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			batch := []events.CheckoutRequested{c, companion}
			if i%2 == 1 {
				slices.Reverse(batch) // two workers have the same commands in different order
			}
			begun, err := r.store.BeginAttempts(t.Context(), batch)
			if err != nil {
				t.Error(err)
				return
			}
			for j, b := range begun {
				if b.Refused != nil || b.Attempt.ID != sale.AttemptID(batch[j].OrderID, 1) {
					t.Errorf("got %+v", b)
				}
			}
		})
	}
	all.Wait()
	if orders, attempts := one[int](r, `SELECT count(*) FROM orders`), one[int](r, `SELECT count(*) FROM payment_attempts`); orders != 2 || attempts != 2 {
		t.Errorf("%d orders, %d attempts", orders, attempts)
	}
}

// TestOneCommandTwiceInABatch is what a redelivery to the same worker looks like.
func TestOneCommandTwiceInABatch(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	c, d := checkout(0, 1), checkout(2)
	for _, a := range r.begin(c, d, c, c) {
		if a.State != sale.Started {
			t.Errorf("got %+v", a)
		}
	}
	if n := one[int](r, `SELECT count(*) FROM payment_attempts`); n != 2 {
		t.Errorf("%d attempts", n)
	}
}

func TestRepeatedCommandFindsHowItsAttemptStands(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	c := checkout(0)
	p := r.authorized(c)[0]
	again := r.begin(c)[0]
	if again.State != sale.Authorized || again.IntentID != p.IntentID {
		t.Errorf("got %+v", again)
	}
	// The latest attempt is the one that counts.
	r.exec(`UPDATE payment_attempts SET state = 'declined'`)
	second := sale.AttemptID(c.OrderID, 2)
	r.exec(`INSERT INTO payment_attempts (attempt_id, order_id, n, state, amount, currency, payment_method)
		SELECT $1, order_id, 2, 'started', amount, currency, payment_method FROM payment_attempts`, second)
	if again = r.begin(c)[0]; again.ID != second || again.State != sale.Started {
		t.Errorf("got %+v", again)
	}
}

// A command that comes again after the prices were changed finds the attempt that it made: its order is no longer made
// again, so it is the attempt's key that breaks.
func TestRepeatedCommandAfterNewPricesFindsItsAttempt(t *testing.T) {
	t.Parallel()
	r := setup(t, 2)
	c := checkout(0)
	first := r.begin(c)[0]
	r.exec(`UPDATE seats SET price = price + 1`)
	for range 2 { // the second time it is expected
		if again := r.begin(c)[0]; again.ID != first.ID || again.Amount != first.Amount {
			t.Errorf("got %+v, not %+v", again, first)
		}
	}
}

func TestAnotherRequestUnderTheSameOrderIsRefused(t *testing.T) {
	t.Parallel()
	r := setup(t, 2)
	c := checkout(0)
	r.begin(c)
	other := c
	other.HoldID = uuid.New()
	hash := sale.RequestHash(other.HoldID, other.PaymentMethod)
	other.RequestHash = hash[:]
	begun, err := r.store.BeginAttempts(t.Context(), []events.CheckoutRequested{other, c})
	if err != nil {
		t.Fatal(err)
	}
	if e := begun[0].Refused; e == nil || e.Kind != sale.Unprocessable || e.Code != "idempotency_key_reused" {
		t.Errorf("the other request: %+v", begun[0])
	}
	if begun[1].Refused != nil || begun[1].Attempt.ID != sale.AttemptID(c.OrderID, 1) {
		t.Errorf("the first request: %+v", begun[1])
	}
	// Both at once, when neither is on record yet: one of them.
	fresh := checkout(1)
	rival := fresh
	rival.RequestHash = other.RequestHash
	if begun, err = r.store.BeginAttempts(t.Context(), []events.CheckoutRequested{fresh, rival}); err != nil {
		t.Fatal(err)
	}
	if (begun[0].Refused == nil) == (begun[1].Refused == nil) {
		t.Errorf("two requests of one order: %+v", begun)
	}
}

func TestBadCheckoutsAreRefusedAndTheOthersBegun(t *testing.T) {
	t.Parallel()
	r := setup(t, 6)
	if err := r.store.CreateEvent(t.Context(), event("second"), []sale.Seat{{ID: "B-1", Price: 500}}, secret); err != nil {
		t.Fatal(err)
	}
	bad := func(spoil func(*events.CheckoutRequested)) events.CheckoutRequested {
		c := checkout(0, 1)
		spoil(&c)
		return c
	}
	batch := []events.CheckoutRequested{
		checkout(2),
		bad(func(c *events.CheckoutRequested) { c.EventID = "none" }),
		bad(func(c *events.CheckoutRequested) { c.Seats[1] = "A-99" }),
		bad(func(c *events.CheckoutRequested) { c.Seats, c.Amount = []string{"B-1"}, 500 }), // of another event
		bad(func(c *events.CheckoutRequested) { c.Amount++ }),
		bad(func(c *events.CheckoutRequested) { c.Amount = price(0) }),
		checkout(3, 4),
		bad(func(c *events.CheckoutRequested) { c.Currency = "usd" }),
		bad(func(c *events.CheckoutRequested) { c.Currency = "EUR" }),
		bad(func(c *events.CheckoutRequested) { c.Seats, c.Amount = nil, 0 }),
		bad(func(c *events.CheckoutRequested) { c.Seats, c.Amount = []string{seat(0), seat(0)}, 2*price(0) }), // one seat twice
		bad(func(c *events.CheckoutRequested) { c.Seats = []string{seat(0) + "," + seat(1)} }),
		bad(func(c *events.CheckoutRequested) { c.Seats[0] = "A\x00" }),
		bad(func(c *events.CheckoutRequested) { c.PaymentMethod = "pm_\x00" }),
		bad(func(c *events.CheckoutRequested) { c.PaymentMethod = "pm_\xff" }),
		bad(func(c *events.CheckoutRequested) { c.RequestHash = []byte("short") }),
		checkout(5),
	}
	good := map[int]bool{0: true, 6: true, 16: true}
	begun, err := r.store.BeginAttempts(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range begun {
		switch {
		case good[i]:
			if b.Refused != nil || b.Attempt.OrderID != batch[i].OrderID {
				t.Errorf("%d: %+v", i, b)
			}
		case b.Refused == nil || b.Refused.Kind != sale.Invalid || b.Refused.Code != "bad_checkout":
			t.Errorf("%d was not refused: %+v", i, b)
		}
	}
	if n := one[int](r, `SELECT count(*) FROM orders`); n != len(good) {
		t.Errorf("%d orders, want %d", n, len(good))
	}
}

// TestOneCommandsPriceDoesNotCountForAnother has two commands that claim one order.
func TestOneCommandsPriceDoesNotCountForAnother(t *testing.T) {
	t.Parallel()
	r := setup(t, 2)
	cheap, dear := checkout(0), checkout(1)
	cheap.OrderID = dear.OrderID
	cheap.Amount = dear.Amount // not the price of its seat
	cheap.PaymentMethod = "pm_another"
	for range 2 {
		begun, err := r.store.BeginAttempts(t.Context(), []events.CheckoutRequested{cheap, dear})
		if err != nil {
			t.Fatal(err)
		}
		if begun[0].Refused == nil || begun[1].Refused != nil || begun[1].Attempt.PaymentMethod != dear.PaymentMethod {
			t.Errorf("got %+v", begun)
		}
	}
	if seats := one[[]string](r, `SELECT seats FROM orders`); !slices.Equal(seats, dear.Seats) {
		t.Errorf("the order has %v", seats)
	}
}

func TestNoCheckoutsBeginNothing(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	if begun, err := r.store.BeginAttempts(t.Context(), nil); err != nil || len(begun) != 0 {
		t.Errorf("got %v (%v)", begun, err)
	}
}

func TestManyCheckoutsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	r := setup(t, 200)
	var batch []events.CheckoutRequested
	for i := range 200 {
		c := checkout(i)
		if i%5 == 0 {
			c.Amount++
		}
		batch = append(batch, c)
	}
	begun, err := r.store.BeginAttempts(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range begun {
		if refused := b.Refused != nil; refused != (i%5 == 0) {
			t.Errorf("%d refused: %v", i, refused)
		} else if refused && !strings.Contains(b.Refused.Error(), batch[i].OrderID.String()) || !refused && b.Attempt.OrderID != batch[i].OrderID {
			t.Errorf("%d is another's: %+v", i, b)
		}
	}
}
