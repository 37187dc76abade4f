package payworker

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"onsale/events"
	"onsale/internal/batch"
	"onsale/internal/sale"
	"onsale/internal/stripe"
	"onsale/internal/stripe/double"
	"onsale/internal/testenv"
	"onsale/store"
)

const (
	secretKey    = "sk_test_machine"
	signedWith   = "whsec_machine"
	stripeAnswer = 5 * time.Second // longer than the double ever takes
)

// ground is a Postgres database, an account at the double and a clock, on which sequences are played one after the
// other. Workers stand on it through seams where a sequence has calls go wrong, and processes die.
type ground struct {
	store  *store.Store
	read   func(into any, statement string, args ...any) error
	double *double.Double
	stripe *stripe.Client
	clock  *testenv.Clock
	heard  []events.StripeEvent // webhooks that were sent and have not reached the door; in the order of their effects
	fate   *fate                // of the delivery that is being handled

	changed bool // since the last look
	clean   bool // the last sequence came to its end
}

func newGround(t *testing.T) *ground {
	t.Helper()
	g := &ground{clock: testenv.NewClock(time.Now()), fate: &fate{}, clean: true}
	url := testenv.Postgres(t, store.Migrate)
	g.read = testenv.Reader(t, url)
	var set []string // a plain index scan forgets what was deleted before, so that reading the outbox stays cheap
	err := g.read(&set, `SELECT json_build_array(set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false),
		set_config('plan_cache_mode', 'force_generic_plan', false))`)
	if err != nil {
		t.Fatal(err)
	}
	if g.store, err = store.Open(t.Context(), url, 4, g.clock.Now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.store.Close)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.stripe = stripe.New(stripe.Config{SecretKey: secretKey, WebhookSecrets: []string{signedWith}, APIURL: "http://" + ln.Addr().String(), Timeout: stripeAnswer})
	if g.double, err = double.New(double.Config{SecretKey: secretKey, WebhookSecret: signedWith, WebhookEvents: events.WebhookTypes(), Now: g.clock.Now,
		WebhookFunc: func(body []byte, signature string) {
			e, err := g.stripe.Verify(body, signature)
			if err != nil {
				panic(err)
			}
			g.heard = append(g.heard, e)
		}}); err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- g.double.Run(serving, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return g
}

// worker makes a worker as a process that starts has it.
func (g *ground) worker() *worker {
	ledger, line := &ledger{g.store, g}, &wire{g.stripe, g}
	return newWorker(batch.Config{MaxItems: 1, MaxInFlight: 1, MaxQueue: 8, Timeout: time.Minute}, Deps{
		Attempts: ledger, Authorizations: ledger, Endings: ledger, Refunds: ledger, Returns: ledger, Hearing: ledger,
		Gateway: line, Till: line, Payback: line, Pace: unpaced{}, Grace: grace, Now: g.clock.Now, Log: slog.New(slog.DiscardHandler),
	})
}

// unpaced is an account without a limit.
type unpaced struct{}

func (unpaced) Turn(ctx context.Context) (context.Context, error) { return ctx, nil }
func (unpaced) Rate() float64                                     { return 0 }
func (unpaced) Look(context.Context) float64                      { return 0 }

// fate is what goes wrong while one message is handled. The handler's process takes steps: calls of Stripe, and writes.
// Counts are from 1, and 0 is never.
type fate struct {
	call   int           // the call of Stripe that faults are for
	faults double.Faults // of that call
	during func()        // what others do while the answer to that call is on its way
	early  bool          // they do it before the call has its effect
	death  int           // the step at which the process dies
	late   bool          // it dies after the effect of that step

	calls, steps int
	dead         bool
}

// step takes a step of the process.
func (g *ground) step(do func() error) error {
	f := g.fate
	f.steps++
	dies := f.steps == f.death
	if f.dead || dies && !f.late {
		f.dead = true
		return context.Canceled
	}
	err := do()
	if dies {
		f.dead = true
		return context.Canceled
	}
	return err
}

// change takes a step that may change what position shows.
func (g *ground) change(do func() error) error {
	defer func() { g.changed = true }() // others may look meanwhile
	return g.step(do)
}

// order makes a call of Stripe that may change what position shows.
func (g *ground) order(do func() error) error {
	defer func() { g.changed = true }() // others may look meanwhile
	return g.call(do)
}

// call makes a call of Stripe.
func (g *ground) call(do func() error) error {
	f := g.fate
	f.calls++
	if f.calls != f.call {
		return g.step(do)
	}
	if f.during != nil && f.early {
		g.meanwhile(f.during)
	}
	err := g.step(func() error {
		g.double.SetFaults(f.faults)
		defer g.double.SetFaults(double.Faults{})
		return do()
	})
	if f.during != nil && !f.early {
		g.meanwhile(f.during)
	}
	return err
}

// meanwhile has others do something, to whom nothing goes wrong.
func (g *ground) meanwhile(do func()) {
	f := g.fate
	g.fate = &fate{}
	defer func() { g.fate = f }()
	do()
}

// wire is the client of Stripe with its calls counted.
type wire struct {
	*stripe.Client
	g *ground
}

// counted makes a call that has an answer.
func counted[Out any](step func(func() error) error, do func() (Out, error)) (out Out, err error) {
	err = step(func() (err error) { out, err = do(); return err })
	return out, err
}

func (w *wire) Authorize(ctx context.Context, a sale.Attempt) (sale.Intent, error) {
	return counted(w.g.order, func() (sale.Intent, error) { return w.Client.Authorize(ctx, a) })
}

func (w *wire) Retrieve(ctx context.Context, intentID string) (sale.Intent, error) {
	return counted(w.g.call, func() (sale.Intent, error) { return w.Client.Retrieve(ctx, intentID) })
}

func (w *wire) Find(ctx context.Context, attempt uuid.UUID) (i sale.Intent, found bool, err error) {
	err = w.g.call(func() (err error) { i, found, err = w.Client.Find(ctx, attempt); return err })
	return i, found, err
}

func (w *wire) Capture(ctx context.Context, attempt uuid.UUID, intentID string, try int) (sale.Intent, error) {
	return counted(w.g.order, func() (sale.Intent, error) { return w.Client.Capture(ctx, attempt, intentID, try) })
}

func (w *wire) Cancel(ctx context.Context, attempt uuid.UUID, intentID string, try int) (sale.Intent, error) {
	return counted(w.g.order, func() (sale.Intent, error) { return w.Client.Cancel(ctx, attempt, intentID, try) })
}

func (w *wire) Refund(ctx context.Context, r sale.Refund) (sale.Repayment, error) {
	return counted(w.g.order, func() (sale.Repayment, error) { return w.Client.Refund(ctx, r) })
}

func (w *wire) Refunds(ctx context.Context, intentID string) ([]sale.Repayment, error) {
	return counted(w.g.call, func() ([]sale.Repayment, error) { return w.Client.Refunds(ctx, intentID) })
}

func (w *wire) Dispute(ctx context.Context, id string) (sale.Dispute, error) {
	return counted(w.g.call, func() (sale.Dispute, error) { return w.Client.Dispute(ctx, id) })
}

// ledger is the store with its writes counted.
type ledger struct {
	*store.Store
	g *ground
}

func (l *ledger) BeginAttempts(ctx context.Context, all []events.CheckoutRequested) ([]sale.Begun, error) {
	return counted(l.g.change, func() ([]sale.Begun, error) { return l.Store.BeginAttempts(ctx, all) })
}

func (l *ledger) MarkAuthorized(ctx context.Context, all []sale.Settlement) error {
	return l.g.change(func() error { return l.Store.MarkAuthorized(ctx, all) })
}

func (l *ledger) MarkActionRequired(ctx context.Context, all []sale.Settlement) error {
	return l.g.change(func() error { return l.Store.MarkActionRequired(ctx, all) })
}

func (l *ledger) MarkDeclined(ctx context.Context, all []sale.Settlement) error {
	return l.g.change(func() error { return l.Store.MarkDeclined(ctx, all) })
}

func (l *ledger) MarkCaptured(ctx context.Context, all []sale.Settlement) error {
	return l.g.change(func() error { return l.Store.MarkCaptured(ctx, all) })
}

func (l *ledger) MarkCanceled(ctx context.Context, all []sale.Settlement) error {
	return l.g.change(func() error { return l.Store.MarkCanceled(ctx, all) })
}

func (l *ledger) MarkAbandoned(ctx context.Context, all []sale.Settlement) error {
	return l.g.change(func() error { return l.Store.MarkAbandoned(ctx, all) })
}

func (l *ledger) VoidOrder(ctx context.Context, o events.Order, reason string, heard sale.Webhook) (bool, error) {
	return counted(l.g.change, func() (bool, error) { return l.Store.VoidOrder(ctx, o, reason, heard) })
}

func (l *ledger) AdoptRefund(ctx context.Context, attempt uuid.UUID, made sale.Repayment, reason string, heard sale.Webhook) (bool, error) {
	return counted(l.g.change, func() (bool, error) { return l.Store.AdoptRefund(ctx, attempt, made, reason, heard) })
}

func (l *ledger) MarkRefundPending(ctx context.Context, refund uuid.UUID, stripeID string, heard sale.Webhook) error {
	return l.g.change(func() error { return l.Store.MarkRefundPending(ctx, refund, stripeID, heard) })
}

func (l *ledger) MarkRefunded(ctx context.Context, refund uuid.UUID, stripeID string, heard sale.Webhook) (bool, error) {
	return counted(l.g.change, func() (bool, error) { return l.Store.MarkRefunded(ctx, refund, stripeID, heard) })
}

func (l *ledger) MarkRefundFailed(ctx context.Context, refund uuid.UUID, stripeID, failure string, heard sale.Webhook) (bool, error) {
	return counted(l.g.change, func() (bool, error) { return l.Store.MarkRefundFailed(ctx, refund, stripeID, failure, heard) })
}

func (l *ledger) MarkDispute(ctx context.Context, d sale.Dispute, heard sale.Webhook) error {
	return l.g.change(func() error { return l.Store.MarkDispute(ctx, d, heard) })
}

func (l *ledger) MarkHeard(ctx context.Context, all []sale.Webhook) error {
	return l.g.step(func() error { return l.Store.MarkHeard(ctx, all) })
}

// ask makes a call of the double that no fault reaches, and decodes its answer.
func (g *ground) ask(method, path, body string, into any) int {
	var call fasthttp.RequestCtx
	call.Request.Header.SetMethod(method)
	call.Request.SetRequestURI(path)
	call.Request.Header.Set("Authorization", "Bearer "+secretKey)
	call.Request.SetBodyString(body)
	g.double.Handler()(&call)
	if into != nil && call.Response.StatusCode() == fasthttp.StatusOK {
		if err := json.Unmarshal(call.Response.Body(), into); err != nil {
			panic(err)
		}
	}
	return call.Response.StatusCode()
}
