package nats

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"onsale/events"
	"onsale/internal/sale"
)

// Worker describes a durable consumer: any number of processes share it, each message goes to one of them.
type Worker struct {
	Durable     string
	Stream      string
	Subjects    []string      // filters; none for all
	AckWait     time.Duration // longer than a handler may take
	Concurrency int           // handlers at once in this process
}

// Redelivery. A dependency that is away may stay away for hours, so the bound on deliveries is high and the
// pause between them grows; a handler that fails for no known reason is given up much sooner.
const (
	maxDeliver         = 2000
	maxInternalTries   = 20
	firstPause         = 250 * time.Millisecond
	longestPause       = 20 * time.Second
	drainLimit         = 15 * time.Second
	ackPendingPerSlots = 8
	pullExpiry         = 5 * time.Second // a request for messages that got lost holds a worker up for so long
)

// Consume gives a worker's messages to handle until ctx ends, then finishes those under way. It returns early
// only when the consumer can't be made.
func (c *Client) Consume(ctx context.Context, w Worker, handle events.Handler) error {
	consumer, err := c.js.CreateOrUpdateConsumer(ctx, w.Stream, jetstream.ConsumerConfig{
		Durable: w.Durable, FilterSubjects: w.Subjects, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: w.AckWait, MaxDeliver: maxDeliver,
		// Room for several processes, each with as many under way and as many buffered.
		MaxAckPending: w.Concurrency * ackPendingPerSlots,
		// One step: the server reckons the delay of a nak from AckWait but lets it end by BackOff's step, so a
		// longer step would be added to each pause.
		BackOff: []time.Duration{w.AckWait},
	})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make consumer %s: %w", w.Durable, err)
	}
	slots, abandoned := make(chan struct{}, w.Concurrency), make(chan struct{})
	var running sync.WaitGroup
	// A handler outlives ctx, so that a write in progress is finished; AckWait bounds it.
	work := context.WithoutCancel(ctx)
	reading, err := consumer.Consume(func(m jetstream.Msg) {
		select {
		case <-abandoned:
			return // not acknowledged: it will be given to another
		case slots <- struct{}{}:
		}
		running.Go(func() {
			defer func() { <-slots }()
			hctx, cancel := context.WithTimeout(work, w.AckWait-w.AckWait/10)
			defer cancel()
			c.settle(hctx, w, m, handle)
		})
	}, jetstream.PullMaxMessages(w.Concurrency), jetstream.PullExpiry(pullExpiry), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		c.log.Warn("consume", "consumer", w.Durable, "error", err)
	}))
	if err != nil {
		return fmt.Errorf("consume %s: %w", w.Durable, err)
	}
	<-ctx.Done()
	reading.Drain()
	closed := reading.Closed()
	select {
	case <-closed:
	case <-time.After(drainLimit):
		// What is still buffered is given up, so that no handler begins after the wait for them.
		close(abandoned)
		select {
		case <-closed:
		case <-time.After(drainLimit):
		}
	}
	running.Wait()
	return nil
}

// settle runs the handler for a message and tells the broker what became of it.
func (c *Client) settle(ctx context.Context, w Worker, m jetstream.Msg, handle events.Handler) {
	meta, err := m.Metadata()
	if err != nil {
		c.log.Error("read metadata", "consumer", w.Durable, "error", err)
		return
	}
	in := events.Message{
		Stream: meta.Stream, Subject: m.Subject(), Sequence: meta.Sequence.Stream, Header: flat(m.Headers()), Data: m.Data(),
		At: meta.Timestamp, Delivered: int(meta.NumDelivered), Pending: meta.NumPending,
	}
	start := time.Now()
	err = protect(ctx, handle, in)
	verdict := judge(err, in.Delivered)
	handled.WithLabelValues(w.Durable, verdict.String()).Observe(time.Since(start).Seconds())
	log := c.log.With("consumer", w.Durable, "subject", in.Subject, "stream_seq", in.Sequence, "delivered", in.Delivered)
	switch verdict {
	case ack:
		if err := m.DoubleAck(ctx); err != nil {
			log.Warn("ack was not confirmed; the message will come again", "error", err)
		}
	case retry:
		log.Warn("message will be given again", "error", err)
		if err := m.NakWithDelay(pause(in.Delivered)); err != nil {
			log.Warn("nak", "error", err)
		}
	case dead:
		log.Error("message is a dead letter", "error", err)
		if derr := c.bury(ctx, w, in, err); derr != nil {
			log.Error("bury dead letter; the message will come again", "error", derr)
			return
		}
		if err := m.TermWithReason(sale.CodeOf(err)); err != nil {
			log.Warn("terminate", "error", err)
		}
	}
}

// verdict is what the broker is told of a message.
type verdict uint8

const (
	ack verdict = iota
	retry
	dead
)

func (v verdict) String() string { return [...]string{"ack", "retry", "dead"}[v] }

// verdicts is the one table from an error's kind to an acknowledgement. A kind that isn't in it is tried again.
var verdicts = map[sale.Kind]verdict{
	sale.Invalid: dead, sale.Unauthorized: dead, sale.Forbidden: dead,
	sale.Unprocessable: dead, sale.TooLarge: dead, sale.NotFound: dead,
}

func judge(err error, delivered int) verdict {
	if err == nil {
		return ack
	}
	kind := sale.KindOf(err)
	if v, listed := verdicts[kind]; listed {
		return v
	}
	if kind == sale.Internal && delivered >= maxInternalTries {
		return dead
	}
	return retry
}

func pause(delivered int) time.Duration {
	return min(firstPause<<min(delivered-1, 10), longestPause)
}

// protect turns a handler's panic into an error: one bad message must not end a worker.
func protect(ctx context.Context, handle events.Handler, m events.Message) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("handler panicked: %v", r)
		}
	}()
	return handle(ctx, m)
}

// bury keeps a message in DEAD. One whose copy would not fit is named only: its stream still has it.
func (c *Client) bury(ctx context.Context, w Worker, m events.Message, why error) error {
	if len(m.Data) > MaxMessageSize/2 {
		m.Data = nil
	}
	_, err := c.Publish(ctx, events.Outgoing{
		Subject: events.DeadSubject(m.Stream),
		ID:      fmt.Sprintf("%s:%s:%d", m.Stream, w.Durable, m.Sequence),
		Data: events.Encode(events.DeadLetter{
			V: events.Version, Stream: m.Stream, Sequence: m.Sequence, Subject: m.Subject,
			Consumer: w.Durable, Reason: why.Error(), Data: m.Data, At: time.Now().UTC(),
		}),
	})
	return err
}
