package stack_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"onsale/internal/stack"
)

// clusterPatience bounds what a cluster does in a test; a passing one takes a few seconds.
const clusterPatience = 18 * time.Second

func startCluster(t *testing.T, cfg stack.Config) *stack.NATSCluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clusterPatience)
	defer cancel()
	c, err := stack.StartNATSCluster(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func replicated(t *testing.T, js jetstream.JetStream) jetstream.Stream {
	t.Helper()
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}, Replicas: stack.ClusterSize})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put stores messages from to to-1, each again until it is acknowledged: while a stream has no leader nobody is there
// to take them. It returns the last sequence.
func put(t *testing.T, js jetstream.JetStream, from, to int) (last uint64) {
	t.Helper()
	for i := from; i < to; i++ {
		await(t, fmt.Sprintf("an acknowledgement of message %d", i), func() bool {
			try, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			ack, err := js.Publish(try, "kept", fmt.Append(nil, i), jetstream.WithMsgID(fmt.Sprint(i)), jetstream.WithRetryAttempts(0))
			if err == nil {
				last = ack.Sequence
			}
			return err == nil
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	return last
}

func checkKept(t *testing.T, s jetstream.Stream, n int) {
	t.Helper()
	for i := range n {
		m, err := s.GetMsg(t.Context(), uint64(i+1))
		if err != nil || string(m.Data) != fmt.Sprint(i) {
			t.Fatalf("message %d: %v (%v)", i, m, err)
		}
	}
}

func TestStreamSurvivesTheLossOfANode(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), clusterPatience)
	defer cancel()
	c := startCluster(t, stack.Config{Dir: tempDir(t), Durable: true})
	js := natsStreams(t, c.URL())
	s := replicated(t, js)
	last := put(t, js, 0, 20)
	if err := c.AwaitCurrent(ctx, "KEPT", last); err != nil {
		t.Fatal(err)
	}

	lost := c.Leader("KEPT")
	if lost < 0 {
		t.Fatal("a stream that takes messages has no leader")
	}
	for range 2 {
		if err := c.StopNode(lost); err != nil {
			t.Fatal(err)
		}
	}
	if listens(t, c.NodeURL(lost)) {
		t.Error("a node that was stopped answers")
	}
	last = put(t, js, 20, 40)
	if leader := c.Leader("KEPT"); leader < 0 || leader == lost {
		t.Errorf("node %d leads after node %d was lost", leader, lost)
	}
	await(t, "the two that are left", func() bool { return c.Current("KEPT", last) == stack.ClusterSize-1 })
	checkKept(t, s, 40)

	for range 2 {
		if err := c.StartNode(ctx, lost); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.AwaitCurrent(ctx, "KEPT", last); err != nil {
		t.Fatal(err)
	}
	if n := c.Current("KEPT", last+1); n != 0 {
		t.Errorf("%d replicas reach to a message that nobody stored", n)
	}
	// What it missed counts: with another one lost, it is half of the majority.
	if err := c.StopNode((lost + 1) % stack.ClusterSize); err != nil {
		t.Fatal(err)
	}
	put(t, js, 40, 60)
	checkKept(t, s, 60)
}

func TestClusterKeepsStreamsAndAddresses(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	first := startCluster(t, stack.Config{Dir: dir})
	js := natsStreams(t, first.URL())
	replicated(t, js)
	put(t, js, 0, 10)
	if _, err := stack.StartNATSCluster(t.Context(), stack.Config{Dir: dir}); err == nil {
		t.Error("two clusters have one folder")
	}
	for range 2 {
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
	}
	second := startCluster(t, stack.Config{Dir: dir})
	if first.URL() != second.URL() {
		t.Errorf("addresses changed: %s, then %s", first.URL(), second.URL())
	}
	js = natsStreams(t, second.URL())
	var kept jetstream.Stream
	await(t, "the stream", func() bool {
		var err error
		kept, err = js.Stream(t.Context(), "KEPT")
		return err == nil && second.Current("KEPT", 10) == stack.ClusterSize
	})
	checkKept(t, kept, 10)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	fresh := startCluster(t, stack.Config{Dir: dir, Fresh: true})
	if n := fresh.Current("KEPT", 0); n != 0 {
		t.Errorf("%d nodes of a fresh cluster have the stream", n)
	}
}

func TestClusterLeavesPortsThatAreTaken(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	first := startCluster(t, stack.Config{Dir: dir})
	taken := first.NodeURL(1)
	if err := first.StopNode(1); err != nil {
		t.Fatal(err)
	}
	occupy(t, taken)
	ctx, cancel := context.WithTimeout(t.Context(), clusterPatience)
	defer cancel()
	if err := first.StartNode(ctx, 1); err == nil {
		t.Error("a node started on a port that is taken")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := startCluster(t, stack.Config{Dir: dir})
	if second.NodeURL(1) == taken {
		t.Errorf("%s was taken, and is used all the same", taken)
	}
	replicated(t, natsStreams(t, second.URL()))
}

// A port can be taken between the look for a free one and the start.
func TestClusterTriesOtherPorts(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	first := startCluster(t, stack.Config{Dir: dir})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for _, server := range []string{"onsale-2", "onsale-3-route"} { // two that want the port of a third
		port, err := os.ReadFile(filepath.Join(dir, "nats", "onsale-1.port"))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "nats", server+".port"), port, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	second := startCluster(t, stack.Config{Dir: dir})
	if second.NodeURL(0) == second.NodeURL(1) {
		t.Errorf("two nodes are at %s", second.NodeURL(1))
	}
}

func TestClusterNeedsAFolderOfItsOwn(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	if err := os.WriteFile(filepath.Join(dir, "letter.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := stack.StartNATSCluster(t.Context(), stack.Config{Dir: dir}); err == nil {
		t.Error("a cluster took a folder that holds other things")
	}
}

// Nodes that start one after the other miss each other for a moment, which is nothing to warn of. Later it is.
func TestClusterWarnsOfALostNodeOnly(t *testing.T) {
	t.Parallel()
	var warned warnings
	c := startCluster(t, stack.Config{Dir: tempDir(t), Log: slog.New(slog.NewTextHandler(&warned, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if said := warned.all(); said != "" {
		t.Errorf("the start warned:\n%s", said)
	}
	if err := c.StopNode(1); err != nil {
		t.Fatal(err)
	}
	await(t, "a warning of the lost node", func() bool { return strings.Contains(warned.all(), "route") })
}

// warnings are the lines of a log.
type warnings struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (w *warnings) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines.Write(line)
}

func (w *warnings) all() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines.String()
}
