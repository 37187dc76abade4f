package redis

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"onsale/internal/batch"
)

// together bounds the round trips that calls share: what is asked while some are under way goes with the next. A lone
// one goes at once.
var together = batch.Config{MaxItems: 128, MaxInFlight: 4, Enough: 32, Patience: time.Millisecond, MaxQueue: 32 << 10, MaxWait: 2 * time.Second, Timeout: 5 * time.Second}

// pipelined is how commands of many calls are made in one round trip. Each has its own answer.
func pipelined(c redis.UniversalClient) func(context.Context, []redis.Cmder) ([]struct{}, error) {
	return func(ctx context.Context, all []redis.Cmder) ([]struct{}, error) {
		pipe := c.Pipeline()
		for _, cmd := range all {
			_ = pipe.Process(ctx, cmd) // it only queues
		}
		send(ctx, pipe)
		return make([]struct{}, len(all)), nil
	}
}

// send has the commands of a pipeline answered. Each has its own error. What Redis says to a new connection, such as that its
// password is wrong, go-redis tells of the pipeline alone, and the commands, which were never sent, would seem to be done.
func send(ctx context.Context, pipe redis.Pipeliner) {
	all, err := pipe.Exec(ctx)
	if err == nil || slices.ContainsFunc(all, func(c redis.Cmder) bool { return c.Err() != nil }) {
		return
	}
	for _, c := range all {
		c.SetErr(err)
	}
}

// do makes a command, in a round trip with others that are made now; the command has the answer. In a cluster it goes by
// itself: together, all would wait for the slowest node.
func (c *Client) do(ctx context.Context, cmd redis.Cmder) error {
	if _, cluster := c.c.(*redis.ClusterClient); cluster {
		_ = c.c.Process(ctx, cmd) // the command has the error
		return nil
	}
	_, err := c.together.Do(ctx, cmd)
	return err
}

// eval runs a script, in a round trip with others that are asked for now. The error says that it may or may not have
// been run, as the command's own does.
func (c *Client) eval(ctx context.Context, s *redis.Script, keys []string, args ...any) (*redis.Cmd, error) {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, "evalsha", s.Hash(), len(keys))
	for _, k := range keys {
		all = append(all, k)
	}
	cmd := redis.NewCmd(ctx, append(all, args...)...)
	cmd.SetFirstKeyPos(3) // by which a cluster's node is found
	if err := c.do(ctx, cmd); err != nil {
		return nil, err
	}
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") { // a Redis that has just begun: this also teaches it
		cmd = s.Run(ctx, c.c, keys, args...)
	}
	return cmd, cmd.Err()
}

// answers runs a script that returns a list.
func (c *Client) answers(ctx context.Context, s *redis.Script, keys []string, args ...any) ([]any, error) {
	cmd, err := c.eval(ctx, s, keys, args...)
	if err != nil {
		return nil, err
	}
	return cmd.Slice()
}
