package stripe

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"onsale/internal/pace"
)

// paced is the transport of all calls. Each has its turn first; the limit on a call's time begins after that. A call that
// Stripe refuses for the account's rate had no effect, so it is made again, under the same key, while there is time.
type paced struct {
	base    http.RoundTripper
	pacer   *pace.Pacer // nil for none
	timeout time.Duration
}

// The bounds of calling again after a 429. Stripe sends no Retry-After today; one that is sent is honoured up to
// mostPause.
const (
	maxTries   = 6
	firstPause = 250 * time.Millisecond
	mostPause  = 30 * time.Second
	mostError  = 64 << 10 // bytes of a refusal that are read
)

// RoundTrip makes a call when it is its turn.
func (p *paced) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, class := req.Context(), classOf(req)
	for try := 1; ; try++ {
		if err := p.turn(ctx, class); err != nil {
			closeBody(req)
			return nil, err
		}
		resp, err := p.call(req)
		if err != nil || resp.StatusCode != http.StatusTooManyRequests || p.pacer == nil {
			return resp, err
		}
		pause := p.refused(ctx, resp)
		if wait := pause + jittered(try); try == maxTries || !again(resp) || req.GetBody == nil && req.Body != nil || !pauses(ctx, wait, p.timeout) {
			return resp, nil
		}
		if req.GetBody != nil {
			body, err := req.GetBody()
			if err != nil {
				return nil, err
			}
			req = req.Clone(ctx)
			req.Body = body
		}
	}
}

func (p *paced) turn(ctx context.Context, c pace.Class) error {
	if p.pacer == nil {
		return nil
	}
	began := time.Now()
	err := p.pacer.Wait(ctx, c)
	turns.WithLabelValues(c.String(), outcomeOf(err)).Observe(time.Since(began).Seconds())
	return err
}

// call makes one call, which ends with its body.
func (p *paced) call(req *http.Request) (*http.Response, error) {
	ctx, cancel := req.Context(), context.CancelFunc(func() {})
	if p.timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, p.timeout)
	}
	req = req.WithContext(ctx)
	if err := measure(req); err != nil {
		cancel()
		return nil, err
	}
	resp, err := p.base.RoundTrip(req)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &body{ReadCloser: resp.Body, done: cancel}
	return resp, nil
}

// measure tells the length of a request's body, which stripe-go leaves open. The body would be sent in chunks, each with
// system calls of its own, after a wait for whether there is one at all.
func measure(req *http.Request) error {
	if req.Body == nil || req.ContentLength > 0 {
		return nil
	}
	whole, err := io.ReadAll(req.Body)
	req.Body.Close()
	req.Body, req.ContentLength = http.NoBody, int64(len(whole))
	if len(whole) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(whole))
	}
	return err
}

// body ends a call's time when it is closed.
type body struct {
	io.ReadCloser
	done context.CancelFunc
}

func (b *body) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}

// refused reads a 429, and tells the workers where it is about the account: an object that is locked by another call
// answers 429 too, and says nothing of the rate.
func (p *paced) refused(ctx context.Context, resp *http.Response) (pause time.Duration) {
	read, _ := io.ReadAll(io.LimitReader(resp.Body, mostError)) // what can't be read is no lock
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(read))
	var said struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	_ = json.Unmarshal(read, &said)
	if said.Error.Code == "lock_timeout" || resp.Header.Get("Stripe-Rate-Limited-Reason") == "resource-specific" {
		return 0
	}
	refusals.Inc()
	if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && after > 0 {
		pause = min(time.Duration(min(after, 3600))*time.Second, mostPause)
	}
	p.pacer.Limited(ctx, pause)
	return pause
}

// again says whether Stripe would have the call made again.
func again(resp *http.Response) bool { return resp.Header.Get("Stripe-Should-Retry") != "false" }

// jittered is a pause that is longer after each try, anywhere between its half and its whole: calls that were refused
// together must not come again together.
func jittered(try int) time.Duration {
	whole := firstPause << (try - 1)
	return whole/2 + rand.N(whole/2)
}

// pauses waits, and says whether there is time for a call behind it; if not it doesn't wait.
func pauses(ctx context.Context, wait, call time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait+call {
		return false
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// classOf is what a call is for, by its endpoint. A look at one object is about something that has begun: a buyer who
// came back from the bank, a capture that was refused.
func classOf(req *http.Request) pace.Class {
	path := strings.Trim(req.URL.Path, "/")
	switch {
	case req.Method == http.MethodPost && path == "v1/payment_intents": // an authorization
		return pace.Begin
	case req.Method == http.MethodGet && (strings.Count(path, "/") == 1 || strings.HasSuffix(path, "/search")): // many objects
		return pace.Begin
	}
	return pace.Finish
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
