package nats

import (
	"cmp"
	"context"
	"errors"
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
	Prefetch    int           // messages that wait in this process; 0 for as many as handlers. Few where a message has many records
}

// Redelivery. A dependency that is away may stay away for hours, so the bound on deliveries is high and the
// pause between them grows; a record that fails for no known reason is given up much sooner.
const (
	maxDeliver         = 2000
	maxInternalTries   = 20 // of one record in one process
	firstPause         = 250 * time.Millisecond
	longestPause       = 20 * time.Second
	drainLimit         = 15 * time.Second
	flushLimit         = 2 * time.Second
	ackPendingPerSlots = 8
	pullExpiry         = 5 * time.Second // a request for messages that got lost holds a worker up for so long
)

// Consume gives the records of a worker's messages to handle until ctx ends, then finishes those under way. It
// returns early only when the consumer can't be made.
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
	failed := newFailures()
	abandoned := make(chan struct{})
	h := handlers{most: w.Concurrency, idle: make(chan func()), over: make(chan struct{})}
	// A handler outlives ctx, so that a write in progress is finished; AckWait bounds it.
	work := context.WithoutCancel(ctx)
	reading, err := consumer.Consume(func(m jetstream.Msg) {
		d, err := c.delivery(w, m, failed)
		if err != nil {
			c.log.Error("read metadata", "consumer", w.Durable, "error", err)
			return
		}
		for _, record := range d.records {
			if !h.begin(abandoned, func() {
				d.extend()
				hctx, cancel := context.WithTimeout(work, w.AckWait-w.AckWait/10)
				defer cancel()
				d.handle(hctx, record, handle)
			}) {
				d.settled(retry, errAbandoned)
			}
		}
	}, jetstream.PullMaxMessages(cmp.Or(w.Prefetch, w.Concurrency)), jetstream.PullExpiry(pullExpiry), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
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
	h.wait()
	if err := c.conn.FlushTimeout(flushLimit); err != nil {
		c.log.Warn("send the last acks; messages may come again", "consumer", w.Durable, "error", err)
	}
	return nil
}

// handlers are the goroutines that handle a consumer's records. They stay for the next record: a stack that has grown
// costs more than a goroutine.
type handlers struct {
	most    int
	started int         // by begin, which only one goroutine calls
	idle    chan func() // taken by those that have nothing to do
	over    chan struct{}
	running sync.WaitGroup
}

// begin gives work to a handler, once there is a free one. false: it was abandoned before.
func (h *handlers) begin(abandoned <-chan struct{}, do func()) bool {
	select {
	case <-abandoned:
		return false
	default:
	}
	select {
	case h.idle <- do:
		return true
	default:
	}
	if h.started < h.most {
		h.started++
		h.running.Go(func() { h.handle(do) })
		return true
	}
	select {
	case <-abandoned:
		return false
	case h.idle <- do:
		return true
	}
}

func (h *handlers) handle(do func()) {
	for {
		do()
		select {
		case do = <-h.idle:
		case <-h.over:
			return
		}
	}
}

// wait lets the handlers end, and returns when what they have begun is done. Nothing begins after it.
func (h *handlers) wait() {
	close(h.over)
	h.running.Wait()
}

var errAbandoned = errors.New("this worker is going")

// delivery is a message that a worker was given. It is acknowledged when all of its records are.
type delivery struct {
	*Client
	worker  Worker
	failed  failures
	msg     jetstream.Msg
	records []events.Message

	mu       sync.Mutex
	extended time.Time // when the broker was last told that the message is being worked on
	left     int
	worst    verdict
	why      error // of the worst
}

func (c *Client) delivery(w Worker, m jetstream.Msg, failed failures) (*delivery, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	in := received(m, meta)
	in.Delivered = int(meta.NumDelivered)
	records := in.Records()
	c.average(w.Durable).add(len(records))
	return &delivery{Client: c, worker: w, failed: failed, msg: m, records: records, left: len(records)}, nil
}

// received is a message as it came.
func received(m jetstream.Msg, meta *jetstream.MsgMetadata) events.Message {
	return events.Message{
		Stream: meta.Stream, Subject: m.Subject(), Sequence: meta.Sequence.Stream, Header: flat(m.Headers()),
		Data: m.Data(), At: meta.Timestamp, Pending: meta.NumPending,
	}
}

// extend begins AckWait anew when a record is begun: its message has waited in this worker, and its records for
// each other.
func (d *delivery) extend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.extended) < d.worker.AckWait/10 { // what a handler's limit leaves of it
		return
	}
	d.extended = time.Now()
	if err := d.msg.InProgress(); err != nil {
		d.log.Warn("extend the time for a message; it may come twice", "consumer", d.worker.Durable, "error", err)
	}
}

// handle does the work of one record.
func (d *delivery) handle(ctx context.Context, in events.Message, handle events.Handler) {
	start := time.Now()
	err := protect(ctx, handle, in)
	failures := 0
	if err != nil && sale.KindOf(err) == sale.Internal {
		failures = d.failed.count(in.Sequence, in.Record)
	}
	v := judge(err, failures)
	handled.WithLabelValues(d.worker.Durable, v.String()).Observe(time.Since(start).Seconds())
	if v == ack {
		d.settled(v, nil)
		return
	}
	log := d.log.With("consumer", d.worker.Durable, "subject", in.Subject, "stream_seq", in.Sequence, "record", in.Record, "delivered", in.Delivered, "failures", failures)
	switch v {
	case retry:
		log.Warn("message will be given again", "error", err)
	case dead:
		log.Error("message is a dead letter", "error", err)
		if derr := d.bury(ctx, d.worker, in, err); derr != nil {
			log.Error("bury dead letter; the message will come again", "error", derr)
			v = retry
		}
	}
	d.settled(v, err)
}

// settled counts a record that is done with. After the last one the broker is told what became of the message:
// it is given again when any of its records must be, to whom the others make no difference.
func (d *delivery) settled(v verdict, why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left--; v > d.worst {
		d.worst, d.why = v, why
	}
	if d.left > 0 {
		return
	}
	var err error
	switch d.worst {
	case ack: // Unconfirmed by the broker: an ack that is lost brings the message again, which changes nothing.
		err = d.msg.Ack()
	case retry:
		err = d.msg.NakWithDelay(pause(d.records[0].Delivered))
	case dead:
		err = d.msg.TermWithReason(sale.CodeOf(d.why))
	}
	if err != nil {
		d.log.Warn("settle a message; it will come again", "consumer", d.worker.Durable, "verdict", d.worst.String(), "error", err)
	}
}

// verdict is what the broker is told of a message.
type verdict uint8

const ( // from the best to the worst
	ack verdict = iota
	dead
	retry
)

func (v verdict) String() string { return [...]string{"ack", "dead", "retry"}[v] }

// verdicts is the one table from an error's kind to an acknowledgement. A kind that isn't in it is tried again.
var verdicts = map[sale.Kind]verdict{
	sale.Invalid: dead, sale.Unauthorized: dead, sale.Forbidden: dead,
	sale.Unprocessable: dead, sale.TooLarge: dead, sale.NotFound: dead,
}

// judge says what becomes of a record that has failed so often for no known reason.
func judge(err error, failures int) verdict {
	if err == nil {
		return ack
	}
	kind := sale.KindOf(err)
	if v, listed := verdicts[kind]; listed {
		return v
	}
	if kind == sale.Internal && failures >= maxInternalTries {
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
		ID:      fmt.Sprintf("%s:%s:%d:%d", m.Stream, w.Durable, m.Sequence, m.Record),
		Data: events.Encode(events.DeadLetter{
			V: events.Version, Stream: m.Stream, Sequence: m.Sequence, Record: m.Record, Subject: m.Subject,
			Consumer: w.Durable, Reason: why.Error(), Data: m.Data, At: time.Now().UTC(),
		}),
	})
	return err
}
