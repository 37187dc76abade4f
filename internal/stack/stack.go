// Package stack runs the stores that Onsale stands on, on one machine: a nats-server inside this process,
// and a Postgres and a Redis as its children, from the binaries that are installed.
//
// It promises three things. What the stores were given is still there after a restart, however the last
// run ended. No child outlives this process, not even when it is killed with SIGKILL (on Linux by the
// kernel, elsewhere by a small watcher). And nothing outside the data folder is touched: ports are
// looked for, never taken from another server, and only a folder that carries the marker is ever emptied.
//
// It is for cmd/onsale and testenv. It speaks to its servers only to learn that they are ready and to
// make databases: for that alone it imports pgx and go-redis.
package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// startLimit bounds the wait for one server: a Postgres that recovers from a crash and a Redis that
// reads a large file take a while, but none takes longer.
const startLimit = 2 * time.Minute

// Config says what to run, and where.
type Config struct {
	// Dir is the data folder. It is made when it is missing, and refused when it holds anything that is
	// not a stack's.
	Dir string
	// Fresh removes what a former stack left in Dir before the start.
	Fresh bool

	// NATSURL, DatabaseURL and RedisURL, where not empty, name a server that runs elsewhere: none is
	// started in its place.
	NATSURL, DatabaseURL, RedisURL string

	// Durable makes every server sync what it acknowledges to the disk. Without it the data survives the
	// end of a process but not of the machine: for tests.
	Durable bool

	Log *slog.Logger // nil discards
	// Progress gets one line for people per step, from one goroutine at a time. It may be nil.
	Progress func(string)
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	tell := c.Progress
	if tell == nil {
		tell = func(string) {}
	}
	var mu sync.Mutex
	c.Progress = func(line string) {
		mu.Lock()
		defer mu.Unlock()
		tell(line)
	}
	return c
}

// Stack is a set of running servers.
type Stack struct {
	NATSURL, DatabaseURL, RedisURL string

	folder  *folder
	servers []*Server
	failed  chan error
	closing chan struct{}
	close   func() error
}

// Start starts what cfg does not name elsewhere, all at once, and returns when everything answers. ctx
// bounds the start only. On an error everything that was already started has been stopped.
func Start(ctx context.Context, cfg Config) (*Stack, error) {
	cfg = cfg.withDefaults()
	s := &Stack{
		NATSURL: cfg.NATSURL, DatabaseURL: cfg.DatabaseURL, RedisURL: cfg.RedisURL,
		closing: make(chan struct{}),
	}
	s.close = sync.OnceValue(s.stop)

	type part struct {
		url   *string
		start func(context.Context, Config) (*Server, error)
	}
	var parts []part
	for _, p := range []part{{&s.NATSURL, StartNATS}, {&s.DatabaseURL, StartPostgres}, {&s.RedisURL, StartRedis}} {
		if *p.url == "" {
			parts = append(parts, p)
		}
	}
	s.failed = make(chan error, len(parts))
	if len(parts) == 0 && !cfg.Fresh {
		return s, nil
	}

	var err error
	if s.folder, err = openFolder(ctx, cfg); err != nil {
		return nil, err
	}
	cfg.Dir = s.folder.path

	// The first failure ends the wait for the others: without all of them there is no stack.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		failures []error
	)
	for _, p := range parts {
		wg.Go(func() {
			server, err := p.start(ctx, cfg)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if len(failures) == 0 || !errors.Is(err, context.Canceled) {
					failures = append(failures, err)
				}
				cancel()
				return
			}
			*p.url = server.URL
			s.servers = append(s.servers, server)
		})
	}
	wg.Wait()
	if len(failures) > 0 {
		return nil, errors.Join(append(failures, s.Close())...)
	}
	for _, server := range s.servers {
		go s.watch(server)
	}
	return s, nil
}

func (s *Stack) watch(server *Server) {
	select {
	case err := <-server.Failed():
		s.failed <- err
	case <-s.closing:
	}
}

// Failed gets an error for each server that ended by itself, with the last lines of its log. Nothing is
// started again: whoever owns the stack decides what the rest is still worth.
func (s *Stack) Failed() <-chan error { return s.failed }

// Close stops the servers in order and frees the folder. A server that does not end when it is asked to
// is killed, so Close takes half a minute at the very most. Calling it again returns the same result.
func (s *Stack) Close() error { return s.close() }

func (s *Stack) stop() error {
	close(s.closing)
	var (
		wg   sync.WaitGroup
		errs = make([]error, len(s.servers))
	)
	for i, server := range s.servers {
		wg.Go(func() { errs[i] = server.Close() })
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), s.folder.close())
}

// Server is one running server.
type Server struct {
	URL string

	failed chan error
	close  func() error
}

// newServer wraps stop so that it runs once. ended is closed when the server has ended; why then says
// how it ended.
func newServer(url string, ended <-chan struct{}, why func() error, stop func() error) *Server {
	closing := make(chan struct{})
	s := &Server{URL: url, failed: make(chan error, 1)}
	s.close = sync.OnceValue(func() error {
		close(closing)
		return stop()
	})
	go func() {
		<-ended
		select {
		case <-closing:
		default:
			s.failed <- why()
		}
	}()
	return s
}

// Failed gets one error if the server ends by itself.
func (s *Server) Failed() <-chan error { return s.failed }

// Close stops the server in order, or by force when that takes too long. It may be called again.
func (s *Server) Close() error { return s.close() }

// took formats a duration for people.
func took(since time.Time) string {
	return fmt.Sprintf("%.1f s", time.Since(since).Seconds())
}
