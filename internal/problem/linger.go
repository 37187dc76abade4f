package problem

import (
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
)

// Listener wraps a listener so that a refusal given before its request was read reaches the client. The server
// closes such a connection, and a close with unread data resets it, which can overtake the answer; a connection
// that Handler marked is read to its end first, within bounds.
func Listener(ln net.Listener) net.Listener { return lingering{ln} }

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
