package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisSlots is how many slots a Redis Cluster shares out among its masters.
const redisSlots = 16384

// StartRedisCluster starts three masters of a Redis Cluster as children, each with a third of the slots, with their files
// in cfg.Dir, which the caller has to itself. program is the path of a Redis or a Valkey. The server's URL names all
// three. Nothing is kept, so it is for tests.
func StartRedisCluster(ctx context.Context, cfg Config, program string) (_ *Server, err error) {
	cfg = cfg.withDefaults()
	top, err := makeFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	var nodes []listener
	stop := func() error {
		var errs []error
		for _, n := range nodes {
			errs = append(errs, n.stop(step{syscall.SIGTERM, 10 * time.Second}))
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start Redis Cluster: %w", err), stop())
		}
	}()
	for i := range ClusterSize {
		n, err := startClusterNode(ctx, top, program, fmt.Sprintf("redis-%d", i+1))
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready after %s", startLimit))
	defer cancel()
	if err := joinCluster(ctx, nodes); err != nil {
		return nil, err
	}
	var rest []string
	for _, n := range nodes[1:] {
		rest = append(rest, "addr="+address(n.port))
	}
	url := "redis://" + address(nodes[0].port) + "?" + strings.Join(rest, "&")
	return newServer(url, nodes[0].ended, nodes[0].why, stop), nil
}

func startClusterNode(ctx context.Context, top, program, name string) (listener, error) {
	dir := filepath.Join(top, name)
	as, err := ownFolder(dir, "Redis", "redis", "valkey", "nobody")
	if err != nil {
		return listener{}, err
	}
	return startListener(ctx, top, func(port int) command {
		args := []string{
			"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir, "--daemonize", "no", "--save", "", "--appendonly", "no",
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes-" + strconv.Itoa(port) + ".conf", "--cluster-node-timeout", "5000",
		}
		return command{name: "Redis", server: name, path: program, args: args, dir: dir, as: as, orphaned: syscall.SIGKILL}
	}, redisReady)
}

// joinCluster shares the slots out, makes the nodes know each other, and waits until all of them find the cluster whole.
func joinCluster(ctx context.Context, nodes []listener) error {
	clients := make([]*redis.Client, len(nodes))
	for i, n := range nodes {
		clients[i] = redis.NewClient(&redis.Options{Addr: address(n.port), MaxRetries: -1, DisableIdentity: true})
		defer clients[i].Close()
		first, next := i*redisSlots/len(nodes), (i+1)*redisSlots/len(nodes)
		if err := clients[i].ClusterAddSlotsRange(ctx, first, next-1).Err(); err != nil {
			return fmt.Errorf("share out slots: %w", err)
		}
		if i == 0 {
			continue // the others are introduced to this one
		}
		host, port, err := net.SplitHostPort(address(nodes[0].port))
		if err != nil {
			return err
		}
		if err := clients[i].ClusterMeet(ctx, host, port).Err(); err != nil {
			return fmt.Errorf("introduce nodes: %w", err)
		}
	}
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for _, c := range clients {
		for {
			info, err := c.ClusterInfo(ctx).Result()
			if err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", len(nodes))) {
				break
			}
			select {
			case <-ctx.Done():
				return errors.Join(context.Cause(ctx), err)
			case <-poll.C:
			}
		}
	}
	return nil
}
