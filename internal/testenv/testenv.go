// Package testenv gives tests the real servers: Postgres, Redis and a nats-server with JetStream. Eventually waits for
// what comes of them.
//
// It promises each test a place of its own on them, so that all tests run in parallel, and that nothing is
// left behind: servers end with the test process however that ends, and the folders of runs that crashed
// are removed by the next. A server that is not installed fails the test with the command that installs it.
// Only tests may import it.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"onsale/internal/stack"
)

const (
	folderPrefix = "onsale-test-"
	// A folder without a lock this old is of a process that died before it took one.
	unlockedLimit = 10 * time.Minute

	startLimit   = 3 * time.Minute
	cleanupLimit = 30 * time.Second
)

// shared is what the tests of one process have in common, started by the first that asks.
type shared struct {
	folder   func() (string, error)
	postgres func() (*stack.Server, error)
	redis    func() (*redisServer, error)

	unlock    func() error // frees the folder; nil until somebody asks for it
	names     atomic.Int64
	mu        sync.Mutex
	templates map[uintptr]func() (string, error)
	servers   []*stack.Server
}

var process = newShared()

func newShared() *shared {
	p := &shared{templates: map[uintptr]func() (string, error){}}
	p.folder = sync.OnceValues(p.makeFolder)
	p.postgres = sync.OnceValues(func() (*stack.Server, error) { return p.start(stack.StartPostgres) })
	p.redis = sync.OnceValues(p.startRedis)
	return p
}

// Main is the whole of a TestMain: it runs the tests, stops what they started, and exits. A package without
// it leaves nothing running either, only a folder that the next run removes.
func Main(m *testing.M) {
	code := m.Run()
	if err := process.close(); err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func (p *shared) start(server func(context.Context, stack.Config) (*stack.Server, error)) (*stack.Server, error) {
	dir, err := p.folder()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	s, err := server(ctx, stack.Config{Dir: dir})
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers = append(p.servers, s)
	return s, nil
}

func (p *shared) makeFolder() (string, error) {
	removeStale(os.TempDir(), time.Now())
	dir, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		return "", fmt.Errorf("make test folder: %w", err)
	}
	if os.Geteuid() == 0 { // the servers run as other accounts, which pass through it
		if err := os.Chmod(dir, 0o711); err != nil {
			return "", fmt.Errorf("make test folder: %w", err)
		}
	}
	if p.unlock, err = stack.Lock(dir); err != nil {
		return "", err
	}
	return dir, nil
}

func (p *shared) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, s := range p.servers {
		errs = append(errs, s.Close())
	}
	if p.unlock != nil {
		dir, err := p.folder()
		errs = append(errs, err, os.RemoveAll(dir), p.unlock())
	}
	return errors.Join(errs...)
}

// removeStale removes the folders in top that this user's crashed test processes left: nobody holds their
// lock. What can't be removed now, such as one whose servers are just ending, is left to the next run.
func removeStale(top string, now time.Time) {
	folders, err := filepath.Glob(filepath.Join(top, folderPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range folders {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() {
			continue
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || int(stat.Uid) != os.Geteuid() {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir, "lock")); err != nil && now.Sub(info.ModTime()) < unlockedLimit {
			continue // another process is making it at this moment
		}
		if unlock, err := stack.Lock(dir); err == nil {
			_ = errors.Join(os.RemoveAll(dir), unlock())
		}
	}
}

// Postgres returns the URL of a database for this test alone; it is dropped when the test ends. migrate
// gives it its tables: it is called once per process, on a template that each test's database is then
// copied from, so it must close its connections. nil leaves the database empty. Two functions have two
// templates; closures of one function literal share one.
func Postgres(t testing.TB, migrate func(ctx context.Context, databaseURL string) error) string {
	t.Helper()
	server, err := process.postgres()
	if err != nil {
		t.Fatal(err)
	}
	template := ""
	if migrate != nil {
		if template, err = process.template(server.URL, migrate); err != nil {
			t.Fatal(err)
		}
	}
	name := fmt.Sprintf("test_%d", process.names.Add(1))
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	url, err := stack.CreateDatabase(ctx, server.URL, name, template)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupLimit)
		defer cancel()
		if err := stack.DropDatabase(ctx, server.URL, name); err != nil {
			t.Error(err)
		}
	})
	return url
}

// template returns the name of the database that migrate made, which is made now if this is the first call.
func (p *shared) template(serverURL string, migrate func(ctx context.Context, databaseURL string) error) (string, error) {
	p.mu.Lock()
	key := reflect.ValueOf(migrate).Pointer()
	once, ok := p.templates[key]
	if !ok {
		once = sync.OnceValues(func() (string, error) {
			name := "template_" + strconv.FormatInt(p.names.Add(1), 10)
			ctx, cancel := context.WithTimeout(context.Background(), startLimit)
			defer cancel()
			return name, stack.CreateTemplate(ctx, serverURL, name, migrate)
		})
		p.templates[key] = once
	}
	p.mu.Unlock()
	return once()
}

// redisServer is the process's Redis and the numbers of its databases that no test has.
type redisServer struct {
	url  string // ends in a slash: the number follows
	free chan int
}

func (p *shared) startRedis() (*redisServer, error) {
	s, err := p.start(stack.StartRedis)
	if err != nil {
		return nil, err
	}
	r := &redisServer{url: strings.TrimSuffix(s.URL, "0"), free: make(chan int, stack.TestDatabases)}
	for n := range stack.TestDatabases {
		r.free <- n
	}
	return r, nil
}

// Redis returns the URL of an empty database of the process's Redis that no other test has, and flushes it
// when the test ends. Channels (PUBLISH), scripts and the configuration belong to the whole server: a test
// must not rely on having them to itself, nor call FLUSHALL.
func Redis(t testing.TB) string {
	t.Helper()
	server, err := process.redis()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	select {
	case number = <-server.free:
	case <-t.Context().Done():
		t.Fatal("the test ended before a Redis database was free")
	}
	url := server.url + strconv.Itoa(number)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupLimit)
		defer cancel()
		if err := stack.FlushRedis(ctx, url); err != nil {
			t.Error(err)
			return // the number is not given to another test
		}
		server.free <- number
	})
	return url
}
