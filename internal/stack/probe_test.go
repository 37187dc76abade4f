package stack_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"onsale/internal/stack"
)

func start(t *testing.T, cfg stack.Config) *stack.Stack {
	t.Helper()
	s, err := stack.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// tempDir is a folder that the accounts the servers run as can reach, which t.TempDir is not.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "onsale-stack-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { await(t, "removal of "+dir, func() bool { return os.RemoveAll(dir) == nil }) })
	return dir
}

// await polls until done, for what happens in another process.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !done() {
		select {
		case <-limit:
			t.Errorf("waited in vain for %s", what)
			return
		case <-poll.C:
		}
	}
}

func hostOf(t *testing.T, serverURL string) string {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func listens(t *testing.T, serverURL string) bool {
	t.Helper()
	conn, err := net.DialTimeout("tcp", hostOf(t, serverURL), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func occupy(t *testing.T, serverURL string) {
	t.Helper()
	l, err := net.Listen("tcp", hostOf(t, serverURL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}

func putAll(t *testing.T, s *stack.Stack, value string) {
	t.Helper()
	queryPostgres(t, s.DatabaseURL, "CREATE TABLE kept (value text)")
	queryPostgres(t, s.DatabaseURL, "INSERT INTO kept VALUES ('"+value+"')")
	if err := redisClient(t, s.RedisURL).Set(t.Context(), "kept", value, 0).Err(); err != nil {
		t.Fatal(err)
	}
	js := natsStreams(t, s.NATSURL)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "kept", []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func checkAll(t *testing.T, s *stack.Stack, value string) {
	t.Helper()
	if got := queryPostgres(t, s.DatabaseURL, "SELECT value FROM kept"); got != value {
		t.Errorf("Postgres has %q, want %q", got, value)
	}
	if got, err := redisClient(t, s.RedisURL).Get(t.Context(), "kept").Result(); err != nil || got != value {
		t.Errorf("Redis has %q (%v), want %q", got, err, value)
	}
	stream, err := natsStreams(t, s.NATSURL).Stream(t.Context(), "KEPT")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := stream.GetMsg(t.Context(), 1); err != nil || string(got.Data) != value {
		t.Errorf("the stream has %v (%v), want %q", got, err, value)
	}
}

func queryPostgres(t *testing.T, url, query string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	results, err := conn.PgConn().Exec(t.Context(), query).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return ""
	}
	return string(results[0].Rows[0][0])
}

func redisClient(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

func redisInfo(t *testing.T, url, field string) string {
	t.Helper()
	info, err := redisClient(t, url).Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(info, field+":")
	value, _, _ := strings.Cut(after, "\r\n")
	return value
}

func natsStreams(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// processesIn returns the ids of the processes that work below dir.
func processesIn(t *testing.T, dir string) []int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, link := range links {
		if cwd, err := os.Readlink(link); err != nil || !strings.HasPrefix(cwd, dir) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func ownerOf(t *testing.T, path string) *syscall.Stat_t {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatal("no owner")
	}
	return stat
}

func runAsOwner(t *testing.T, cmd *exec.Cmd, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	owner := ownerOf(t, path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
}
