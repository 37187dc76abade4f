package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// benchPath sells the stadium two seats at a time. Every order is a fan of its own: join, poll until the pass,
// hold, check out, wait for the confirmation. What counts is how many payments Stripe's double captures in a time in
// which fans come and go evenly; every order of the run must be confirmed, and captured in the end.
func benchPath(ctx context.Context, r *runner) (_ []Result, err error) {
	s, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	seats, err := s.event(ctx, "stadium", "stadium", 100_000)
	if err != nil {
		return nil, err
	}
	bareAddress, stop, err := bare(http.StatusOK, []byte(`{"ok":true}`))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	p := &path{system: s, seats: seats}
	return r.compare(ctx, []versus{{"path", "orders/s", "bare Fiber, requests/s"}}, func(ctx context.Context) (float64, []float64, error) {
		v, err := p.sell(ctx, r.Connections, r.Duration)
		if err != nil {
			return 0, nil, err
		}
		base, err := closedLoop(ctx, r.Connections, r.Duration, simple(bareAddress))
		return v, []float64{base}, err
	})
}

const seatsPerOrder = 2

type path struct {
	*system
	seats []string
	next  atomic.Int64 // the first seat that nobody was sent for
	sold  atomic.Int64 // orders confirmed since the start
}

// warmUp is how long fans buy before the clock runs.
const warmUp = 2 * time.Second

// sell lets fans buy and returns the captures a second.
func (p *path) sell(ctx context.Context, fans int, d time.Duration) (float64, error) {
	end := time.Now().Add(warmUp + d)
	var buying errgroup.Group
	for range fans {
		buying.Go(func() error {
			c, err := dial(p.address, end)
			if err != nil {
				return err
			}
			defer c.Close()
			for ctx.Err() == nil && time.Now().Before(end) {
				at := p.next.Add(seatsPerOrder) - seatsPerOrder
				if int(at)+seatsPerOrder > len(p.seats) {
					return errors.New("the stadium is sold out: shorten --duration or take fewer --samples")
				}
				if err := p.buy(ctx, c, p.seats[at:at+seatsPerOrder]); err != nil {
					return err
				}
				p.sold.Add(1)
			}
			return ctx.Err()
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
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		all, err := p.captured(ctx)
		if err != nil || all >= p.sold.Load() {
			return float64(after-before) / took.Seconds(), err
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("of %d orders %d are captured", p.sold.Load(), all)
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

// buy is one fan's way.
func (p *path) buy(ctx context.Context, c *conn, seats []string) error {
	session := uuid.NewString()
	var line struct {
		Ticket, Pass string
		PollAfterMS  int64 `json:"poll_after_ms"`
	}
	if err := into(&line)(c.call(appendPost(nil, "/v1/queue/stadium/join", "", encode(map[string]any{"session": session})), http.StatusCreated)); err != nil {
		return err
	}
	poll := appendGet(nil, "/v1/queue/stadium/position", "Authorization: Bearer "+line.Ticket+"\r\n")
	time.Sleep(time.Duration(line.PollAfterMS) * time.Millisecond / 4) // a fan who comes when nobody waits is let in by the next tick
	for {
		if err := into(&line)(c.call(poll, http.StatusOK)); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if line.Pass != "" {
			break
		}
		time.Sleep(time.Duration(line.PollAfterMS) * time.Millisecond * 6 / 10) // before half of it has passed it would be refused
	}
	proof := "Authorization: Bearer " + line.Pass + "\r\nOnsale-Session: " + session + "\r\n"
	var hold struct {
		ID string `json:"hold_id"`
	}
	take := encode(map[string]any{"seat_ids": seats, "session": session})
	if err := into(&hold)(c.call(appendPost(nil, "/v1/events/stadium/holds", proof, take), http.StatusCreated)); err != nil {
		return err
	}
	var order struct{ Status string }
	pay := encode(map[string]any{"payment": map[string]string{"payment_method": "pm_card_visa"}, "idempotency_key": "1"})
	if err := into(&order)(c.call(appendPost(nil, "/v1/holds/"+hold.ID+"/checkout", proof+"Prefer: wait=15\r\n", pay), http.StatusAccepted)); err != nil {
		return err
	}
	if order.Status != "confirmed" {
		return fmt.Errorf("order is %q: %s", order.Status, c.body)
	}
	return nil
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
