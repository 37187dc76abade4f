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
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"onsale/internal/sale"
)

// statuses is the table from an error's kind to HTTP.
var statuses = map[sale.Kind]int{
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

// ownMembers is how many members every problem has.
const ownMembers = 6

const requestIDHeader = "X-Request-Id"

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

// Handler answers a handler's error. What the caller is told of an internal error is its request id alone; the
// rest is logged, here and nowhere else.
func Handler(log *slog.Logger) fiber.ErrorHandler {
	return func(c *fiber.Ctx, err error) error {
		e := domain(err)
		status := statuses[e.Kind]
		var f *fiber.Error
		if errors.As(err, &f) {
			status = f.Code // the router's own: 404, 405, 413, 431 and their like
		}
		if status == http.StatusRequestEntityTooLarge {
			linger(c)
		}
		id := c.GetRespHeader(requestIDHeader)
		if id == "" {
			id = requestID() // refused before any handler ran
			c.Set(requestIDHeader, id)
		}
		if status >= 500 {
			log.Error("request failed", "request_id", id, "method", c.Method(), "route", c.Route().Path, "status", status, "error", err)
		}
		if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
			c.Set(fiber.HeaderRetryAfter, fmt.Sprint(max(RetryAfter, int(math.Ceil(e.Wait.Seconds())))))
		}
		if status == http.StatusUnauthorized {
			c.Set(fiber.HeaderWWWAuthenticate, "Bearer")
		}
		body := []member{
			{"type", "urn:onsale:problem:" + e.Code}, {"title", http.StatusText(status)}, {"status", status},
			{"code", e.Code}, {"detail", e.Detail}, {"request_id", id},
		}
		for name, value := range e.Fields {
			if !slices.ContainsFunc(body[:ownMembers], func(m member) bool { return m.name == name }) {
				body = append(body, member{name, value}) // the others have their meaning whatever an error's fields are called
			}
		}
		raw, err := encode(body)
		if err != nil {
			return err
		}
		c.Set(fiber.HeaderCacheControl, "no-store")
		c.Set(fiber.HeaderContentType, "application/problem+json")
		return c.Status(status).Send(raw)
	}
}

// domain finds what err means to the caller. An internal error means that it was not the caller's fault, and no more.
func domain(err error) *sale.Error {
	var e *sale.Error
	if errors.As(err, &e) && e.Kind != sale.Internal && statuses[e.Kind] != 0 {
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
