package crowd

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// violationTexts bounds how many violations are kept as text. All are counted; a sale that is wrong in
// one way is usually wrong for everyone.
const violationTexts = 100

// Violations are the ways in which the sale broke its word to the crowd.
type Violations struct {
	Count int      `json:"count"`
	Texts []string `json:"texts,omitempty"` // the first ones, at most a hundred
}

// record is one order that the sale accepted, as its fan last saw it.
type record struct {
	id     string
	fan    *fan
	hold   hold
	method string
	status string
	seats  []string
	blamed bool // its dealings with its own hold were already reported
}

// dispute is one seat in two orders that were both confirmed at some time. It may be lawful: the first
// of them may have been voided since, and its seat sold again.
type dispute struct {
	seat          string
	first, second *record
}

// ledger keeps what all fans were told of their orders, and what is wrong with it. It is safe for
// concurrent use.
type ledger struct {
	mu         sync.Mutex
	violations Violations
	orders     map[string]*record
	bySeat     map[string]*record // the order that a seat was last confirmed in
	disputes   []dispute
}

func newLedger() *ledger {
	return &ledger{orders: map[string]*record{}, bySeat: map[string]*record{}}
}

func (l *ledger) violate(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violateLocked(format, args...)
}

func (l *ledger) violateLocked(format string, args ...any) {
	l.violations.Count++
	if len(l.violations.Texts) < violationTexts {
		l.violations.Texts = append(l.violations.Texts, fmt.Sprintf(format, args...))
	}
}

// accept notes that the sale answered a checkout with an order. It returns false when the order was
// known before.
func (l *ledger) accept(f *fan, h hold, method, id string) (*record, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.orders[id]; ok {
		if known.fan != f {
			l.violateLocked("order %s was given to two sessions", id)
			return &record{id: id, fan: f, hold: h, method: method}, false
		}
		return known, false
	}
	rec := &record{id: id, fan: f, hold: h, method: method}
	l.orders[id] = rec
	return rec, true
}

// observe takes what the sale says of an order and holds it against what it said before. With detail,
// the order's seats and amount are held against its hold; the answer to a repeated checkout need not
// have them.
func (l *ledger) observe(rec *record, got order, detail bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if got.ID != "" && got.ID != rec.id {
		l.violateLocked("order %s is shown as order %s", rec.id, got.ID)
		return
	}
	before := rec.status
	if got.Status == "" {
		got.Status = orderProcessing
	}
	if !mayFollow(before, got.Status) {
		l.violateLocked("order %s was %s and became %s", rec.id, before, got.Status)
	}
	rec.status = got.Status
	switch {
	case got.Status != orderConfirmed:
		l.forget(rec)
	case detail || len(got.Seats) > 0:
		l.confirm(rec, got)
	}
}

// mayFollow says whether an order may go from one status to the other. A decided order stays decided,
// and only a confirmed one can be undone.
func mayFollow(from, to string) bool {
	switch from {
	case orderConfirmed:
		return to == orderConfirmed || to == orderVoided || to == orderRefunded
	case orderVoided, orderRefunded:
		return to == orderVoided || to == orderRefunded
	case orderPaymentFailed:
		return to == orderPaymentFailed || to == orderRejected
	case orderRejected:
		return to == orderRejected
	}
	return true
}

// confirm notes the seats of a confirmed order and every other order that has one of them.
func (l *ledger) confirm(rec *record, got order) {
	if !rec.blamed {
		if flaw := flawOfConfirmed(rec, got); flaw != "" {
			rec.blamed = true
			l.violateLocked("order %s %s", rec.id, flaw)
		}
	}
	had := rec.seats
	rec.seats = got.Seats
	for _, seat := range got.Seats {
		if slices.Contains(had, seat) {
			continue
		}
		if other := l.bySeat[seat]; other != nil && other != rec {
			l.disputes = append(l.disputes, dispute{seat: seat, first: other, second: rec})
		}
		l.bySeat[seat] = rec
	}
}

func flawOfConfirmed(rec *record, got order) string {
	switch {
	case len(got.Seats) == 0:
		return "is confirmed without seats"
	case rec.hold.Seats != nil && !sameSeats(rec.hold.Seats, got.Seats):
		return fmt.Sprintf("is confirmed for %v, and its hold was on %v", got.Seats, rec.hold.Seats)
	case rec.seats != nil && !sameSeats(rec.seats, got.Seats):
		return fmt.Sprintf("is confirmed for %v, and was for %v", got.Seats, rec.seats)
	case rec.hold.Amount != 0 && rec.hold.Amount != got.Amount:
		return fmt.Sprintf("is confirmed for an amount of %d, and its hold was for %d", got.Amount, rec.hold.Amount)
	case rec.method == cardDeclined || rec.method == cardNoFunds:
		return "is confirmed though its card is always declined"
	}
	return ""
}

// forget takes an order that no longer has its seats out of their way.
func (l *ledger) forget(rec *record) {
	for _, seat := range rec.seats {
		if l.bySeat[seat] == rec {
			delete(l.bySeat, seat)
		}
	}
}

// settle turns every dispute in which both orders are still confirmed into a violation. It is to be
// called once, when no order will be observed any more.
func (l *ledger) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.disputes {
		if d.first.status == orderConfirmed && d.second.status == orderConfirmed {
			l.violateLocked("seat %s is sold twice: orders %s and %s", d.seat, d.first.id, d.second.id)
		}
	}
	l.disputes = nil
}

// open returns the orders that are worth a last look: those that stand and those without an outcome.
func (l *ledger) open() []*record {
	l.mu.Lock()
	defer l.mu.Unlock()
	var open []*record
	for _, rec := range l.orders {
		if rec.status == orderConfirmed || rec.status == orderProcessing || rec.status == "" {
			open = append(open, rec)
		}
	}
	slices.SortFunc(open, func(a, b *record) int { return cmp.Compare(a.id, b.id) })
	return open
}

// ledgerCounts is the ledger in numbers.
type ledgerCounts struct {
	Violations, Disputes      int
	Accepted, Confirmed, Sold int
}

func (l *ledger) counts() ledgerCounts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := ledgerCounts{Violations: l.violations.Count, Disputes: len(l.disputes), Accepted: len(l.orders), Sold: len(l.bySeat)}
	for _, rec := range l.orders {
		if rec.status == orderConfirmed {
			c.Confirmed++
		}
	}
	return c
}

// sameSeats compares two lists of seats whatever their order.
func sameSeats(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}
