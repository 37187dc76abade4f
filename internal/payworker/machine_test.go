package payworker

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/sale"
)

const (
	window = time.Minute // for payment
	grace  = time.Minute
	price  = 4200
	expiry = 7 * 24 * time.Hour // of an authorization, at the bank
)

// letter is a message of a stream on its way to one consumer.
type letter struct {
	to        string // the consumer
	what      string // for the log
	data      []byte
	delivered int
	err       error // of the last delivery
}

// machine is one sequence: an event of its own with its orders, on a ground that others had before.
type machine struct {
	*rapid.T
	*ground
	ctx      context.Context
	event    string
	workers  [2]*worker
	began    int64
	commands []events.CheckoutRequested
	orders   []string
	acted    map[uuid.UUID]bool // orders whose buyers were asked to authenticate, and so know the intent's secret
	queue    []*letter
	past     []*letter // that were acknowledged, and may come again
	at       *position
}

var sequences = flag.Int("payworker.sequences", 10_000, "sequences that the payment machine is played for; a hundredth with -short, a tenth with -race")

// TestPaymentsAreAsTheModelSays plays random sequences of checkouts, deliveries, webhooks, faults and passing time with
// the real store and a double of Stripe, and compares each position with the machine of docs/payments.md. At the end
// of each everything is delivered, and the books must balance.
func TestPaymentsAreAsTheModelSays(t *testing.T) {
	t.Parallel()
	parts := max(1, *sequences/100/slowdown) // of a hundred sequences each, rapid's default
	if testing.Short() {
		parts = max(1, parts/100)
	}
	const grounds = 4
	free := make(chan *ground, grounds)
	for range min(grounds, parts) {
		free <- newGround(t)
	}
	var event atomic.Int64
	t.Run("sequences", func(t *testing.T) {
		for part := range parts {
			t.Run(fmt.Sprint(part), func(t *testing.T) {
				t.Parallel()
				g := <-free
				defer func() { free <- g }()
				rapid.Check(t, func(rt *rapid.T) {
					m := newMachine(rt, g, t.Context(), fmt.Sprint("machine-", event.Add(1)))
					for _, p := range plays().Draw(rt, "plays") {
						m.play(p)
					}
					m.settle(rapid.Bool().Draw(rt, "banks say yes"))
					if rapid.IntRange(0, 3).Draw(rt, "again") == 3 {
						m.again()
					}
					g.clean = true
				})
			})
		}
	})
}

func newMachine(rt *rapid.T, g *ground, ctx context.Context, event string) *machine {
	g.clock.Advance(time.Hour) // what is at Stripe from before is older
	m := &machine{T: rt, ground: g, ctx: ctx, event: event, workers: [2]*worker{g.worker(), g.worker()}, began: g.clock.Now().Unix(), acted: map[uuid.UUID]bool{}, at: &position{}}
	g.heard, g.fate = nil, &fate{}
	if !g.clean { // what a sequence that failed has left
		var left int
		if err := g.read(&left, `WITH a AS (DELETE FROM outbox), b AS (UPDATE payment_attempts SET state = 'canceled' WHERE state IN ('started', 'action_required')) SELECT 0`); err != nil {
			rt.Fatal(err)
		}
	}
	g.clean, g.changed = false, true
	e := sale.Event{ID: event, Name: "A show", Currency: "eur", Rate: 1, Rules: sale.Rules{MaxSeatsPerHold: 6, HoldTTL: time.Minute, PaymentWindow: window}}
	seats := make([]sale.Seat, len(stalls))
	for n, id := range stalls {
		seats[n] = sale.Seat{ID: id, Zone: "A", Row: "1", Number: fmt.Sprint(n), Category: "front", Price: price}
	}
	if err := g.store.CreateEvent(ctx, e, seats, draw.Secret{}); err != nil {
		rt.Fatal(err)
	}
	return m
}

// work has a worker, or the committer, do one thing.
func (m *machine) work(kind string, which, worker int, blocked bool) {
	switch kind {
	case "deliver":
		if len(m.queue) > 0 {
			m.deliver(m.queue[which%len(m.queue)], worker, blocked)
		}
	case "replay":
		if len(m.past) > 0 {
			m.deliver(m.past[which%len(m.past)], worker, blocked)
		}
	case "sweep":
		w := m.workers[worker]
		if err := errors.Join(w.endStale(m.ctx), w.settleStale(m.ctx)); err != nil {
			m.Logf("  sweep: %v", err)
		}
	case "commit":
		m.commit(blocked)
	}
}

// deliver gives a message to its consumer once. What is not done stays in the queue.
func (m *machine) deliver(l *letter, worker int, blocked bool) {
	l.delivered++
	w, in := m.workers[worker], events.Message{Data: l.data, Delivered: l.delivered}
	handle := map[string]events.Handler{"checkout": w.checkout, "order": w.order, "refund": w.refund, "webhook": w.webhook,
		"payment": func(ctx context.Context, in events.Message) error { return m.sell([][]byte{in.Data}, blocked) }}[l.to]
	l.err = handle(m.ctx, in)
	m.Logf("  %s %s, delivery %d: %v", l.to, l.what, l.delivered, l.err)
	switch sale.KindOf(l.err) { // as the ack loop does
	case sale.Invalid, sale.Unauthorized, sale.Forbidden, sale.Unprocessable, sale.TooLarge, sale.NotFound:
		m.fail("%s %s is a dead letter: %v", l.to, l.what, l.err)
	case sale.Internal:
		if l.err != nil && !m.fate.dead {
			m.fail("%s %s fails: %v", l.to, l.what, l.err)
		}
	}
	if l.err == nil {
		m.done(l)
	}
}

func (m *machine) done(l *letter) {
	if at := slices.Index(m.queue, l); at >= 0 {
		m.queue, m.past = slices.Delete(m.queue, at, at+1), append(m.past, l)
	}
}

// commit commits all payments that wait for it at once.
func (m *machine) commit(blocked bool) {
	var all []*letter
	var data [][]byte
	for _, l := range m.queue {
		if l.to == "payment" {
			all, data = append(all, l), append(data, l.data)
		}
	}
	if len(all) == 0 {
		return
	}
	if err := m.sell(data, blocked); err != nil {
		m.Fatal("commit: ", err)
	}
	m.Logf("  commit of %d payments; blocked: %v", len(all), blocked)
	for _, l := range all {
		m.done(l)
	}
}

// sell is what the committer does with payments. Where blocked, someone else holds the first one's seats by now.
func (m *machine) sell(data [][]byte, blocked bool) error {
	all, others := make([]events.Payment, len(data)), make([][]string, len(data))
	for i, d := range data {
		var err error
		if all[i], err = events.Decode[events.Payment](d); err != nil {
			return err
		}
	}
	if blocked {
		others[0] = all[0].Seats
	}
	want := m.at.verdicts(all, others)
	m.changed = true
	done, err := m.store.CommitOrders(m.ctx, all, others)
	for i := range done {
		if done[i].Status != want[i] {
			m.fail("order %s was to be %s, and is %s", all[i].OrderID, want[i], done[i].Status)
		}
	}
	return err
}

// round delivers everything that is queued once, and sweeps.
func (m *machine) round() {
	for _, l := range slices.Clone(m.queue) {
		m.deliver(l, 0, false)
		m.look(false)
	}
	if !m.quiet() {
		m.work("sweep", 0, 0, false)
		m.look(false)
	}
}

// settle lets everything end: nothing goes wrong any more, and time passes until nothing waits.
func (m *machine) settle(yes bool) {
	m.Logf("the end; banks say yes: %v", yes)
	waits := []time.Duration{0, 0, 0, 0, 0, window + grace + time.Second, lookAgain, lookAgain, refundAgain, 25 * time.Hour, refundAgain, refundAgain, 0, 0, 0, 0}
	for n := 0; n < len(waits) && !m.quiet(); n++ {
		if waits[n] > 0 {
			m.pass(waits[n])
		}
		m.round()
		m.decide(yes)
	}
	full := m.account()
	full.Intents = m.at.Intents
	full.Orders, full.Attempts, full.Refunds, full.Sold = m.at.Orders, m.at.Attempts, m.at.Refunds, m.at.Sold
	wrong := full.settled()
	for _, l := range m.queue {
		wrong = append(wrong, fmt.Sprintf("%s %s is retried for ever: %s", l.to, l.what, sale.CodeOf(l.err)))
	}
	if len(wrong) > 0 {
		m.fail("at the end:\n%s", strings.Join(wrong, "\n"))
	}
	m.at = full
}

// decide has the banks decide the refunds that wait for them.
func (m *machine) decide(yes bool) {
	if !slices.ContainsFunc(m.at.Refunds, func(r recordAt) bool { return r.State == sale.RefundPending }) {
		return
	}
	for _, r := range m.account().Returned {
		if r.Status == "pending" {
			m.changed = true
			m.ask("POST", "/_double/refunds/"+r.ID, fmt.Sprintf(`{"status":%q}`, pick(yes, "succeeded", "failed")), nil)
		}
	}
	m.look(false)
}

// quiet says that nothing is under way.
func (m *machine) quiet() bool {
	return len(m.queue) == 0 && !m.undecided() && !slices.ContainsFunc(m.at.Refunds, func(r recordAt) bool { return r.State == sale.RefundPending })
}

// undecided says that there are attempts of which it is not known whether they are paid: those that a sweep looks for.
func (m *machine) undecided() bool {
	return slices.ContainsFunc(m.at.Attempts, func(a attemptAt) bool { return a.State == sale.Started || a.State == sale.ActionRequired })
}

// again gives every message that ever was once more, when Stripe has forgotten all keys: nothing is to change.
func (m *machine) again() {
	m.Logf("all again")
	m.pass(25 * time.Hour)
	before := m.at
	for _, l := range m.past {
		m.deliver(l, 1, true)
	}
	m.look(false)
	now := m.account()
	now.Intents, now.Orders, now.Attempts, now.Refunds, now.Sold = m.at.Intents, m.at.Orders, m.at.Attempts, m.at.Refunds, m.at.Sold
	if diff := cmp.Diff(before, now); diff != "" || len(m.queue) > 0 {
		m.fail("replaying everything left %d messages and changed (-was +is):\n%s", len(m.queue), diff)
	}
}
