package problem

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// Serve serves app on ln until ctx ends, then finishes the requests under way, within drain. A refusal given
// before its request was read reaches the client: the server closes such a connection, and a close with unread
// data resets it, which can overtake the answer, so a connection that Handler marked is read to its end first.
func Serve(ctx context.Context, app *fiber.App, ln net.Listener, limits Limits, drain time.Duration) error {
	served := make(chan error, 1)
	l := newListener(ln, limits)
	sweeping, swept := context.WithCancel(context.WithoutCancel(ctx))
	defer swept()
	go l.sweep(sweeping)
	app.Server().ConnState = func(c net.Conn, s fasthttp.ConnState) {
		if own, ok := c.(*conn); ok {
			own.state(s)
		}
	}
	go func() { served <- app.Listener(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	err := app.ShutdownWithTimeout(drain)
	_ = ln.Close() // a shutdown that overtook the start of serving left it open
	if e := <-served; !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	return err
}
