package api

import (
	"log/slog"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"onsale/internal/problem"
)

// A crowd calls a few routes: it joins, polls, and holds seats. Their handlers are given what lies beneath the router,
// and most calls reach them without it, since it costs as much as the handlers do.
type hotHandler func(ctx *fasthttp.RequestCtx, event string) error

// routed is a hot handler as a route, for a path that is not written as most clients write it.
func routed(h hotHandler) fiber.Handler {
	return func(c *fiber.Ctx) error { return h(c.Context(), c.Params("event")) }
}

// hotRoute is the paths that have an event between two parts.
type hotRoute struct {
	method, before, after string
	handler               hotHandler
}

// eventOf is the event of a request for the route.
func (r *hotRoute) eventOf(method, uri []byte) (string, bool) {
	if string(method) != r.method || len(uri) <= len(r.before)+len(r.after) {
		return "", false
	}
	end := len(uri) - len(r.after)
	event := uri[len(r.before):end]
	if string(uri[:len(r.before)]) != r.before || string(uri[end:]) != r.after || !plainID(event) {
		return "", false
	}
	return string(event), true
}

// hot serves the calls of a crowd, and gives all others to the router.
func hot(app *fiber.App, log *slog.Logger, routes ...hotRoute) fasthttp.RequestHandler {
	router := app.Handler()
	return func(ctx *fasthttp.RequestCtx) {
		method, uri := ctx.Method(), ctx.Request.Header.RequestURI()
		for i := range routes {
			event, ok := routes[i].eventOf(method, uri)
			if !ok {
				continue
			}
			if err := routes[i].handler(ctx, event); err != nil {
				problem.Answer(ctx, log, routes[i].before+":event"+routes[i].after, err)
			}
			return
		}
		router(ctx)
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
