package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"onsale/internal/pass"
	"onsale/internal/sale"
)

// shop is an event with its seats, and passes into it that were signed before the clock runs.
type shop struct {
	event  string
	seats  []string
	passes tickets // Authorization headers, one for each session
}

// shop opens an event and signs passes for so many fans, as the api does, or one for every two seats.
func (s *system) shop(ctx context.Context, id, planName string, fans int) (*shop, error) {
	seats, err := s.event(ctx, id, planName, 1)
	if err != nil {
		return nil, err
	}
	if fans == 0 {
		fans = len(seats) / seatsPerOrder
	}
	keys, err := pass.ParseKeys(s.API.PassKeys, s.API.PassTTL, time.Now)
	if err != nil {
		return nil, err
	}
	sh := &shop{event: id, seats: seats}
	var all strings.Builder
	for i := range fans {
		token, _, err := keys.Issue(id, sale.HashSession(id, string(shopSession(nil, uint64(i)))))
		if err != nil {
			return nil, err
		}
		all.WriteString("Authorization: Bearer " + token + "\r\n")
	}
	sh.passes = tickets{all: all.String(), each: all.Len() / fans}
	return sh, s.opens(ctx, id)
}

// opens waits until the api knows that a sale is open.
func (s *system) opens(ctx context.Context, event string) error {
	for {
		answer, err := once(load{address: s.address, status: http.StatusOK, request: func(buf []byte, _ uint64) []byte {
			return appendGet(buf, "/v1/queue/"+event, "")
		}})
		var line struct{ State sale.State }
		if err := into(&line)(answer, err); err != nil || line.State == sale.Open {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// shopSession appends the session of a shop's i-th fan.
func shopSession(to []byte, i uint64) []byte {
	return strconv.AppendUint(append(to, "a-session-of-the-bench-"...), 1e9+i, 10)
}

// fans is how many there are.
func (sh *shop) fans() uint64 { return uint64(len(sh.passes.all) / sh.passes.each) }

// request appends the request of a fan who wants seats.
func (sh *shop) request(buf []byte, fan uint64, seats ...string) []byte {
	var room [256]byte
	b := append(room[:0], `{"seat_ids":["`...)
	for i, seat := range seats {
		if i > 0 {
			b = append(b, `","`...)
		}
		b = append(b, seat...)
	}
	b = append(shopSession(append(b, `"],"session":"`...), fan), `"}`...)
	return appendPost(buf, "/v1/events/"+sh.event+"/holds", sh.passes.header(fan), b)
}

// meet shows each fan's pass to the node once, with a seat that there is not: a fan who holds seats has seen them
// before, and a node knows the passes that it saw.
func (sh *shop) meet(ctx context.Context, connections int, address string) error {
	_, err := each(ctx, connections, sh.fans(), load{address: address, status: http.StatusBadRequest, request: func(buf []byte, i uint64) []byte {
		return sh.request(buf, i, "no-such-seat")
	}})
	return err
}

// pairs is a load in which each fan holds two seats that nobody had.
func (sh *shop) pairs(address string) load {
	return load{address: address, status: http.StatusCreated, request: func(buf []byte, i uint64) []byte {
		return sh.request(buf, i, sh.seats[i*seatsPerOrder:(i+1)*seatsPerOrder]...)
	}}
}

// each sends a load's first n requests and returns their rate in requests a second.
func each(ctx context.Context, connections int, n uint64, l load) (float64, error) {
	connections = int(min(uint64(connections), n))
	start := time.Now()
	sent, err := l.run(ctx, connections, start.Add(time.Minute), func(c *conn, request []byte, i uint64) (bool, error) {
		_, err := c.call(request, l.status)
		return i+uint64(connections) < n, err
	})
	return float64(sent) / time.Since(start).Seconds(), err
}

func benchHold(ctx context.Context, r *runner) (_ []Result, err error) {
	s, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	opened := 0
	// next is a stadium of which nobody has a seat yet.
	next := func() (*shop, error) {
		opened++
		sh, err := s.shop(ctx, fmt.Sprintf("stadium-%d", opened), "stadium", 0)
		if err != nil {
			return nil, err
		}
		return sh, sh.meet(ctx, r.Connections, s.address)
	}
	first, err := next()
	if err != nil {
		return nil, err
	}
	answer, err := once(first.pairs(s.address))
	if err != nil {
		return nil, err
	}
	bareAddress, stop, err := bare(http.StatusCreated, answer)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return r.compare(ctx, []versus{{"hold", "holds/s", "bare Fiber, same body and answer"}}, func(ctx context.Context) (float64, []float64, error) {
		var rate, base float64
		turns := max(1, int(r.Duration/time.Second))
		for range turns { // a turn holds all of a stadium, two seats at a time, which takes about a second
			sh, err := next()
			if err != nil {
				return 0, nil, err
			}
			held, err := each(ctx, r.Connections, sh.fans(), sh.pairs(s.address))
			if err != nil {
				return 0, nil, err
			}
			plain, err := each(ctx, r.Connections, sh.fans(), sh.pairs(bareAddress))
			if err != nil {
				return 0, nil, err
			}
			rate, base = rate+held/float64(turns), base+plain/float64(turns)
		}
		return rate, []float64{base}, nil
	})
}

// What hold-contended sends.
const (
	contendedFans  = 10_000
	contendedSeats = 100
)

func benchHoldContended(ctx context.Context, r *runner) (_ []Result, err error) {
	s, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	sh, err := s.shop(ctx, "contended", "theatre", contendedFans)
	if err != nil {
		return nil, err
	}
	sh.seats = sh.seats[:contendedSeats]
	if err := sh.meet(ctx, r.Connections, s.address); err != nil {
		return nil, err
	}
	losers, err := sh.rush(ctx, r.Connections, s.address)
	if err != nil {
		return nil, err
	}
	refused := func(address string) load {
		return load{address: address, status: http.StatusConflict, request: func(buf []byte, _ uint64) []byte {
			return sh.request(buf, losers[rand.IntN(len(losers))], sh.seats[rand.IntN(len(sh.seats))])
		}}
	}
	return r.againstBare(ctx, versus{"hold-contended", "refusals/s", "bare Fiber, same body and answer"}, s.address, refused)
}

// rush lets every fan ask once for one of the seats, at random, and returns those who got none. Each seat must have
// been held exactly once.
func (sh *shop) rush(ctx context.Context, connections int, address string) (losers []uint64, err error) {
	var mu sync.Mutex
	held := map[string]int{}
	l := load{address: address, request: func(buf []byte, i uint64) []byte {
		return sh.request(buf, i, sh.seats[rand.IntN(len(sh.seats))])
	}}
	_, err = l.run(ctx, connections, time.Now().Add(time.Minute), func(c *conn, request []byte, i uint64) (bool, error) {
		status, err := c.send(request)
		if err != nil {
			return false, err
		}
		mu.Lock()
		defer mu.Unlock()
		switch status {
		case http.StatusCreated:
			var h struct{ Seats []string }
			err = json.Unmarshal(c.body, &h)
			for _, seat := range h.Seats {
				held[seat]++
			}
		case http.StatusConflict:
			losers = append(losers, i)
		default:
			err = fmt.Errorf("a hold was answered %d: %s", status, c.body)
		}
		return i+uint64(connections) < sh.fans(), err
	})
	for seat, times := range held {
		if times != 1 {
			err = errors.Join(err, fmt.Errorf("seat %s was held %d times", seat, times))
		}
	}
	if won := int(sh.fans()) - len(losers); err == nil && (len(held) != len(sh.seats) || won != len(sh.seats)) {
		err = fmt.Errorf("%d of %d seats were held, by %d fans", len(held), len(sh.seats), won)
	}
	return losers, err
}
