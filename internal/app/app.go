package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"onsale/internal/problem"
	"onsale/internal/redis"
	"onsale/nats"
	"onsale/store"
)

// Main runs a program until it ends or the process is told to: an interrupt or a SIGTERM ends ctx, a second one
// the process. It returns the exit code.
func Main(run func(ctx context.Context, args []string, stdout io.Writer) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop()
	}()
	err := run(ctx, os.Args[1:], os.Stdout)
	if err == nil || errors.Is(err, ErrChecked) || errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "error:", err)
	return 1
}

// Serve is a service as a binary of its own: it reads the configuration and runs until ctx ends.
func Serve[C configuration](ctx context.Context, name, about string, args []string, stdout io.Writer, run func(context.Context, C, *slog.Logger) error) error {
	cfg, err := Load[C](name, about, args, stdout)
	if err != nil {
		return err
	}
	return run(ctx, cfg, NewLog(os.Stderr, cfg.common().LogLevel, name))
}

// NewLog is the structured log of a binary.
func NewLog(w io.Writer, level slog.Level, service string) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})).With("service", service)
}

// platform is a service's connections.
type platform struct {
	nats  *nats.Client
	store *store.Store
	redis *redis.Client // nil for services without
	ready atomic.Bool
	log   *slog.Logger

	// servesAlone: a node whose stores are away still answers from memory whoever waits in line. Were it taken
	// out of service, and every other node with it, nobody would be answered at all.
	servesAlone bool
}

// connect opens a service's connections and makes the streams that are missing. Postgres must have its schema.
func connect(ctx context.Context, name string, cfg Common, redisURL string, log *slog.Logger) (*platform, error) {
	p := &platform{log: log}
	var err error
	if p.nats, err = nats.Connect(nats.Config{URL: cfg.NATSURL, Name: "onsale-" + name, Replicas: cfg.NATSReplicas, Log: log}); err != nil {
		return nil, err
	}
	if p.store, err = store.Open(ctx, cfg.DatabaseURL, 0, time.Now); err != nil {
		p.close()
		return nil, err
	}
	if redisURL != "" {
		if p.redis, err = redis.Open(redisURL); err != nil {
			p.close()
			return nil, err
		}
	}
	bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err = errors.Join(p.nats.EnsureStreams(bounded), p.store.Check(bounded)); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *platform) close() {
	if p.nats != nil {
		p.nats.Close()
	}
	if p.store != nil {
		p.store.Close()
	}
	if p.redis != nil {
		if err := p.redis.Close(); err != nil {
			p.log.Warn("close redis", "error", err)
		}
	}
}

// check says whether the service can do its work now, and what it can't reach.
func (p *platform) check(ctx context.Context) (ready bool, away error) {
	if !p.ready.Load() {
		return false, errors.New("still starting")
	}
	asked := []func(context.Context) error{p.nats.Check, p.store.Check}
	if p.redis != nil {
		asked = append(asked, p.redis.Check)
	}
	errs := make([]error, len(asked))
	var all sync.WaitGroup
	for i, ask := range asked {
		all.Go(func() { errs[i] = ask(ctx) })
	}
	all.Wait()
	away = errors.Join(errs...)
	return away == nil || p.servesAlone, away
}

// readyLimit is how long the stores have to answer a probe; probes themselves give up after a second.
const readyLimit = 800 * time.Millisecond

// adminBody bounds a body on the operations listener: seating plans are large.
const adminBody = 64 << 20

// serveOps serves the operations listener until ctx ends. extra adds routes of the service's own.
func (p *platform) serveOps(ctx context.Context, listen string, extra func(fiber.Router)) error {
	if listen == "" {
		return nil
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("open the operations listener: %w", err)
	}
	p.log.Info("operations listener", "address", ln.Addr().String())
	app := fiber.New(fiber.Config{DisableStartupMessage: true, ErrorHandler: problem.Handler(p.log), BodyLimit: adminBody, Immutable: true})
	app.Use(problem.RequestID)
	app.Get("/healthz", func(c *fiber.Ctx) error { return c.SendString("ok\n") })
	app.Get("/readyz", func(c *fiber.Ctx) error {
		bounded, cancel := context.WithTimeout(ctx, readyLimit)
		defer cancel()
		ready, away := p.check(bounded)
		said := "ready"
		if !ready {
			c.Status(fiber.StatusServiceUnavailable)
			said = "not ready"
		}
		if away != nil {
			said += ": " + strings.ReplaceAll(away.Error(), "\n", "; ")
		}
		return c.SendString(said + "\n")
	})
	app.Get("/metrics", adaptor.HTTPHandler(promhttp.Handler()))
	if extra != nil {
		extra(app)
	}
	if err := problem.Serve(ctx, app, ln, problem.Limits{Read: time.Minute, Idle: time.Minute}, 5*time.Second); err != nil {
		return fmt.Errorf("serve operations: %w", err)
	}
	return nil
}

// Ready asks a service's operations listener whether it is ready; nil says that it is.
func Ready(ctx context.Context, opsURL string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, opsURL+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
		return errors.New(strings.TrimSpace(string(why)))
	}
	return nil
}
