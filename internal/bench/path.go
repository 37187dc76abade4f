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

	"github.com/google/uuid"
)

// benchPath sells the stadium two seats at a time. Every order is a fan of its own: join, poll until the pass,
// hold, check out, wait for the confirmation. The clock stops when the last payment is captured.
func benchPath(ctx context.Context, r *runner) (_ []Result, err error) {
	s, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
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

// sell lets fans buy for a time and returns the orders a second, to the last capture.
func (p *path) sell(ctx context.Context, fans int, d time.Duration) (float64, error) {
	before := p.sold.Load()
	start := time.Now()
	end := start.Add(d)
	var wg sync.WaitGroup
	failures := make(chan error, fans)
	for range fans {
		wg.Go(func() {
			c, err := dial(p.address, end)
			if err != nil {
				failures <- err
				return
			}
			defer c.Close()
			for ctx.Err() == nil && time.Now().Before(end) {
				at := p.next.Add(seatsPerOrder) - seatsPerOrder
				if int(at)+seatsPerOrder > len(p.seats) {
					return // sold out
				}
				if err := p.buy(ctx, c, p.seats[at:at+seatsPerOrder]); err != nil {
					failures <- err
					return
				}
				p.sold.Add(1)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failures:
		return 0, err
	default:
	}
	orders := p.sold.Load() - before
	if err := p.captured(ctx, p.sold.Load()); err != nil {
		return 0, err
	}
	return float64(orders) / time.Since(start).Seconds(), nil
}

// captured waits until Stripe's double has captured so many payments.
func (p *path) captured(ctx context.Context, want int64) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.StripeURL+"/_double/stats", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+p.StripeKey)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("wait for %d captures: %w", want, err)
		}
		var stats struct {
			Intents map[string]int64 `json:"payment_intents"`
		}
		err = json.NewDecoder(resp.Body).Decode(&stats)
		resp.Body.Close()
		if err != nil {
			return fmt.Errorf("read the double's stats: %w", err)
		}
		if stats.Intents["succeeded"] >= want {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// buy is one fan's way.
func (p *path) buy(ctx context.Context, c *conn, seats []string) error {
	session := uuid.NewString()
	var line struct{ Ticket, Pass string }
	if err := into(&line)(c.call(appendPost(nil, "/v1/queue/stadium/join", "", encode(map[string]any{"session": session})), http.StatusCreated)); err != nil {
		return err
	}
	poll := appendGet(nil, "/v1/queue/stadium/position", "Authorization: Bearer "+line.Ticket+"\r\n")
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
		time.Sleep(100 * time.Millisecond)
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
