package problem_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"onsale/internal/problem"
)

// A client that sends all of a body that is too large, and only then reads, finds the refusal and no reset.
func TestServe_ATooLargeBodyIsAnswered(t *testing.T) {
	t.Parallel()
	a := fiber.New(fiber.Config{DisableStartupMessage: true, BodyLimit: 1 << 10, ErrorHandler: problem.Handler(slog.New(slog.DiscardHandler))})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- problem.Serve(ctx, a, ln, problem.Limits{}, 10*time.Second) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	for range 5 {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		const size = 16 << 20
		_, err = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", size)
		if err == nil {
			_, err = io.Copy(conn, io.LimitReader(strings.NewReader(strings.Repeat(" ", size)), size))
		}
		if err != nil {
			t.Fatalf("the connection was reset while the body was sent: %v", err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("there is no answer: %v", err)
		}
		raw, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 413 || !strings.Contains(string(raw), `"request_entity_too_large"`) {
			t.Errorf("the answer is %d %s, %v", res.StatusCode, raw, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A context that ends before serving has begun ends it too, every time, and frees the port.
func TestServe_EndsBeforeItBegan(t *testing.T) {
	t.Parallel()
	for range 50 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		served := make(chan error, 1)
		go func() {
			served <- problem.Serve(ctx, fiber.New(fiber.Config{DisableStartupMessage: true}), ln, problem.Limits{}, time.Second)
		}()
		select {
		case err := <-served:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it serves on")
		}
		again, err := net.Listen("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A client that promises more than it sends is let go after the limit of a request, also where the server has written
// meanwhile: it was told to continue, or its next request has begun beside the last.
func TestServe_HalfARequestIsNotIdle(t *testing.T) {
	t.Parallel()
	a := fiber.New(fiber.Config{DisableStartupMessage: true})
	a.Post("/", func(c *fiber.Ctx) error { return c.SendString("ok") })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- problem.Serve(ctx, a, ln, problem.Limits{Read: time.Second, Idle: time.Hour}, 10*time.Second)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	for name, sent := range map[string]string{
		"a body that doesn't come":  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12",
		"a body that was asked for": "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
		"half of the next request":  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nabPOST / HT",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, sent); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Errorf("the server does not close it: %v", err)
			}
		})
	}
}
