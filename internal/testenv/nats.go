package testenv

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"onsale/internal/stack"
)

// NATS returns the URL of a nats-server with JetStream that only this test has; it ends with the test.
func NATS(t testing.TB) string {
	t.Helper()
	return NATSServer(t).URL
}

// RestartableNATS is a nats-server that a test stops and starts again, on the same port and with the
// same streams.
type RestartableNATS struct {
	URL string

	t   testing.TB
	dir string

	mu      sync.Mutex
	running *stack.Server
}

// NATSServer is NATS for a test that needs the server to go away and come back.
func NATSServer(t testing.TB) *RestartableNATS {
	t.Helper()
	top, err := process.folder()
	if err != nil {
		t.Fatal(err)
	}
	s := &RestartableNATS{t: t, dir: filepath.Join(top, "nats-"+strconv.FormatInt(process.names.Add(1), 10))}
	t.Cleanup(func() {
		s.Stop()
		if err := os.RemoveAll(s.dir); err != nil {
			t.Error(err)
		}
	})
	s.Start()
	return s
}

// Stop ends the server; clients see their connections break. On one that is stopped it does nothing.
func (s *RestartableNATS) Stop() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return
	}
	if err := s.running.Close(); err != nil {
		s.t.Error(err)
	}
	s.running = nil
}

// Start starts the server again. It must be called by the test's own goroutine: it ends the test when the
// server doesn't start or its port is gone.
func (s *RestartableNATS) Start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	server, err := stack.StartNATS(ctx, stack.Config{Dir: s.dir})
	if err != nil {
		s.t.Fatal(err)
	}
	s.running = server
	if s.URL != "" && s.URL != server.URL {
		s.t.Fatalf("another process took the port of %s", s.URL)
	}
	s.URL = server.URL
}
