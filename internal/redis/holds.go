package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

func keys(h sale.Hold) []string {
	k := []string{holdKey(h.EventID, h.ID), liveKey(h.EventID, h.Session)}
	for _, seat := range h.Seats {
		k = append(k, seatKey(h.EventID, seat))
	}
	return k
}

// Take holds all seats for a session or none. The same seats again are the same hold. Seats that someone has
// are sale.Conflict "seats_taken" with the field seats; another live hold of the session is "session_has_hold".
func (c *Client) Take(ctx context.Context, eventID string, session sale.SessionHash, seats []string, ttl time.Duration) (sale.Hold, error) {
	seats = slices.Sorted(slices.Values(seats)) // the same seats, in whatever order they were named
	h := sale.Hold{ID: uuid.New(), EventID: eventID, Session: session, Seats: seats}
	k := keys(h)
	k = append(append(append([]string{}, k[:2]...), tag(eventID)+":fence"), k[2:]...)
	now := time.Now()
	r, err := c.hold.Run(ctx, c.c, k, h.ID.String(), session.String(), ttl.Milliseconds(), strings.Join(seats, ",")).Slice()
	if err != nil {
		return sale.Hold{}, unavailable("hold seats", err)
	}
	switch r[0] {
	case "held":
		h.Fence, h.ExpiresAt = r[1].(int64), expiry(now, r[2].(int64))
		return h, nil
	case "same":
		if h.ID, err = uuid.Parse(r[1].(string)); err != nil {
			return sale.Hold{}, fmt.Errorf("hold seats: %w", err)
		}
		h.Fence, h.ExpiresAt = r[2].(int64), expiry(now, r[3].(int64))
		return h, nil
	case "other":
		return sale.Hold{}, sale.Errorf(sale.Conflict, "session_has_hold", "this session holds other seats: pay for them or release them first").With("hold_id", r[1])
	default:
		taken := make([]string, 0, len(r)-1)
		for _, i := range r[1:] {
			taken = append(taken, seats[i.(int64)-1])
		}
		return sale.Hold{}, sale.SeatsTaken(taken)
	}
}

func expiry(now time.Time, ttlMS int64) time.Time {
	return now.Add(time.Duration(ttlMS) * time.Millisecond).UTC().Truncate(time.Millisecond)
}

// Find returns a live hold, or sale.ErrNoHold.
func (c *Client) Find(ctx context.Context, eventID string, id uuid.UUID) (sale.Hold, error) {
	pipe := c.c.Pipeline()
	fields := pipe.HMGet(ctx, holdKey(eventID, id), "session", "seats", "order", "fence")
	ttl := pipe.PTTL(ctx, holdKey(eventID, id))
	now := time.Now()
	if _, err := pipe.Exec(ctx); err != nil {
		return sale.Hold{}, unavailable("find hold", err)
	}
	v := fields.Val()
	session, ok := v[0].(string)
	if !ok {
		return sale.Hold{}, sale.ErrNoHold
	}
	h := sale.Hold{ID: id, EventID: eventID, ExpiresAt: now.Add(ttl.Val()).UTC().Truncate(time.Millisecond)}
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

// soldMark is what a sold seat's key holds: no hold id reads like it.
func soldMark(order uuid.UUID) string { return "sold:" + order.String() }

// MarkSold marks an order's seats as sold and ends its hold. Doing it again changes nothing.
func (c *Client) MarkSold(ctx context.Context, eventID string, hold, order uuid.UUID, seats []string) error {
	h := sale.Hold{ID: hold, EventID: eventID, Seats: seats}
	if found, err := c.Find(ctx, eventID, hold); err == nil {
		h.Session = found.Session
	} else if !errors.Is(err, sale.ErrNoHold) {
		return err
	}
	if err := c.sell.Run(ctx, c.c, keys(h), hold.String(), soldMark(order)).Err(); err != nil {
		return unavailable("mark sold", err)
	}
	return nil
}

// MarkVoided takes an order's sold marks back.
func (c *Client) MarkVoided(ctx context.Context, eventID string, order uuid.UUID, seats []string) error {
	k := make([]string, len(seats))
	for i, seat := range seats {
		k[i] = seatKey(eventID, seat)
	}
	if err := c.unsell.Run(ctx, c.c, k, soldMark(order)).Err(); err != nil {
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
		k := make([]string, len(cl.Seats))
		for j, seat := range cl.Seats {
			k[j] = seatKey(cl.EventID, seat)
		}
		values[i] = pipe.MGet(ctx, k...)
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
		k := make([]string, n)
		for i := range n {
			k[i] = seatKey(eventID, seats[i])
		}
		values, err := c.c.MGet(ctx, k...).Result()
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
