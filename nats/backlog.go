package nats

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

// backlogLimit is how long the broker may take to tell a backlog.
const backlogLimit = 2 * time.Second

// Backlog is about how many records a durable consumer, which any number of processes share, has not dealt with: those
// that wait, those under way, and those that are put off. The broker counts messages; how many records are in one is known
// from those that this process was given.
func (c *Client) Backlog(ctx context.Context, stream, durable string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, backlogLimit)
	defer cancel()
	consumer, err := c.js.Consumer(ctx, stream, durable) // asks for its state
	if err != nil {
		return 0, fmt.Errorf("read the backlog of %s: %w", durable, err)
	}
	info := consumer.CachedInfo()
	messages := info.NumPending + uint64(info.NumAckPending)
	return uint64(math.Ceil(float64(messages) * c.average(durable).is())), nil
}

// average is that of the records in a consumer's latest messages.
type average struct {
	mu sync.Mutex
	of float64
}

// averageKeep is how much of the average each message leaves of it: it follows the latest dozen or so.
const averageKeep = 0.9

func (c *Client) average(durable string) *average {
	a, _ := c.packed.LoadOrStore(durable, &average{})
	return a.(*average)
}

func (a *average) add(records int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == 0 {
		a.of = float64(records)
		return
	}
	a.of = averageKeep*a.of + (1-averageKeep)*float64(records)
}

// is at least one, also before there was a message.
func (a *average) is() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(a.of, 1)
}
