package api

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"onsale/internal/problem"
	"onsale/internal/sale"
)

// The two routes of a crowd answer the same whichever way a call takes to them, and no other call takes the short one.
func TestHot(t *testing.T) {
	t.Parallel()
	said := func(what string) hotHandler {
		return func(ctx *fasthttp.RequestCtx, event string) error {
			switch event {
			case "gone":
				return sale.Errorf(sale.NotFound, "event_not_found", "there is no such event")
			case "broken":
				return errors.New("a defect")
			}
			ctx.SetBodyString(what + " " + event)
			return nil
		}
	}
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	app := fiber.New(fiber.Config{ErrorHandler: problem.Handler(log)})
	app.Post("/v1/queue/:event/join", routed(said("router: join")))
	app.Get("/v1/queue/:event/position", routed(said("router: position")))
	app.Get("/v1/queue/:event", func(c *fiber.Ctx) error { return c.SendString("queue " + c.Params("event")) })
	app.Server().Handler = hot(app, log,
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
		{"GET", "/v1/queue/gala/join", `{"code":"method_not_allowed",`},
		{"POST", "/v1/queue/gala/position", `{"code":"method_not_allowed",`},
		{"POST", "/v1/queue//join", `{"code":"not_found",`},
		{"POST", "/v1/queue/a/b/join", `{"code":"not_found",`},
		{"GET", "/v1/queue/gone/position", `{"code":"event_not_found",`},
		{"POST", "/v1/queue/gone/join", `{"code":"event_not_found",`},
		{"POST", "/v1/queue/gone/join?x=1", `{"code":"event_not_found",`},
	} {
		resp, err := app.Test(httptest.NewRequest(c.method, c.path, nil), -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != c.want && !(strings.HasSuffix(c.want, ",") && strings.HasPrefix(string(got), c.want)) {
			t.Errorf("%s %s: %q, want %q (%v)", c.method, c.path, got, c.want, err)
		}
	}
	for _, path := range []string{"/v1/queue/broken/join", "/v1/queue/broken/join?x=1"} {
		logged.Reset()
		resp, err := app.Test(httptest.NewRequest("POST", path, nil), -1)
		if err != nil || resp.StatusCode != 500 || !strings.Contains(logged.String(), "route=/v1/queue/:event/join ") {
			t.Errorf("%s: %v, %v, logged %q", path, resp.StatusCode, err, logged.String())
		}
	}
}
