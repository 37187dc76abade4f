package nats

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"onsale/events"
)

// Follow reads a stream in order and calls each for every message, one at a time, until ctx ends; nothing is
// acknowledged and a reconnect leaves no gap. caughtUp is called once, when what the stream held at the start
// has been read. It returns early only when the reading can't begin.
func (c *Client) Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error {
	cfg := jetstream.OrderedConsumerConfig{HeadersOnly: f.HeadersOnly, InactiveThreshold: time.Minute}
	if f.Subject != "" {
		cfg.FilterSubjects = []string{f.Subject}
	}
	switch f.From {
	case events.FromFirst:
		cfg.DeliverPolicy = jetstream.DeliverAllPolicy
	case events.FromLastPerSubject:
		cfg.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
		if f.Subject == "" {
			cfg.FilterSubjects = []string{">"}
		}
	case events.FromNew:
		cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	}
	consumer, err := c.js.OrderedConsumer(ctx, f.Stream, cfg)
	if err != nil {
		return fmt.Errorf("follow %s: %w", f.Stream, err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return fmt.Errorf("follow %s: %w", f.Stream, err)
	}
	behind := info.NumPending
	if behind == 0 {
		caughtUp()
	}
	var read uint64
	reading, err := consumer.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			c.log.Error("read metadata", "stream", f.Stream, "error", err)
			return
		}
		each(events.Message{
			Stream: meta.Stream, Subject: m.Subject(), Sequence: meta.Sequence.Stream, Header: flat(m.Headers()),
			Data: m.Data(), At: meta.Timestamp, Pending: meta.NumPending,
		})
		if read++; read == behind {
			caughtUp()
		}
	}, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		c.log.Warn("follow", "stream", f.Stream, "error", err)
	}))
	if err != nil {
		return fmt.Errorf("follow %s: %w", f.Stream, err)
	}
	<-ctx.Done()
	reading.Stop()
	<-reading.Closed()
	return nil
}
