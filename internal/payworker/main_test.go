package payworker_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/pace"
	"onsale/internal/payworker"
	"onsale/internal/redis"
	"onsale/internal/sale"
	"onsale/internal/stripe"
	"onsale/internal/stripe/double"
	"onsale/internal/testenv"
	"onsale/store"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const (
	show = "show"
	key  = "sk_test_payworker"
)

// rig is a worker on a real Postgres and a double of Stripe, given its messages by hand.
type rig struct {
	*testing.T
	store   *store.Store
	db      string         // the database's URL
	url     string         // of the double
	clock   *testenv.Clock // the workers' and the store's
	double  *double.Double
	stripe  *stripe.Client
	holds   *redis.Client
	told    told
	backlog atomic.Uint64             // what the broker would say
	handler map[string]events.Handler // by stream

	meanwhile atomic.Pointer[func()]  // happens while the worker is asking for an intent, once
	instead   atomic.Pointer[answers] // what the worker hears instead of the double
}

// answers are what Stripe says otherwise than the double does. What is not set the double answers.
type answers struct {
	capture, cancel error
	status          sale.IntentStatus // of any intent that is asked for
	refunds         []sale.Repayment
}

// asking is Stripe as the worker has it: a call may take its time, or be answered otherwise.
type asking struct {
	*stripe.Client
	r *rig
}

func (g asking) Retrieve(ctx context.Context, intentID string) (sale.Intent, error) {
	i, err := g.Client.Retrieve(ctx, intentID)
	i.Status = cmp.Or(g.r.instead.Load().status, i.Status)
	if do := g.r.meanwhile.Swap(nil); do != nil {
		(*do)()
	}
	return i, err
}

func (g asking) Capture(ctx context.Context, attempt uuid.UUID, intentID string, try int) (sale.Intent, error) {
	if err := g.r.instead.Load().capture; err != nil {
		return sale.Intent{}, err
	}
	return g.Client.Capture(ctx, attempt, intentID, try)
}

func (g asking) Cancel(ctx context.Context, attempt uuid.UUID, intentID string, try int) (sale.Intent, error) {
	if err := g.r.instead.Load().cancel; err != nil {
		return sale.Intent{}, err
	}
	return g.Client.Cancel(ctx, attempt, intentID, try)
}

func (g asking) Refunds(ctx context.Context, intentID string) ([]sale.Repayment, error) {
	if all := g.r.instead.Load().refunds; all != nil {
		return all, nil
	}
	return g.Client.Refunds(ctx, intentID)
}

func setup(t *testing.T) *rig { return setupAt(t, pace.Limit{}) }

// setupAt is a rig whose calls to Stripe are paced.
func setupAt(t *testing.T, limit pace.Limit) *rig {
	t.Helper()
	c, database := testenv.NewClock(time.Now()), testenv.Postgres(t, store.Migrate)
	s, err := store.Open(t.Context(), database, 4, c.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	e := sale.Event{ID: show, Name: "A show", Currency: "eur", Rate: 1, Rules: sale.Rules{MaxSeatsPerHold: 6, HoldTTL: time.Minute, PaymentWindow: time.Minute}}
	seats := []sale.Seat{{ID: "A-1", Zone: "A", Row: "1", Number: "1", Category: "front", Price: 4200}, {ID: "A-2", Zone: "A", Row: "1", Number: "2", Category: "front", Price: 4200}}
	if err := s.CreateEvent(t.Context(), e, seats, draw.Secret{}); err != nil {
		t.Fatal(err)
	}
	d, err := double.New(double.Config{SecretKey: key, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	holds, err := redis.Open(testenv.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { holds.Close() })
	const call = 5 * time.Second
	pacer := pace.New(pace.Config{Limit: limit, Store: holds.Pace(key, limit), Call: call, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	url := "http://" + ln.Addr().String()
	gateway := stripe.New(stripe.Config{SecretKey: key, APIURL: url, Timeout: call, Pacer: pacer})
	r := &rig{T: t, store: s, db: database, url: url, clock: c, double: d, stripe: gateway, holds: holds, handler: map[string]events.Handler{}}
	r.instead.Store(&answers{})
	asked := asking{gateway, r}
	if limit.Rate > 0 { // what the test itself asks has no part in the rate
		r.stripe = stripe.New(stripe.Config{SecretKey: key, APIURL: url, Timeout: call})
	}
	ctx, stop := context.WithCancel(context.Background())
	var mu sync.Mutex
	var ready, ended sync.WaitGroup
	given := func(stream string) events.Consume {
		ready.Add(1)
		return func(ctx context.Context, handle events.Handler) error {
			mu.Lock()
			r.handler[stream] = handle
			mu.Unlock()
			ready.Done()
			<-ctx.Done()
			return nil
		}
	}
	deps := payworker.Deps{
		Checkouts: given(events.Checkouts), Orders: given(events.Orders), Payments: given(events.Payments), Webhooks: given(events.Stripe),
		Attempts: s, Authorizations: s, Endings: s, Gateway: asked, Till: asked, Refunds: s, Returns: s, Hearing: s, Payback: asked,
		Pace: pacer, Holds: holds, Notify: r.told.add, Backlog: func(context.Context) (uint64, error) { return r.backlog.Load(), nil },
		Grace: time.Minute, SweepEvery: 20 * time.Millisecond,
		Now: c.Now, Log: slog.New(slog.DiscardHandler),
	}
	var errs [2]error
	ended.Go(func() { errs[0] = d.Run(ctx, ln) })
	ended.Go(func() { errs[1] = payworker.Run(ctx, deps) })
	t.Cleanup(func() {
		stop()
		ended.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			t.Error(err)
		}
	})
	ready.Wait()
	return r
}

func (r *rig) sql(statement string, args ...any) {
	r.Helper()
	testenv.Exec(r, r.db, statement, args...)
}

// call makes a call of Stripe's API that the adapter doesn't make, and returns the id of what it answered with.
func (r *rig) call(path, form string) string {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.url+path, strings.NewReader(form))
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	var object struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&object); err != nil || resp.StatusCode != http.StatusOK {
		r.Fatalf("%s: %s (%v)", path, resp.Status, err)
	}
	return object.ID
}

// rejected is an order that got no seats, whose money is still reserved.
func (r *rig) rejected() events.Order {
	r.Helper()
	o := r.sold()
	r.free(o)
	r.sql(`UPDATE orders SET status = 'rejected' WHERE order_id = $1`, o.OrderID)
	o.Outcome, o.Reason = events.OrderRejected, "seats_sold"
	return o
}

// free puts an order's seats back on sale, for the next one of the test.
func (r *rig) free(o events.Order) { r.sql(`DELETE FROM sold_seats WHERE order_id = $1`, o.OrderID) }

// give hands a message to the worker as its n-th delivery.
func (r *rig) give(stream string, data []byte, n int) error {
	return r.handler[stream](r.Context(), events.Message{Stream: stream, Data: data, Delivered: n})
}

func command(method string) events.CheckoutRequested {
	session := sale.HashSession(show, uuid.NewString())
	c := events.CheckoutRequested{
		V: events.Version, OrderID: sale.OrderID(show, session, "1"), EventID: show, Session: session, HoldID: uuid.New(),
		Seats: []string{"A-1", "A-2"}, Amount: 8400, Currency: "eur", PaymentMethod: method,
	}
	hash := sale.RequestHash(c.HoldID, method)
	c.RequestHash = hash[:]
	return c
}

// sold pays for the seats and commits the order: what is left is to capture it.
func (r *rig) sold() events.Order { r.Helper(); return r.soldWith("pm_card_visa") }

func (r *rig) soldWith(method string) events.Order {
	r.Helper()
	c := command(method)
	if err := r.give(events.Checkouts, events.Encode(c), 1); err != nil {
		r.Fatal(err)
	}
	a := r.attempt(c.OrderID)
	done, err := r.store.CommitOrders(r.Context(), []events.Payment{{
		V: events.Version, Outcome: events.PaymentAuthorized, AttemptID: a.ID, OrderID: c.OrderID, EventID: show, HoldID: c.HoldID,
		Seats: c.Seats, IntentID: a.IntentID, Amount: c.Amount, Currency: c.Currency,
	}}, make([][]string, 1))
	if err != nil || done[0].Status != sale.Confirmed {
		r.Fatalf("commit: %+v, %v", done, err)
	}
	return events.Order{
		V: events.Version, Outcome: events.OrderConfirmed, OrderID: c.OrderID, EventID: show, HoldID: c.HoldID, Seats: c.Seats,
		AttemptID: a.ID, IntentID: a.IntentID, Amount: c.Amount, Currency: c.Currency,
	}
}

func (r *rig) attempt(order uuid.UUID) sale.Attempt {
	r.Helper()
	all, err := r.store.Attempts(r.Context(), []uuid.UUID{sale.AttemptID(order, 1)})
	if err != nil {
		r.Fatal(err)
	}
	return all[0]
}

// stands checks how an order, its attempt and its intent stand.
func (r *rig) stands(order uuid.UUID, status sale.OrderStatus, state sale.AttemptState, intent sale.IntentStatus) {
	r.Helper()
	orders, err := r.store.Orders(r.Context(), []uuid.UUID{order})
	if err != nil {
		r.Fatal(err)
	}
	a := r.attempt(order)
	i, err := r.stripe.Retrieve(r.Context(), a.IntentID)
	if err != nil {
		r.Fatal(err)
	}
	if orders[0].Status != status || a.State != state || i.Status != intent {
		r.Errorf("order %s, attempt %s, intent %s; want %s, %s, %s", orders[0].Status, a.State, i.Status, status, state, intent)
	}
}
