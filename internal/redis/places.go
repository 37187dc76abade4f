package redis

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// The places of sessions are kept in many small hashes, which Redis stores compactly: the first 16 bits of a
// session's hash choose one, so that ten million sessions make 153 a hash, of the 512 up to which Redis keeps it
// compact. The stream remains the truth; a line made anew has another epoch, and so other places. A script is given
// sessions and places as one string each: as arguments of their own they would cost more than the look-ups.

// buckets is what the names of a line's hashes begin with.
func buckets(k line.Key) string {
	name := "{" + k.EventID + "}:joined:" + strconv.FormatUint(k.Epoch, 36) + ":"
	if k.Lane != "" {
		name += k.Lane + ":"
	}
	return name
}

const placeSize = 8 + 4

var unknownPlace = bytes.Repeat([]byte{0xff}, placeSize)

// Recall returns the places that sessions already have in a line, in order; nil where none is known.
func (c *Client) Recall(ctx context.Context, k line.Key, sessions []sale.SessionHash) ([]*line.Ticket, error) {
	if len(sessions) == 0 {
		return nil, nil
	}
	asked := make([]byte, 0, len(sessions)*len(sale.SessionHash{}))
	for i := range sessions {
		asked = append(asked, sessions[i][:]...)
	}
	places, err := c.recall.Run(ctx, c.c, []string{buckets(k)}, asked).Text()
	if err != nil {
		return nil, unavailable("recall places", err)
	}
	if len(places) != len(sessions)*placeSize {
		return nil, fmt.Errorf("recall places: %d bytes for %d sessions", len(places), len(sessions))
	}
	out := make([]*line.Ticket, len(sessions))
	for i, s := range sessions {
		if place := []byte(places[i*placeSize : (i+1)*placeSize]); !bytes.Equal(place, unknownPlace) {
			t := unpack(place, k.Epoch, s)
			out[i] = &t
		}
	}
	return out, nil
}

// placesKept is for how long the places of a lane are remembered once nobody can join it any more.
const placesKept = 30 * 24 * time.Hour

// Forget lets the places of a lane end in a while. It is for a sale that was closed; doing it again changes nothing.
func (c *Client) Forget(ctx context.Context, k line.Key) error {
	for first := range 256 {
		if err := c.forget.Run(ctx, c.c, []string{buckets(k)}, first, placesKept.Milliseconds()).Err(); err != nil {
			return unavailable("let places end", err)
		}
	}
	return nil
}

// Remember stores places of one lane and returns the lowest known of each session, which is the one that counts.
func (c *Client) Remember(ctx context.Context, k line.Key, tickets []line.Ticket) ([]line.Ticket, error) {
	if len(tickets) == 0 {
		return nil, nil
	}
	sessions, fresh := make([]byte, 0, len(tickets)*len(sale.SessionHash{})), make([]byte, 0, len(tickets)*placeSize)
	for i := range tickets {
		sessions = append(sessions, tickets[i].Session[:]...)
		fresh = binary.BigEndian.AppendUint64(fresh, tickets[i].Sequence)
		fresh = binary.BigEndian.AppendUint32(fresh, tickets[i].Index)
	}
	places, err := c.remember.Run(ctx, c.c, []string{buckets(k)}, sessions, fresh).Text()
	if err != nil {
		return nil, unavailable("remember places", err)
	}
	if len(places) != len(tickets)*placeSize {
		return nil, fmt.Errorf("remember places: %d bytes for %d sessions", len(places), len(tickets))
	}
	out := make([]line.Ticket, len(tickets))
	for i := range tickets {
		out[i] = unpack([]byte(places[i*placeSize:(i+1)*placeSize]), k.Epoch, tickets[i].Session)
	}
	return out, nil
}

// unpack reads a place: 8 bytes of sequence and 4 of index.
func unpack(place []byte, epoch uint64, s sale.SessionHash) line.Ticket {
	return line.Ticket{Epoch: epoch, Sequence: binary.BigEndian.Uint64(place), Index: binary.BigEndian.Uint32(place[8:]), Session: s}
}

// codeKept is for how long the uses of an access code are remembered after its last: longer than any sale.
const codeKept = 180 * 24 * time.Hour

// Redeem takes a use of an access code for a session, false where none is left. A session uses it once, however
// often it asks.
func (c *Client) Redeem(ctx context.Context, k line.Key, code events.CodeID, uses int, session sale.SessionHash) (bool, error) {
	key := "{" + k.EventID + "}:code:" + k.Lane + ":" + hex.EncodeToString(code[:])
	ok, err := c.redeem.Run(ctx, c.c, []string{key}, session[:], uses, codeKept.Milliseconds()).Bool()
	if err != nil {
		return false, sale.Errorf(sale.Unavailable, "codes_unavailable", "the access code can't be checked right now; try again, or join without it").Because(fmt.Errorf("redeem access code: %w", err))
	}
	return ok, nil
}
