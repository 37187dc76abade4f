package stack_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"onsale/internal/stack"
)

// helperDir, when set, makes this test binary a process that runs a stack there until it is killed.
const helperDir = "ONSALE_STACK_TEST_HELPER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		os.Exit(runHelper(dir))
	}
	os.Exit(m.Run())
}

func TestStartServesAndCloseEndsEverything(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var lines []string
	s := start(t, stack.Config{Dir: tempDir(t), Durable: true, Progress: func(line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	}})
	putAll(t, s, "first")
	checkAll(t, s, "first")
	if said := strings.Join(lines, "\n"); !strings.Contains(said, "starting Postgres") || !strings.Contains(said, "ready at "+s.RedisURL) {
		t.Errorf("progress doesn't tell what happens:\n%s", said)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	for _, url := range []string{s.NATSURL, s.DatabaseURL, s.RedisURL} {
		if listens(t, url) {
			t.Errorf("%s still answers after Close", url)
		}
	}
	select {
	case err := <-s.Failed():
		t.Errorf("an ordered stop was reported as a failure: %v", err)
	default:
	}
}

func TestServersSyncOnlyWhenDurable(t *testing.T) {
	t.Parallel()
	for _, durable := range []bool{true, false} {
		s := start(t, stack.Config{Dir: tempDir(t), Durable: durable})
		want := map[bool]string{true: "on", false: "off"}[durable]
		for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
			if got := queryPostgres(t, s.DatabaseURL, "SHOW "+setting); got != want {
				t.Errorf("durable %v: %s = %s, want %s", durable, setting, got, want)
			}
		}
		config, err := redisClient(t, s.RedisURL).ConfigGet(t.Context(), "append*").Result()
		if err != nil {
			t.Fatal(err)
		}
		if config["appendonly"] != map[bool]string{true: "yes", false: "no"}[durable] || config["appendfsync"] != "everysec" {
			t.Errorf("durable %v: Redis has %v", durable, config)
		}
		if got := queryPostgres(t, s.DatabaseURL, "SHOW server_encoding"); got != "UTF8" {
			t.Errorf("encoding %s", got)
		}
	}
}

func TestRestartKeepsDataAndPorts(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	first := start(t, stack.Config{Dir: dir, Durable: true})
	putAll(t, first, "kept")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := start(t, stack.Config{Dir: dir, Durable: true})
	checkAll(t, second, "kept")
	if first.NATSURL != second.NATSURL || first.DatabaseURL != second.DatabaseURL || first.RedisURL != second.RedisURL {
		t.Errorf("addresses changed: %s %s %s, then %s %s %s", first.NATSURL, first.DatabaseURL, first.RedisURL,
			second.NATSURL, second.DatabaseURL, second.RedisURL)
	}
}

func TestRestartLeavesPortThatIsTaken(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	first := start(t, stack.Config{Dir: dir})
	urls := []string{first.NATSURL, first.DatabaseURL, first.RedisURL}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for _, url := range urls {
		occupy(t, url)
	}
	second := start(t, stack.Config{Dir: dir})
	putAll(t, second, "elsewhere")
	checkAll(t, second, "elsewhere")
	for i, url := range []string{second.NATSURL, second.DatabaseURL, second.RedisURL} {
		if url == urls[i] {
			t.Errorf("%s was taken, and is used all the same", url)
		}
	}
}

func TestFreshEmpties(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	first := start(t, stack.Config{Dir: dir})
	putAll(t, first, "old")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(mine, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	second := start(t, stack.Config{Dir: dir, Fresh: true})
	if got := queryPostgres(t, second.DatabaseURL, "SELECT to_regclass('kept') IS NULL"); got != "t" {
		t.Error("the table is still there")
	}
	if n, err := redisClient(t, second.RedisURL).DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("Redis holds %d keys (%v)", n, err)
	}
	if _, err := natsStreams(t, second.NATSURL).Stream(t.Context(), "KEPT"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the stream is still there (%v)", err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("a file that is no stack's was removed: %v", err)
	}
}

func TestForeignFolderIsRefused(t *testing.T) {
	t.Parallel()
	for _, fresh := range []bool{true, false} {
		dir := tempDir(t)
		file := filepath.Join(dir, "postgres")
		if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := stack.Start(t.Context(), stack.Config{Dir: dir, Fresh: fresh})
		if err == nil || !strings.Contains(err.Error(), "is not a data folder of Onsale") {
			t.Errorf("fresh %v: got %v", fresh, err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("fresh %v: the folder was changed: %v (%v)", fresh, entries, err)
		}
	}
}

func TestOneStackPerFolder(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		running []*stack.Stack
	)
	for range 8 {
		wg.Go(func() {
			s, err := stack.Start(context.Background(), stack.Config{Dir: dir})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				running = append(running, s)
				t.Cleanup(func() { s.Close() })
				return
			}
			if !strings.Contains(err.Error(), "in use by another Onsale (process id ") {
				t.Errorf("refused for another reason: %v", err)
			}
		})
	}
	wg.Wait()
	if len(running) != 1 {
		t.Fatalf("%d stacks run on one folder", len(running))
	}
	_, err := stack.Start(t.Context(), stack.Config{Dir: dir, Fresh: true})
	if err == nil || !strings.Contains(err.Error(), "process id "+strconv.Itoa(os.Getpid())+")") {
		t.Errorf("the holder isn't named: %v", err)
	}
	putAll(t, running[0], "untouched")
}

func TestChildDeathIsReported(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Config{Dir: tempDir(t)})
	pid, err := strconv.Atoi(redisInfo(t, s.RedisURL, "process_id"))
	if err != nil {
		t.Fatal(err)
	}
	kill(t, pid)
	select {
	case err := <-s.Failed():
		for _, want := range []string{"Redis ended by itself", "killed", "Ready to accept connections"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q isn't in: %v", want, err)
			}
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was reported")
	}
	if err := s.Close(); err != nil {
		t.Errorf("close after a death: %v", err)
	}
}

func TestServersThatRunElsewhereAreNotStarted(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tempDir(t), "data")
	elsewhere := stack.Config{Dir: dir, NATSURL: "nats://nats:4222", DatabaseURL: "postgres://db/x", RedisURL: "redis://r:6379"}
	s, err := stack.Start(t.Context(), elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	if s.NATSURL != elsewhere.NATSURL || s.DatabaseURL != elsewhere.DatabaseURL || s.RedisURL != elsewhere.RedisURL {
		t.Errorf("got %s %s %s", s.NATSURL, s.DatabaseURL, s.RedisURL)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a data folder was made for nothing")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	some := start(t, stack.Config{Dir: dir, DatabaseURL: "postgres://db/x", NATSURL: "nats://nats:4222"})
	if err := redisClient(t, some.RedisURL).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
		t.Error("a Postgres was started though one was named")
	}
}

func TestCanceledStartLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := stack.Start(ctx, stack.Config{Dir: dir, Progress: func(line string) {
		if strings.HasPrefix(line, "making a new Postgres") {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	putAll(t, start(t, stack.Config{Dir: dir}), "after") // what the first had begun is no obstacle
}

// A parent-death signal is tied to the thread that forked: the children must live on when the threads
// that had to do with their start come to an end.
func TestChildrenOutliveTheThreadsOfTheirStart(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Config{Dir: tempDir(t)})
	for range 8 {
		var (
			wg      sync.WaitGroup
			barrier = make(chan struct{})
		)
		for range 32 { // more than there are idle threads
			wg.Go(func() {
				runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
				<-barrier
			})
		}
		close(barrier)
		wg.Wait()
	}
	putAll(t, s, "alive")
	select {
	case err := <-s.Failed():
		t.Error(err)
	default:
	}
}

func TestMissingServerIsNamedWithItsPackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := stack.StartRedis(t.Context(), stack.Config{Dir: tempDir(t)})
	if err == nil || !strings.Contains(err.Error(), "apt-get install redis-server") {
		t.Errorf("got %v", err)
	}
}

func TestFailedStartShowsTheLog(t *testing.T) {
	bin := tempDir(t)
	script := "#!/bin/sh\necho the disk is made of cheese\nexit 3\n"
	if err := os.WriteFile(filepath.Join(bin, "redis-server"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	s, err := stack.Start(t.Context(), stack.Config{Dir: tempDir(t)})
	if err == nil {
		s.Close()
		t.Fatal("started")
	}
	for _, want := range []string{"start Redis", "exit status 3", "the disk is made of cheese"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q isn't in: %v", want, err)
		}
	}
}
