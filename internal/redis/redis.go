// Package redis keeps what may be lost: holds with their time to live, marks of sold seats, the places of
// sessions, and which checkouts were accepted. It is the only importer of go-redis. All keys of an event share
// a hash tag, so each script runs on one node of a cluster. Postgres and the streams have all of it that matters: what is lost costs
// holds, convenience and the count of what a session bought.
package redis

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"onsale/internal/batch"
	"onsale/internal/sale"
)

//go:embed lua/*.lua
var lua embed.FS

// Client is a connection to one Redis or to a cluster. Safe for concurrent use.
type Client struct {
	c   redis.UniversalClient
	now func() time.Time // for what is told of times; when a hold ends is decided by Redis alone

	together *batch.Group[redis.Cmder, struct{}]

	hold, extend, release, bind, sell, unsell, recall, remember, settle, forget, redeem, pace *redis.Script
}

// dials is how often one try of a command dials: a command is tried four times by itself, and whoever waits
// for a Redis that is away should learn it soon.
const dials = 1

// poolSize is how many connections a process keeps to one Redis.
const poolSize = 64

// protocol is RESP2: nothing here needs what RESP3 pushes, and looking for pushes costs at every answer.
const protocol = 2

// Open prepares a client; the connection is made when it is first used. A URL with addr parameters
// (redis://a:6379?addr=b:6379) names a cluster's nodes, and with a master_name as well the Sentinels of one
// Redis and its standbys (redis://a:26379?addr=b:26379&master_name=onsale).
func Open(redisURL string) (*Client, error) {
	u, err := url.Parse(redisURL)
	if err != nil {
		return nil, errors.New("open redis: the URL is not one (it is not shown, since it may hold a password)")
	}
	c := &Client{now: time.Now}
	switch q := u.Query(); {
	case q.Has("master_name"):
		opt, err := redis.ParseFailoverURL(redisURL)
		if err != nil {
			return nil, errors.New("open redis: not a URL of Redis Sentinels")
		}
		opt.PoolSize, opt.DialerRetries, opt.Protocol = poolSize, dials, protocol
		c.c = redis.NewFailoverClient(opt)
	case q.Has("addr"):
		opt, err := redis.ParseClusterURL(redisURL)
		if err != nil {
			return nil, errors.New("open redis: not a URL of a Redis cluster")
		}
		opt.DialerRetries, opt.Protocol = dials, protocol
		c.c = redis.NewClusterClient(opt)
	default:
		opt, err := redis.ParseURL(redisURL)
		if err != nil {
			return nil, errors.New("open redis: not a Redis URL")
		}
		opt.PoolSize, opt.DialerRetries, opt.Protocol = poolSize, dials, protocol
		c.c = redis.NewClient(opt)
	}
	c.together = batch.New(together, pipelined(c.c))
	for name, s := range map[string]**redis.Script{
		"hold": &c.hold, "extend": &c.extend, "release": &c.release, "bind": &c.bind, "sell": &c.sell, "unsell": &c.unsell, "recall": &c.recall, "remember": &c.remember, "settle": &c.settle, "forget": &c.forget, "redeem": &c.redeem, "pace": &c.pace,
	} {
		src, err := lua.ReadFile("lua/" + name + ".lua")
		if err != nil {
			return nil, fmt.Errorf("open redis: %w", err)
		}
		*s = redis.NewScript(string(src))
	}
	return c, nil
}

// Close ends all connections.
func (c *Client) Close() error { return c.c.Close() }

// Check says whether Redis answers.
func (c *Client) Check(ctx context.Context) error {
	if err := c.c.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping redis: %w", err)
	}
	return nil
}

// eachMaster calls do for every node that holds keys of its own, in a cluster for several at once.
func (c *Client) eachMaster(ctx context.Context, do func(ctx context.Context, node redis.Cmdable) error) error {
	if cluster, ok := c.c.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return do(ctx, node) })
	}
	return do(ctx, c.c)
}

// unavailable says that Redis did not do it, for a reason that may pass.
func unavailable(verb string, err error) error {
	return sale.Errorf(sale.Unavailable, "holds_unavailable", "the seats can't be reached; try again").Because(fmt.Errorf("%s: %w", verb, err))
}

// acceptedTTL outlives any backlog; by then the order is in Postgres or in DEAD.
const acceptedTTL = 24 * time.Hour

func acceptedKey(order uuid.UUID) string { return "order:" + order.String() }

// Accept remembers an accepted checkout, so that its order is found before a worker has begun it.
func (c *Client) Accept(ctx context.Context, order uuid.UUID, a sale.Accepted) error {
	b, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode accepted checkout: %w", err)
	}
	set := redis.NewStatusCmd(ctx, "set", acceptedKey(order), b, "px", acceptedTTL.Milliseconds())
	if err := c.do(ctx, set); err != nil {
		return unavailable("accept", err)
	}
	if err := set.Err(); err != nil {
		return unavailable("accept", err)
	}
	return nil
}

// Accepted returns an accepted checkout, false where none is known.
func (c *Client) Accepted(ctx context.Context, order uuid.UUID) (sale.Accepted, bool, error) {
	get := redis.NewStringCmd(ctx, "get", acceptedKey(order))
	if err := c.do(ctx, get); err != nil {
		return sale.Accepted{}, false, unavailable("find accepted", err)
	}
	b, err := get.Bytes()
	if errors.Is(err, redis.Nil) {
		return sale.Accepted{}, false, nil
	}
	if err != nil {
		return sale.Accepted{}, false, unavailable("find accepted", err)
	}
	var a sale.Accepted
	if err := json.Unmarshal(b, &a); err != nil {
		return sale.Accepted{}, false, fmt.Errorf("decode accepted checkout: %w", err)
	}
	return a, true, nil
}
