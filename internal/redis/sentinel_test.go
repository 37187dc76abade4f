package redis

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"onsale/internal/sale"
	"onsale/internal/stack"
	"onsale/internal/testenv"
)

// TestOpenFindsTheMasterBySentinel asks a real Sentinel.
func TestOpenFindsTheMasterBySentinel(t *testing.T) {
	t.Parallel()
	master, err := url.Parse(testenv.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	dir := t.TempDir()
	conf := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor onsale %s %s 1\n", port, dir, master.Hostname(), master.Port())
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	server, err := stack.FindRedis()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	sentinel := exec.CommandContext(ctx, server, conf, "--sentinel")
	if err := sentinel.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = sentinel.Wait() // it was ended
	})
	c, err := Open("redis://127.0.0.1:" + port + master.Path + "?master_name=onsale")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(30 * time.Second); c.Check(t.Context()) != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(c.Check(t.Context()))
		}
	}
	taken, err := c.Take(t.Context(), show, fan(1), []string{"A-1"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := c.Find(t.Context(), show, taken.Session, taken.ID); err != nil || found.Session != fan(1) {
		t.Errorf("found %+v, %v", found, err)
	}
	if _, err := c.Take(t.Context(), show, fan(2), []string{"A-1"}, time.Minute); sale.KindOf(err) != sale.Conflict {
		t.Errorf("the seat was taken twice: %v", err)
	}
	if _, err := Open("redis://:hunter2@a:1/x?master_name=onsale"); err == nil {
		t.Error("a URL with no database in it was taken")
	}
}
