package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"onsale/internal/sale"
)

// Take holds all seats for a session or none, whatever it bought: see TakeAll.
func (c *Client) Take(ctx context.Context, eventID string, session sale.SessionHash, seats []string, ttl time.Duration) (sale.Hold, error) {
	all, err := c.TakeAll(ctx, []sale.Wanted{{EventID: eventID, Session: session, Seats: seats, TTL: ttl}})
	if err != nil {
		return sale.Hold{}, err
	}
	return all[0].Hold, all[0].Err
}

// TakeAll answers each who wants seats, in their order: all seats of one or none, one by one, in one round trip. The
// same seats again are the same hold. Seats that someone has are sale.Conflict "seats_taken" with the field seats, and
// their holders; another live hold of the session is "session_has_hold"; more than the session may get is "sale_limit".
func (c *Client) TakeAll(ctx context.Context, wanted []sale.Wanted) ([]sale.Taking, error) {
	pipe := c.c.Pipeline()
	takes := make([]take, len(wanted))
	for i, w := range wanted {
		takes[i] = newTake(w)
		takes[i].answer = pipe.EvalSha(ctx, c.hold.Hash(), takes[i].keys, takes[i].args...)
	}
	_, _ = pipe.Exec(ctx) // each answer has its own error
	out := make([]sale.Taking, len(wanted))
	for i := range takes {
		t := &takes[i]
		if redis.HasErrorPrefix(t.answer.Err(), "NOSCRIPT") { // a Redis that has just begun: this also teaches it
			t.answer = c.hold.Run(ctx, c.c, t.keys, t.args...)
		}
		out[i] = c.taking(t)
	}
	return out, nil
}

// take is one Wanted on its way.
type take struct {
	hold   sale.Hold
	wanted sale.Wanted
	keys   []string
	args   []any
	answer *redis.Cmd
}

func newTake(w sale.Wanted) take {
	seats := w.Seats
	if !slices.IsSorted(seats) {
		seats = slices.Sorted(slices.Values(seats)) // the same seats, in whatever order they were named
	}
	h := sale.Hold{ID: uuid.New(), EventID: w.EventID, Session: w.Session, Seats: seats}
	id := h.ID.String()
	k := make([]string, 0, 4+len(seats))
	k = append(k, holdKey(w.EventID, h.ID), liveKey(w.EventID, w.Session), tag(w.EventID)+":fence", boughtKey(w.EventID, w.Session))
	for _, seat := range seats {
		k = append(k, seatKey(w.EventID, seat))
	}
	return take{hold: h, wanted: w, keys: k, args: []any{id, w.Session.String(), w.TTL.Milliseconds(), strings.Join(seats, ","), w.Most}}
}

// taking reads what the script answered.
func (c *Client) taking(t *take) sale.Taking {
	r, err := t.answer.Slice()
	if err != nil {
		return sale.Taking{Err: unavailable("hold seats", err)}
	}
	h := t.hold
	switch r[0] {
	case "held":
		h.Fence, h.Left = r[1].(int64), milliseconds(r[2])
		h.ExpiresAt = c.expiry(h.Left)
		return sale.Taking{Hold: h}
	case "same":
		if h.ID, err = uuid.Parse(r[1].(string)); err != nil {
			return sale.Taking{Err: fmt.Errorf("hold seats: %w", err)}
		}
		h.Fence, h.Left = r[2].(int64), milliseconds(r[3])
		h.ExpiresAt = c.expiry(h.Left)
		return sale.Taking{Hold: h}
	case "other":
		return sale.Taking{Err: sale.Errorf(sale.Conflict, "session_has_hold", "this session holds other seats: pay for them or release them first").With("hold_id", r[1])}
	case "limit":
		return sale.Taking{Err: sale.TooManyInSale(t.wanted.Most, int(r[1].(int64)))}
	}
	holders, err := holdersOf(h.Seats, r[1:])
	if err != nil {
		return sale.Taking{Err: fmt.Errorf("hold seats: %w", err)}
	}
	taken := make([]string, len(holders))
	for i, holder := range holders {
		taken[i] = holder.Seat
	}
	return sale.Taking{Holders: holders, Err: sale.SeatsTaken(taken)}
}

// holdersOf reads the holders of the seats that were taken, four values each.
func holdersOf(seats []string, r []any) ([]sale.Holder, error) {
	if len(r) == 0 || len(r)%4 != 0 {
		return nil, errors.New("an answer that is cut off")
	}
	var out []sale.Holder
	for ; len(r) > 0; r = r[4:] {
		holder := sale.Holder{Seat: seats[r[0].(int64)-1], Fence: r[2].(int64), Left: milliseconds(r[3])}
		if session := r[1].(string); session != "" {
			var err error
			if holder.Session, err = sale.ParseSessionHash(session); err != nil {
				return nil, err
			}
		}
		out = append(out, holder)
	}
	return out, nil
}

func milliseconds(v any) time.Duration { return time.Duration(v.(int64)) * time.Millisecond }

// expiry is when what has so long to live ends, by this process's clock.
func (c *Client) expiry(left time.Duration) time.Time {
	return c.now().Add(left).UTC().Truncate(time.Millisecond)
}
