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

// seatsAtOnce bounds the seats that one run of the script looks at, and with them how long Redis does nothing else: a
// millisecond or so.
const seatsAtOnce = 1024

// Take holds all seats for a session or none, whatever it bought: see TakeAll.
func (c *Client) Take(ctx context.Context, eventID string, session sale.SessionHash, seats []string, ttl time.Duration) (sale.Hold, error) {
	all, err := c.TakeAll(ctx, []sale.Wanted{{EventID: eventID, Session: session, Seats: seats, TTL: ttl}})
	if err != nil {
		return sale.Hold{}, err
	}
	return all[0].Hold, all[0].Err
}

// TakeAll answers each who wants seats: all seats of one or none, those of an event in their order, in one round trip. The
// same seats again are the same hold. Seats that someone has are sale.Conflict "seats_taken" with the field seats, and
// their holders; another live hold of the session is "session_has_hold"; more than the session may get is "sale_limit".
func (c *Client) TakeAll(ctx context.Context, wanted []sale.Wanted) ([]sale.Taking, error) {
	pipe := c.c.Pipeline()
	rounds := takeRounds(wanted)
	for _, r := range rounds {
		r.answers = pipe.EvalSha(ctx, c.hold.Hash(), r.seats, r.args...)
	}
	send(ctx, pipe)
	out := make([]sale.Taking, len(wanted))
	for _, r := range rounds {
		if redis.HasErrorPrefix(r.answers.Err(), "NOSCRIPT") { // a Redis that has just begun: this also teaches it
			r.answers = c.hold.Run(ctx, c.c, r.seats, r.args...)
		}
		all, err := r.answers.Slice()
		switch {
		case err != nil:
			err = unavailable("hold seats", err)
		case len(all) != len(r.holds):
			err = fmt.Errorf("hold seats: %d answers for %d", len(all), len(r.holds))
		}
		for i, at := range r.wanted {
			if err != nil {
				out[at].Err = err
				continue
			}
			out[at] = c.taking(wanted[at], r.holds[i], all[i])
		}
	}
	return out, nil
}

// round is one run of the script: some who want seats of one event.
type round struct {
	seats   []string // its one key
	count   int      // of seats
	wanted  []int    // where they are among all
	holds   []sale.Hold
	args    []any
	answers *redis.Cmd
}

// takeRounds sorts those who want seats by their events.
func takeRounds(wanted []sale.Wanted) []*round {
	var all []*round
	open := map[string]*round{} // the last of each event
	for at, w := range wanted {
		r := open[w.EventID]
		if r == nil || r.count+len(w.Seats) > seatsAtOnce {
			r = &round{seats: []string{seatsKey(w.EventID)}}
			open[w.EventID], all = r, append(all, r)
		}
		r.add(at, w)
	}
	return all
}

func (r *round) add(at int, w sale.Wanted) {
	seats := w.Seats
	if !slices.IsSorted(seats) {
		seats = slices.Sorted(slices.Values(seats)) // the same seats, in whatever order they were named
	}
	h := sale.Hold{ID: uuid.New(), EventID: w.EventID, Session: w.Session, Seats: seats}
	r.count += len(seats)
	r.wanted, r.holds = append(r.wanted, at), append(r.holds, h)
	r.args = append(r.args, h.ID.String(), w.Session.String(), w.TTL.Milliseconds(), w.Most, strings.Join(seats, ","))
}

// taking reads what the script answered to one of them.
func (c *Client) taking(w sale.Wanted, h sale.Hold, answer any) sale.Taking {
	if fence, held := answer.(int64); held {
		h.Fence, h.Left, h.ExpiresAt = fence, w.TTL, c.expiry(w.TTL)
		return sale.Taking{Hold: h}
	}
	r, ok := answer.([]any)
	if !ok || len(r) < 2 {
		return sale.Taking{Err: fmt.Errorf("hold seats: the answer %v", answer)}
	}
	var err error
	switch r[0] {
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
		return sale.Taking{Err: sale.TooManyInSale(w.Most, int(r[1].(int64)))}
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
