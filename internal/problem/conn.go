package problem

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
)

// listener hands out connections whose deadlines cost next to nothing: a server sets several for each request, and
// hardly any is ever met. They are only noted, and what is overdue is found by a sweep.
type listener struct {
	net.Listener
	mu    sync.Mutex
	conns map[*conn]struct{}
}

// sweepEvery is by how much a deadline can be missed.
const sweepEvery = 500 * time.Millisecond

func newListener(ln net.Listener) *listener {
	return &listener{Listener: ln, conns: map[*conn]struct{}{}}
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	t, ok := c.(*net.TCPConn)
	if err != nil || !ok {
		return c, err
	}
	own := &conn{TCPConn: t, listener: l}
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
		case now := <-tick.C:
			l.mu.Lock()
			for c := range l.conns {
				c.expire(now)
			}
			l.mu.Unlock()
		}
	}
}

// conn is a connection that may have to be read to its end before it is closed.
type conn struct {
	*net.TCPConn
	listener *listener
	readBy   deadline
	writeBy  deadline
	refused  atomic.Bool
}

// deadline is noted, and given to the connection only when it is over.
type deadline struct {
	mu   sync.Mutex
	at   time.Time // zero for none
	over bool      // the connection was told
}

func (d *deadline) set(t time.Time, tell func(time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	if !d.over {
		return nil
	}
	d.over = false
	return tell(t)
}

func (d *deadline) expire(now time.Time, tell func(time.Time) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.over && !d.at.IsZero() && d.at.Before(now) {
		d.over = tell(time.Unix(1, 0)) == nil // long ago: at once
	}
}

func (c *conn) expire(now time.Time) {
	c.readBy.expire(now, c.TCPConn.SetReadDeadline)
	c.writeBy.expire(now, c.TCPConn.SetWriteDeadline)
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error {
	return c.readBy.set(t, c.TCPConn.SetReadDeadline)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.writeBy.set(t, c.TCPConn.SetWriteDeadline)
}

// The bounds of what is read and thrown away.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 64 << 20
)

func (c *conn) Close() error {
	if c.refused.Load() && c.CloseWrite() == nil && c.TCPConn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.TCPConn, lingerBytes) // whatever comes: it was refused
	}
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.TCPConn.Close()
}

// linger marks the connection of a request that is answered before it was read.
func linger(c *fiber.Ctx) {
	if l, ok := c.Context().Conn().(*conn); ok {
		l.refused.Store(true)
	}
}
