package nats

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Notify tells whoever listens now, and nobody else: nothing is stored or acknowledged, and while the server is away
// nothing is kept for later, when it might no longer be true. An error says that it was not even sent.
func (c *Client) Notify(subject string, data []byte) error {
	if !c.conn.IsConnected() {
		return fmt.Errorf("notify %s: %w", subject, nats.ErrDisconnected)
	}
	if err := c.conn.Publish(subject, data); err != nil {
		return fmt.Errorf("notify %s: %w", subject, err)
	}
	return nil
}

// listenLimit is how long the server may take to begin to send what is listened to.
const listenLimit = 5 * time.Second

// Listen calls each for every notice of a subject that another client sends, one at a time, until ctx ends. What is said while the connection is
// down is missed. ready is called once it is heard. It returns early only when the listening can't begin.
func (c *Client) Listen(ctx context.Context, subject string, ready func(), each func(data []byte)) error {
	sub, err := c.conn.Subscribe(subject, func(m *nats.Msg) {
		if ctx.Err() == nil {
			each(m.Data)
		}
	})
	if err != nil {
		return fmt.Errorf("listen to %s: %w", subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // it may have ended with the connection
	if err := c.conn.FlushTimeout(listenLimit); err != nil && ctx.Err() == nil {
		return fmt.Errorf("listen to %s: %w", subject, err)
	}
	ready()
	<-ctx.Done()
	return nil
}
