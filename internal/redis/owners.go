package redis

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"onsale/internal/sale"
)

// soldMark is what is in the place of a sold seat's owner: no hold's id reads like it.
func soldMark(order uuid.UUID) string { return "sold:" + order.String() }

// owner is who has a seat: a session's hold, or the order that bought it.
type owner struct {
	hold    string
	session string
	sold    string // the order, "" where it is held
}

// ownerOf reads a seat's owner; nobody where there is none.
func ownerOf(v any) (o owner, has bool) {
	written, has := v.(string)
	if order, sold := strings.CutPrefix(written, "sold:"); sold {
		return owner{sold: order}, true
	}
	o.hold, written, _ = strings.Cut(written, "|")
	o.session, _, _ = strings.Cut(written, "|")
	return o, has
}

// liveness asks which of some holds live: what is left of one that has lapsed owns nothing.
type liveness struct {
	pipe  redis.Pipeliner
	asked map[string]*redis.StringCmd // by key
}

func (c *Client) liveness() liveness {
	return liveness{pipe: c.c.Pipeline(), asked: map[string]*redis.StringCmd{}}
}

// ask adds an owner to those that ask is about.
func (l liveness) ask(ctx context.Context, eventID string, o owner) {
	key := holdOf(eventID, o.session)
	if _, known := l.asked[key]; !known && o.sold == "" {
		l.asked[key] = l.pipe.Get(ctx, key)
	}
}

// answered has Redis answer.
func (l liveness) answered(ctx context.Context) error {
	if len(l.asked) == 0 {
		return nil
	}
	send(ctx, l.pipe)
	for _, asked := range l.asked {
		if err := asked.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	return nil
}

// lives says whether an owner that was asked about still has its seats: it is sold, or its hold lives.
func (l liveness) lives(eventID string, o owner) bool {
	if o.sold != "" {
		return true
	}
	return strings.HasPrefix(l.asked[holdOf(eventID, o.session)].Val(), o.hold+"|")
}

// HeldByOthers returns, for each claim, the seats that another hold has right now. Sold marks don't count:
// whether a seat is sold is Postgres's to say.
func (c *Client) HeldByOthers(ctx context.Context, claims []sale.Claim) ([][]string, error) {
	pipe := c.c.Pipeline()
	values := make([]*redis.SliceCmd, len(claims))
	for i, cl := range claims {
		if len(cl.Seats) > 0 { // HMGET of nothing is an error, and would be everyone's
			values[i] = pipe.HMGet(ctx, seatsKey(cl.EventID), cl.Seats...)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable("read owners", err)
	}
	live := c.liveness()
	others := make([][]owner, len(claims)) // of the seats, in their order; the zero one where it is nobody's, sold, or the claim's own
	for i, cl := range claims {
		if values[i] == nil {
			continue
		}
		others[i] = make([]owner, len(cl.Seats))
		for j, v := range values[i].Val() {
			if o, has := ownerOf(v); has && o.sold == "" && o.hold != cl.Hold.String() {
				others[i][j] = o
				live.ask(ctx, cl.EventID, o)
			}
		}
	}
	if err := live.answered(ctx); err != nil {
		return nil, unavailable("read owners' holds", err)
	}
	out := make([][]string, len(claims))
	for i, cl := range claims {
		for j, o := range others[i] {
			if o != (owner{}) && live.lives(cl.EventID, o) {
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
		values, err := c.c.HMGet(ctx, seatsKey(eventID), seats[:n]...).Result()
		if err != nil {
			return nil, unavailable("read seats", err)
		}
		live := c.liveness()
		for _, v := range values {
			if o, has := ownerOf(v); has {
				live.ask(ctx, eventID, o)
			}
		}
		if err := live.answered(ctx); err != nil {
			return nil, unavailable("read holds", err)
		}
		for _, v := range values {
			var state sale.SeatState
			if o, has := ownerOf(v); has && live.lives(eventID, o) {
				state = sale.SeatState{Held: o.sold == "", Sold: o.sold}
			}
			out = append(out, state)
		}
		seats = seats[n:]
	}
	return out, nil
}
