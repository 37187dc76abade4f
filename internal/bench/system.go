package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"onsale/internal/admin"
	"onsale/internal/app"
	"onsale/internal/plan"
	"onsale/internal/problem"
	"onsale/internal/up"
	"onsale/plans"
)

// system is a local system, everything durable, for one benchmark.
type system struct {
	*up.Local
	address string // of the api
}

// start starts a fresh system.
func (r *runner) start(ctx context.Context) (*system, error) {
	l, err := up.Start(ctx, up.Config{
		Dir: r.Dir, Fresh: true, Listen: "127.0.0.1:0", OpsListen: "127.0.0.1:0", Services: "all", Durable: true, Log: r.Log,
	})
	if err != nil {
		return nil, err
	}
	return &system{Local: l, address: strings.TrimPrefix(l.BaseURL, "http://")}, nil
}

// oneByOne runs a second api, which stores every join as a message of its own, while do measures it: at other times
// it would only follow the lines, at the cost of the first.
func (s *system) oneByOne(ctx context.Context, r *runner, do func(address string) error) error {
	cfg := s.Local.API
	cfg.MaxChunk = 1
	return s.beside(ctx, r, cfg, "single", do)
}

// beside runs a second api while do has its address, once it knows an event.
func (s *system) beside(ctx context.Context, r *runner, cfg app.API, event string, do func(address string) error) error {
	ops, err := freeAddress()
	if err != nil {
		return err
	}
	cfg.AdminToken, cfg.OpsListen = "", ops
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- app.RunAPI(ctx, cfg, ln, r.Log) }()
	for err = errors.New("not yet"); err != nil; err = app.Ready(ctx, "http://"+ops) {
		select {
		case err := <-ended:
			stop()
			return fmt.Errorf("the second api ended: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	look := load{address: ln.Addr().String(), status: http.StatusOK, request: func(buf []byte, _ uint64) []byte {
		return appendGet(buf, "/v1/queue/"+event, "")
	}}
	if _, err = once(look); err == nil {
		err = do(look.address)
	}
	stop()
	return errors.Join(err, <-ended)
}

// event puts an event on sale and opens it, and returns its seats.
func (s *system) event(ctx context.Context, id, planName string, rate float64) ([]string, error) {
	seats, err := s.put(ctx, id, planName, rate)
	if err != nil {
		return nil, err
	}
	return seats, s.operator().Move(ctx, id, "open")
}

func (s *system) operator() admin.Client { return admin.Client{URL: s.AdminURL, Token: s.AdminToken} }

// put puts an event on sale, in its lobby, and returns its seats.
func (s *system) put(ctx context.Context, id, planName string, rate float64) ([]string, error) {
	f, err := plans.Open(planName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	p, err := plan.Parse(strings.NewReader(string(raw)))
	if err != nil {
		return nil, err
	}
	prices := map[string]int64{}
	var seats []string
	for _, t := range p.Seats() {
		prices[t.Category] = 5000
		seats = append(seats, t.ID)
	}
	return seats, s.operator().Create(ctx, admin.CreateEvent{ID: id, Currency: "eur", Rate: rate, Plan: json.RawMessage(raw), Prices: prices})
}

// bare is a Fiber handler that reads the body and answers bytes: what HTTP alone costs here.
func bare(status int, answer []byte) (address string, stop func() error, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	app.All("/*", func(c *fiber.Ctx) error {
		_ = c.Body()
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		return c.Status(status).Send(answer)
	})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- problem.Serve(ctx, app, ln, problem.Limits{}, 5*time.Second) }()
	return ln.Addr().String(), func() error {
		cancel()
		return <-served
	}, nil
}
