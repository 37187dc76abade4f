package problem

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Limits are how long a connection may take; 0 is for ever. What is overdue is ended within half a second.
type Limits struct {
	Read  time.Duration // from the first byte of a request, or from the connection, to the whole request
	Write time.Duration // for a whole answer, or for each write of a stream: who reads none of it keeps it in memory no longer
	Idle  time.Duration // between an answer and the next request
}

// listener hands out connections that note what they do, and ends those that take too long by a sweep. A server's own
// deadlines cost a few looks at the clock for each request, and hardly any is ever met.
type listener struct {
	net.Listener
	limits Limits
	ticks  atomic.Int64 // sweeps so far: the clock of the connections
	mu     sync.Mutex
	conns  map[*conn]struct{}
}

const sweepEvery = 250 * time.Millisecond

func newListener(ln net.Listener, limits Limits) *listener {
	return &listener{Listener: ln, limits: limits, conns: map[*conn]struct{}{}}
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	own := &conn{Conn: c, listener: l, asking: true, asked: l.ticks.Load()}
	l.mu.Lock()
	l.conns[own] = struct{}{}
	l.mu.Unlock()
	return own, nil
}

// sweep ends the reads and writes that are overdue, until ctx ends.
func (l *listener) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.expire()
		}
	}
}

// expire is one sweep.
func (l *listener) expire() {
	now := l.ticks.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.expire(now)
	}
}

// conn is a connection that notes since when it does what it does. It may have to be read to its end before it is
// closed.
type conn struct {
	net.Conn
	listener  *listener
	refused   atomic.Bool
	doing     atomic.Int64 // what the server waits for, and since which tick
	asking    bool         // the first byte of a request has come, or the connection is new
	asked     int64        // the tick in which that began, or the last request ended
	answering bool
	answered  int64 // the tick in which that began
	streaming bool  // the answer has no end that it could be late for
}

// state is told by the server, in the connection's goroutine. Only it knows where a request ends: it may write before
// that, and have read the beginning of the next one already.
func (c *conn) state(s fasthttp.ConnState) {
	switch s {
	case fasthttp.StateActive:
		if !c.asking {
			c.asking, c.asked = true, c.listener.ticks.Load()
		}
	case fasthttp.StateIdle:
		c.asking, c.answering, c.streaming, c.asked = false, false, false, c.listener.ticks.Load()
	}
}

// What the server waits for; nothing while a handler is at work.
const (
	nothing = iota
	wholeRequest
	nextRequest
	answerRead
	kinds
)

func (c *conn) wait(kind, since int64) { c.doing.Store(since*kinds + kind) }

func (c *conn) Read(b []byte) (int, error) {
	kind := int64(nextRequest)
	if c.asking {
		kind = wholeRequest
	}
	c.wait(kind, c.asked)
	n, err := c.Conn.Read(b)
	c.doing.Store(nothing)
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if !c.answering || c.streaming {
		c.answering, c.answered = true, c.listener.ticks.Load()
	}
	c.wait(answerRead, c.answered)
	n, err := c.Conn.Write(b)
	c.doing.Store(nothing)
	return n, err
}

// longAgo is a deadline that is over.
var longAgo = time.Unix(1, 0)

// expire ends what is overdue. The connection is of no use after that, and the server closes it.
func (c *conn) expire(now int64) {
	doing := c.doing.Load()
	kind, took := doing%kinds, time.Duration(now-doing/kinds)*sweepEvery
	limits := c.listener.limits
	limit := [kinds]time.Duration{wholeRequest: limits.Read, nextRequest: limits.Idle, answerRead: limits.Write}[kind]
	if limit == 0 || took <= limit {
		return
	}
	end := c.SetReadDeadline
	if kind == answerRead {
		end = c.SetWriteDeadline
	}
	_ = end(longAgo) // one that can't be told is closed
	if c.doing.Load() != doing {
		_ = end(time.Time{}) // it was done just then
	}
}

// The bounds of what is read and thrown away.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 64 << 20
)

func (c *conn) Close() error {
	if t, ok := c.Conn.(*net.TCPConn); ok && c.refused.Load() && t.CloseWrite() == nil && t.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, t, lingerBytes) // whatever comes: it was refused
	}
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// Streaming marks a request whose answer goes on for as long as the client likes: the limit of a write is then for each
// of its writes by itself, and between them there is none. It is for handlers, which run in their connection's goroutine.
func Streaming(ctx *fasthttp.RequestCtx) {
	if c, ok := ctx.Conn().(*conn); ok {
		c.streaming = true
	}
}

// linger marks the connection of a request that is answered before it was read.
func linger(ctx *fasthttp.RequestCtx) {
	if l, ok := ctx.Conn().(*conn); ok {
		l.refused.Store(true)
	}
}
