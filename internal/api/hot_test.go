package api

import (
	"io"
	"net/http/httptest"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"onsale/internal/sale"
)

// The two routes of a crowd answer the same whichever way a call takes to them, and no other call takes the short one.
func TestHot(t *testing.T) {
	t.Parallel()
	said := func(what string) hotHandler {
		return func(ctx *fasthttp.RequestCtx, event string) error {
			if event == "gone" {
				return sale.Errorf(sale.NotFound, "event_not_found", "there is no such event")
			}
			ctx.SetBodyString(what + " " + event)
			return nil
		}
	}
	app := fiber.New(fiber.Config{ErrorHandler: func(c *fiber.Ctx, err error) error {
		return c.Status(fiber.StatusTeapot).SendString(c.Route().Path + ": " + err.Error())
	}})
	app.Post("/v1/queue/:event/join", routed(said("router: join")))
	app.Get("/v1/queue/:event/position", routed(said("router: position")))
	app.Get("/v1/queue/:event", func(c *fiber.Ctx) error { return c.SendString("queue " + c.Params("event")) })
	app.Server().Handler = hot(app,
		hotRoute{"POST", "/v1/queue/", "/join", said("join")},
		hotRoute{"GET", "/v1/queue/", "/position", said("position")},
	)
	for _, c := range []struct{ method, path, want string }{
		{"POST", "/v1/queue/gala-1/join", "join gala-1"},
		{"GET", "/v1/queue/gala-1/position", "position gala-1"},
		{"POST", "/v1/queue/gala-1/join?x=1", "router: join gala-1"},
		{"GET", "/v1/queue/gala-1/position/", "router: position gala-1"},
		{"GET", "/v1/queue/Gala/position", "router: position Gala"},
		{"GET", "/v1/queue/gal%61/position", "router: position gal%61"},
		{"GET", "/v1/queue/join", "queue join"},
		{"GET", "/v1/queue/position", "queue position"},
		{"HEAD", "/v1/queue/gala/position", ""},
		{"GET", "/v1/queue/gala/join", "/v1/queue/gala/join: Method Not Allowed"},
		{"POST", "/v1/queue/gala/position", "/v1/queue/gala/position: Method Not Allowed"},
		{"POST", "/v1/queue//join", "/v1/queue//join: Cannot POST /v1/queue//join"},
		{"POST", "/v1/queue/a/b/join", "/v1/queue/a/b/join: Cannot POST /v1/queue/a/b/join"},
		{"GET", "/v1/queue/gone/position", "/v1/queue/:event/position: event_not_found: there is no such event"},
		{"POST", "/v1/queue/gone/join", "/v1/queue/:event/join: event_not_found: there is no such event"},
		{"POST", "/v1/queue/gone/join?x=1", "/v1/queue/:event/join: event_not_found: there is no such event"},
	} {
		resp, err := app.Test(httptest.NewRequest(c.method, c.path, nil), -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != c.want {
			t.Errorf("%s %s: %q, want %q (%v)", c.method, c.path, got, c.want, err)
		}
	}
}
