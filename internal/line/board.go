package line

import (
	"sync"
	"time"

	"onsale/events"
)

// toldFor is for how long what a payworker told counts; each tells it once a second.
const toldFor = 5 * time.Second

// maxPaymentWait bounds the wait that is told: whoever waits for longer needs an operator, not a number.
const maxPaymentWait = 30 * time.Minute

// Board keeps what each payworker told last of the payments. The zero value knows nothing. Safe for concurrent use.
type Board struct {
	mu   sync.Mutex
	said map[string]said // by worker
}

type said struct {
	events.PaymentsNotice
	at time.Time
}

// Hear takes what a worker told.
func (b *Board) Hear(n events.PaymentsNotice, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.said == nil {
		b.said = map[string]said{}
	}
	for node, s := range b.said {
		if now.Sub(s.at) > toldFor {
			delete(b.said, node)
		}
	}
	b.said[n.Node] = said{n, now}
}

// Payments is how payments go; false where no worker has told lately, or none knows yet how fast it is. Workers that have
// measured nothing each tell the account's whole rate, so together they are no faster than that.
func (b *Board) Payments(now time.Time) (Payments, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var p Payments
	known, allowed, backlog := false, 0.0, uint64(0)
	var newest time.Time
	for _, s := range b.said {
		if now.Sub(s.at) > toldFor {
			continue
		}
		known = known || s.Rate > 0 || s.Backlog == 0
		p.Rate += s.Rate
		allowed = max(allowed, s.Allowed)
		if !s.at.Before(newest) { // each tells the backlog of all
			backlog, newest = s.Backlog, s.at
		}
	}
	if !known {
		return Payments{}, false
	}
	if allowed > 0 {
		p.Rate = min(p.Rate, allowed/events.CallsPerOrder)
	}
	if backlog > 0 {
		p.Wait = maxPaymentWait
		if seconds := float64(backlog) / p.Rate; seconds < maxPaymentWait.Seconds() {
			p.Wait = time.Duration(seconds * float64(time.Second))
		}
	}
	return p, true
}
