package stack_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"onsale/internal/stack"
)

// runHelper is the body of the process that TestKilledParentLeavesNoChild kills.
func runHelper(dir string) int {
	s, err := stack.Start(context.Background(), stack.Config{Dir: dir, Durable: true})
	if err != nil {
		fmt.Println("error:", strings.ReplaceAll(err.Error(), "\n", " | "))
		return 1
	}
	fmt.Println(s.NATSURL, s.DatabaseURL, s.RedisURL)
	fmt.Println(<-s.Failed())
	return 1
}

func startHelper(t *testing.T, dir string) (*exec.Cmd, *stack.Stack) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	urls := strings.Fields(line)
	if err != nil || len(urls) != 3 {
		t.Fatalf("the helper says %q (%v)", line, err)
	}
	return cmd, &stack.Stack{NATSURL: urls[0], DatabaseURL: urls[1], RedisURL: urls[2]}
}

func TestKilledParentLeavesNoChild(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	cmd, s := startHelper(t, dir)
	putAll(t, s, "survives")

	_, err := stack.Start(t.Context(), stack.Config{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "process id "+strconv.Itoa(cmd.Process.Pid)+")") {
		t.Errorf("the helper's folder wasn't refused with its process id: %v", err)
	}

	kill(t, cmd.Process.Pid)
	_ = cmd.Wait()
	await(t, "the children to end", func() bool { return len(processesIn(t, dir)) == 0 })
	await(t, "the ports to close", func() bool { return !listens(t, s.DatabaseURL) && !listens(t, s.RedisURL) })
	checkAll(t, start(t, stack.Config{Dir: dir, Durable: true}), "survives")
}

// The next start doesn't wait for anyone to look: right after the kill the former servers may still run.
func TestStartRightAfterKill(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	for i := range 3 {
		cmd, s := startHelper(t, dir)
		if i == 0 {
			putAll(t, s, "survives")
		}
		checkAll(t, s, "survives")
		kill(t, cmd.Process.Pid)
		_ = cmd.Wait()
	}
}

// A pid file is what a Postgres leaves behind that was killed: its pid may be gone, be another process
// by now, or be garbage.
func TestStalePidFileIsNoObstacle(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	s := start(t, stack.Config{Dir: dir, Durable: true})
	putAll(t, s, "survives")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "postgres", "data")
	// A process of the account that Postgres runs as, the only kind that Postgres mistakes for itself.
	other := exec.Command("sleep", "600")
	runAsOwner(t, other, data)
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	})
	for _, text := range []string{
		"", "not a number\n\x00\x01", "999999999\n" + data + "\n",
		fmt.Sprintf("%d\n%s\n1700000000\n5432\n\n127.0.0.1\n  1234  5678\nready\n", other.Process.Pid, data),
	} {
		if err := os.WriteFile(filepath.Join(data, "postmaster.pid"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := stack.Start(t.Context(), stack.Config{Dir: dir, Durable: true})
		if err != nil {
			t.Fatalf("with pid file %q: %v", text, err)
		}
		checkAll(t, s, "survives")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Somebody's own Postgres on the data is not ours to end, and two would destroy it.
func TestLivePostgresOnTheDataIsRefused(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	s := start(t, stack.Config{Dir: dir})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := stack.StartPostgres(ctx, stack.Config{Dir: dir, Progress: func(line string) {
		if strings.HasPrefix(line, "waiting for a former server") {
			cancel() // it would wait for a while, in case the server is about to end
		}
	}})
	if err == nil || !strings.Contains(err.Error(), "a server still runs on "+dir) {
		t.Errorf("got %v", err)
	}
	putAll(t, s, "unharmed")
}
