package nats

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"onsale/events"
)

// Follow reads a stream in order and calls each for every record, one at a time, until ctx ends; nothing is
// acknowledged and a reconnect leaves no gap. caughtUp is called once, when what the stream held at the start
// has been read. It returns early only when the reading can't begin.
func (c *Client) Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error {
	cfg, last, err := c.start(ctx, f)
	if err != nil {
		return fmt.Errorf("follow %s: %w", f.Stream, err)
	}
	consumer, err := c.js.OrderedConsumer(ctx, f.Stream, cfg)
	if err != nil {
		return fmt.Errorf("follow %s: %w", f.Stream, err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return fmt.Errorf("follow %s: %w", f.Stream, err)
	}
	behind := info.NumPending > 0 && f.From != events.FromNew
	if !behind {
		caughtUp()
	}
	var one sync.Mutex // held by a call, which the consumer does not wait for when it is stopped
	reading, err := consumer.Consume(func(m jetstream.Msg) {
		one.Lock()
		defer one.Unlock()
		if ctx.Err() != nil {
			return // it has ended, and what is still on its way is nobody's
		}
		meta, err := m.Metadata()
		if err != nil {
			c.log.Error("read metadata", "stream", f.Stream, "error", err)
			return
		}
		for _, record := range received(m, meta).Records() {
			each(record)
		}
		// By sequence, not by count: after a reconnect more may come than was counted.
		if behind && (meta.Sequence.Stream >= last || meta.NumPending == 0) {
			behind = false
			caughtUp()
		}
	}, jetstream.ConsumeErrHandler(c.warn(ctx, f.Stream)))
	if err != nil {
		return fmt.Errorf("follow %s: %w", f.Stream, err)
	}
	<-ctx.Done()
	reading.Stop()
	<-reading.Closed()
	one.Lock() // those that begin after it see that it has ended
	defer one.Unlock()
	return nil
}

// warn tells of what goes wrong while a stream is followed. That a connection is closed under a follower that was told to
// end is no wrong.
func (c *Client) warn(ctx context.Context, stream string) func(jetstream.ConsumeContext, error) {
	return func(_ jetstream.ConsumeContext, err error) {
		if ctx.Err() == nil {
			c.log.Warn("follow", "stream", stream, "error", err)
		}
	}
}

// start says where a follower begins, and the last sequence of the stream at this moment. A consumer that is
// made anew before it has read anything begins as it was told the first time, so where there is nothing to
// read yet it must be told a sequence: "new" would by then be newer.
func (c *Client) start(ctx context.Context, f events.Follow) (jetstream.OrderedConsumerConfig, uint64, error) {
	cfg := jetstream.OrderedConsumerConfig{HeadersOnly: f.HeadersOnly, InactiveThreshold: time.Minute, DeliverPolicy: jetstream.DeliverAllPolicy}
	filter := f.Subject
	if filter != "" {
		cfg.FilterSubjects = []string{filter}
	} else {
		filter = ">"
	}
	stream, err := c.js.Stream(ctx, f.Stream)
	if err != nil {
		return cfg, 0, err
	}
	if f.From != events.FromLastPerSubject {
		last := stream.CachedInfo().State.LastSeq
		switch f.From {
		case events.FromNew:
			cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, last+1
		case events.FromAfter:
			cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, f.After+1
		}
		return cfg, last, nil
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return cfg, 0, err
	}
	if len(info.State.Subjects) == 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, info.State.LastSeq+1
	} else {
		cfg.DeliverPolicy, cfg.FilterSubjects = jetstream.DeliverLastPerSubjectPolicy, []string{filter}
	}
	return cfg, info.State.LastSeq, nil
}
