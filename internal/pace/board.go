package pace

import (
	"sync"
	"time"

	"onsale/events"
)

// Fresh is for how long what a payworker told counts; each tells it once a second.
const Fresh = 5 * time.Second

// CallsEach is how many calls an order takes: its authorization and its capture.
const CallsEach = 2

// MaxWait bounds the wait that is told: whoever waits for longer needs an operator, not a number.
const MaxWait = 30 * time.Minute

// Payments is how payments go, over all workers.
type Payments struct {
	Rate    float64       // checkouts a second that they deal with
	Backlog uint64        // checkouts that wait
	Wait    time.Duration // of the last of those, at most MaxWait
}

// Board keeps what each payworker told last. The zero value knows nothing. Safe for concurrent use.
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
		if now.Sub(s.at) > Fresh {
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
	known, allowed := false, 0.0
	var newest time.Time
	for _, s := range b.said {
		if now.Sub(s.at) > Fresh {
			continue
		}
		known = known || s.Rate > 0 || s.Backlog == 0
		p.Rate += s.Rate
		allowed = max(allowed, s.Allowed)
		if !s.at.Before(newest) { // each tells the backlog of all
			p.Backlog, newest = s.Backlog, s.at
		}
	}
	if !known {
		return Payments{}, false
	}
	if allowed > 0 {
		p.Rate = min(p.Rate, allowed/CallsEach)
	}
	if p.Backlog > 0 {
		p.Wait = MaxWait
		if seconds := float64(p.Backlog) / p.Rate; seconds < MaxWait.Seconds() {
			p.Wait = time.Duration(seconds * float64(time.Second))
		}
	}
	return p, true
}
