package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"onsale/internal/redis"
	"onsale/internal/stack"
	"onsale/internal/up"
	"onsale/nats"
)

// The fans that a line of line-10m can have.
const (
	MinFans = 10_000
	MaxFans = 50_000_000
)

// The bars of line-10m, for ten million fans.
const (
	barNode    = 64.0 // MB that an api node grows by
	barRedis   = 64.0 // bytes a fan
	barRestart = 3.0  // seconds until a node that starts answers positions
	barSeal    = 1.0  // seconds from the opening's record until every node answers places
	barTick    = 10.0 // ms
)

// atMost says that a figure's baseline is a bar.
const atMost = "at most"

// restarts is how often a node is started beside the line.
const restarts = 3

const megabyte = 1e6

// tenMillion is one run: a system whose line has all its fans before it opens, with two api nodes and an admitter as
// processes of their own.
type tenMillion struct {
	*runner
	*system
	settle, pace time.Duration // for how long memory and ticks are looked at

	streams *nats.Client
	places  *redis.Client

	api      *node // reads the line as it grows, and serves the operator
	second   *node // is started when the line is there
	admitter *node
	line     *filled

	results []Result
}

// event10m is the event; admits10m is how many fans a second it lets in.
const (
	event10m  = "ten-million"
	admits10m = 1000
)

func benchTenMillion(ctx context.Context, r *runner) ([]Result, error) {
	return runTenMillion(ctx, r, 5*time.Second, 20*time.Second)
}

func runTenMillion(ctx context.Context, r *runner, settle, pace time.Duration) (_ []Result, err error) {
	l, err := up.Start(ctx, up.Config{
		Dir: r.Dir, Fresh: true, Listen: "127.0.0.1:0", OpsListen: "127.0.0.1:0", Services: "none", Durable: true, Log: r.Log,
	})
	if err != nil {
		return nil, err
	}
	t := &tenMillion{runner: r, system: &system{Local: l, address: strings.TrimPrefix(l.BaseURL, "http://")}, settle: settle, pace: pace}
	defer func() { err = errors.Join(err, t.close(ctx)) }()
	for _, phase := range []func(context.Context) error{t.begin, t.join, t.restart, t.rest, t.open, t.admit} {
		if err := phase(ctx); err != nil {
			return nil, errors.Join(err, t.ended())
		}
	}
	return t.results, nil
}

// begin starts what is there before anyone joins.
func (t *tenMillion) begin(ctx context.Context) (err error) {
	if t.streams, err = nats.Connect(nats.Config{URL: t.NATSURL, Name: "bench line-10m", Replicas: 1, Log: t.Log}); err != nil {
		return err
	}
	if t.places, err = redis.Open(t.RedisURL); err != nil {
		return err
	}
	if t.api, err = t.startNode(t.Dir, "api", "api-1", t.address, strings.TrimPrefix(t.AdminURL, "http://")); err != nil {
		return err
	}
	if err := t.api.awaitReady(ctx); err != nil {
		return err
	}
	ops, err := freeAddress()
	if err != nil {
		return err
	}
	if t.admitter, err = t.startNode(t.Dir, "admitter", "admitter-1", "", ops); err != nil {
		return err
	}
	if err := t.admitter.awaitReady(ctx); err != nil {
		return err
	}
	_, err = t.put(ctx, event10m, "theatre", admits10m)
	return err
}

// close ends the nodes, then the servers, and empties the data folder: it is large.
func (t *tenMillion) close(ctx context.Context) error {
	var errs []error
	for _, n := range []*node{t.second, t.api, t.admitter} {
		if n != nil {
			errs = append(errs, n.Kill()) // nothing they do is of use any more
		}
	}
	if t.streams != nil {
		t.streams.Close()
	}
	if t.places != nil {
		errs = append(errs, t.places.Close())
	}
	errs = append(errs, t.Local.Close())
	s, err := stack.Start(context.WithoutCancel(ctx), stack.Config{
		Dir: t.Dir, Fresh: true, Log: t.Log, NATSURL: "none", DatabaseURL: "none", RedisURL: "none", // named, so that none is started
	})
	if err == nil {
		err = s.Close()
	}
	return errors.Join(append(errs, err)...)
}

// ended says which nodes ended by themselves.
func (t *tenMillion) ended() error {
	var errs []error
	for _, n := range []*node{t.api, t.second, t.admitter} {
		if n == nil {
			continue
		}
		select {
		case <-n.Ended():
			errs = append(errs, n.Why())
		default:
		}
	}
	return errors.Join(errs...)
}

// figure adds a figure that has a bar; the largest of its samples counts.
func (t *tenMillion) figure(name, unit string, bar float64, samples ...float64) {
	worst := slices.Max(samples)
	r := Result{Bench: name, Value: worst, Unit: unit, Samples: samples}
	verdict := ""
	if bar > 0 {
		r.Baseline, r.Ratio, r.Against = bar, worst/bar, atMost
		if verdict = fmt.Sprintf(", at most %g", bar); worst > bar {
			verdict += ": MISSED"
		}
	}
	t.tell("  %s: %.4g %s%s", name, worst, unit, verdict)
	t.results = append(t.results, r)
}

// join has everyone join, and looks at the memory of the node that read along, and of Redis.
func (t *tenMillion) join(ctx context.Context) error {
	// An event is there once its line was asked for.
	if err := t.awaitJoined(ctx, t.api, 0); err != nil {
		return err
	}
	empty, err := t.api.footprint(ctx, t.settle)
	if err != nil {
		return err
	}
	before, err := t.places.UsedMemory(ctx)
	if err != nil {
		return err
	}
	epoch, err := t.streams.LineEpoch(ctx, event10m)
	if err != nil {
		return err
	}
	t.tell("  %d fans join; the node has %.0f MB before", t.Fans, empty.resident/megabyte)
	began := time.Now()
	t.line, err = fill(ctx, t.streams, t.places, event10m, epoch, t.Fans, func(joined uint64) {
		t.tell("  %d have joined after %.0f s", joined, time.Since(began).Seconds())
	})
	if err != nil {
		return err
	}
	t.figure("line-10m-joins", "joins/s", 0, float64(t.Fans)/time.Since(began).Seconds())
	after, err := t.places.UsedMemory(ctx)
	if err != nil {
		return err
	}
	t.figure("line-10m-redis", "bytes a fan", barRedis, float64(after-before)/float64(t.Fans))
	if err := t.awaitJoined(ctx, t.api, t.line.fans); err != nil {
		return err
	}
	grown, err := t.growth(ctx, t.api, empty)
	if err != nil {
		return err
	}
	t.figure("line-10m-node", "MB", barNode, grown.resident/megabyte)
	t.figure("line-10m-node-heap", "MB", 0, grown.inUse/megabyte)
	return t.startSecond(ctx, empty)
}

// growth is by how much a node is larger than one whose event has no fans.
func (t *tenMillion) growth(ctx context.Context, n *node, empty footprint) (footprint, error) {
	now, err := n.footprint(ctx, t.settle)
	return now.less(empty), err
}

// startSecond starts the second node, which reads a line that is there, and looks at its memory.
func (t *tenMillion) startSecond(ctx context.Context, empty footprint) error {
	if _, err := t.freshNode(ctx); err != nil {
		return err
	}
	if err := t.awaitJoined(ctx, t.second, t.line.fans); err != nil {
		return err
	}
	if err := t.second.awaitQuiet(ctx); err != nil {
		return err
	}
	grown, err := t.growth(ctx, t.second, empty)
	if err != nil {
		return err
	}
	t.figure("line-10m-node-restarted", "MB", barNode, grown.resident/megabyte)
	t.figure("line-10m-node-restarted-heap", "MB", 0, grown.inUse/megabyte)
	return nil
}

// restart kills the second node and starts it again, and measures how long it takes until it answers a fan's position.
func (t *tenMillion) restart(ctx context.Context) error {
	var samples []float64
	for range restarts {
		if err := t.second.Kill(); err != nil {
			return err
		}
		took, err := t.freshNode(ctx)
		if err != nil {
			return err
		}
		samples = append(samples, took.Seconds())
	}
	t.figure("line-10m-restart", "s", barRestart, samples...)
	return nil
}

// freshNode starts the second node, and returns how long it takes until it answers the position of a random fan.
func (t *tenMillion) freshNode(ctx context.Context) (time.Duration, error) {
	listen, err := freeAddress()
	if err != nil {
		return 0, err
	}
	ops, err := freeAddress()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if t.second, err = t.startNode(t.Dir, "api", "api-2", listen, ops); err != nil {
		return 0, err
	}
	err = t.second.await(ctx, "a position", 5*time.Millisecond, func(context.Context) error {
		c, err := dial(listen, time.Now())
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = t.position(c)
		return err
	})
	return time.Since(began), err
}

// awaitJoined waits until a node has read as many joins.
func (t *tenMillion) awaitJoined(ctx context.Context, n *node, fans uint64) error {
	look := load{address: n.address, status: http.StatusOK, request: func(buf []byte, _ uint64) []byte {
		return appendGet(buf, "/v1/queue/"+event10m, "")
	}}
	return n.await(ctx, "the line", 20*time.Millisecond, func(context.Context) error {
		var q struct {
			Joined uint64 `json:"joined"`
		}
		if err := answered(look, &q); err != nil {
			return err
		}
		if q.Joined != fans {
			return fmt.Errorf("%d of %d have joined", q.Joined, fans)
		}
		return nil
	})
}
