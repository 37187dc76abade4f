package bench

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"onsale/internal/line"
)

// simple is a load on the bare handler.
func simple(address string) load {
	return load{address: address, status: http.StatusOK, request: func(buf []byte, _ uint64) []byte { return appendGet(buf, "/", "") }}
}

func benchHTTP(ctx context.Context, r *runner) (_ []Result, err error) {
	address, stop, err := bare(http.StatusOK, []byte(`{"ok":true}`))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return r.compare(ctx, []versus{{"http", "req/s", ""}}, func(ctx context.Context) (float64, []float64, error) {
		v, err := closedLoop(ctx, r.Connections, r.Duration, simple(address))
		return v, nil, err
	})
}

// sessions counts the sessions of all loads, so that nobody had one before.
var sessions atomic.Uint64

// joins is a load of joins, each with a session of its own.
func joins(address, event string) load {
	path := "/v1/queue/" + event + "/join"
	return load{address: address, status: http.StatusCreated, request: func(buf []byte, _ uint64) []byte {
		var body [64]byte
		b := append(body[:0], `{"session":"a-session-of-the-bench-`...)
		b = append(strconv.AppendUint(b, 1e9+sessions.Add(1), 10), `"}`...)
		return appendPost(buf, path, "", b)
	}}
}

func benchJoin(ctx context.Context, r *runner) (_ []Result, err error) {
	s, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	// A slow pace: a join that is admitted at once would also pay for its pass.
	if _, err := s.event(ctx, "chunked", "theatre", 1); err != nil {
		return nil, err
	}
	if _, err := s.event(ctx, "single", "theatre", 1); err != nil {
		return nil, err
	}
	answer, err := once(joins(s.address, "chunked"))
	if err != nil {
		return nil, err
	}
	bareAddress, stop, err := bare(http.StatusCreated, answer)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	results, err := r.compare(ctx, []versus{{"join", "joins/s", "one message per join"}, {"join-http", "joins/s", "bare Fiber, same body and answer"}},
		func(ctx context.Context) (float64, []float64, error) {
			rates, err := r.inTurn(ctx, joins(s.address, "chunked"), joins(bareAddress, "x"))
			if err != nil {
				return 0, nil, err
			}
			var one float64
			err = s.oneByOne(ctx, r, func(address string) (err error) {
				one, err = closedLoop(ctx, r.Connections, r.Duration, joins(address, "single"))
				return err
			})
			return rates[0], []float64{one, rates[1]}, err
		})
	if err != nil {
		return nil, err
	}
	rate := 0.8 * results[0].Value
	r.tell("  open loop at %.0f joins/s", rate)
	late, err := r.compare(ctx, []versus{{"join-p99", "ms at 80 %", ""}}, func(ctx context.Context) (float64, []float64, error) {
		h, err := openLoop(ctx, r.Connections, rate, r.Duration, joins(s.address, "chunked"))
		return float64(h.ValueAtQuantile(99)) / 1000, nil, err
	})
	return append(results, late...), err
}

// once sends one request of a load and returns the answer.
func once(l load) ([]byte, error) {
	c, err := dial(l.address, time.Now())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.call(l.request(nil, 0), l.status)
}

func benchPosition(ctx context.Context, r *runner) (_ []Result, err error) {
	s, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.event(ctx, "line", "theatre", 0.001); err != nil {
		return nil, err
	}
	tickets, err := s.tickets("line", 1_000_000)
	if err != nil {
		return nil, err
	}
	var polled atomic.Uint64 // over all samples: no ticket comes again too early
	polls := func(address string) load {
		return load{address: address, status: http.StatusOK, request: func(buf []byte, _ uint64) []byte {
			return appendGet(buf, "/v1/queue/line/position", tickets.header(polled.Add(1)))
		}}
	}
	return r.againstBare(ctx, versus{"position", "polls/s", "bare Fiber, same answer"}, s.address, polls)
}

// tickets are headers with tickets of many fans, each as long as the others, in one piece: a million strings would
// be the garbage collector's business, and so the server's.
type tickets struct {
	all  string
	each int
}

// header is the i-th, over and over.
func (t tickets) header(i uint64) string {
	at := int(i % uint64(len(t.all)/t.each) * uint64(t.each))
	return t.all[at : at+t.each]
}

// tickets are of n fans: a fan who polls too early is refused, so there must be more of them than are asked for in the
// seconds that each has to wait. All but the first are signed here.
func (s *system) tickets(event string, n int) (tickets, error) {
	answer, err := once(joins(s.address, event))
	if err != nil {
		return tickets{}, err
	}
	var a struct {
		Ticket string `json:"ticket"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return tickets{}, fmt.Errorf("join %s: %w", event, err)
	}
	t, err := line.ReadTicket(a.Ticket)
	if err != nil {
		return tickets{}, err
	}
	secret, err := base64.StdEncoding.DecodeString(s.API.TicketSecret)
	if err != nil {
		return tickets{}, err
	}
	keys := line.NewTickets(secret)
	var all strings.Builder
	for range n {
		all.WriteString("Authorization: Bearer " + keys.Sign(event, t) + "\r\n")
		t.Index++
	}
	return tickets{all: all.String(), each: all.Len() / n}, nil
}
