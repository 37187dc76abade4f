package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// TestDatabases is how many numbered databases a Redis for tests has, so that each test has its own.
const TestDatabases = 1024

// StartRedis starts a Redis, or a Valkey, as a child, with its files in cfg.Dir, which the caller has to itself.
func StartRedis(ctx context.Context, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	since := time.Now()
	program, err := FindRedis()
	if err != nil {
		return nil, err
	}
	top, err := makeFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(top, redisFolder)
	cfg.Progress("starting Redis in " + dir)
	as, err := ownFolder(dir, "Redis", "redis", "valkey", "nobody")
	if err != nil {
		return nil, err
	}
	// Redis itself would start a second time on the same files.
	if err := awaitLeftovers(ctx, cfg, dir); err != nil {
		return nil, err
	}
	l, err := startListener(ctx, top, func(port int) command {
		return command{
			name: "Redis", server: redisFolder, path: program, args: redisArgs(cfg, dir, port), dir: dir, as: as,
			orphaned: syscall.SIGTERM, // writes out what it has, then ends
		}
	}, redisReady)
	if err != nil {
		return nil, err
	}
	url := "redis://" + address(l.port) + "/0"
	cfg.Progress("Redis is ready at " + url + " (" + took(since) + ")")
	return newServer(url, l.ended, l.why, func() error {
		return l.stop(step{syscall.SIGTERM, 10 * time.Second})
	}), nil
}

// FindRedis returns the path of this machine's Redis or Valkey.
func FindRedis() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no redis-server or valkey-server on this machine: run scripts/setup, or install it " +
		"(Debian, Ubuntu: apt-get install redis-server; macOS: brew install redis), or name one that runs with REDIS_URL")
}

func redisArgs(cfg Config, dir string, port int) []string {
	args := []string{
		"--bind", "127.0.0.1",
		"--port", strconv.Itoa(port),
		"--dir", dir,
		"--daemonize", "no",
		"--save", "", // the append-only file is the one record
		// A full Redis must refuse a hold, not forget another one.
		"--maxmemory-policy", "noeviction",
	}
	if cfg.Durable {
		return append(args, "--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-min-size", "512mb")
	}
	return append(args, "--appendonly", "no", "--databases", strconv.Itoa(TestDatabases))
}

// redisReady tells whether the child answers; while it reads its file it answers LOADING.
func redisReady(ctx context.Context, l listener) error {
	// go-redis tries several times and prints each failure; before the first bind that is only noise.
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address(l.port))
	if err != nil {
		return err
	}
	conn.Close()

	client := redis.NewClient(&redis.Options{Addr: address(l.port), MaxRetries: -1, PoolSize: 1, DisableIdentity: true})
	defer client.Close()
	if err := client.Ping(ctx).Err(); err != nil {
		return err
	}
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", l.process.Pid)) {
		return fmt.Errorf("another Redis has port %d", l.port)
	}
	return nil
}

// FlushRedis empties the database that url names, and only that one.
func FlushRedis(ctx context.Context, url string) error {
	options, err := redis.ParseURL(url)
	if err != nil {
		return fmt.Errorf("flush Redis: %w", err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	if err := client.FlushDB(ctx).Err(); err != nil {
		return fmt.Errorf("flush Redis: %w", err)
	}
	return nil
}
