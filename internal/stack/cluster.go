package stack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ClusterSize is how many nodes a NATSCluster has: the fewest that go on when one is lost, and as many as a
// stream of three replicas needs.
const ClusterSize = 3

// NATSCluster is nats-servers inside this process that keep streams together, each with a folder and ports of
// its own. Nodes are counted from 0. Safe for concurrent use.
type NATSCluster struct {
	cfg      Config
	name     string
	maxStore int64 // bytes, of each node
	folder   *folder
	close    func() error
	settling atomic.Bool // the nodes do not have each other yet, or no longer

	mu    sync.Mutex
	nodes [ClusterSize]*clusterNode
}

type clusterNode struct {
	name        string
	store       string
	port, route int            // of clients, and of the other nodes
	server      *server.Server // nil while it is stopped
	ended       chan struct{}
}

// StartNATSCluster starts the nodes in cfg.Dir, with the options of the single server, and returns when a stream
// of ClusterSize replicas can be made. A cluster that was there before comes back with its streams and, where
// they are still free, its ports. ctx bounds the start only.
func StartNATSCluster(ctx context.Context, cfg Config) (*NATSCluster, error) {
	cfg = cfg.withDefaults()
	since := time.Now()
	f, err := openFolder(ctx, cfg)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256([]byte(f.path))
	// The name of its own keeps a node out of another cluster whose node has got its port.
	c := &NATSCluster{cfg: cfg, name: "onsale-" + hex.EncodeToString(id[:6]), folder: f}
	c.close = sync.OnceValue(c.stop)
	c.settling.Store(true)
	cfg.Progress(fmt.Sprintf("starting %d nats-servers %s in %s", ClusterSize, server.VERSION, f.path))
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start cluster of nats-servers: %w", err), c.Close())
	}
	cfg.Progress("the cluster of nats-servers is ready at " + c.URL() + " (" + took(since) + ")")
	return c, nil
}

// start starts the nodes, on other ports as long as one of them turns out to be taken.
func (c *NATSCluster) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready after %s", startLimit))
	defer cancel()
	top := filepath.Join(c.folder.path, natsFolder)
	if err := os.MkdirAll(top, 0o700); err != nil {
		return err
	}
	free, err := storeLimit(top)
	if err != nil {
		return err
	}
	c.maxStore = free / ClusterSize
	for range portTries {
		if err = c.startAll(ctx, top); !errors.Is(err, errListen) {
			break
		}
		if err := c.stopAll(); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if err := c.await(ctx, c.formed); err != nil {
		return err
	}
	if err := c.probe(ctx); err != nil {
		return err
	}
	c.settling.Store(false)
	return nil
}

func (c *NATSCluster) startAll(ctx context.Context, top string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.nodes {
		n := &clusterNode{name: "onsale-" + strconv.Itoa(i+1)}
		n.store = filepath.Join(top, n.name)
		var errs [2]error
		n.port, errs[0] = choosePort(top, n.name)
		n.route, errs[1] = choosePort(top, n.name+"-route")
		if err := errors.Join(errs[0], errs[1], os.MkdirAll(n.store, 0o700)); err != nil {
			return err
		}
		c.nodes[i] = n
	}
	for _, n := range c.nodes {
		err := c.run(ctx, n)
		if errors.Is(err, errListen) { // the next try is on others
			err = errors.Join(err, forgetPort(top, n.name), forgetPort(top, n.name+"-route"))
		}
		if err != nil {
			return err
		}
		if err := errors.Join(rememberPort(top, n.name, n.port), rememberPort(top, n.name+"-route", n.route)); err != nil {
			return err
		}
	}
	return nil
}

func forgetPort(dir, server string) error {
	err := os.Remove(filepath.Join(dir, portFile(server)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// options are the single server's, and what makes a node of it.
func (c *NATSCluster) options(n *clusterNode) *server.Options {
	opts := natsOptions(c.cfg, n.store, n.port, c.maxStore)
	opts.ServerName = n.name
	opts.Cluster = server.ClusterOpts{Name: c.name, Host: opts.Host, Port: n.route}
	for _, other := range c.nodes {
		if other != n {
			opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", Host: address(other.route)})
		}
	}
	return opts
}

// run starts a node and returns when it listens; it has not found the others yet.
func (c *NATSCluster) run(ctx context.Context, n *clusterNode) error {
	ns, err := server.NewServer(c.options(n))
	if err != nil {
		return err
	}
	log := &natsLog{log: slog.New(settled{c.cfg.Log.With("server", n.name).Handler(), &c.settling}), fatal: make(chan struct{}, 1)}
	ns.SetLoggerV2(log, false, false, false)
	go ns.Start()
	ready := make(chan bool, 1)
	go func() { ready <- ns.ReadyForConnections(startLimit) }()
	select {
	case ok := <-ready:
		if ok && ns.JetStreamEnabled() {
			ended := make(chan struct{})
			go func() { ns.WaitForShutdown(); close(ended) }()
			n.server, n.ended = ns, ended
			return nil
		}
		err = fmt.Errorf("%s is not ready: %w", n.name, log.lastError())
	case <-log.fatal:
		err = fmt.Errorf("%s: %w", n.name, log.lastError())
		if ns.JetStreamEnabled() && (ns.Addr() == nil || ns.ClusterAddr() == nil) {
			err = errors.Join(errListen, err)
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	ns.Shutdown()
	ns.WaitForShutdown()
	return err
}

// settled drops what nodes say while all of them start or stop: each warns that it misses the others.
type settled struct {
	slog.Handler
	settling *atomic.Bool
}

func (h settled) Enabled(ctx context.Context, level slog.Level) bool {
	return !h.settling.Load() && h.Handler.Enabled(ctx, level)
}

// pollEvery is how often a condition is looked at that no server announces.
const pollEvery = 10 * time.Millisecond

func (c *NATSCluster) await(ctx context.Context, holds func() bool) error {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// formed tells whether there is a leader to whom every node has reported.
func (c *NATSCluster) formed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	led := false
	for _, n := range c.nodes {
		if n.server == nil || !n.server.JetStreamIsCurrent() {
			return false
		}
		led = led || n.server.JetStreamIsLeader() && len(n.server.JetStreamClusterPeers()) == ClusterSize
	}
	return led
}

// probe makes a stream with a replica on every node, and removes it: nothing else tells that clients can.
func (c *NATSCluster) probe(ctx context.Context) error {
	conn, err := nats.Connect(c.URL())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	cfg := jetstream.StreamConfig{Name: "PROBE", Subjects: []string{"probe"}, Storage: jetstream.MemoryStorage, Replicas: ClusterSize}
	var last error
	err = c.await(ctx, func() bool {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if _, last = js.CreateStream(try, cfg); last != nil {
			return false
		}
		last = js.DeleteStream(try, cfg.Name)
		return last == nil || errors.Is(last, jetstream.ErrStreamNotFound)
	})
	if err != nil {
		return fmt.Errorf("make a stream of %d replicas: %w", ClusterSize, errors.Join(err, last))
	}
	return nil
}

// URL names all nodes, for a client that goes to another when it loses one.
func (c *NATSCluster) URL() string {
	var all []string
	for i := range ClusterSize {
		all = append(all, c.NodeURL(i))
	}
	return strings.Join(all, ",")
}

// NodeURL is the address of one node. It keeps it while it is stopped.
func (c *NATSCluster) NodeURL(node int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return "nats://" + address(c.nodes[node].port)
}

// StopNode stops a node in order, as for an update: it hands over what it leads. Its clients see their connections
// break. On one that is stopped it does nothing.
func (c *NATSCluster) StopNode(node int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[node].stop()
}

// StartNode starts a node again, at its address and with its files, and returns when it has heard from the leader;
// its streams catch up after that: see Current. On one that runs it does nothing.
func (c *NATSCluster) StartNode(ctx context.Context, node int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready after %s", startLimit))
	defer cancel()
	n, err := c.startOne(ctx, node)
	if err == nil {
		err = c.await(ctx, func() bool { return n.JetStreamIsCurrent() })
	}
	if err != nil {
		return fmt.Errorf("start node %d: %w", node, err)
	}
	return nil
}

func (c *NATSCluster) startOne(ctx context.Context, node int) (*server.Server, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[node]
	if n.server == nil {
		if err := c.run(ctx, n); err != nil {
			return nil, err
		}
	}
	return n.server, nil
}

// Leader is the node that leads a stream, -1 while none does.
func (c *NATSCluster) Leader(stream string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, n := range c.nodes {
		if n.server != nil && n.server.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
			return i
		}
	}
	return -1
}

// Current is how many nodes have a replica of a stream that has caught up and reaches to a sequence at least. Each
// node is asked for what it has itself.
func (c *NATSCluster) Current(stream string, sequence uint64) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	current := 0
	for _, n := range c.nodes {
		if n.server != nil && n.server.JetStreamIsStreamCurrent(server.DEFAULT_GLOBAL_ACCOUNT, stream) && n.reaches(stream, sequence) {
			current++
		}
	}
	return current
}

// AwaitCurrent returns when every node is Current, or ctx's error with how many are.
func (c *NATSCluster) AwaitCurrent(ctx context.Context, stream string, sequence uint64) error {
	current := 0
	if err := c.await(ctx, func() bool { current = c.Current(stream, sequence); return current == ClusterSize }); err != nil {
		return fmt.Errorf("%d of %d replicas of %s reach to %d: %w", current, ClusterSize, stream, sequence, err)
	}
	return nil
}

// reaches tells whether the node has a stream's messages up to a sequence.
func (n *clusterNode) reaches(stream string, sequence uint64) bool {
	info, err := n.server.Jsz(&server.JSzOptions{Account: server.DEFAULT_GLOBAL_ACCOUNT, Streams: true})
	if err != nil {
		return false
	}
	for _, account := range info.AccountDetails {
		for _, s := range account.Streams {
			if s.Name == stream {
				return s.State.LastSeq >= sequence
			}
		}
	}
	return false
}

func (n *clusterNode) stop() error {
	if n == nil || n.server == nil {
		return nil
	}
	ns := n.server
	n.server = nil
	return stopNATS(ns, n.ended)
}

func (c *NATSCluster) stopAll() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var wg sync.WaitGroup
	var errs [ClusterSize]error
	for i, n := range c.nodes {
		wg.Go(func() { errs[i] = n.stop() })
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// Close stops all nodes and frees the folder. Calling it again returns the same result.
func (c *NATSCluster) Close() error { return c.close() }

func (c *NATSCluster) stop() error {
	c.settling.Store(true)
	return errors.Join(c.stopAll(), c.folder.close())
}
