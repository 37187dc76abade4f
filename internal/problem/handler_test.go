package problem_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"onsale/internal/problem"
	"onsale/internal/sale"
)

// lines is a log that a test can read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// app is an app as the listeners make it; its log is the second result.
func app() (*fiber.App, *lines) {
	log := &lines{}
	a := fiber.New(fiber.Config{DisableStartupMessage: true, Immutable: true, BodyLimit: 1 << 20, ErrorHandler: problem.Handler(slog.New(slog.NewTextHandler(log, nil)))})
	a.Use(problem.RequestID)
	return a, log
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

func call(t *testing.T, a *fiber.App, req *http.Request) answer {
	t.Helper()
	res, err := a.Test(req, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := answer{status: res.StatusCode, header: res.Header, text: string(raw)}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &got.body); err != nil {
			t.Fatalf("%d %q: %v", got.status, raw, err)
		}
	}
	return got
}

// isProblem checks all that every problem has.
func isProblem(t *testing.T, got answer, status int, code string) {
	t.Helper()
	if got.status != status || got.body["status"] != float64(status) || got.body["code"] != code || got.body["type"] != "urn:onsale:problem:"+code {
		t.Errorf("it is %d %s, want %d %s", got.status, got.text, status, code)
	}
	if got.body["title"] != http.StatusText(status) || got.body["detail"] == "" {
		t.Errorf("title or detail are missing: %s", got.text)
	}
	if ct := got.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("Content-Type is %q", ct)
	}
	if cc := got.header.Get("Cache-Control"); cc != "no-store" {
		t.Errorf("Cache-Control is %q", cc)
	}
	id := got.header.Get("X-Request-Id")
	if _, err := uuid.Parse(id); err != nil || got.body["request_id"] != id {
		t.Errorf("request id: %q in the header, %v in the body", id, got.body["request_id"])
	}
	if retry := got.header.Get("Retry-After"); (retry == "1") != (status == 503 || status == 429) {
		t.Errorf("Retry-After is %q", retry)
	}
	if auth := got.header.Get("WWW-Authenticate"); (auth == "Bearer") != (status == 401) {
		t.Errorf("WWW-Authenticate is %q", auth)
	}
}

func get(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, nil) }

// failing is an app whose only route answers with an error.
func failing(err error) (*fiber.App, *lines) {
	a, log := app()
	a.Get("/it/:id", func(*fiber.Ctx) error { return err })
	return a, log
}

func TestHandler_EveryKind(t *testing.T) {
	t.Parallel()
	for kind, status := range map[sale.Kind]int{
		sale.Invalid: 400, sale.Unauthorized: 401, sale.Forbidden: 403, sale.NotFound: 404,
		sale.Conflict: 409, sale.Unprocessable: 422, sale.TooLarge: 413, sale.Unavailable: 503,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			e := sale.Errorf(kind, "some_code", "a sentence").With("seats", []string{"A-1"}).Because(errors.New("cause: password=hunter2"))
			for _, err := range []error{e, fmt.Errorf("do it: %w", e)} {
				a, log := failing(err)
				got := call(t, a, get("/it/1"))
				isProblem(t, got, status, "some_code")
				if got.body["detail"] != "a sentence" || fmt.Sprint(got.body["seats"]) != "[A-1]" {
					t.Errorf("what conflicted is missing: %s", got.text)
				}
				if strings.Contains(got.text, "hunter2") {
					t.Errorf("the cause is told: %s", got.text)
				}
				if logged := strings.Contains(log.String(), "hunter2"); logged != (status >= 500) {
					t.Errorf("the log has it: %v: %s", logged, log)
				}
			}
		})
	}
}

// What failed here is the log's, not the caller's.
func TestHandler_InternalErrorsDoNotLeak(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"any":                errors.New("dial 10.0.0.5: hunter2"),
		"wrapped":            fmt.Errorf("find order: %w", errors.New("hunter2")),
		"of a kind":          sale.Errorf(sale.Internal, "hunter2", "hunter2").With("hunter2", "hunter2").Because(errors.New("hunter2")),
		"of an unknown kind": sale.Errorf(sale.Kind(200), "hunter2", "hunter2"),
		"the router's":       fiber.NewError(500, "hunter2"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, log := failing(err)
			got := call(t, a, get("/it/1"))
			isProblem(t, got, 500, "internal")
			if all := got.text + fmt.Sprint(got.header); strings.Contains(all, "hunter2") {
				t.Errorf("it leaks: %s", all)
			}
			for _, want := range []string{"hunter2", "request_id=" + got.header.Get("X-Request-Id"), "method=GET", "route=/it/:id", "status=500"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log lacks %s: %s", want, log)
				}
			}
			if n := strings.Count(log.String(), "\n"); n != 1 {
				t.Errorf("it was logged %d times", n)
			}
		})
	}
}

func TestHandler_TheRoutersOwn(t *testing.T) {
	t.Parallel()
	a, log := app()
	a.Post("/it/:id", func(c *fiber.Ctx) error { return c.SendStatus(204) })
	a.Get("/busy", func(*fiber.Ctx) error { return fiber.ErrTooManyRequests })
	isProblem(t, call(t, a, get("/nowhere")), 404, "not_found")
	wrongMethod := call(t, a, get("/it/1"))
	isProblem(t, wrongMethod, 405, "method_not_allowed")
	if allow := wrongMethod.header.Get("Allow"); allow != "POST" {
		t.Errorf("Allow is %q", allow)
	}
	isProblem(t, call(t, a, get("/busy")), 429, "too_many_requests")
	if log.String() != "" {
		t.Errorf("a caller's mistakes are logged: %s", log)
	}
}

// Nobody's fields can pass for the problem's own.
func TestHandler_FieldsDoNotReplaceItsOwn(t *testing.T) {
	t.Parallel()
	e := sale.Errorf(sale.Conflict, "some_code", "a sentence").With("more", 1)
	for _, own := range []string{"type", "title", "status", "code", "detail", "request_id"} {
		e = e.With(own, "mine")
	}
	a, _ := failing(e)
	got := call(t, a, get("/it/1"))
	isProblem(t, got, 409, "some_code")
	if strings.Contains(got.text, "mine") || got.body["more"] != 1.0 {
		t.Errorf("it is %s", got.text)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	a, _ := app()
	a.Get("/", func(c *fiber.Ctx) error { return c.JSON(fiber.Map{}) })
	seen := map[string]bool{}
	for range 3 {
		req := get("/")
		req.Header.Set("X-Request-Id", "chosen by the caller")
		id := call(t, a, req).header.Get("X-Request-Id")
		if _, err := uuid.Parse(id); err != nil || seen[id] {
			t.Errorf("the id is %q, %v", id, err)
		}
		seen[id] = true
	}
}

// A request that was refused before any handler ran has an id as well.
func TestHandler_WithoutRequestID(t *testing.T) {
	t.Parallel()
	a := fiber.New(fiber.Config{DisableStartupMessage: true, ErrorHandler: problem.Handler(slog.New(slog.DiscardHandler))})
	isProblem(t, call(t, a, get("/nowhere")), 404, "not_found")
}
