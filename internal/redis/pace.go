package redis

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"onsale/internal/pace"
)

// Pace is the shared pace of calls to one account: any number of processes that name the same account share its limit.
type Pace struct {
	*Client
	key   string
	limit pace.Limit
}

// Pace returns the pace of the account that a secret belongs to. The secret names it by a part of its hash, which tells
// nobody the secret. Processes that name other limits are each given what their own allows.
func (c *Client) Pace(secret string, l pace.Limit) *Pace {
	sum := sha256.Sum256([]byte(secret))
	return &Pace{Client: c, key: "pace:" + hex.EncodeToString(sum[:8]), limit: l}
}

// Reserve takes n turns. It is an error where Redis doesn't answer; the turns may be taken all the same.
func (p *Pace) Reserve(ctx context.Context, n int) (pace.Grant, error) {
	g, _, err := p.run(ctx, "reserve", int64(n))
	return g, err
}

// Slow tells of a refused call, after which nobody gets a turn for pause.
func (p *Pace) Slow(ctx context.Context, pause time.Duration) (pace.Grant, error) {
	g, _, err := p.run(ctx, "slow", pause.Microseconds())
	return g, err
}

// run also returns the time at Redis.
func (p *Pace) run(ctx context.Context, op string, n int64) (pace.Grant, time.Time, error) {
	v, err := p.pace.Run(ctx, p.c, []string{p.key}, op, p.limit.Rate, p.limit.Burst, n).Slice()
	if err != nil {
		return pace.Grant{}, time.Time{}, fmt.Errorf("pace: %w", err)
	}
	wait, err1 := strconv.ParseInt(v[0].(string), 10, 64)
	rate, err2 := strconv.ParseFloat(v[1].(string), 64)
	now, err3 := strconv.ParseInt(v[2].(string), 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return pace.Grant{}, time.Time{}, fmt.Errorf("pace: Redis answered %v", v)
	}
	return pace.Grant{Wait: time.Duration(wait) * time.Microsecond, Rate: rate}, time.UnixMicro(now), nil
}

var _ pace.Store = (*Pace)(nil)
