package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
	"onsale/internal/stack"
	"onsale/nats"
)

// LineLoad is how joins are stored in a line's stream.
type LineLoad struct {
	Chunk    int // joins in one message
	InFlight int // messages that are not acknowledged yet
}

// DefaultLineLoad is what an api node does under a crowd.
func DefaultLineLoad() LineLoad { return LineLoad{Chunk: 1024, InFlight: 4} }

// wide is the load with larger chunks. A message costs a sync of the disk whatever its size, as long as that is not
// slow at writing.
func (l LineLoad) wide() LineLoad {
	l.Chunk = min(4*l.Chunk, events.MaxChunk)
	return l
}

// bareInFlight is how many chunks the bare publisher has on their way: more than the stream can use at once.
const bareInFlight = 64

// general is the lane of everyone who has no access code.
const general = ""

// settleLimit bounds the wait, after the last acknowledgement, for the follower and for every replica.
const settleLimit = 15 * time.Second

// benchLineStream measures a line's stream by itself, without HTTP and Redis: on one node, and on three that each
// have a replica.
func benchLineStream(ctx context.Context, r *runner) ([]Result, error) {
	load := DefaultLineLoad()
	one, err := r.oneNode(ctx, load)
	if err != nil {
		return nil, err
	}
	three, err := r.threeNodes(ctx, load)
	return append(one, three...), err
}

// oneNode measures with one server and one replica.
func (r *runner) oneNode(ctx context.Context, load LineLoad) (_ []Result, err error) {
	s, err := stack.Start(ctx, stack.Config{
		Dir: r.Dir, Fresh: true, Durable: true, Log: r.Log,
		DatabaseURL: "none", RedisURL: "none", // named, so that none is started
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	// With one replica an acknowledgement already says that all have it.
	return r.lineStream(ctx, "line-stream", nats.Config{URL: s.NATSURL, Replicas: 1}, load, func(context.Context, string, uint64) error { return nil })
}

// threeNodes measures with a cluster in which each node has a replica.
func (r *runner) threeNodes(ctx context.Context, load LineLoad) (_ []Result, err error) {
	c, err := stack.StartNATSCluster(ctx, stack.Config{Dir: r.Dir, Fresh: true, Durable: true, Log: r.Log})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return r.lineStream(ctx, "line-stream-r3", nats.Config{URL: c.URL(), Replicas: stack.ClusterSize}, load, c.AwaitCurrent)
}

// lineStream measures a load and a wider one, each in turn with its baselines.
func (r *runner) lineStream(ctx context.Context, name string, cfg nats.Config, load LineLoad, replicated replicatedFunc) ([]Result, error) {
	cfg.Name, cfg.Log = "bench "+name, r.Log
	client, err := nats.Connect(cfg)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	b := &lineBench{streams: client, replicated: replicated, duration: r.Duration, dir: r.Dir}
	synced := "a file, each chunk appended and synced"
	figures := []versus{
		{name, "joins/s", "one message per join, as many joins in flight"},
		{name + "-bare", "joins/s", fmt.Sprintf("a publisher with %d chunks in flight and no follower", bareInFlight)},
		{name + "-disk", "joins/s", synced},
	}
	results, err := r.compare(ctx, figures, func(ctx context.Context) (float64, []float64, error) { return b.beside(ctx, load) })
	if err != nil {
		return nil, err
	}
	figures = []versus{{name + "-" + strconv.Itoa(load.wide().Chunk), "joins/s", synced}}
	wide, err := r.compare(ctx, figures, func(ctx context.Context) (float64, []float64, error) {
		value, err := b.followed(ctx, load.wide())
		if err != nil {
			return 0, nil, err
		}
		disk, err := b.disk(ctx, load.wide().Chunk)
		return value, []float64{disk}, err
	})
	return append(results, wide...), err
}

// replicatedFunc returns once every replica of a stream has what was acknowledged up to a sequence.
type replicatedFunc func(ctx context.Context, stream string, sequence uint64) error

// lineStreams are the lines as the services know them.
type lineStreams interface {
	EnsureLine(ctx context.Context, eventID string) error
	Publish(ctx context.Context, out events.Outgoing) (events.Ack, error)
	PublishAll(ctx context.Context, outs []events.Outgoing) error
	Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error
}

// lineBench takes samples, each in a line of its own.
type lineBench struct {
	streams    lineStreams
	replicated replicatedFunc
	duration   time.Duration
	dir        string // where the servers have their data
	lines      int
}

// beside is a load, and its baselines: the same joins as messages of their own, a publisher that nobody follows, and
// the disk by itself.
func (b *lineBench) beside(ctx context.Context, load LineLoad) (value float64, baselines []float64, err error) {
	if value, err = b.followed(ctx, load); err != nil {
		return 0, nil, err
	}
	single, err := b.followed(ctx, LineLoad{Chunk: 1, InFlight: load.Chunk * load.InFlight})
	if err != nil {
		return 0, nil, fmt.Errorf("one message per join: %w", err)
	}
	bare, err := b.bare(ctx, load.Chunk)
	if err != nil {
		return 0, nil, fmt.Errorf("bare publisher: %w", err)
	}
	disk, err := b.disk(ctx, load.Chunk)
	return value, []float64{single, bare, disk}, err
}

func (b *lineBench) newLine(ctx context.Context) (string, error) {
	b.lines++
	id := "bench-" + strconv.Itoa(b.lines)
	return id, b.streams.EnsureLine(ctx, id)
}

// followed publishes joins and returns how many a second were acknowledged and read back into an index: the time
// runs until the index has the last of them. It fails when the index and the acknowledgements differ.
func (b *lineBench) followed(ctx context.Context, load LineLoad) (float64, error) {
	id, err := b.newLine(ctx)
	if err != nil {
		return 0, err
	}
	index := line.NewIndex()
	stop, err := b.follow(ctx, id, index)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	acked, err := b.publish(ctx, id, load, start.Add(b.duration))
	if err == nil {
		settle, cancel := context.WithTimeout(ctx, settleLimit)
		defer cancel()
		if err = index.WaitFor(settle, acked.last); err != nil {
			err = fmt.Errorf("wait until %d of %d joins are read: %w", acked.joins-index.Joined(general), acked.joins, err)
		}
	}
	took := time.Since(start)
	if err := errors.Join(err, stop()); err != nil {
		return 0, err
	}
	if joined := index.Joined(general); joined != acked.joins {
		return 0, fmt.Errorf("the index has %d joins, %d were acknowledged", joined, acked.joins)
	}
	settle, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	return float64(acked.joins) / took.Seconds(), b.replicated(settle, events.Line(id), acked.last)
}

// follow keeps an index of a line, as an api node does, until stop.
func (b *lineBench) follow(ctx context.Context, id string, index *line.Index) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	begun, ended := make(chan struct{}), make(chan error, 1)
	var unread atomic.Pointer[error] // the first chunk that the index could not take
	go func() {
		ended <- b.streams.Follow(ctx, events.Follow{Stream: events.Line(id), HeadersOnly: true}, func() { close(begun) }, func(m events.Message) {
			if err := index.Take(m); err != nil {
				unread.CompareAndSwap(nil, &err)
			}
		})
	}()
	select {
	case <-begun:
	case err := <-ended:
		cancel()
		return nil, errors.Join(err, ctx.Err())
	}
	return func() error {
		cancel()
		err := <-ended
		if first := unread.Load(); first != nil {
			err = errors.Join(err, *first)
		}
		return err
	}, nil
}

// stored is what was acknowledged.
type stored struct {
	joins uint64
	last  uint64 // sequence
}

// publish stores chunks until end.
func (b *lineBench) publish(ctx context.Context, id string, load LineLoad, end time.Time) (stored, error) {
	per := make([]stored, load.InFlight)
	publishing, ctx := errgroup.WithContext(ctx)
	for w := range per {
		publishing.Go(func() error {
			c := chunks{eventID: id, sessions: make([]sale.SessionHash, load.Chunk), publisher: uint32(w)}
			mine := &per[w]
			for time.Now().Before(end) {
				ack, err := b.streams.Publish(ctx, c.next())
				if err != nil {
					return err
				}
				mine.joins += uint64(load.Chunk)
				mine.last = max(mine.last, ack.Sequence)
			}
			return nil
		})
	}
	err := publishing.Wait()
	var all stored
	for _, p := range per {
		all.joins += p.joins
		all.last = max(all.last, p.last)
	}
	return all, err
}

// bare publishes chunks with many in flight, in two lots so that one is always under way, and returns the joins a
// second that were acknowledged. Nobody follows the line.
func (b *lineBench) bare(ctx context.Context, chunk int) (float64, error) {
	id, err := b.newLine(ctx)
	if err != nil {
		return 0, err
	}
	var joins atomic.Uint64
	start := time.Now()
	end := start.Add(b.duration)
	publishing, ctx := errgroup.WithContext(ctx)
	for w := range 2 {
		publishing.Go(func() error {
			c := chunks{eventID: id, sessions: make([]sale.SessionHash, chunk), publisher: uint32(w)}
			for time.Now().Before(end) {
				lot := make([]events.Outgoing, bareInFlight/2)
				for i := range lot {
					lot[i] = c.next()
				}
				if err := b.streams.PublishAll(ctx, lot); err != nil {
					return err
				}
				joins.Add(uint64(len(lot) * chunk))
			}
			return nil
		})
	}
	err = publishing.Wait()
	return float64(joins.Load()) / time.Since(start).Seconds(), err
}

// disk appends chunks to a file, each synced before the next, and returns the joins a second: what one node without
// a server in between would take.
func (b *lineBench) disk(ctx context.Context, chunk int) (_ float64, err error) {
	f, err := os.CreateTemp(b.dir, "bench-*.disk")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	c := chunks{sessions: make([]sale.SessionHash, chunk)}
	joins := 0
	start := time.Now()
	for end := start.Add(b.duration); time.Now().Before(end) && ctx.Err() == nil; joins += chunk {
		if _, err := f.Write(c.next().Data); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return float64(joins) / time.Since(start).Seconds(), ctx.Err()
}

// chunks makes the messages of one publisher, with sessions that nobody had before.
type chunks struct {
	eventID   string
	publisher uint32
	sessions  []sale.SessionHash
	made      uint64
}

func (c *chunks) next() events.Outgoing {
	for i := range c.sessions {
		c.made++
		binary.BigEndian.PutUint32(c.sessions[i][:4], c.publisher)
		binary.BigEndian.PutUint64(c.sessions[i][4:12], c.made)
	}
	return events.Outgoing{
		Subject: events.JoinedSubject(c.eventID), ID: uuid.NewString(),
		Header: map[string]string{events.HeaderJoinCount: strconv.Itoa(len(c.sessions))}, Data: events.Chunk{Sessions: c.sessions}.Encode(),
	}
}
