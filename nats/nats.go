// Package nats is JetStream, and the only importer of nats.go: the streams and their limits, publishing with a
// durable acknowledgement, workers' consumers with the one ack loop that serves them all, and followers that
// read a stream in order. It promises that an Ack means stored (fsynced, and on every replica that counts), and
// that a message is acknowledged only after its handler returned nil.
package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"onsale/events"
	"onsale/internal/sale"
)

// Config tells how to connect.
type Config struct {
	URL      string
	Name     string // of this client, as the server lists it
	Replicas int    // of every stream: 1 on one server, 3 in a cluster
	Log      *slog.Logger
}

// Client is a connection to JetStream. Safe for concurrent use.
type Client struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	replicas int
	log      *slog.Logger
	packed   sync.Map // from a consumer's name to the *average of records in its messages
}

// Connect opens the connection, which afterwards heals by itself for as long as it takes.
func Connect(cfg Config) (*Client, error) {
	log := cfg.Log
	conn, err := nats.Connect(cfg.URL, nats.Name(cfg.Name), nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond),
		nats.Timeout(5*time.Second), nats.PingInterval(10*time.Second),
		nats.NoEcho(), // of notices
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil: closed by us
				log.Warn("nats disconnected", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("nats reconnected") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("nats", "error", err) }))
	if err != nil {
		return nil, unreached(cfg.URL, err)
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	return &Client{conn: conn, js: js, replicas: max(cfg.Replicas, 1), log: log}, nil
}

// unreached says where no server was found, without the user and password that a URL may hold.
func unreached(urls string, err error) error {
	var hosts []string
	for part := range strings.SplitSeq(urls, ",") {
		if part = strings.TrimSpace(part); !strings.Contains(part, "://") {
			part = "nats://" + part // as the client reads it
		}
		u, bad := url.Parse(part)
		if bad != nil { // which tells the whole of the URL, and so does err
			return errors.New("connect to nats: its URL can't be read: it must be like nats://host:4222, or several with commas between them")
		}
		hosts = append(hosts, u.Host)
	}
	return fmt.Errorf("connect to nats at %s: %w", strings.Join(hosts, ", "), err)
}

// Close ends the connection. Call it after the consumers have drained.
func (c *Client) Close() { c.conn.Close() }

// Check says whether the broker answers; readiness probes call it.
func (c *Client) Check(ctx context.Context) error {
	if _, err := c.js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("ask jetstream: %w", err)
	}
	return nil
}

// messageExceedsMaximum is the server's code for a message over the stream's MaxMsgSize.
const messageExceedsMaximum jetstream.ErrorCode = 10054

// resendPause is how long a publisher waits before it sends the same bytes again.
const resendPause = 100 * time.Millisecond

// Publish stores a message durably. One that was not acknowledged in time is sent again, byte for byte under
// the same id, until ctx ends; a message without an id or with a condition is sent once, because a second
// sending could mean something else. What can't be stored now is sale.Unavailable; a lost race is
// sale.Conflict with code "fenced"; what is over MaxMessageSize is sale.TooLarge and is not tried again.
func (c *Client) Publish(ctx context.Context, out events.Outgoing) (events.Ack, error) {
	opts := []jetstream.PublishOpt{jetstream.WithRetryAttempts(0)}
	if out.ExpectLast != nil {
		opts = append(opts, jetstream.WithExpectLastSequencePerSubject(*out.ExpectLast))
	}
	once := out.ID == "" || out.ExpectLast != nil
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		ack, err := c.js.PublishMsg(try, message(out), opts...)
		cancel()
		if err == nil {
			return events.Ack{Sequence: ack.Sequence, Duplicate: ack.Duplicate}, nil
		}
		var api *jetstream.APIError
		switch {
		case errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
			api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant):
			return events.Ack{}, sale.Errorf(sale.Conflict, "fenced", "another writer was faster").Because(err)
		case errors.Is(err, nats.ErrMaxPayload) || api != nil && api.ErrorCode == messageExceedsMaximum:
			return events.Ack{}, sale.Errorf(sale.TooLarge, "message_too_large", "a message of %d bytes", len(out.Data)).Because(err)
		case once:
			return events.Ack{}, unavailable(out.Subject, err)
		}
		select {
		case <-ctx.Done():
			return events.Ack{}, unavailable(out.Subject, err)
		case <-time.After(resendPause):
		}
	}
}

// PublishAll stores messages in order and returns when all are durable; several are on their way at once. On
// an error some may be stored: publish all again, their ids drop the second copies.
func (c *Client) PublishAll(ctx context.Context, outs []events.Outgoing) error {
	acks := make([]jetstream.PubAckFuture, len(outs))
	for i, out := range outs {
		ack, err := c.js.PublishMsgAsync(message(out))
		if err != nil {
			return unavailable(out.Subject, err)
		}
		acks[i] = ack
	}
	for i, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return unavailable(outs[i].Subject, err)
		case <-ctx.Done():
			return unavailable(outs[i].Subject, ctx.Err())
		}
	}
	return nil
}

func unavailable(subject string, err error) error {
	return sale.Errorf(sale.Unavailable, "broker_unavailable", "the stream did not take it; try again").Because(fmt.Errorf("publish %s: %w", subject, err))
}

func message(out events.Outgoing) *nats.Msg {
	m := nats.NewMsg(out.Subject)
	m.Data = out.Data
	if out.ID != "" {
		m.Header.Set(events.HeaderMsgID, out.ID)
	}
	for k, v := range out.Header {
		m.Header.Set(k, v)
	}
	return m
}

// Read returns the message of a stream at a sequence.
func (c *Client) Read(ctx context.Context, stream string, sequence uint64) (events.Message, error) {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return events.Message{}, fmt.Errorf("open stream %s: %w", stream, err)
	}
	m, err := s.GetMsg(ctx, sequence)
	if err != nil {
		return events.Message{}, fmt.Errorf("read %s at %d: %w", stream, sequence, err)
	}
	return stored(stream, m), nil
}

// Last returns the last message of a subject, false where there is none.
func (c *Client) Last(ctx context.Context, stream, subject string) (events.Message, bool, error) {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return events.Message{}, false, fmt.Errorf("open stream %s: %w", stream, err)
	}
	m, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return events.Message{}, false, nil
	}
	if err != nil {
		return events.Message{}, false, fmt.Errorf("read last %s: %w", subject, err)
	}
	return stored(stream, m), true, nil
}

func stored(stream string, m *jetstream.RawStreamMsg) events.Message {
	pending, _ := strconv.ParseUint(m.Header.Get(numPending), 10, 64) // told where several were asked for
	// A direct get tells these beside the headers that were published.
	for _, h := range []string{jetstream.StreamHeader, jetstream.SequenceHeader, jetstream.SubjectHeader, jetstream.TimeStampHeaer, jetstream.LastSequenceHeader, numPending} {
		m.Header.Del(h)
	}
	return events.Message{Stream: stream, Subject: m.Subject, Sequence: m.Sequence, Data: m.Data, Header: flat(m.Header), At: m.Time, Pending: pending}
}

// numPending is how many messages wait behind one that was read with others.
const numPending = "Nats-Num-Pending"

func flat(h nats.Header) map[string]string {
	if len(h) == 0 {
		return nil
	}
	f := make(map[string]string, len(h))
	for k := range h {
		f[k] = h.Get(k)
	}
	return f
}
