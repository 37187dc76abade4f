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

func tag(eventID string) string           { return "{" + eventID + "}" }
func fenceKey(eventID string) string      { return tag(eventID) + ":fence" }
func seatKey(eventID, seat string) string { return tag(eventID) + ":seat:" + seat }

// holdKey names a session's hold: it has one at most. hold.lua says what is in it.
func holdKey(eventID string, s sale.SessionHash) string { return tag(eventID) + ":hold:" + s.String() }

// boughtKey names what a session bought in an event: a hash from order to number of seats.
func boughtKey(eventID string, s sale.SessionHash) string {
	return tag(eventID) + ":bought:" + s.String()
}

func seatKeys(eventID string, seats []string) []string {
	k := make([]string, len(seats))
	for i, seat := range seats {
		k[i] = seatKey(eventID, seat)
	}
	return k
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
	r, err := c.release.Run(ctx, c.c, []string{holdKey(eventID, session)}, id.String(), session.String(), order).Slice()
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

// Bind gives a session's hold to the order that pays for it, extends it to at least window, and returns it. replace
// names an order that failed and may be replaced, "" for none. A hold that another order is being paid with is
// sale.Conflict "checkout_in_progress" with the field order_id.
func (c *Client) Bind(ctx context.Context, eventID string, session sale.SessionHash, id uuid.UUID, b sale.Binding) (sale.Hold, error) {
	r, err := c.bind.Run(ctx, c.c, []string{holdKey(eventID, session)}, id.String(), session.String(), b.Order.String(), hex.EncodeToString(b.Request[:]),
		b.Window.Milliseconds(), b.Replace).Slice()
	if err != nil {
		return sale.Hold{}, unavailable("bind hold", err)
	}
	switch r[0] {
	case "bound":
		h := sale.Hold{ID: id, EventID: eventID, Session: session, Fence: r[1].(int64), Seats: strings.Split(r[2].(string), ","), Left: milliseconds(r[3]), Order: b.Order.String()}
		h.ExpiresAt = c.expiry(h.Left)
		return h, nil
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
	r, err := c.extend.Run(ctx, c.c, []string{holdKey(eventID, session)}, id.String(), session.String(), order.String(), window.Milliseconds()).Slice()
	if err != nil {
		return false, unavailable("extend hold", err)
	}
	return r[0] == "extended", nil
}

// soldMark is what a sold seat's key holds: no hold's id reads like it.
func soldMark(order uuid.UUID) string { return "sold:" + order.String() }

// holderOf reads the owner of a seat: the hold that has it, or the order that bought it.
func holderOf(owner string) (id string, held bool) {
	if order, sold := strings.CutPrefix(owner, "sold:"); sold {
		return order, false
	}
	hold, _, _ := strings.Cut(owner, "|")
	return hold, true
}

// MarkSold marks an order's seats as sold, ends its hold, and counts the seats as bought by its session. Doing it
// again changes nothing.
func (c *Client) MarkSold(ctx context.Context, eventID string, session sale.SessionHash, hold, order uuid.UUID, seats []string) error {
	k := append([]string{holdKey(eventID, session), boughtKey(eventID, session)}, seatKeys(eventID, seats)...)
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
func (c *Client) ReleaseFor(ctx context.Context, eventID string, session sale.SessionHash, hold, order uuid.UUID) error {
	err := c.Release(ctx, eventID, session, hold, order.String())
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
			owner, has := v.(string)
			if holder, held := holderOf(owner); has && held && holder != cl.Hold.String() {
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
			owner, has := v.(string)
			by, held := holderOf(owner)
			state := sale.SeatState{Held: has && held}
			if has && !held {
				state.Sold = by
			}
			out = append(out, state)
		}
		seats = seats[n:]
	}
	return out, nil
}
