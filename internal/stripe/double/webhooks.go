package double

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	webhookWorkers  = 16
	webhookTimeout  = 10 * time.Second
	webhookAttempts = 15 // about eight minutes with the waits between them
	firstRetry      = 200 * time.Millisecond
	slowestRetry    = time.Minute
	maxQueued       = 100_000  // events waiting; each holds about 1 kB
	maxAnswer       = 64 << 10 // bytes of a receiver's answer that are read
)

// delivery is one event on its way.
type delivery struct {
	ev       *event
	attempts int // made so far
	due      time.Time
	order    uint64 // breaks ties by age
	extra    bool   // an injected duplicate: one attempt, nothing depends on it
}

// schedule is a heap of deliveries, the next one due on top.
type schedule []delivery

func (s schedule) Len() int      { return len(s) }
func (s schedule) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s schedule) Less(i, j int) bool {
	if !s[i].due.Equal(s[j].due) {
		return s[i].due.Before(s[j].due)
	}
	return s[i].order < s[j].order
}
func (s *schedule) Push(v any) { *s = append(*s, v.(delivery)) }
func (s *schedule) Pop() any {
	old := *s
	last := old[len(old)-1]
	old[len(old)-1] = delivery{}
	*s = old[:len(old)-1]
	return last
}

// courier delivers events to the one webhook endpoint. It keeps time by the wall clock, signatures
// included: the receiver checks their age against its own.
type courier struct {
	url, secret string
	durable     bool                 // what doesn't fit in the queue is found again in the journal
	client      *fasthttp.HostClient // while it runs
	dice        *dice
	log         *slog.Logger
	onDone      func(id string) // the event was delivered or given up

	wake chan struct{} // has room for one signal that the schedule changed

	mu       sync.Mutex
	waiting  schedule
	order    uint64
	draining bool

	delivered, failed, gaveUp, overflowed atomic.Int64
}

func newCourier(cfg Config, dice *dice, onDone func(string)) *courier {
	return &courier{
		url: cfg.WebhookURL, secret: cfg.WebhookSecret, durable: cfg.JournalPath != "",
		dice: dice, log: cfg.Log, onDone: onDone, wake: make(chan struct{}, 1),
	}
}

// tell sends new events on their way. The caller holds mu.
func (d *Double) tell(events []*event) {
	if d.cfg.WebhookFunc == nil {
		d.courier.add(events, d.Faults())
		return
	}
	for _, ev := range events {
		body := ev.body(nil)
		d.cfg.WebhookFunc(body, signature(d.cfg.WebhookSecret, time.Now(), body))
	}
}

// add queues new events under the faults in force. Past maxQueued an event waits in the journal for the
// next start; without a journal it is lost. Both are counted.
func (c *courier) add(events []*event, f Faults) {
	if len(events) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ev := range events {
		if len(c.waiting) >= maxQueued {
			if c.overflowed.Add(1)%1000 == 1 {
				c.log.Error("webhook queue is full", "queued", maxQueued, "kept_for_restart", c.durable)
			}
			continue
		}
		due := time.Now().Add(time.Duration(f.WebhookDelayMS) * time.Millisecond)
		c.push(delivery{ev: ev, due: c.shuffled(due, f)})
		if c.dice.hit(f.WebhookDuplicateShare) {
			c.push(delivery{ev: ev, due: c.shuffled(due, f), extra: true})
		}
	}
	c.signal()
}

// restore queues events of an earlier process, however many.
func (c *courier) restore(events []*event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ev := range events {
		c.push(delivery{ev: ev, due: time.Now()})
	}
	c.signal()
}

// shuffled holds a delivery back by a random time, so that those of one window change places.
func (c *courier) shuffled(due time.Time, f Faults) time.Time {
	if !f.WebhookReorder {
		return due
	}
	return due.Add(c.dice.upTo(reorderWindow))
}

// push adds to the schedule. The caller holds mu.
func (c *courier) push(d delivery) {
	c.order++
	d.order = c.order
	heap.Push(&c.waiting, d)
}

func (c *courier) signal() {
	select {
	case c.wake <- struct{}{}:
	default: // there is a signal that nobody has seen yet
	}
}

// drain makes run end once every event that was not tried yet has been tried. Retries are left to the
// next start.
func (c *courier) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	fresh := c.waiting[:0]
	for _, d := range c.waiting {
		if d.attempts == 0 && !d.extra {
			d.due = time.Time{}
			fresh = append(fresh, d)
		}
	}
	clear(c.waiting[len(fresh):])
	c.waiting = fresh
	heap.Init(&c.waiting)
	c.signal()
}

// run delivers until drain is done or ctx ends, which aborts the attempts in progress.
func (c *courier) run(ctx context.Context) {
	c.client = newClient(ctx, c.url)
	jobs := make(chan delivery)
	var workers sync.WaitGroup
	for range webhookWorkers {
		workers.Go(func() {
			for d := range jobs {
				c.deliver(ctx, d)
			}
		})
	}
	defer workers.Wait()
	defer close(jobs)
	defer c.client.CloseIdleConnections()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		d, wait, state := c.next(time.Now())
		switch state {
		case finished:
			return
		case due:
			select {
			case jobs <- d:
			case <-ctx.Done():
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-c.wake:
		case <-ctx.Done():
		}
	}
}

// readiness says what the courier can do next.
type readiness int

const (
	due      readiness = iota // deliver
	idle                      // wait for that long, or for a signal
	finished                  // drained
)

func (c *courier) next(now time.Time) (d delivery, wait time.Duration, state readiness) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		if c.draining {
			return d, 0, finished
		}
		return d, time.Hour, idle
	}
	if wait := c.waiting[0].due.Sub(now); wait > 0 {
		return d, wait, idle
	}
	return heap.Pop(&c.waiting).(delivery), 0, due
}

// deliver makes one attempt and schedules the next if it failed.
func (c *courier) deliver(ctx context.Context, d delivery) {
	err := c.post(d.ev)
	if d.extra {
		return
	}
	if err == nil {
		c.delivered.Add(1)
		c.onDone(d.ev.ID)
		return
	}
	if ctx.Err() != nil {
		return // cut short by the shutdown: the journal still has it
	}
	c.failed.Add(1)
	d.attempts++
	if d.attempts >= webhookAttempts {
		c.gaveUp.Add(1)
		c.log.Error("gave up a webhook", "stripe_event", d.ev.ID, "type", d.ev.Type, "attempts", d.attempts, "error", err)
		c.onDone(d.ev.ID)
		return
	}
	c.log.Debug("webhook failed", "stripe_event", d.ev.ID, "attempts", d.attempts, "error", err)
	d.due = time.Now().Add(min(firstRetry<<(d.attempts-1), slowestRetry))
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.draining {
		c.push(d)
		c.signal()
	}
}

// newClient makes a client of one URL, "" for none. Its connections end with ctx.
func newClient(ctx context.Context, to string) *fasthttp.HostClient {
	var uri fasthttp.URI
	uri.Update(to)
	tls := string(uri.Scheme()) == "https"
	return &fasthttp.HostClient{
		Addr: fasthttp.AddMissingPort(string(uri.Host()), tls), IsTLS: tls, MaxConns: webhookWorkers, MaxResponseBodySize: maxAnswer,
		MaxIdemponentCallAttempts: 2, // a connection that was idle may be gone
		Dial: func(addr string) (net.Conn, error) {
			dialer := net.Dialer{Timeout: webhookTimeout}
			conn, err := dialer.DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			return &boundConn{conn, context.AfterFunc(ctx, func() { conn.Close() })}, nil
		},
	}
}

// boundConn is a connection that is closed when a context ends.
type boundConn struct {
	net.Conn
	unbind func() bool
}

func (c *boundConn) Close() error {
	c.unbind()
	return c.Conn.Close()
}

// post sends an event once; anything but a 2xx is an error, a redirect too, as at Stripe.
func (c *courier) post(ev *event) error {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	body := ev.body(req.SwapBody(nil)[:0])
	req.SwapBody(body)
	req.SetRequestURI(c.url)
	req.Header.SetMethod(fasthttp.MethodPost)
	req.Header.SetContentType("application/json; charset=utf-8")
	req.Header.SetUserAgent("Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	req.Header.Set("Stripe-Signature", signature(c.secret, time.Now(), body))
	err := c.client.DoTimeout(req, resp, webhookTimeout)
	if err != nil && !errors.Is(err, fasthttp.ErrBodyTooLarge) { // a long answer is one too
		return fmt.Errorf("post event: %w", err)
	}
	if status := resp.StatusCode(); status < 200 || status > 299 {
		return fmt.Errorf("post event: answered %d", status)
	}
	return nil
}

// webhookStats counts deliveries of this process.
type webhookStats struct {
	Waiting    int   `json:"waiting"`    // queued, retries included
	Delivered  int64 `json:"delivered"`  // events
	Failed     int64 `json:"failed"`     // attempts
	GaveUp     int64 `json:"gave_up"`    // events
	Overflowed int64 `json:"overflowed"` // events that found the queue full
}

func (c *courier) stats() webhookStats {
	c.mu.Lock()
	waiting := len(c.waiting)
	c.mu.Unlock()
	return webhookStats{waiting, c.delivered.Load(), c.failed.Load(), c.gaveUp.Load(), c.overflowed.Load()}
}
