package redis

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"onsale/internal/sale"
)

func tag(eventID string) string { return "{" + eventID + "}" }

// seatsKey names an event's seats: a hash from seat to owner. hold.lua says what is in it, and in a hold.
func seatsKey(eventID string) string { return tag(eventID) + ":seats" }

// holdKey names a session's hold: it has one at most.
func holdKey(eventID string, s sale.SessionHash) string { return holdOf(eventID, s.String()) }

func holdOf(eventID, session string) string { return tag(eventID) + ":hold:" + session }

// ownTimeKey names what is left of the time that a session's hold had before an order was bound to it.
func ownTimeKey(eventID string, s sale.SessionHash) string {
	return tag(eventID) + ":own:" + s.String()
}

// boughtKey names what a session bought in an event: a hash from order to number of seats.
func boughtKey(eventID string, s sale.SessionHash) string {
	return tag(eventID) + ":bought:" + s.String()
}

// holdKeys are what a script is given that changes a hold.
func holdKeys(eventID string, s sale.SessionHash) []string {
	return []string{holdKey(eventID, s), seatsKey(eventID)}
}

// Find returns a session's live hold by its id, or sale.ErrNoHold.
func (c *Client) Find(ctx context.Context, eventID string, session sale.SessionHash, id uuid.UUID) (sale.Hold, error) {
	key := holdKey(eventID, session)
	pipe := c.c.Pipeline()
	record, ttl := pipe.Get(ctx, key), pipe.PTTL(ctx, key)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return sale.Hold{}, unavailable("find hold", err)
	}
	f := strings.SplitN(record.Val(), "|", 5) // id, fence, order, request, seats
	if f[0] != id.String() {
		return sale.Hold{}, sale.ErrNoHold
	}
	if len(f) != 5 {
		return sale.Hold{}, errors.New("find hold: its record is cut off")
	}
	fence, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return sale.Hold{}, fmt.Errorf("find hold: %w", err)
	}
	return sale.Hold{ID: id, EventID: eventID, Session: session, Seats: strings.Split(f[4], ","), Fence: fence, Order: f[2],
		Left: ttl.Val(), ExpiresAt: c.expiry(ttl.Val())}, nil
}

// Release gives the seats of a session's hold back. One that an order is being paid with is sale.Conflict
// "checkout_in_progress", unless order names that order.
func (c *Client) Release(ctx context.Context, eventID string, session sale.SessionHash, id uuid.UUID, order string) error {
	r, err := c.answers(ctx, c.release, []string{holdKey(eventID, session)}, id.String(), order)
	if err != nil {
		return unavailable("release hold", err)
	}
	switch r[0] {
	case "bound":
		return checkoutInProgress(r[1])
	case "gone":
		return sale.ErrNoHold
	}
	return nil
}

func checkoutInProgress(order any) error {
	return sale.Errorf(sale.Conflict, "checkout_in_progress", "order %s is being paid with this hold", order).With("order_id", order)
}

// Bind gives a session's hold to the order that pays for it, extends it to at least b's wait and window, and returns it.
// b.Replace names an order that failed and may be replaced, "" for none: as long as the hold would have lived without any
// order, so that payments that fail don't keep seats from others for good. After that it is sale.ErrHoldOver, and the hold
// that is returned was given up. A hold that another order is being paid with is sale.Conflict "checkout_in_progress" with
// the field order_id.
func (c *Client) Bind(ctx context.Context, eventID string, session sale.SessionHash, id uuid.UUID, b sale.Binding) (sale.Hold, error) {
	keys := append(holdKeys(eventID, session), ownTimeKey(eventID, session))
	r, err := c.answers(ctx, c.bind, keys, id.String(), session.String(), b.Order.String(), hex.EncodeToString(b.Request[:]),
		(b.Wait + b.Window).Milliseconds(), b.Replace, b.Wait.Milliseconds())
	if err != nil {
		return sale.Hold{}, unavailable("bind hold", err)
	}
	h := sale.Hold{ID: id, EventID: eventID, Session: session}
	switch r[0] {
	case "bound":
		h.Fence, h.Seats, h.Left, h.Order = r[1].(int64), strings.Split(r[2].(string), ","), milliseconds(r[3]), b.Order.String()
		h.ExpiresAt = c.expiry(h.Left)
		return h, nil
	case "over":
		h.Fence, h.Seats = r[1].(int64), strings.Split(r[2].(string), ",")
		return h, sale.ErrHoldOver
	case "busy":
		return sale.Hold{}, checkoutInProgress(r[1])
	case "differs":
		return sale.Hold{}, sale.Errorf(sale.Unprocessable, "idempotency_key_reused", "the idempotency key was used for another request")
	case "lost":
		return sale.Hold{}, sale.SeatsTaken([]string{r[1].(string)})
	default: // gone
		return sale.Hold{}, sale.ErrNoHold
	}
}

// Extend lets the hold that an order is being paid with live for at least window from now, with all its seats. It is
// false, and nothing is extended, where the hold has lapsed, isn't that order's, or lost a seat. It never shortens.
func (c *Client) Extend(ctx context.Context, eventID string, session sale.SessionHash, id, order uuid.UUID, window time.Duration) (bool, error) {
	r, err := c.answers(ctx, c.extend, holdKeys(eventID, session), id.String(), session.String(), order.String(), window.Milliseconds())
	if err != nil {
		return false, unavailable("extend hold", err)
	}
	return r[0] == "extended", nil
}

// MarkSold marks an order's seats as sold, ends its hold, and counts the seats as bought by its session. Doing it
// again changes nothing.
func (c *Client) MarkSold(ctx context.Context, eventID string, session sale.SessionHash, hold, order uuid.UUID, seats []string) error {
	_, err := c.markSold(ctx, eventID, session, hold, order, seats, "any")
	return err
}

// MarkOwnSold is MarkSold for an order whose hold had the seats until now. Where someone else is named as the owner of
// one, it changes nothing and returns false.
func (c *Client) MarkOwnSold(ctx context.Context, eventID string, session sale.SessionHash, hold, order uuid.UUID, seats []string) (bool, error) {
	return c.markSold(ctx, eventID, session, hold, order, seats, "own")
}

func (c *Client) markSold(ctx context.Context, eventID string, session sale.SessionHash, hold, order uuid.UUID, seats []string, whose string) (bool, error) {
	keys := append(holdKeys(eventID, session), boughtKey(eventID, session))
	marked, err := c.eval(ctx, c.sell, keys, named(seats, hold.String(), soldMark(order), order.String(), whose)...)
	if err != nil {
		return false, unavailable("mark sold", err)
	}
	return marked.Val() == int64(1), nil
}

// MarkVoided takes an order's sold marks back, and what its session bought with it. Doing it again changes nothing.
func (c *Client) MarkVoided(ctx context.Context, eventID string, session sale.SessionHash, order uuid.UUID, seats []string) error {
	keys := []string{boughtKey(eventID, session), seatsKey(eventID)}
	if _, err := c.eval(ctx, c.unsell, keys, named(seats, soldMark(order), order.String())...); err != nil {
		return unavailable("mark voided", err)
	}
	return nil
}

// named are a script's arguments that end with seats.
func named(seats []string, args ...any) []any {
	for _, seat := range seats {
		args = append(args, seat)
	}
	return args
}

// ReleaseFor gives back the seats of an order that was rejected, where its hold still stands.
func (c *Client) ReleaseFor(ctx context.Context, eventID string, session sale.SessionHash, hold, order uuid.UUID) error {
	err := c.Release(ctx, eventID, session, hold, order.String())
	if errors.Is(err, sale.ErrNoHold) || sale.KindOf(err) == sale.Conflict {
		return nil // lapsed, or bound to a later order: nothing is this order's any more
	}
	return err
}
