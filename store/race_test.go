package store_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/testenv"
)

// insist calls until the answer is something else than Unavailable, as a redelivered message does.
func insist[T any](ctx context.Context, call func() (T, error)) (v T, err error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && ctx.Err() == nil; {
		if v, err = call(); sale.KindOf(err) != sale.Unavailable {
			break
		}
	}
	return v, err
}

// agreed collects what concurrent commits were told of each order, which must always be the same.
type agreed struct {
	mu   sync.Mutex
	seen map[uuid.UUID]sale.Committed
}

func (a *agreed) add(t *testing.T, payments []events.Payment, results []sale.Committed) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, p := range payments {
		if was, ok := a.seen[p.OrderID]; ok && was != results[i] {
			t.Errorf("order %s is %+v and %+v", p.OrderID, was, results[i])
		}
		a.seen[p.OrderID] = results[i]
	}
}

// TestConcurrentCommittersSellEachSeatOnce has eight committers with overlapping batches of orders that want
// overlapping seats. Each payment is given to at least two of them.
func TestConcurrentCommittersSellEachSeatOnce(t *testing.T) {
	t.Parallel()
	const seats, orders, committers = 40, 400, 8
	r := setup(t, seats)
	var commands []events.CheckoutRequested
	for range orders {
		commands = append(commands, checkout(pick(1+rand.IntN(4), seats)...))
	}
	payments := r.authorized(commands...)
	seen := agreed{seen: map[uuid.UUID]sale.Committed{}}
	var all sync.WaitGroup
	for c := range committers {
		all.Go(func() {
			var mine []events.Payment
			for _, i := range pick(orders, orders) {
				if i%(committers/2) == c%(committers/2) {
					mine = append(mine, payments[i])
				}
			}
			for len(mine) > 0 {
				n := min(1+rand.IntN(20), len(mine))
				batch := mine[:n]
				mine = mine[n:]
				results, err := insist(t.Context(), func() ([]sale.Committed, error) {
					return r.store.CommitOrders(t.Context(), batch, none(len(batch)))
				})
				if err != nil {
					t.Error(err)
					return
				}
				seen.add(t, batch, results)
			}
		})
	}
	all.Wait()
	r.proven()
	for _, p := range payments {
		if got, now := seen.seen[p.OrderID], r.status(p.OrderID); got.Status != now || now != sale.Confirmed && now != sale.Rejected {
			t.Errorf("order %s was told %+v and is %s", p.OrderID, got, now)
		}
	}
	// Whoever was rejected had a reason: at least one of the seats is sold.
	if n := one[int](r, `SELECT count(*) FROM orders o WHERE status = 'rejected' AND NOT EXISTS
		(SELECT 1 FROM sold_seats s WHERE s.event_id = o.event_id AND s.seat_id = ANY (o.seats))`); n != 0 {
		t.Errorf("%d orders were rejected although all their seats are free", n)
	}
	r.noDeadlocks()
}

// noDeadlocks ends the stores' connections, which count their deadlocks at the latest then, and looks.
func (r *rig) noDeadlocks() {
	r.Helper()
	r.store.Close()
	testenv.Eventually(r.T, "the stores' connections end", func() bool {
		return one[int](r, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`, victim) == 0
	})
	if n := one[int](r, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); n != 0 {
		r.Errorf("%d deadlocks", n)
	}
}

// TestOppositeBatchesDoNotDeadlock: one committer has the seats in rising order, its rival in falling, and
// both are stopped halfway by a third.
func TestOppositeBatchesDoNotDeadlock(t *testing.T) {
	t.Parallel()
	const seats = 9
	r := setup(t, seats)
	var up, down []events.CheckoutRequested
	for i := range seats {
		up, down = append(up, checkout(i)), append(down, checkout(seats-1-i))
	}
	batches := [][]events.Payment{r.authorized(up...), r.authorized(down...)}
	third, err := r.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	middle := r.begin(checkout(seats / 2))[0]
	if _, err := third.Exec(t.Context(), `INSERT INTO sold_seats VALUES ('show', $1, $2)`, seat(seats/2), middle.OrderID); err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	for _, batch := range batches {
		both.Go(func() {
			if _, err := r.store.CommitOrders(t.Context(), batch, none(seats)); err != nil {
				t.Error(err)
			}
		})
	}
	r.waiting(2)
	if err := third.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	both.Wait()
	r.proven()
	if n := one[int](r, `SELECT count(*) FROM sold_seats`); n != seats {
		t.Errorf("%d seats sold", n)
	}
	r.noDeadlocks()
}

func TestOneOfManyCommitsGetsTheSeat(t *testing.T) {
	t.Parallel()
	const n = 64
	r := setup(t, 1)
	var commands []events.CheckoutRequested
	for range n {
		commands = append(commands, checkout(0))
	}
	var won atomic.Int64
	var all sync.WaitGroup
	for _, p := range r.authorized(commands...) {
		all.Go(func() {
			results, err := insist(t.Context(), func() ([]sale.Committed, error) {
				return r.store.CommitOrders(t.Context(), []events.Payment{p}, none(1))
			})
			switch {
			case err != nil:
				t.Error(err)
			case results[0] == confirmed:
				won.Add(1)
			case results[0] != sold:
				t.Errorf("got %+v", results[0])
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d got the seat", won.Load())
	}
	r.proven()
}

// TestSeatSoldWhileABatchIsWritten lets another transaction sell a seat between a commit's look and its write.
func TestSeatSoldWhileABatchIsWritten(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]string{"sold": "COMMIT", "given up": "ROLLBACK"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, 3)
			payments := r.authorized(checkout(0, 1), checkout(2), checkout(1))
			rival, err := r.db.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer rival.Release()
			for _, sql := range []string{`BEGIN`, `UPDATE orders SET status = 'confirmed' WHERE seats = '{A-1}'`,
				`INSERT INTO sold_seats SELECT event_id, 'A-1', order_id FROM orders WHERE seats = '{A-1}'`} {
				if _, err := rival.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			done := make(chan []sale.Committed, 1)
			go func() {
				results, err := r.store.CommitOrders(t.Context(), payments[:2], none(2))
				if err != nil {
					t.Error(err)
				}
				done <- results
			}()
			r.waiting(1)
			if _, err := rival.Exec(t.Context(), end); err != nil {
				t.Fatal(err)
			}
			if end == "COMMIT" {
				r.want(<-done, sold, confirmed)
			} else {
				r.want(<-done, confirmed, confirmed)
			}
			if n := one[int](r, `SELECT count(*) FROM outbox`); n != 2 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// TestCaptureBeatsAVoidThatWaits: the void was about to begin when the capture was being recorded.
func TestCaptureBeatsAVoidThatWaits(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	p := r.authorized(checkout(0))[0]
	r.commit(p)
	capture, err := r.db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer capture.Release()
	for _, sql := range []string{`BEGIN`, `SELECT 1 FROM orders FOR NO KEY UPDATE`, `UPDATE payment_attempts SET state = 'captured'`} {
		if _, err := capture.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan bool, 1)
	go func() {
		voided, err := r.store.VoidOrder(t.Context(), orderOf(p), "x", sale.Webhook{})
		if err != nil {
			t.Error(err)
		}
		done <- voided
	}()
	r.waiting(1)
	if _, err := capture.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if <-done {
		t.Error("an order whose money was taken is voided")
	}
	r.proven()
}

// TestOneOfManyVoids: a seat that goes back on sale goes back once.
func TestOneOfManyVoids(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	p := r.authorized(checkout(0))[0]
	r.commit(p)
	var voided atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			did, err := r.store.VoidOrder(t.Context(), orderOf(p), "x", sale.Webhook{})
			if err != nil {
				t.Error(err)
			}
			if did {
				voided.Add(1)
			}
		})
	}
	all.Wait()
	if voided.Load() != 1 || len(r.told(p.OrderID)) != 2 {
		t.Errorf("voided %d times, told %+v", voided.Load(), r.told(p.OrderID))
	}
}

// TestKilledCommitIsDoneOnRetry ends the committer's connection while it waits, before and within its write.
func TestKilledCommitIsDoneOnRetry(t *testing.T) {
	t.Parallel()
	for name, hold := range map[string]string{
		"before the write": `SELECT 1 FROM orders FOR UPDATE`,
		"within the write": `INSERT INTO sold_seats SELECT event_id, 'A-1', order_id FROM orders WHERE seats = '{A-2}'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, 3)
			payments := r.authorized(checkout(0), checkout(1))
			r.begin(checkout(2))
			rival, err := r.db.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer rival.Release()
			for _, sql := range []string{`BEGIN`, hold} {
				if _, err := rival.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			done := make(chan error, 1)
			go func() { done <- second(r.store.CommitOrders(t.Context(), payments, none(2))) }()
			r.waiting(1)
			if n, err := r.kill(t.Context()); err != nil || n == 0 {
				t.Fatalf("killed %d (%v)", n, err)
			}
			if err := <-done; sale.KindOf(err) != sale.Unavailable {
				t.Errorf("a commit that was killed: %v", err)
			}
			if _, err := rival.Exec(t.Context(), `ROLLBACK`); err != nil {
				t.Fatal(err)
			}
			if n := one[int](r, `SELECT (SELECT count(*) FROM sold_seats) + (SELECT count(*) FROM outbox)`); n != 0 {
				t.Errorf("%d rows are there", n)
			}
			results, err := insist(t.Context(), func() ([]sale.Committed, error) { return r.store.CommitOrders(t.Context(), payments, none(2)) })
			if err != nil {
				t.Fatal(err)
			}
			r.want(results, confirmed, confirmed)
			r.proven()
		})
	}
}

// TestNothingIsLostOrTwiceWhileConnectionsDie ends all connections again and again while committers commit and
// a relay publishes.
func TestNothingIsLostOrTwiceWhileConnectionsDie(t *testing.T) {
	t.Parallel()
	const seats, orders, committers = 60, 240, 4
	r := setup(t, seats)
	var commands []events.CheckoutRequested
	for range orders {
		commands = append(commands, checkout(pick(1+rand.IntN(3), seats)...))
	}
	payments := r.authorized(commands...)
	out := newSink()
	relay := r.relay(r.store, events.Orders, out)
	ctx, stop := context.WithCancel(t.Context())
	var killer sync.WaitGroup
	var kills, done atomic.Int64
	killer.Go(func() {
		// On a slow machine a connection may need longer to be made than this: then it is given twice as long.
		const shortest = 20 * time.Millisecond
		for pause, before := shortest, int64(0); ctx.Err() == nil; {
			if n, err := r.kill(ctx); err == nil {
				kills.Add(int64(n))
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			if now := done.Load(); now > before {
				pause, before = shortest, now
			} else {
				pause = min(2*pause, time.Second)
			}
		}
	})
	var all sync.WaitGroup
	for c := range committers {
		all.Go(func() {
			for i := c * 5; i+5 <= orders; i += 5 * (committers - 1) { // batches of five, some in two hands
				batch := payments[i : i+5]
				if _, err := insist(t.Context(), func() ([]sale.Committed, error) {
					return r.store.CommitOrders(t.Context(), batch, none(len(batch)))
				}); err != nil {
					t.Error(err)
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	stop()
	killer.Wait()
	if kills.Load() == 0 {
		t.Error("no connection was killed")
	}
	// Published in part while it ran, the rest now: everything that was decided, and nothing else.
	testenv.Eventually(t, "the outbox is empty", func() bool { return one[int](r, `SELECT count(*) FROM outbox WHERE stream = 'ORDERS'`) == 0 })
	relay.stop()
	decided := one[[]string](r, `SELECT array_agg(order_id || ':' || status || ':' || (extract(epoch FROM updated_at) * 1000000)::bigint)
		FROM orders WHERE status IN ('confirmed', 'rejected')`)
	if len(decided) != orders {
		t.Errorf("%d of %d orders are decided", len(decided), orders)
	}
	out.wantOnly(t, decided)
	if n := one[int](r, `SELECT count(*) FROM orders o WHERE status = 'confirmed' AND cardinality(seats) <>
		(SELECT count(*) FROM sold_seats s WHERE s.order_id = o.order_id)`); n != 0 {
		t.Errorf("%d confirmed orders lack seats", n)
	}
	if n := one[int](r, `SELECT count(*) FROM sold_seats s JOIN orders o USING (order_id) WHERE o.status <> 'confirmed'`); n != 0 {
		t.Errorf("%d seats are sold to orders that are not confirmed", n)
	}
}
