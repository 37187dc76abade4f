package payworker

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/stripe/double"
)

var (
	stalls = []string{"A-0", "A-1", "A-2", "A-3"}
	wishes = [][]string{{"A-0"}, {"A-0", "A-1"}, {"A-1", "A-2", "A-3"}, {"A-1"}, {"A-3"}, {"A-2"}}
	cards  = []string{"pm_card_visa", "pm_card_visa", "pm_card_visa", "pm_card_authenticationRequired", "pm_card_authenticationRequired",
		"pm_card_visa_chargeDeclined", "pm_card_pendingRefund", "pm_card_refundFail"}
	passes   = []time.Duration{5 * time.Second, window + grace + 30*time.Second, window + grace + 30*time.Second, time.Hour, 25 * time.Hour, expiry + 24*time.Hour}
	troubles = []double.Faults{{}, {}, {}, {TimeoutBeforeShare: 1}, {TimeoutAfterShare: 1}, {TimeoutAfterShare: 1}, {ErrorShare: 1}, {RateLimitShare: 1}, {CaptureRefuseShare: 1}}
	choices  = []string{"checkout", "flow", "deliver", "deliver", "deliver", "refund", "act", "dispute", "bank", "replay", "sweep", "hand refund", "pass",
		"checkout", "deliver", "deliver", "flow", "commit", "bank", "replay", "other card", "other card", "refund", "deliver", "deliver", "act", "dispute"}
	others = []string{"", "", "", "", "sweep later", "deliver", "replay", "commit", "act", "refund"}
)

// play is one thing that happens, with all that any kind of it might need.
type play struct {
	kind    string
	which   int // of the messages, orders or intents there are
	fan     int
	seats   []string
	card    string
	passes  time.Duration
	yes     bool // the buyer's success, the bank's yes, seats that are kept
	blocked bool // someone else holds the seats
	deaf    bool // webhooks that this leads to are lost
	worker  int

	trouble double.Faults
	call    int    // the call of Stripe that it is for, or that others come between
	between string // what others do meanwhile
	other   int    // which of them
	early   bool
	death   int
	late    bool
}

// String is a play in the log; what it says nothing of is zero.
func (p play) String() string {
	s := p.kind
	say := func(is bool, format string, args ...any) {
		if is {
			s += fmt.Sprintf(", "+format, args...)
		}
	}
	say(p.trouble != double.Faults{}, "call %d has %s", p.call, trouble(p.trouble))
	say(p.between != "", "during call %d (early: %v) others %s", p.call, p.early, p.between)
	say(p.death > 0, "dies at step %d (late: %v)", p.death, p.late)
	say(p.blocked, "blocked")
	say(p.deaf, "webhooks lost")
	return s
}

// GoString keeps rapid's log short: what is done is logged as it is done.
func (p play) GoString() string { return p.kind }

func trouble(f double.Faults) string {
	switch {
	case f.TimeoutBeforeShare > 0:
		return "no effect and no answer"
	case f.TimeoutAfterShare > 0:
		return "no answer"
	case f.ErrorShare > 0:
		return "a stored failure"
	case f.RateLimitShare > 0:
		return "429"
	}
	return "a refused capture"
}

func plays() *rapid.Generator[[]play] {
	seldom := func(t *rapid.T, of int, what string) bool { return rapid.IntRange(0, of-1).Draw(t, what) == of-1 }
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) play {
		p := play{kind: rapid.SampledFrom(choices).Draw(t, "kind"), which: rapid.IntRange(0, 5).Draw(t, "which"), deaf: seldom(t, 5, "deaf"),
			fan: rapid.IntRange(0, 2).Draw(t, "fan"), seats: rapid.SampledFrom(wishes).Draw(t, "seats"), card: rapid.SampledFrom(cards).Draw(t, "card")}
		switch p.kind {
		case "pass":
			p.passes = rapid.SampledFrom(passes).Draw(t, "passes")
		case "act", "refund", "bank":
			p.yes = rapid.Bool().Draw(t, "yes")
		case "deliver", "replay", "sweep", "commit":
			p.worker, p.blocked = rapid.IntRange(0, 1).Draw(t, "worker"), seldom(t, 6, "blocked")
			p.call = rapid.IntRange(1, 3).Draw(t, "call")
			p.trouble = rapid.SampledFrom(troubles).Draw(t, "trouble")
			p.between = rapid.SampledFrom(others).Draw(t, "between")
			p.other, p.early = rapid.IntRange(0, 3).Draw(t, "other"), rapid.Bool().Draw(t, "early")
			if seldom(t, 6, "dies") {
				p.death, p.late = rapid.IntRange(1, 4).Draw(t, "death"), rapid.Bool().Draw(t, "late")
			}
		}
		return p
	}), 3, 15)
}

// play has one thing happen, and looks at what became of everything.
func (m *machine) play(p play) {
	switch p.kind {
	case "deliver", "replay", "sweep", "commit":
		if m.could(p.kind) {
			m.fated(p)
		} else {
			m.checkout(p)
		}
	case "act", "other card", "hand refund", "dispute", "bank":
		if !m.outside(p) {
			m.flow()
		}
	case "pass":
		m.pass(p.passes)
	case "refund":
		if !m.refund(p.which, p.yes) {
			m.flow()
		}
	case "flow":
		m.flow()
	case "checkout":
		m.checkout(p)
	}
	m.look(p.deaf)
}

// flow lets things take their course for a while, in which no buyer, bank or operator does anything. Where there is
// nothing, someone comes to buy.
func (m *machine) flow() {
	if len(m.queue) == 0 {
		m.checkout(play{seats: wishes[len(m.commands)%len(wishes)], card: cards[0]})
	}
	m.Logf("all goes on")
	for n := 0; n < 4 && len(m.queue) > 0; n++ {
		m.round()
	}
}

// could says whether there is something for a worker to do.
func (m *machine) could(kind string) bool {
	switch kind {
	case "replay":
		return len(m.past) > 0
	case "sweep":
		return !m.quiet()
	}
	return len(m.queue) > 0
}

func (m *machine) checkout(p play) {
	n := len(m.commands)
	session := sale.HashSession(m.event, fmt.Sprint("fan-", p.fan))
	c := events.CheckoutRequested{
		V: events.Version, OrderID: sale.OrderID(m.event, session, fmt.Sprint(n)), EventID: m.event, Session: session, HoldID: uuid.New(),
		Seats: p.seats, Amount: price * int64(len(p.seats)), Currency: "eur", PaymentMethod: p.card,
		RequestedAt: m.clock.Now().UTC(),
	}
	hash := sale.RequestHash(c.HoldID, c.PaymentMethod)
	c.RequestHash = hash[:]
	m.commands, m.orders = append(m.commands, c), append(m.orders, c.OrderID.String())
	m.Logf("order %d is %s: %s with %s", n, c.OrderID, c.Seats, c.PaymentMethod)
	m.post("checkout", fmt.Sprint("of order ", n), events.Encode(c))
}

func (m *machine) post(to, what string, data []byte) {
	m.queue = append(m.queue, &letter{to: to, what: what, data: data})
}

// name is an order's number in the log.
func (m *machine) name(order string) string {
	return fmt.Sprint("order ", slices.Index(m.orders, order))
}

// fated does what a worker does, with its troubles.
func (m *machine) fated(p play) {
	f := &fate{call: p.call, faults: p.trouble, death: p.death, late: p.late, early: p.early}
	if p.between != "" {
		f.during = func() {
			m.Logf("  meanwhile: %s", p.between)
			m.look(p.deaf)
			m.meanwhileOthers(p)
			m.look(p.deaf)
			m.Logf("  so far")
		}
	}
	m.Logf("%s", p)
	m.fate = f
	m.work(p.kind, p.which, p.worker, p.blocked)
	if f.dead {
		m.workers[p.worker] = m.ground.worker()
	}
	m.fate = &fate{}
}

// meanwhileOthers is what happens while a worker waits for Stripe.
func (m *machine) meanwhileOthers(p play) {
	switch p.between {
	case "sweep later":
		m.pass(window + grace + time.Second)
		m.work("sweep", p.other, 1-p.worker, false)
	case "act":
		m.outside(play{kind: "act", which: p.other, yes: true})
	case "refund":
		m.refund(p.other, false)
	default:
		m.work(p.between, p.other, 1-p.worker, false)
	}
}

// refund is the operator's, of an order that has been paid for at some time. false: there is none.
func (m *machine) refund(which int, keep bool) bool {
	paid := slices.DeleteFunc(slices.Clone(m.at.Attempts), func(a attemptAt) bool { return a.State != sale.Authorized && !a.State.Taken() })
	if len(paid) == 0 {
		return false
	}
	m.changed = true
	order := paid[which%len(paid)].Order
	allowed := m.at.refundable(order, keep)
	_, err := m.store.RequestRefund(m.ctx, order, "asked for", keep)
	m.Logf("refund of %s is asked for; seats are kept: %v: %v", m.name(order.String()), keep, err)
	if (err == nil) != allowed || err != nil && sale.KindOf(err) != sale.Conflict {
		m.fail("refund of order %s; allowed: %v: %v", order, allowed, err)
	}
	return true
}

// outside is what buyers, banks and the operator do at Stripe. false: there is nothing that they could do.
func (m *machine) outside(p play) bool {
	var could [][3]string // path, body, and for the log
	for _, i := range m.at.Intents {
		order, known := uuid.MustParse(i.Metadata["order_id"]), m.name(i.Metadata["order_id"])
		switch {
		case p.kind == "act" && i.Status == sale.IntentRequiresAction:
			could = append(could, [3]string{"/_double/authenticate/" + i.ID, fmt.Sprintf(`{"outcome":%q}`, pick(p.yes, "success", "failure")), known})
		case p.kind == "other card" && i.Status == sale.IntentRequiresPaymentMethod && m.acted[order]:
			could = append(could, [3]string{"/v1/payment_intents/" + i.ID + "/confirm", "payment_method=pm_card_visa", known})
		case p.kind == "hand refund" && i.Status == sale.IntentSucceeded:
			could = append(could, [3]string{"/v1/refunds", "payment_intent=" + i.ID, known})
		case p.kind == "dispute" && i.Status == sale.IntentSucceeded:
			could = append(could, [3]string{"/_double/disputes", fmt.Sprintf(`{"payment_intent":%q,"reason":"fraudulent"}`, i.ID), known})
		}
	}
	if p.kind == "bank" {
		full := m.account()
		for _, d := range full.Disputes {
			if !d.Status.Closed() {
				could = append(could, [3]string{"/_double/disputes/" + d.ID, fmt.Sprintf(`{"status":%q}`, pick(p.which%3 == 0, "under_review", pick(p.yes, "won", "lost"))), d.ID})
			}
		}
		for _, r := range full.Returned {
			if r.Status == "pending" {
				could = append(could, [3]string{"/_double/refunds/" + r.ID, fmt.Sprintf(`{"status":%q}`, pick(p.yes, "succeeded", "failed")), r.ID})
			}
		}
	}
	if len(could) == 0 {
		return false
	}
	c := could[p.which%len(could)]
	m.changed = true
	m.Logf("%s of %s, %s: %d", p.kind, c[2], c[1], m.ask("POST", c[0], c[1], nil))
	return true
}

func pick(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

// pass moves the clock. Banks let go of authorizations that are too old.
func (m *machine) pass(d time.Duration) {
	m.clock.Advance(d)
	m.Logf("%s pass", d)
	for _, i := range m.intents() {
		if i.Status == sale.IntentRequiresCapture && m.clock.Now().Sub(time.Unix(i.Created, 0)) > expiry {
			m.changed = true
			m.Logf("  the authorization of %s ends: %d", m.name(i.Metadata["order_id"]), m.ask("POST", "/_double/expire/"+i.ID, "", nil))
		}
	}
}
