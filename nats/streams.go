package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"onsale/events"
)

// DuplicateWindow is how long the broker remembers message ids. It saves work; correctness rests on the unique
// keys in Postgres.
const DuplicateWindow = 2 * time.Hour

// MaxMessageSize bounds a message: the largest is a chunk of joins.
const MaxMessageSize = 1 << 20

var shared = []jetstream.StreamConfig{
	{Name: events.Admissions, Subjects: []string{"admission.*"}, Description: "who may come in; hash-chained, one subject an event"},
	{Name: events.Turns, Subjects: []string{"turn.*.*"}, Description: "which fans came when they were called, and which left the line"},
	{Name: events.Checkouts, Subjects: []string{"checkout.*.requested"}, Description: "commands to charge a hold and sell its seats"},
	{Name: events.Payments, Subjects: []string{"payment.*.*"}, Description: "what became of payment attempts"},
	{Name: events.Orders, Subjects: []string{"order.*.*"}, Description: "what became of orders"},
	{Name: events.Stripe, Subjects: []string{"stripe.>"}, Description: "verified webhook events"},
	{Name: events.Dead, Subjects: []string{"dead.*", events.MaxDeliveriesAdvisories}, Description: "what workers and the server gave up on"},
}

// EnsureStreams makes the streams that are missing. One that exists keeps its settings: changing those of a
// running sale is an operator's decision.
func (c *Client) EnsureStreams(ctx context.Context) error {
	for _, cfg := range shared {
		if err := c.ensure(ctx, cfg); err != nil {
			return err
		}
	}
	return nil
}

// EnsureLine makes an event's line.
func (c *Client) EnsureLine(ctx context.Context, eventID string) error {
	return c.ensure(ctx, jetstream.StreamConfig{
		Name: events.Line(eventID), Subjects: []string{events.LineSubjects(eventID)},
		Description: "the line of " + eventID + ": its order is the order of arrival",
	})
}

// LineEpoch is when an event's line was made, in Unix nanoseconds. A line made anew has another.
func (c *Client) LineEpoch(ctx context.Context, eventID string) (uint64, error) {
	s, err := c.js.Stream(ctx, events.Line(eventID))
	if err != nil {
		return 0, fmt.Errorf("open line of %s: %w", eventID, err)
	}
	return uint64(s.CachedInfo().Created.UnixNano()), nil
}

func (c *Client) ensure(ctx context.Context, cfg jetstream.StreamConfig) error {
	cfg.Storage, cfg.Retention = jetstream.FileStorage, jetstream.LimitsPolicy
	cfg.DenyDelete, cfg.DenyPurge = true, true
	cfg.Replicas, cfg.Duplicates, cfg.MaxMsgSize, cfg.AllowDirect = c.replicas, DuplicateWindow, MaxMessageSize, true
	_, err := c.js.CreateStream(ctx, cfg)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return fmt.Errorf("make stream %s: %w", cfg.Name, err)
	}
	return nil
}
