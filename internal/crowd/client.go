package crowd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// Connections are shared by all fans, in three parts. Those in line can't keep the few inside from
	// their seats, which would happen to nobody who has a connection of one's own; and calls that ask
	// the server to wait for an outcome can't starve either.
	maxConns        = maxLineConns + maxInsideConns + maxWaitingConns
	maxLineConns    = 256
	maxInsideConns  = 128
	maxWaitingConns = 128

	callTimeout = 10 * time.Second
	waitAtMost  = 10 * time.Second // what Prefer: wait asks for
	waitTimeout = waitAtMost + 15*time.Second

	backoffFirst  = 100 * time.Millisecond
	backoffMost   = 5 * time.Second
	retryAfterMin = 100 * time.Millisecond
	retryAfterMax = time.Minute

	maxBody   = 16 << 20 // a seat list of a stadium is about 5 MiB
	maxPooled = 1 << 20
)

// client speaks HTTP for every fan over one bounded set of connections. It is safe for concurrent use.
type client struct {
	http    *http.Client
	base    string
	meter   *meter
	line    chan struct{}
	inside  chan struct{}
	waiting chan struct{}
	bodies  sync.Pool
}

func newClient(cfg Config, m *meter) *client {
	dial := cfg.dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: callTimeout, KeepAlive: 30 * time.Second}).DialContext
	}
	return &client{
		http: &http.Client{Transport: &http.Transport{
			DialContext:         dial,
			MaxConnsPerHost:     maxConns,
			MaxIdleConns:        maxConns,
			MaxIdleConnsPerHost: maxConns,
			IdleConnTimeout:     30 * time.Second,
			TLSHandshakeTimeout: callTimeout,
		}},
		base:    strings.TrimSuffix(cfg.BaseURL, "/"),
		meter:   m,
		line:    make(chan struct{}, maxLineConns),
		inside:  make(chan struct{}, maxInsideConns),
		waiting: make(chan struct{}, maxWaitingConns),
		bodies:  sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
}

// request is one call, in a form that can be sent any number of times.
type request struct {
	call     call
	waitCall call // what the call is measured as when the server was asked to wait
	method   string
	path     string
	bearer   string
	session  string
	etag     string
	body     []byte
	wait     bool // ask the server to answer when the outcome is known
}

// answer is what came back, other than the body of a success.
type answer struct {
	status     int
	problem    problem
	etag       string
	retryAfter string
	// unsure says that an earlier sending of the same request may have been carried out although its
	// answer was lost.
	unsure bool
}

func (a answer) ok() bool { return a.status >= 200 && a.status < 300 }

// passRefused says that the bearer token, or the session with it, was not accepted.
func (a answer) passRefused() bool {
	return a.status == http.StatusUnauthorized || a.status == http.StatusForbidden
}

// what names a refusal for the counts: the problem's code, or else the status.
func (a answer) what() string {
	if a.problem.Code != "" {
		return a.problem.Code
	}
	return strconv.Itoa(a.status)
}

// send carries a request out and decodes the body of a success. It returns an error only when the
// context is done: see do.
func send[T any](ctx context.Context, c *client, r request) (T, answer, error) {
	var got T
	a, err := c.do(ctx, r, func(body []byte) error {
		got = *new(T) // an earlier answer may have been half decoded
		return json.Unmarshal(body, &got)
	})
	return got, a, err
}

// do sends a request until it is answered with something other than overload or failure, and so is
// bounded by the context alone. Every call of the contract may be repeated: the session makes a join
// the same join, the key a checkout the same checkout, and a repeated hold is told apart by its session.
func (c *client) do(ctx context.Context, r request, decode func([]byte) error) (answer, error) {
	unsure := false
	for attempt := 0; ; attempt++ {
		a, err := c.once(ctx, r, decode)
		if ctx.Err() != nil && err != nil {
			return answer{unsure: true}, ctx.Err()
		}
		var pause time.Duration
		switch {
		case err != nil:
			unsure = true
			c.meter.failed(r.call, failure(err))
			pause = backoff(attempt)
		case a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable:
			// A 503 may also follow work that was begun.
			unsure = unsure || a.status == http.StatusServiceUnavailable
			c.meter.throttled(r.call, a.what())
			pause = afterRefusal(a.retryAfter, time.Now(), attempt)
		case a.status >= http.StatusInternalServerError:
			unsure = true
			c.meter.failed(r.call, a.what())
			pause = backoff(attempt)
		default:
			a.unsure = unsure
			return a, nil
		}
		if err := sleep(ctx, pause); err != nil {
			return answer{unsure: unsure}, err
		}
	}
}

// once sends a request one time. Its timeout starts when a connection may be used, since the queue for
// one is made by the crowd's own bound and says nothing of the sale; that wait is measured by itself.
func (c *client) once(ctx context.Context, r request, decode func([]byte) error) (answer, error) {
	wanted := time.Now()
	asked, release, err := c.acquire(ctx, r)
	if err != nil {
		return answer{}, err
	}
	defer release()
	started := time.Now()
	c.meter.observe(callSlot, started.Sub(wanted))

	kind, timeout := r.call, callTimeout
	if asked {
		kind, timeout = r.waitCall, waitTimeout
	}
	callCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := c.build(callCtx, r, asked)
	if err != nil {
		return answer{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a, err := c.read(resp, decode)
	if err == nil {
		c.meter.observe(kind, time.Since(started))
	}
	return a, err
}

// acquire takes the right to one connection. A call that would like to wait at the server does so only
// while one of the connections set aside for it is free, and is answered at once otherwise.
func (c *client) acquire(ctx context.Context, r request) (asked bool, release func(), err error) {
	if r.wait {
		select {
		case c.waiting <- struct{}{}:
			return true, func() { <-c.waiting }, nil
		default:
		}
	}
	slots := c.inside
	if r.call == callJoin || r.call == callPosition {
		slots = c.line
	}
	select {
	case slots <- struct{}{}:
		return false, func() { <-slots }, nil
	case <-ctx.Done():
		return false, nil, ctx.Err()
	}
}

func (c *client) build(ctx context.Context, r request, wait bool) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, body)
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	set := func(name, value string) {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if r.body != nil {
		set("Content-Type", "application/json")
	}
	if r.bearer != "" {
		set("Authorization", "Bearer "+r.bearer)
	}
	set("Onsale-Session", r.session)
	set("If-None-Match", r.etag)
	if wait {
		set("Prefer", "wait="+strconv.Itoa(int(waitAtMost/time.Second)))
	}
	return req, nil
}

// errMalformed is a success whose body is not what the contract says.
var errMalformed = errors.New("malformed body")

func (c *client) read(resp *http.Response, decode func([]byte) error) (answer, error) {
	a := answer{status: resp.StatusCode, etag: resp.Header.Get("ETag"), retryAfter: resp.Header.Get("Retry-After")}
	body := c.bodies.Get().(*bytes.Buffer)
	body.Reset()
	defer func() {
		if body.Cap() <= maxPooled {
			c.bodies.Put(body)
		}
	}()
	if _, err := body.ReadFrom(io.LimitReader(resp.Body, maxBody)); err != nil {
		return answer{}, err
	}
	if !a.ok() {
		// A proxy's error page is no problem document; the status then has to do.
		_ = json.Unmarshal(body.Bytes(), &a.problem)
		return a, nil
	}
	if resp.StatusCode == http.StatusNoContent {
		return a, nil
	}
	if err := decode(body.Bytes()); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return a, nil
}

// failure names an error for the counts, in few enough words to be counted by.
func failure(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, errMalformed):
		return "malformed body"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	default:
		return "connection"
	}
}

// backoff doubles with every attempt up to a bound. Half of it is random, so that fans who were cut off
// together do not come back together.
func backoff(attempt int) time.Duration {
	d := min(backoffFirst<<min(attempt, 16), backoffMost)
	return d/2 + rand.N(d/2)
}

// afterRefusal is how long to stay away after a 429 or 503: what Retry-After says (RFC 9110, section
// 10.2.3: seconds or a date) and up to half as much again, or a backoff where it says nothing.
func afterRefusal(header string, now time.Time, attempt int) time.Duration {
	var d time.Duration
	if seconds, err := strconv.Atoi(header); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		d = at.Sub(now)
	} else {
		return backoff(attempt)
	}
	d = min(max(d, retryAfterMin), retryAfterMax)
	return d + rand.N(d/2)
}
