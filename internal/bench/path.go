package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
)

// benchPath sells stadiums two seats at a time. Every order is a fan of its own who was let in before the clock runs:
// hold, check out, wait for the confirmation. What counts is how many payments Stripe's double captures in a time in
// which fans come and go evenly, three times as many at once as other loads have connections; every order of the run must
// be confirmed, and captured in the end. Then fans come at half of that rate, and what counts is how long they wait from
// the checkout to the confirmation.
func benchPath(ctx context.Context, r *runner) (_ []Result, err error) {
	s, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	p := &path{system: s}
	results, err := r.compare(ctx, []versus{{"path", "orders/s", ""}}, func(ctx context.Context) (float64, []float64, error) {
		v, err := p.sell(ctx, fansPerConnection*r.Connections, r.Duration)
		return v, nil, err
	})
	if err != nil {
		return nil, err
	}
	rate := results[0].Value / 2
	r.tell("  fans come at %.0f a second", rate)
	waits, err := r.compare(ctx, []versus{{"path-p99", "ms at half", "at most"}}, func(ctx context.Context) (float64, []float64, error) {
		late, err := p.arrive(ctx, fansPerConnection*r.Connections, rate, r.Duration)
		return float64(late.ValueAtQuantile(99)) / 1000, []float64{maxPathMS}, err
	})
	return append(results, waits...), err
}

const (
	seatsPerOrder = 2
	maxPathMS     = 1000
	// A fan waits for the confirmation for a tenth of a second or more, so it takes more of them than connections of
	// other loads to keep the system busy.
	fansPerConnection = 3
)

// path is a system that sells.
type path struct {
	*system
	shows int
	sold  atomic.Int64 // orders confirmed since the start
}

// fans puts another stadium on sale, and returns the numbers of those who are let in: as many as it has seats for.
func (p *path) fans(ctx context.Context, connections int) (*shop, <-chan uint64, error) {
	p.shows++
	sh, err := p.shop(ctx, fmt.Sprintf("stadium-%d", p.shows), "stadium", 0)
	if err == nil {
		err = sh.meet(ctx, connections, p.address)
	}
	if err != nil {
		return nil, nil, err
	}
	all := make(chan uint64, sh.fans())
	for i := range sh.fans() {
		all <- i
	}
	close(all)
	return sh, all, nil
}

// warmUp is how long fans buy before the clock runs. Connections of all kinds are made and grow warm meanwhile: in the first
// second there are about half as many captures as later, and it takes about three until there are as many.
const warmUp = 4 * time.Second

var errSoldOut = errors.New("the stadium is sold out: shorten --duration")

// sell lets fans buy one after the other on each connection, and returns the captures a second.
func (p *path) sell(ctx context.Context, connections int, d time.Duration) (float64, error) {
	sh, fans, err := p.fans(ctx, connections)
	if err != nil {
		return 0, err
	}
	end := time.Now().Add(warmUp + d)
	var buying errgroup.Group
	for range connections {
		buying.Go(func() error {
			return p.on(end, func(c *conn) error {
				for ctx.Err() == nil && time.Now().Before(end) {
					fan, more := <-fans
					if !more {
						return errSoldOut
					}
					if _, err := p.buy(c, sh, fan); err != nil {
						return err
					}
				}
				return ctx.Err()
			})
		})
	}
	time.Sleep(time.Until(end.Add(-d)))
	before, errBefore := p.captured(ctx)
	start := time.Now()
	time.Sleep(time.Until(end))
	after, errAfter := p.captured(ctx)
	took := time.Since(start)
	if err := errors.Join(buying.Wait(), errBefore, errAfter); err != nil {
		return 0, err
	}
	return float64(after-before) / took.Seconds(), p.settled(ctx)
}

// arrive lets fans come at a rate, and returns how long they waited from the checkout to the confirmation, in
// microseconds.
func (p *path) arrive(ctx context.Context, connections int, rate float64, d time.Duration) (*hdrhistogram.Histogram, error) {
	all := hdrhistogram.New(1, int64(2*requestLimit/time.Microsecond), 3)
	sh, fans, err := p.fans(ctx, connections)
	if err != nil {
		return all, err
	}
	var mu sync.Mutex
	var next atomic.Int64
	total := int64(rate * d.Seconds())
	start := time.Now()
	var buying errgroup.Group
	for range connections {
		buying.Go(func() error {
			return p.on(start.Add(d), func(c *conn) error {
				for i := next.Add(1) - 1; i < total && ctx.Err() == nil; i = next.Add(1) - 1 {
					fan, more := <-fans
					if !more {
						return errSoldOut
					}
					time.Sleep(time.Until(start.Add(time.Duration(float64(i) / rate * float64(time.Second)))))
					took, err := p.buy(c, sh, fan)
					if err != nil {
						return err
					}
					mu.Lock()
					err = all.RecordValue(took.Microseconds())
					mu.Unlock()
					if err != nil {
						return err
					}
				}
				return ctx.Err()
			})
		})
	}
	return all, errors.Join(buying.Wait(), p.settled(ctx))
}

// on does something with a connection of its own, for use until end.
func (p *path) on(end time.Time, do func(c *conn) error) error {
	c, err := dial(p.address, end)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

// settled returns once all that was confirmed is captured.
func (p *path) settled(ctx context.Context) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		all, err := p.captured(ctx)
		if err != nil || all >= p.sold.Load() {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("of %d orders %d are captured", p.sold.Load(), all)
		}
	}
}

// captured is how many payments Stripe's double has captured.
func (p *path) captured(ctx context.Context) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.StripeURL+"/_double/stats", nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+p.StripeKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("count the captures: %w", err)
	}
	defer resp.Body.Close()
	var stats struct {
		Intents map[string]int64 `json:"payment_intents"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&stats); err != nil {
		return 0, fmt.Errorf("read the double's stats: %w", err)
	}
	return stats.Intents["succeeded"], nil
}

// payment is what every fan checks out with.
var payment = encode(map[string]any{"payment": map[string]string{"payment_method": "pm_card_visa"}, "idempotency_key": "1"})

// buy is one fan's way from the hold on. It returns how long the confirmation took from the checkout.
func (p *path) buy(c *conn, sh *shop, fan uint64) (time.Duration, error) {
	var hold struct {
		ID string `json:"hold_id"`
	}
	seats := sh.seats[fan*seatsPerOrder : (fan+1)*seatsPerOrder]
	c.out = sh.request(c.out[:0], fan, seats...)
	if err := into(&hold)(c.call(c.out, http.StatusCreated)); err != nil {
		return 0, err
	}
	var order struct{ Status string }
	header := sh.passes.header(fan) + "Onsale-Session: " + string(shopSession(nil, fan)) + "\r\nPrefer: wait=15\r\n"
	c.out = appendPost(c.out[:0], "/v1/holds/"+hold.ID+"/checkout", header, payment)
	start := time.Now()
	if err := into(&order)(c.call(c.out, http.StatusAccepted)); err != nil {
		return 0, err
	}
	if order.Status != "confirmed" {
		return 0, fmt.Errorf("order is %q: %s", order.Status, c.body)
	}
	p.sold.Add(1)
	return time.Since(start), nil
}

// into reads the answer of a call.
func into(v any) func([]byte, error) error {
	return func(answer []byte, err error) error {
		if err != nil {
			return err
		}
		return json.Unmarshal(answer, v)
	}
}

func encode(v map[string]any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings always encode
	}
	return b
}
