package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"onsale/events"
	"onsale/internal/batch"
	"onsale/internal/committer"
	"onsale/internal/draw"
	"onsale/internal/sale"
	"onsale/internal/stack"
	"onsale/store"
)

// What a committer is under a crowd, and what it is held against.
const (
	commitCallers = 512 // messages at once: the default of COMMITTER_CONCURRENCY
	commitSingles = 16  // connections of the baseline, each with one order in a transaction

	// Orders are prepared before the clock runs, so many for each second of a sample. A run that has used them up
	// ends there; its rate is of the time it took.
	commitPrepared        = 30_000
	commitPreparedSingles = 6_000
	commitSeeded          = 2_000 // orders prepared in one transaction
)

// benchCommit measures how many two-seat orders a second one committer sells: authorized payments through
// store.CommitOrders in its group, against one transaction for each. Postgres is durable and has its rows of the
// outbox; nothing else runs.
func benchCommit(ctx context.Context, r *runner) (_ []Result, err error) {
	s, err := stack.Start(ctx, stack.Config{
		Dir: r.Dir, Fresh: true, Durable: true, Log: r.Log,
		NATSURL: "none", RedisURL: "none", // named, so that none is started
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := store.Migrate(ctx, s.DatabaseURL); err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, s.DatabaseURL, commitSingles, time.Now)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	b := &commitBench{store: db, duration: r.Duration}
	against := fmt.Sprintf("a transaction for each order, over %d connections", commitSingles)
	return r.compare(ctx, []versus{{"commit", "orders/s", against}}, b.sample)
}

// commitBench takes samples, each of an event of its own.
type commitBench struct {
	store    *store.Store
	duration time.Duration
	events   int
}

func (b *commitBench) sample(ctx context.Context) (float64, []float64, error) {
	grouped, err := b.prepare(ctx, commitPrepared)
	if err != nil {
		return 0, nil, err
	}
	singles, err := b.prepare(ctx, commitPreparedSingles)
	if err != nil {
		return 0, nil, err
	}
	commits := batch.New(committer.Group(), func(ctx context.Context, payments []events.Payment) ([]sale.Committed, error) {
		return b.store.CommitOrders(ctx, payments, make([][]string, len(payments)))
	})
	value, err := b.sell(ctx, commitCallers, grouped, commits.Do)
	if err != nil {
		return 0, nil, err
	}
	base, err := b.sell(ctx, commitSingles, singles, func(ctx context.Context, p events.Payment) (sale.Committed, error) {
		one, err := b.store.CommitOrders(ctx, []events.Payment{p}, make([][]string, 1))
		if err != nil {
			return sale.Committed{}, err
		}
		return one[0], nil
	})
	return value, []float64{base}, err
}

// sell lets callers commit payments, each once, until the time is up or none is left, and returns the orders a second.
// Every order must be confirmed.
func (b *commitBench) sell(ctx context.Context, callers int, payments []events.Payment, commit func(context.Context, events.Payment) (sale.Committed, error)) (float64, error) {
	var next, sold atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	end := start.Add(b.duration)
	for range callers {
		g.Go(func() error {
			for time.Now().Before(end) {
				i := int(next.Add(1)) - 1
				if i >= len(payments) {
					return nil
				}
				became, err := commit(ctx, payments[i])
				if err != nil {
					return err
				}
				if became.Status != sale.Confirmed {
					return fmt.Errorf("order %s is %s: %s", payments[i].OrderID, became.Status, became.Reason)
				}
				sold.Add(1)
			}
			return nil
		})
	}
	err := g.Wait()
	return float64(sold.Load()) / time.Since(start).Seconds(), err
}

// prepare puts an event on sale and takes orders of two of its seats each to where the committer gets them.
func (b *commitBench) prepare(ctx context.Context, perSecond int) ([]events.Payment, error) {
	b.events++
	orders := int(float64(perSecond) * b.duration.Seconds())
	id := "commit-" + strconv.Itoa(b.events)
	e := sale.Event{ID: id, Name: id, Currency: "eur", Rate: 1, Rules: sale.Rules{MaxSeatsPerHold: seatsPerOrder, HoldTTL: time.Minute, PaymentWindow: time.Minute}}
	seats := make([]sale.Seat, orders*seatsPerOrder)
	for i := range seats {
		row, number := strconv.Itoa(1+i/100), strconv.Itoa(1+i%100)
		seats[i] = sale.Seat{ID: "N-" + row + "-" + number, Zone: "N", Row: row, Number: number, Category: "front", Price: 5000}
	}
	if err := b.store.CreateEvent(ctx, e, seats, draw.Secret{1}); err != nil {
		return nil, err
	}
	payments := make([]events.Payment, orders)
	var seeding errgroup.Group
	seeding.SetLimit(4)
	for from := 0; from < orders; from += commitSeeded {
		part := payments[from:min(from+commitSeeded, orders)]
		seeding.Go(func() error { return b.authorize(ctx, id, seats[from*seatsPerOrder:], part) })
	}
	return payments, seeding.Wait()
}

// authorize makes orders of seats, with attempts that are authorized, and fills in their payments.
func (b *commitBench) authorize(ctx context.Context, eventID string, seats []sale.Seat, payments []events.Payment) error {
	commands := make([]events.CheckoutRequested, len(payments))
	for i := range commands {
		commands[i] = twoSeats(eventID, seats[i*seatsPerOrder:(i+1)*seatsPerOrder])
	}
	begun, err := b.store.BeginAttempts(ctx, commands)
	if err != nil {
		return err
	}
	settled := make([]sale.Settlement, len(begun))
	for i, a := range begun {
		if a.Refused != nil {
			return a.Refused
		}
		settled[i] = sale.Settlement{Attempt: a.Attempt, IntentID: "pi_" + a.Attempt.ID.String()}
		payments[i] = events.Payment{
			V: events.Version, Outcome: events.PaymentAuthorized, AttemptID: a.Attempt.ID, OrderID: a.Attempt.OrderID, EventID: eventID,
			HoldID: a.Attempt.HoldID, Seats: a.Attempt.Seats, IntentID: settled[i].IntentID, Amount: a.Attempt.Amount, Currency: a.Attempt.Currency,
		}
	}
	return b.store.MarkAuthorized(ctx, settled)
}

// twoSeats is the checkout of a session of its own.
func twoSeats(eventID string, seats []sale.Seat) events.CheckoutRequested {
	session := sale.HashSession(eventID, uuid.NewString())
	c := events.CheckoutRequested{
		V: events.Version, OrderID: sale.OrderID(eventID, session, "1"), EventID: eventID, Session: session, HoldID: uuid.New(),
		Currency: "eur", PaymentMethod: "pm_card_visa",
	}
	for _, t := range seats {
		c.Seats, c.Amount = append(c.Seats, t.ID), c.Amount+t.Price
	}
	hash := sale.RequestHash(c.HoldID, c.PaymentMethod)
	c.RequestHash = hash[:]
	return c
}
