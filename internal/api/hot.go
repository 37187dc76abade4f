package api

import (
	"bytes"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// A crowd calls two routes: it joins, and it polls. Their handlers are given what lies beneath the router, and most
// calls reach them without it, since it costs as much as the handlers do.
type hotHandler func(ctx *fasthttp.RequestCtx, event string) error

// routed is a hot handler as a route, for a path that is not written as most clients write it.
func routed(h hotHandler) fiber.Handler {
	return func(c *fiber.Ctx) error { return h(c.Context(), c.Params("event")) }
}

const queuePath = "/v1/queue/"

var (
	joinPath     = []byte("/join")
	positionPath = []byte("/position")
)

// hot serves the calls of a crowd, and gives all others to the router.
func hot(app *fiber.App, join, position hotHandler) fasthttp.RequestHandler {
	router := app.Handler()
	return func(ctx *fasthttp.RequestCtx) {
		h, end := join, joinPath
		switch {
		case ctx.IsPost():
		case ctx.IsGet():
			h, end = position, positionPath
		default:
			router(ctx)
			return
		}
		event, ok := bytes.CutPrefix(ctx.Request.Header.RequestURI(), []byte(queuePath))
		if ok {
			event, ok = bytes.CutSuffix(event, end)
		}
		if !ok || !plainID(event) {
			router(ctx)
			return
		}
		if err := h(ctx, string(event)); err != nil {
			c := app.AcquireCtx(ctx)
			defer app.ReleaseCtx(c)
			if err := app.ErrorHandler(c, err); err != nil {
				ctx.SetStatusCode(fiber.StatusInternalServerError)
			}
		}
	}
}

// plainID says whether a part of a path can stand for an event as it is written.
func plainID(b []byte) bool {
	for _, c := range b {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(b) > 0
}
