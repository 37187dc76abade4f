package problem

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
)

// Serve serves app on ln until ctx ends, then finishes the requests under way, within limit. A refusal given
// before its request was read reaches the client: the server closes such a connection, and a close with unread
// data resets it, which can overtake the answer, so a connection that Handler marked is read to its end first.
func Serve(ctx context.Context, app *fiber.App, ln net.Listener, limit time.Duration) error {
	served := make(chan error, 1)
	go func() { served <- app.Listener(lingering{ln}) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	err := app.ShutdownWithTimeout(limit)
	_ = ln.Close() // a shutdown that overtook the start of serving left it open
	if e := <-served; !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// The bounds of what is read and thrown away.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 64 << 20
)

type lingering struct{ net.Listener }

func (l lingering) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if t, ok := c.(*net.TCPConn); ok {
		return &lingerConn{TCPConn: t}, err
	}
	return c, err
}

type lingerConn struct {
	*net.TCPConn
	refused atomic.Bool
}

func (c *lingerConn) Close() error {
	if c.refused.Load() && c.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.TCPConn, lingerBytes) // whatever comes: it was refused
	}
	return c.TCPConn.Close()
}

// linger marks the connection of a request that is answered before it was read.
func linger(c *fiber.Ctx) {
	if l, ok := c.Context().Conn().(*lingerConn); ok {
		l.refused.Store(true)
	}
}
