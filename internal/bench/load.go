package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// requestLimit bounds one request of a load.
const requestLimit = 20 * time.Second

// load is what is sent, and the status that every answer must have.
type load struct {
	address string
	request func(buf []byte, i uint64) []byte // appends the i-th request
	status  int
}

// closedLoop sends as many requests as are answered, over a number of connections, and returns the rate in
// requests a second.
func closedLoop(ctx context.Context, connections int, d time.Duration, l load) (float64, error) {
	start := time.Now()
	end := start.Add(d)
	n, err := l.run(ctx, connections, end, func(c *conn, request []byte, _ uint64) (bool, error) {
		_, err := c.call(request, l.status)
		return time.Now().Before(end), err
	})
	return float64(n) / time.Since(start).Seconds(), err
}

// turn is how long a load runs before it is another's turn.
const turn = time.Second / 4

// inTurn runs closed loops by turns, each for as long as a sample in all, and returns their rates: a machine's speed
// drifts within a second.
func (r *runner) inTurn(ctx context.Context, loads ...load) ([]float64, error) {
	rates := make([]float64, len(loads))
	turns := max(1, int(r.Duration/turn))
	for range turns {
		for i, l := range loads {
			rate, err := closedLoop(ctx, r.Connections, r.Duration/time.Duration(turns), l)
			if err != nil {
				return nil, err
			}
			rates[i] += rate / float64(turns)
		}
	}
	return rates, nil
}

// againstBare compares a load on the system with the same on a bare handler that answers as the system did once.
func (r *runner) againstBare(ctx context.Context, v versus, address string, of func(address string) load) (_ []Result, err error) {
	l := of(address)
	answer, err := once(l)
	if err != nil {
		return nil, err
	}
	bareAddress, stop, err := bare(l.status, answer)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return r.compare(ctx, []versus{v}, func(ctx context.Context) (float64, []float64, error) {
		rates, err := r.inTurn(ctx, l, of(bareAddress))
		if err != nil {
			return 0, nil, err
		}
		return rates[0], rates[1:], nil
	})
}

// openLoop sends requests at a fixed rate, whatever the answers do, and returns the latencies in microseconds,
// each from when its request was due.
func openLoop(ctx context.Context, connections int, rate float64, d time.Duration, l load) (*hdrhistogram.Histogram, error) {
	var mu sync.Mutex
	all := hdrhistogram.New(1, int64(2*requestLimit/time.Microsecond), 3)
	total := uint64(rate * d.Seconds())
	start := time.Now()
	_, err := l.run(ctx, connections, start.Add(d), func(c *conn, request []byte, i uint64) (bool, error) {
		due := start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		_, err := c.call(request, l.status)
		took := time.Since(due).Microseconds()
		mu.Lock()
		defer mu.Unlock()
		return i+uint64(connections) < total, errors.Join(err, all.RecordValue(took))
	})
	return all, err
}

// run calls each for one request after the other, in every connection, until it says that it was the last or
// fails, and returns how many there were.
func (l load) run(ctx context.Context, connections int, end time.Time, each func(c *conn, request []byte, i uint64) (more bool, err error)) (uint64, error) {
	var next atomic.Uint64
	errs := make([]error, connections)
	var wg sync.WaitGroup
	for w := range connections {
		wg.Go(func() {
			c, err := dial(l.address, end)
			if err != nil {
				errs[w] = err
				return
			}
			defer c.Close()
			var buf []byte
			for more := true; more && err == nil && ctx.Err() == nil; {
				i := next.Add(1) - 1
				buf = l.request(buf[:0], i)
				more, err = each(c, buf, i)
			}
			errs[w] = err
		})
	}
	wg.Wait()
	var failed []error
	for _, err := range errs {
		if err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		return 0, fmt.Errorf("%d of %d connections failed, the first: %w", len(failed), connections, failed[0])
	}
	return next.Load(), ctx.Err()
}
