package redis

import (
	"context"

	"github.com/redis/go-redis/v9"

	"onsale/internal/sale"
)

// SeatKeys reads every seat of an event that someone has.
func (c *Client) SeatKeys(ctx context.Context, eventID string) ([]sale.SeatKey, error) {
	seen := map[string]bool{} // a scan may name a seat twice
	var out []sale.SeatKey
	var cursor uint64
	for {
		pairs, next, err := c.c.HScan(ctx, seatsKey(eventID), cursor, "", 1000).Result()
		var found []sale.SeatKey
		if err == nil {
			found, err = c.describe(ctx, eventID, pairs)
		}
		if err != nil {
			return nil, unavailable("read seats of "+eventID, err)
		}
		for _, k := range found {
			if !seen[k.Seat] {
				seen[k.Seat], out = true, append(out, k)
			}
		}
		if cursor = next; cursor == 0 {
			return out, nil
		}
	}
}

// forGood is the time that is left to a key that never ends.
const forGood = -1

// describe reads what seats and their owners' holds say, without those that nobody has.
func (c *Client) describe(ctx context.Context, eventID string, pairs []string) ([]sale.SeatKey, error) {
	live := c.liveness()
	left := map[string]*redis.DurationCmd{} // by session
	for i := 0; i < len(pairs); i += 2 {
		o, _ := ownerOf(pairs[i+1])
		live.ask(ctx, eventID, o)
		if _, asked := left[o.session]; !asked && o.sold == "" {
			left[o.session] = live.pipe.PTTL(ctx, holdOf(eventID, o.session))
		}
	}
	if err := live.answered(ctx); err != nil {
		return nil, err
	}
	for _, asked := range left {
		if err := asked.Err(); err != nil {
			return nil, err
		}
	}
	var out []sale.SeatKey
	for i := 0; i < len(pairs); i += 2 {
		o, _ := ownerOf(pairs[i+1])
		if live.lives(eventID, o) {
			out = append(out, sale.SeatKey{Seat: pairs[i], Hold: o.hold, Sold: o.sold, Expires: o.sold == "" && left[o.session].Val() != forGood})
		}
	}
	return out, nil
}
