package redis

import (
	"context"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"onsale/internal/sale"
)

// SeatKeys reads every seat of an event that someone has.
func (c *Client) SeatKeys(ctx context.Context, eventID string) ([]sale.SeatKey, error) {
	prefix := tag(eventID) + ":seat:"
	var mu sync.Mutex
	seen := map[string]bool{} // a scan may name a key twice
	var out []sale.SeatKey
	read := func(ctx context.Context, node redis.Cmdable) error {
		var cursor uint64
		for {
			keys, next, err := node.Scan(ctx, cursor, globEscape.Replace(prefix)+"*", 1000).Result()
			if err != nil {
				return err
			}
			found, err := describeSeats(ctx, node, prefix, keys)
			if err != nil {
				return err
			}
			mu.Lock()
			for _, k := range found {
				if !seen[k.Seat] {
					seen[k.Seat], out = true, append(out, k)
				}
			}
			mu.Unlock()
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	}
	if err := c.eachMaster(ctx, read); err != nil {
		return nil, unavailable("read seats of "+eventID, err)
	}
	return out, nil
}

var globEscape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

func describeSeats(ctx context.Context, node redis.Cmdable, prefix string, keys []string) ([]sale.SeatKey, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	pipe := node.Pipeline()
	values, ttls := make([]*redis.StringCmd, len(keys)), make([]*redis.DurationCmd, len(keys))
	for i, k := range keys {
		values[i], ttls[i] = pipe.Get(ctx, k), pipe.PTTL(ctx, k)
	}
	if _, err := pipe.Exec(ctx); err != nil && err != redis.Nil {
		return nil, err
	}
	var out []sale.SeatKey
	for i, k := range keys {
		owner, err := values[i].Result()
		if err == redis.Nil {
			continue // lapsed since the scan
		}
		if err != nil {
			return nil, err
		}
		s := sale.SeatKey{Seat: strings.TrimPrefix(k, prefix), Expires: ttls[i].Val() > 0}
		if id, held := holderOf(owner); held {
			s.Hold = id
		} else {
			s.Sold = id
		}
		out = append(out, s)
	}
	return out, nil
}
