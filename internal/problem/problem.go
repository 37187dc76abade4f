// Package problem is how the HTTP listeners speak of errors: RFC 9457 problem details, from the one table that
// maps an error's kind to a status, and how they read a body: strictly. The api and the admin routes use it.
package problem

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"onsale/internal/sale"
)

// statuses is the table from an error's kind to HTTP.
var statuses = [...]int{
	sale.Internal:      http.StatusInternalServerError,
	sale.Invalid:       http.StatusBadRequest,
	sale.Unauthorized:  http.StatusUnauthorized,
	sale.Forbidden:     http.StatusForbidden,
	sale.NotFound:      http.StatusNotFound,
	sale.Conflict:      http.StatusConflict,
	sale.Unprocessable: http.StatusUnprocessableEntity,
	sale.TooLarge:      http.StatusRequestEntityTooLarge,
	sale.Unavailable:   http.StatusServiceUnavailable,
	sale.TooMany:       http.StatusTooManyRequests,
}

// RetryAfter is how many seconds a client that met an overload or an outage is asked to wait, where the error doesn't
// know better.
const RetryAfter = 1

const requestIDHeader = "X-Request-Id"

// Headers as they are sent, so that nobody has to find out how they are written.
var (
	cacheControl, noStore = []byte(fiber.HeaderCacheControl), []byte("no-store")
	problemType           = []byte("application/problem+json")
)

// RequestID gives each request an id, in the answer's header and in every problem.
func RequestID(c *fiber.Ctx) error {
	c.Set(requestIDHeader, requestID())
	return c.Next()
}

// requestID is 16 random bytes in hex. It tells requests apart and keeps no secret, so a fast source will do.
func requestID() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], rand.Uint64())
	binary.BigEndian.PutUint64(b[8:], rand.Uint64())
	return hex.EncodeToString(b[:])
}

// Handler answers the errors of a router's handlers.
func Handler(log *slog.Logger) fiber.ErrorHandler {
	return func(c *fiber.Ctx, err error) error {
		Answer(c.Context(), log, c.Route().Path, err)
		return nil
	}
}

// Answer answers a request with the error that became of it. What the caller is told of an internal error is its
// request id alone; the rest is logged under the route's path, here and nowhere else.
func Answer(ctx *fasthttp.RequestCtx, log *slog.Logger, route string, err error) {
	e := domain(err)
	status := statuses[e.Kind]
	var f *fiber.Error
	if e.Kind == sale.Internal && errors.As(err, &f) {
		status = f.Code // the router's own: 404, 405, 413, 431 and their like
	}
	if status == http.StatusRequestEntityTooLarge {
		linger(ctx)
	}
	header := &ctx.Response.Header
	id := string(header.Peek(requestIDHeader))
	if id == "" {
		id = requestID() // refused before any handler ran
		header.Set(requestIDHeader, id)
	}
	if status >= 500 {
		log.Error("request failed", "request_id", id, "method", string(ctx.Method()), "route", route, "status", status, "error", err)
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		header.Set(fiber.HeaderRetryAfter, fmt.Sprint(max(RetryAfter, int(math.Ceil(e.Wait.Seconds())))))
	}
	if status == http.StatusUnauthorized {
		header.Set(fiber.HeaderWWWAuthenticate, "Bearer")
	}
	header.SetCanonical(cacheControl, noStore)
	header.SetContentTypeBytes(problemType)
	ctx.SetStatusCode(status)
	ctx.Response.SetBodyRaw(body(e, status, id))
}

// domain finds what err means to the caller. An internal error means that it was not the caller's fault, and no more.
func domain(err error) *sale.Error {
	var e *sale.Error
	if errors.As(err, &e) && e.Kind != sale.Internal && int(e.Kind) < len(statuses) {
		return e
	}
	var f *fiber.Error
	if errors.As(err, &f) && f.Code != http.StatusInternalServerError {
		code := strings.ReplaceAll(strings.ToLower(http.StatusText(f.Code)), " ", "_")
		return &sale.Error{Code: code, Detail: f.Message}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return sale.Errorf(sale.Unavailable, "timeout", "it took too long; try again").Because(err)
	}
	return sale.Errorf(sale.Internal, "internal", "something went wrong here; it has been logged")
}
