// Package problem is how the HTTP listeners speak of errors: RFC 9457 problem details, from the one table that
// maps an error's kind to a status, and how they read a body: strictly. The api and the admin routes use it.
package problem

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

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
}

// RetryAfter is how many seconds a client that met an overload or an outage is asked to wait.
const RetryAfter = 1

const requestIDHeader = "X-Request-Id"

// RequestID gives each request an id, in the answer's header and in every problem.
func RequestID(c *fiber.Ctx) error {
	c.Set(requestIDHeader, uuid.NewString())
	return c.Next()
}

// Handler answers a handler's error. What the caller is told of an internal error is its request id alone; the
// rest is logged, here and nowhere else.
func Handler(log *slog.Logger) fiber.ErrorHandler {
	return func(c *fiber.Ctx, err error) error {
		e := domain(err)
		status, listed := statuses[e.Kind]
		if !listed {
			status = http.StatusInternalServerError
		}
		var f *fiber.Error
		if errors.As(err, &f) {
			status = f.Code // the router's own: 404, 405, 413, 431 and their like
		}
		id := c.GetRespHeader(requestIDHeader)
		if id == "" {
			id = uuid.NewString() // refused before any handler ran
			c.Set(requestIDHeader, id)
		}
		if status >= 500 {
			log.Error("request failed", "request_id", id, "method", c.Method(), "route", c.Route().Path, "status", status, "error", err)
		}
		if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
			c.Set(fiber.HeaderRetryAfter, fmt.Sprint(RetryAfter))
		}
		if status == http.StatusUnauthorized {
			c.Set(fiber.HeaderWWWAuthenticate, "Bearer")
		}
		body := map[string]any{
			"type": "urn:onsale:problem:" + e.Code, "title": http.StatusText(status), "status": status,
			"code": e.Code, "detail": e.Detail, "request_id": id,
		}
		for k, v := range e.Fields {
			body[k] = v
		}
		c.Set(fiber.HeaderCacheControl, "no-store")
		return c.Status(status).JSON(body, "application/problem+json")
	}
}

// domain finds what err means to the caller.
func domain(err error) *sale.Error {
	var e *sale.Error
	if errors.As(err, &e) {
		return e
	}
	var f *fiber.Error
	if errors.As(err, &f) {
		code := strings.ReplaceAll(strings.ToLower(http.StatusText(f.Code)), " ", "_")
		return &sale.Error{Code: code, Detail: f.Message}
	}
	return sale.Errorf(sale.Internal, "internal", "something went wrong here; it has been logged")
}

// Body reads a JSON body into a T: one object, known fields alone, each once, nothing after it.
func Body[T any](c *fiber.Ctx) (T, error) {
	var v T
	raw := c.Body()
	if media, _, _ := strings.Cut(c.Get(fiber.HeaderContentType), ";"); !strings.EqualFold(strings.TrimSpace(media), fiber.MIMEApplicationJSON) {
		return v, sale.Errorf(sale.Invalid, "not_json", "Content-Type must be application/json")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, sale.Errorf(sale.Invalid, "bad_json", "the body can't be read: %s", explain(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, sale.Errorf(sale.Invalid, "bad_json", "the body has more than one JSON value")
	}
	if err := once(json.NewDecoder(bytes.NewReader(raw))); err != nil {
		return v, err
	}
	return v, nil
}

// explain says what is wrong in the terms of the body, not of Go.
func explain(err error) string {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Sprintf("%s can't be a %s", wrong.Field, wrong.Value)
	case errors.As(err, &wrong):
		return "it must be an object, not a " + wrong.Value
	case errors.Is(err, io.EOF):
		return "it is empty"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// once refuses objects that give a field twice: readers would disagree on which one counts.
func once(d *json.Decoder) error {
	type level struct {
		object, key bool
		seen        map[string]bool
	}
	var stack []level
	for {
		t, err := d.Token()
		if err != nil {
			return nil // the end: the body was decoded before
		}
		if top := len(stack) - 1; top >= 0 && stack[top].object {
			if name, ok := t.(string); ok && !stack[top].key {
				if stack[top].seen[name] {
					return sale.Errorf(sale.Invalid, "bad_json", "the field %q is given twice", name)
				}
				stack[top].seen[name], stack[top].key = true, true
				continue
			}
			stack[top].key = false
		}
		switch t {
		case json.Delim('{'):
			stack = append(stack, level{object: true, seen: map[string]bool{}})
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
	}
}
