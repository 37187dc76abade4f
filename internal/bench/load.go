package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/valyala/fasthttp"
)

// requestLimit bounds one request of a load.
const requestLimit = 20 * time.Second

// shoot does the i-th request of a load with a worker's own request and response, and says whether it was
// answered as it should be.
type shoot func(client *fasthttp.HostClient, req *fasthttp.Request, resp *fasthttp.Response, i uint64) error

func newClient(address string, connections int) *fasthttp.HostClient {
	return &fasthttp.HostClient{Addr: address, MaxConns: connections, ReadTimeout: requestLimit, WriteTimeout: requestLimit, NoDefaultUserAgentHeader: true}
}

// closedLoop sends as many requests as are answered, over a number of connections, and returns the rate in
// requests a second.
func closedLoop(ctx context.Context, address string, connections int, d time.Duration, each shoot) (float64, error) {
	client := newClient(address, connections)
	defer client.CloseIdleConnections()
	var n, failed atomic.Uint64
	var first atomic.Value
	var wg sync.WaitGroup
	start := time.Now()
	end := start.Add(d)
	for range connections {
		wg.Go(func() {
			req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			defer fasthttp.ReleaseRequest(req)
			defer fasthttp.ReleaseResponse(resp)
			for ctx.Err() == nil && time.Now().Before(end) {
				if err := each(client, req, resp, n.Add(1)-1); err != nil {
					failed.Add(1)
					first.CompareAndSwap(nil, err.Error())
				}
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if failed.Load() > 0 {
		return 0, fmt.Errorf("%d of %d requests failed, the first: %v", failed.Load(), n.Load(), first.Load())
	}
	return float64(n.Load()) / time.Since(start).Seconds(), nil
}

// openLoop sends requests at a fixed rate, whatever the answers do, and returns the latencies in microseconds,
// each from when its request was due.
func openLoop(ctx context.Context, address string, connections int, rate float64, d time.Duration, each shoot) (*hdrhistogram.Histogram, error) {
	client := newClient(address, connections)
	defer client.CloseIdleConnections()
	total := uint64(rate * d.Seconds())
	var next, failed atomic.Uint64
	latencies := make([]*hdrhistogram.Histogram, connections)
	var wg sync.WaitGroup
	start := time.Now()
	for w := range connections {
		latencies[w] = hdrhistogram.New(1, int64(2*requestLimit/time.Microsecond), 3)
		wg.Go(func() {
			req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			defer fasthttp.ReleaseRequest(req)
			defer fasthttp.ReleaseResponse(resp)
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= total {
					return
				}
				due := start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
				if wait := time.Until(due); wait > 0 {
					time.Sleep(wait)
				}
				if each(client, req, resp, i) != nil {
					failed.Add(1)
				}
				_ = latencies[w].RecordValue(time.Since(due).Microseconds()) // over the histogram's end only after requestLimit
			}
		})
	}
	wg.Wait()
	if failed.Load() > 0 {
		return nil, errors.Join(ctx.Err(), fmt.Errorf("%d of %d requests failed", failed.Load(), total))
	}
	all := latencies[0]
	for _, h := range latencies[1:] {
		all.Merge(h)
	}
	return all, ctx.Err()
}

// expect sends a request and checks the status.
func expect(client *fasthttp.HostClient, req *fasthttp.Request, resp *fasthttp.Response, status int) error {
	if err := client.DoTimeout(req, resp, requestLimit); err != nil {
		return err
	}
	if resp.StatusCode() != status {
		return fmt.Errorf("%s answered %d: %s", req.URI().Path(), resp.StatusCode(), resp.Body())
	}
	return nil
}

// post fills a request with a JSON body.
func post(req *fasthttp.Request, address, path string, body []byte) {
	req.Header.SetMethod(fasthttp.MethodPost)
	req.Header.SetContentType("application/json")
	req.SetRequestURI("http://" + address + path)
	req.SetBodyRaw(body)
}

// get fills a request without a body.
func get(req *fasthttp.Request, address, path string) {
	req.Header.SetMethod(fasthttp.MethodGet)
	req.SetRequestURI("http://" + address + path)
	req.ResetBody()
	req.Header.SetContentLength(0) // fasthttp keeps that of an earlier body
}
