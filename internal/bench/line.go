package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"
)

func benchHTTP(ctx context.Context, r *runner) (_ []Result, err error) {
	address, stop, err := bare(fasthttp.StatusOK, []byte(`{"ok":true}`))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return r.compare(ctx, []versus{{"http", "req/s", ""}}, func(ctx context.Context) (float64, []float64, error) {
		v, err := closedLoop(ctx, address, r.Connections, r.Duration, func(c *fasthttp.HostClient, req *fasthttp.Request, resp *fasthttp.Response, _ uint64) error {
			get(req, address, "/")
			return expect(c, req, resp, fasthttp.StatusOK)
		})
		return v, nil, err
	})
}

// joinLoad joins with a session that nobody had before.
func joinLoad(address, event string) shoot {
	return func(c *fasthttp.HostClient, req *fasthttp.Request, resp *fasthttp.Response, _ uint64) error {
		post(req, address, "/v1/queue/"+event+"/join", []byte(`{"session":"`+uuid.NewString()+`"}`))
		return expect(c, req, resp, fasthttp.StatusCreated)
	}
}

func benchJoin(ctx context.Context, r *runner) (_ []Result, err error) {
	s, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	// A slow pace: a join that is admitted at once would also pay for its pass.
	if _, err := s.event(ctx, "chunked", "theatre", 1); err != nil {
		return nil, err
	}
	if _, err := s.event(ctx, "single", "theatre", 1); err != nil {
		return nil, err
	}
	single, err := s.oneByOne(ctx, r)
	if err != nil {
		return nil, err
	}
	answer, err := oneJoin(s.address, "chunked")
	if err != nil {
		return nil, err
	}
	bareAddress, stop, err := bare(fasthttp.StatusCreated, answer)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	results, err := r.compare(ctx, []versus{{"join", "joins/s", "one message per join"}, {"join-http", "joins/s", "bare Fiber, same body and answer"}},
		func(ctx context.Context) (float64, []float64, error) {
			v, err := closedLoop(ctx, s.address, r.Connections, r.Duration, joinLoad(s.address, "chunked"))
			if err != nil {
				return 0, nil, err
			}
			one, err := closedLoop(ctx, single, r.Connections, r.Duration, joinLoad(single, "single"))
			if err != nil {
				return 0, nil, err
			}
			base, err := closedLoop(ctx, bareAddress, r.Connections, r.Duration, joinLoad(bareAddress, "x"))
			return v, []float64{one, base}, err
		})
	if err != nil {
		return nil, err
	}
	rate := 0.8 * results[0].Value
	r.tell("  open loop at %.0f joins/s", rate)
	late, err := openLoop(ctx, s.address, r.Connections, rate, r.Duration, joinLoad(s.address, "chunked"))
	if err != nil {
		return nil, err
	}
	p99 := float64(late.ValueAtQuantile(99)) / 1000
	return append(results, Result{Bench: "join-p99", Value: p99, Unit: "ms at 80 %", Samples: []float64{p99}}), nil
}

// oneJoin joins once and returns the answer.
func oneJoin(address, event string) ([]byte, error) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	err := joinLoad(address, event)(newClient(address, 1), req, resp, 0)
	return append([]byte(nil), resp.Body()...), err
}

func benchPosition(ctx context.Context, r *runner) (_ []Result, err error) {
	s, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if _, err := s.event(ctx, "line", "theatre", 0.001); err != nil {
		return nil, err
	}
	tickets := make([]string, 1000)
	var joined atomic.Int64
	for i := range tickets {
		answer, err := oneJoin(s.address, "line")
		if err != nil {
			return nil, err
		}
		var a struct {
			Ticket string `json:"ticket"`
		}
		if err := json.Unmarshal(answer, &a); err != nil || a.Ticket == "" {
			return nil, fmt.Errorf("join %d: no ticket in %s", joined.Add(1), answer)
		}
		tickets[i] = a.Ticket
	}
	poll := func(address string) shoot {
		return func(c *fasthttp.HostClient, req *fasthttp.Request, resp *fasthttp.Response, i uint64) error {
			get(req, address, "/v1/queue/line/position")
			req.Header.Set("Authorization", "Bearer "+tickets[i%uint64(len(tickets))])
			return expect(c, req, resp, fasthttp.StatusOK)
		}
	}
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	if err := poll(s.address)(newClient(s.address, 1), req, resp, 500); err != nil {
		return nil, err
	}
	bareAddress, stop, err := bare(fasthttp.StatusOK, append([]byte(nil), resp.Body()...))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return r.compare(ctx, []versus{{"position", "polls/s", "bare Fiber, same answer"}}, func(ctx context.Context) (float64, []float64, error) {
		v, err := closedLoop(ctx, s.address, r.Connections, r.Duration, poll(s.address))
		if err != nil {
			return 0, nil, err
		}
		base, err := closedLoop(ctx, bareAddress, r.Connections, r.Duration, poll(bareAddress))
		return v, []float64{base}, err
	})
}
