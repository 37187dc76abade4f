package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"onsale/internal/sale"
)

func tag(eventID string) string                   { return "{" + eventID + "}" }
func holdKey(eventID string, id uuid.UUID) string { return tag(eventID) + ":hold:" + id.String() }
func seatKey(eventID, seat string) string         { return tag(eventID) + ":seat:" + seat }
func liveKey(eventID string, s sale.SessionHash) string {
	return tag(eventID) + ":live:" + s.String()
}

// boughtKey names what a session bought in an event: a hash from order to number of seats.
func boughtKey(eventID string, s sale.SessionHash) string {
	return tag(eventID) + ":bought:" + s.String()
}

func keys(h sale.Hold) []string {
	k := []string{holdKey(h.EventID, h.ID), liveKey(h.EventID, h.Session)}
	return append(k, seatKeys(h.EventID, h.Seats)...)
}

func seatKeys(eventID string, seats []string) []string {
	k := make([]string, len(seats))
	for i, seat := range seats {
		k[i] = seatKey(eventID, seat)
	}
	return k
}

// Find returns a live hold, or sale.ErrNoHold.
func (c *Client) Find(ctx context.Context, eventID string, id uuid.UUID) (sale.Hold, error) {
	pipe := c.c.Pipeline()
	fields := pipe.HMGet(ctx, holdKey(eventID, id), "session", "seats", "order", "fence")
	ttl := pipe.PTTL(ctx, holdKey(eventID, id))
	if _, err := pipe.Exec(ctx); err != nil {
		return sale.Hold{}, unavailable("find hold", err)
	}
	v := fields.Val()
	session, ok := v[0].(string)
	if !ok {
		return sale.Hold{}, sale.ErrNoHold
	}
	h := sale.Hold{ID: id, EventID: eventID, Left: ttl.Val(), ExpiresAt: c.expiry(ttl.Val())}
	var err error
	if h.Session, err = sale.ParseSessionHash(session); err != nil {
		return sale.Hold{}, fmt.Errorf("find hold: %w", err)
	}
	seats, _ := v[1].(string)
	h.Seats = strings.Split(seats, ",")
	h.Order, _ = v[2].(string)
	fence, _ := v[3].(string)
	if h.Fence, err = strconv.ParseInt(fence, 10, 64); err != nil {
		return sale.Hold{}, fmt.Errorf("find hold: %w", err)
	}
	return h, nil
}

// Release gives a hold's seats back. One that an order is being paid with is sale.Conflict "checkout_in_progress",
// unless order names that order.
func (c *Client) Release(ctx context.Context, h sale.Hold, order string) error {
	r, err := c.release.Run(ctx, c.c, keys(h), h.ID.String(), order).Slice()
	if err != nil {
		return unavailable("release hold", err)
	}
	switch r[0] {
	case "bound":
		return sale.Errorf(sale.Conflict, "checkout_in_progress", "order %s is being paid with this hold", r[1]).With("order_id", r[1])
	case "gone":
		return sale.ErrNoHold
	}
	return nil
}

// Bind gives a hold to the order that pays for it and extends it to at least window. replace names an order
// that failed and may be replaced, "" for none.
func (c *Client) Bind(ctx context.Context, h sale.Hold, order uuid.UUID, request [32]byte, window time.Duration, replace string) error {
	r, err := c.bind.Run(ctx, c.c, keys(h), h.ID.String(), h.Session.String(), order.String(), string(request[:]), window.Milliseconds(), replace).Slice()
	if err != nil {
		return unavailable("bind hold", err)
	}
	switch r[0] {
	case "bound":
		return nil
	case "busy":
		return sale.Errorf(sale.Conflict, "checkout_in_progress", "order %s is being paid with this hold", r[1]).With("order_id", r[1])
	case "differs":
		return sale.Errorf(sale.Unprocessable, "idempotency_key_reused", "the idempotency key was used for another request")
	case "lost":
		return sale.SeatsTaken([]string{h.Seats[r[1].(int64)-1]})
	default: // gone, foreign
		return sale.ErrNoHold
	}
}

// Extend lets the hold that an order is being paid with live for at least window from now, with all its seats. It is
// false, and nothing is extended, where the hold has lapsed, isn't that order's, or lost a seat. It never shortens.
func (c *Client) Extend(ctx context.Context, h sale.Hold, order uuid.UUID, window time.Duration) (bool, error) {
	r, err := c.extend.Run(ctx, c.c, keys(h), h.ID.String(), order.String(), window.Milliseconds()).Slice()
	if err != nil {
		return false, unavailable("extend hold", err)
	}
	return r[0] == "extended", nil
}

// soldMark is what a sold seat's key holds: no hold id reads like it.
func soldMark(order uuid.UUID) string { return "sold:" + order.String() }

// MarkSold marks an order's seats as sold, ends its hold, and counts the seats as bought by its session. Doing it
// again changes nothing.
func (c *Client) MarkSold(ctx context.Context, eventID string, session sale.SessionHash, hold, order uuid.UUID, seats []string) error {
	k := append([]string{holdKey(eventID, hold), liveKey(eventID, session), boughtKey(eventID, session)}, seatKeys(eventID, seats)...)
	if err := c.sell.Run(ctx, c.c, k, hold.String(), soldMark(order), order.String()).Err(); err != nil {
		return unavailable("mark sold", err)
	}
	return nil
}

// MarkVoided takes an order's sold marks back, and what its session bought with it. Doing it again changes nothing.
func (c *Client) MarkVoided(ctx context.Context, eventID string, session sale.SessionHash, order uuid.UUID, seats []string) error {
	k := append([]string{boughtKey(eventID, session)}, seatKeys(eventID, seats)...)
	if err := c.unsell.Run(ctx, c.c, k, soldMark(order), order.String()).Err(); err != nil {
		return unavailable("mark voided", err)
	}
	return nil
}

// ReleaseFor gives back the seats of an order that was rejected, where its hold still stands.
func (c *Client) ReleaseFor(ctx context.Context, eventID string, hold, order uuid.UUID) error {
	h, err := c.Find(ctx, eventID, hold)
	if err == nil {
		err = c.Release(ctx, h, order.String())
	}
	if errors.Is(err, sale.ErrNoHold) || sale.KindOf(err) == sale.Conflict {
		return nil // lapsed, or bound to a later order: nothing is this order's any more
	}
	return err
}

// HeldByOthers returns, for each claim, the seats that another hold has right now. Sold marks don't count:
// whether a seat is sold is Postgres's to say.
func (c *Client) HeldByOthers(ctx context.Context, claims []sale.Claim) ([][]string, error) {
	pipe := c.c.Pipeline()
	values := make([]*redis.SliceCmd, len(claims))
	for i, cl := range claims {
		if len(cl.Seats) == 0 {
			continue // MGET of nothing is an error, and would be everyone's
		}
		values[i] = pipe.MGet(ctx, seatKeys(cl.EventID, cl.Seats)...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable("read holders", err)
	}
	out := make([][]string, len(claims))
	for i, cl := range claims {
		if values[i] == nil {
			continue
		}
		for j, v := range values[i].Val() {
			if holder, ok := v.(string); ok && holder != cl.Hold.String() && !strings.HasPrefix(holder, "sold:") {
				out[i] = append(out[i], cl.Seats[j])
			}
		}
	}
	return out, nil
}

// SeatStates returns the state of each seat, in order.
func (c *Client) SeatStates(ctx context.Context, eventID string, seats []string) ([]sale.SeatState, error) {
	const page = 1000
	out := make([]sale.SeatState, 0, len(seats))
	for len(seats) > 0 {
		n := min(page, len(seats))
		values, err := c.c.MGet(ctx, seatKeys(eventID, seats[:n])...).Result()
		if err != nil {
			return nil, unavailable("read seats", err)
		}
		for _, v := range values {
			holder, held := v.(string)
			order, sold := strings.CutPrefix(holder, "sold:")
			if !sold {
				order = ""
			}
			out = append(out, sale.SeatState{Held: held && !sold, Sold: order})
		}
		seats = seats[n:]
	}
	return out, nil
}
