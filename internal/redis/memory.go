package redis

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// UsedMemory is what Redis has allocated, in bytes: used_memory of its INFO, over all masters of a cluster.
func (c *Client) UsedMemory(ctx context.Context) (int64, error) {
	var total atomic.Int64
	read := func(ctx context.Context, node redis.Cmdable) error {
		info, err := node.InfoMap(ctx, "memory").Result()
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(info["Memory"]["used_memory"], 10, 64)
		if err != nil {
			return fmt.Errorf("read used_memory: %w", err)
		}
		total.Add(n)
		return nil
	}
	if err := c.eachMaster(ctx, read); err != nil {
		return 0, unavailable("ask for memory", err)
	}
	return total.Load(), nil
}
