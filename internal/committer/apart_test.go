package committer_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/committer"
	"onsale/internal/draw"
	"onsale/internal/sale"
	"onsale/internal/testenv"
	"onsale/store"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// nobody holds anything, and marks are remembered.
type nobody struct {
	mu     sync.Mutex
	marks  map[uuid.UUID]bool
	others bool // named as the owners of what is sold
	over   int  // how often a mark went over theirs
}

func (n *nobody) HeldByOthers(_ context.Context, claims []sale.Claim) ([][]string, error) {
	return make([][]string, len(claims)), nil
}

func (n *nobody) MarkOwnSold(_ context.Context, _ string, _ sale.SessionHash, _, order uuid.UUID, _ []string) (bool, error) {
	if n.others {
		return false, nil
	}
	return true, n.mark(order, true)
}

func (n *nobody) MarkSold(_ context.Context, _ string, _ sale.SessionHash, _, order uuid.UUID, _ []string) error {
	n.over++
	return n.mark(order, true)
}

func (n *nobody) MarkVoided(_ context.Context, _ string, _ sale.SessionHash, order uuid.UUID, _ []string) error {
	return n.mark(order, false)
}

func (n *nobody) ReleaseFor(context.Context, string, sale.SessionHash, uuid.UUID, uuid.UUID) error {
	return nil
}

func (n *nobody) mark(order uuid.UUID, sold bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.marks[order] = sold
	return nil
}

func (n *nobody) marked(order uuid.UUID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.marks[order]
}

// rig is a committer on a real Postgres, given its messages by hand.
type rig struct {
	*testing.T
	db    string
	store *store.Store
	holds *nobody

	authorized, order events.Handler
}

func setup(t *testing.T, seats int) *rig {
	t.Helper()
	r := &rig{T: t, db: testenv.Postgres(t, store.Migrate), holds: &nobody{marks: map[uuid.UUID]bool{}}}
	var err error
	if r.store, err = store.Open(t.Context(), r.db, 8, time.Now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.store.Close)
	e := sale.Event{ID: "show", Name: "A show", Currency: "eur", Rate: 1, Rules: sale.Rules{MaxSeatsPerHold: 6, HoldTTL: time.Minute, PaymentWindow: time.Minute}}
	plan := make([]sale.Seat, seats)
	for i := range plan {
		plan[i] = sale.Seat{ID: fmt.Sprint("A-", i), Zone: "A", Row: "1", Number: fmt.Sprint(i), Category: "front", Price: 4200}
	}
	if err := r.store.CreateEvent(t.Context(), e, plan, draw.Secret{}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var ready, ended sync.WaitGroup
	given := func(into *events.Handler) events.Consume {
		ready.Add(1)
		return func(ctx context.Context, handle events.Handler) error {
			*into = handle
			ready.Done()
			<-ctx.Done()
			return nil
		}
	}
	deps := committer.Deps{Authorized: given(&r.authorized), Orders: given(&r.order), Ledger: r.store, Holds: r.holds,
		Log: slog.New(slog.DiscardHandler)}
	ended.Go(func() {
		if err := committer.Run(ctx, deps); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); ended.Wait() })
	ready.Wait()
	return r
}

// pay takes a checkout of a seat to where the committer gets it.
func (r *rig) pay(seat int) events.Payment {
	r.Helper()
	session := sale.HashSession("show", uuid.NewString())
	c := events.CheckoutRequested{V: events.Version, OrderID: sale.OrderID("show", session, "1"), EventID: "show", Session: session, HoldID: uuid.New(),
		Seats: []string{fmt.Sprint("A-", seat)}, Amount: 4200, Currency: "eur", PaymentMethod: "pm_card_visa"}
	hash := sale.RequestHash(c.HoldID, c.PaymentMethod)
	c.RequestHash = hash[:]
	begun, err := r.store.BeginAttempts(r.Context(), []events.CheckoutRequested{c})
	if err != nil || begun[0].Refused != nil {
		r.Fatal(begun, err)
	}
	a := begun[0].Attempt
	if err := r.store.MarkAuthorized(r.Context(), []sale.Settlement{{Attempt: a, IntentID: "pi_" + a.ID.String()}}); err != nil {
		r.Fatal(err)
	}
	return events.Payment{V: events.Version, Outcome: events.PaymentAuthorized, AttemptID: a.ID, OrderID: a.OrderID, EventID: a.EventID,
		HoldID: a.HoldID, Seats: a.Seats, IntentID: "pi_" + a.ID.String(), Amount: a.Amount, Currency: a.Currency}
}

// give hands each payment to the committer, all at once, as a delivery after which an internal error is the last.
func (r *rig) give(all []events.Payment) []error {
	errs := make([]error, len(all))
	var done sync.WaitGroup
	for i, p := range all {
		done.Go(func() {
			errs[i] = r.authorized(r.Context(), events.Message{Stream: events.Payments, Data: events.Encode(p), Delivered: 20})
		})
	}
	done.Wait()
	return errs
}

// One payment that Postgres refuses, or that has no order, fails alone: its neighbours are sold in the same delivery.
func TestOneBadPaymentFailsAlone(t *testing.T) {
	t.Parallel()
	const n = 24
	for name, spoil := range map[string]func(r *rig, p *events.Payment){
		"refused by Postgres": func(r *rig, p *events.Payment) {
			testenv.Exec(r, r.db, `ALTER TABLE orders ADD CONSTRAINT poison CHECK (status <> 'confirmed' OR order_id <> '`+p.OrderID.String()+`')`)
		},
		"without an order": func(_ *rig, p *events.Payment) { p.OrderID = uuid.New() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, n)
			var all []events.Payment
			for i := range n {
				all = append(all, r.pay(i))
			}
			spoil(r, &all[7])
			for i, err := range r.give(all) {
				if (err != nil) != (i == 7) {
					t.Errorf("payment %d: %v", i, err)
				}
			}
		})
	}
}

// What is told of an order, in any order and more than once, leaves the mark of how it stands.
func TestMarksOfARefundedOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ keep, others bool }{{}, {others: true}, {keep: true}, {keep: true, others: true}} {
		keep := c.keep
		r := setup(t, 1)
		r.holds.others = c.others
		p := r.pay(0)
		if err := r.give([]events.Payment{p})[0]; err != nil {
			t.Fatal(err)
		}
		confirmed := events.Order{V: events.Version, Outcome: events.OrderConfirmed, OrderID: p.OrderID, EventID: p.EventID, HoldID: p.HoldID, Seats: p.Seats, AttemptID: p.AttemptID}
		tell := func(o events.Order) {
			t.Helper()
			if err := r.order(t.Context(), events.Message{Stream: events.Orders, Data: events.Encode(o), Delivered: 1}); err != nil {
				t.Fatal(err)
			}
		}
		tell(confirmed)
		if !r.holds.marked(p.OrderID) {
			t.Error("a confirmed order's seat is not marked")
		}
		r.holds.over = 0
		attempts, err := r.store.Attempts(t.Context(), []uuid.UUID{p.AttemptID})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.store.MarkCaptured(t.Context(), []sale.Settlement{{Attempt: attempts[0], IntentID: p.IntentID}}); err != nil {
			t.Fatal(err)
		}
		refund, err := r.store.RequestRefund(t.Context(), p.OrderID, "x", keep)
		if err != nil {
			t.Fatal(err)
		}
		if done, err := r.store.MarkRefunded(t.Context(), refund.ID, "re_1", sale.Webhook{}); err != nil || !done {
			t.Fatal(done, err)
		}
		refunded := confirmed
		refunded.Outcome, refunded.KeepSeats = events.OrderRefunded, keep
		for _, o := range []events.Order{refunded, confirmed, refunded, confirmed} {
			tell(o)
			if r.holds.marked(p.OrderID) != keep {
				t.Errorf("%+v: after %s the seat is marked sold: %v", c, o.Outcome, !keep)
			}
		}
		if !keep && r.holds.over > 0 {
			t.Errorf("%+v: an order that gave its seat back took it from its owner", c)
		}
	}
}
