package redis

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// The places of sessions are written in bulk and sorted in later. What is new is added to one of 4096 strings of the
// lane, its tails, chosen by the first 12 bits of the session's hash: that costs Redis a fraction of what a look-up
// costs, most of all when many go to the same tail at once. A tail that has become long is moved into hashes, chosen by
// the first 16 bits, so that ten million sessions make 153 in each: Redis keeps those compact up to 512. A look-up
// takes the lower of what it finds in the hash and in the tail. The stream remains the truth; a line made anew has
// another epoch, and so other places. A script is given sessions and places as one string: as arguments of their own
// they would cost more than all the rest.

// places is what the names of a lane's keys begin with.
func places(k line.Key) string {
	return tag(k.EventID) + ":places:" + strconv.FormatUint(k.Epoch, 36) + ":" + k.Lane + ":"
}

const (
	placeSize = 8 + 4
	entrySize = len(sale.SessionHash{}) + placeSize
)

var unknownPlace = bytes.Repeat([]byte{0xff}, placeSize)

// tailOf are the two bytes at the end of the name of a session's tail.
func tailOf(s sale.SessionHash) [2]byte { return [2]byte{s[0], s[1] & 0xf0} }

// What one script does at most, since Redis does nothing else meanwhile: about a millisecond.
const (
	recalledAtOnce   = 64
	rememberedAtOnce = 1024
	settledAtOnce    = 512
)

// Tails of more than longTail are moved into hashes a few at a time, by those who write to them and those who look
// something up in them: a line that grows fast is not held up by that, and a crowd that comes again clears them away. One
// that is several times as long is moved at every touch.
const (
	longTail       = 292 * entrySize // bytes: 8 KB, which a look-up has to search
	tooLong        = 4               // times
	settledAWrite  = 8               // tails
	settledALookUp = 2
)

// Recall returns the lowest places that sessions already have in a line, in order; nil where none is known. With an error
// it returns those that were found before it.
func (c *Client) Recall(ctx context.Context, k line.Key, sessions []sale.SessionHash) ([]*line.Ticket, error) {
	all := make([]*line.Ticket, len(sessions))
	out := all
	for some := range slices.Chunk(sessions, recalledAtOnce) {
		asked := make([]byte, 0, len(some)*(2+len(sale.SessionHash{})))
		for _, s := range some {
			tail := tailOf(s)
			asked = append(append(asked, tail[:]...), s[:]...)
		}
		found, err := c.recall.Run(ctx, c.c, []string{places(k)}, asked, longTail).Text()
		if err != nil {
			return all, unavailable("recall places", err)
		}
		long := len(found) - len(some)*placeSize
		if long < 0 || long%3 != 0 {
			return all, fmt.Errorf("recall places: %d bytes for %d sessions", len(found), len(some))
		}
		for i, s := range some {
			if place := []byte(found[i*placeSize : (i+1)*placeSize]); !bytes.Equal(place, unknownPlace) {
				out[i] = &line.Ticket{Epoch: k.Epoch, Sequence: binary.BigEndian.Uint64(place), Index: binary.BigEndian.Uint32(place[8:]), Session: s}
			}
		}
		out = out[len(some):]
		few := settledALookUp
		if err := c.settleSome(ctx, k, []byte(found[len(some)*placeSize:]), &few); err != nil {
			return all, err
		}
	}
	return all, nil
}

// Remember stores places of one lane. Of the places that a session has, the lowest counts; each takes room, so
// Recall first what may be known already.
func (c *Client) Remember(ctx context.Context, k line.Key, tickets []line.Ticket) error {
	few := settledAWrite
	for some := range slices.Chunk(byTail(tickets), rememberedAtOnce) {
		long, err := c.remember.Run(ctx, c.c, []string{places(k)}, longTail, packed(some)).Text()
		if err != nil {
			return unavailable("remember places", err)
		}
		if err := c.settleSome(ctx, k, []byte(long), &few); err != nil {
			return err
		}
	}
	return nil
}

// settleSome moves places of tails, three bytes each: its name, and how many times too long it is. It takes as many as
// few says, and those that are much too long.
func (c *Client) settleSome(ctx context.Context, k line.Key, long []byte, few *int) error {
	for tail := range slices.Chunk(long, 3) {
		if *few--; *few < 0 && tail[2] < tooLong {
			continue
		}
		for moved := settledAtOnce; moved == settledAtOnce; { // whole: someone may choose sessions of one tail
			var err error
			if moved, err = c.settle.Run(ctx, c.c, []string{places(k)}, tail[:2], settledAtOnce).Int(); err != nil {
				return unavailable("settle places", err)
			}
		}
	}
	return nil
}

// byTail has the tickets of each tail one after the other.
func byTail(tickets []line.Ticket) []*line.Ticket {
	number := func(s sale.SessionHash) uint16 { return binary.BigEndian.Uint16(s[:]) >> 4 }
	var next [4096]uint32 // by tail, where its next goes
	for i := range tickets {
		next[number(tickets[i].Session)]++
	}
	first := uint32(0)
	for tail, n := range next {
		next[tail] = first
		first += n
	}
	all := make([]*line.Ticket, len(tickets))
	for i := range tickets {
		at := &next[number(tickets[i].Session)]
		all[*at] = &tickets[i]
		*at++
	}
	return all
}

// packed is what the script is given of places that are in the order of their tails.
func packed(sorted []*line.Ticket) []byte {
	b := make([]byte, 0, len(sorted)*(entrySize+4))
	for len(sorted) > 0 {
		tail, n := tailOf(sorted[0].Session), 1
		for n < len(sorted) && tailOf(sorted[n].Session) == tail {
			n++
		}
		b = binary.BigEndian.AppendUint16(append(b, tail[:]...), uint16(n))
		for _, t := range sorted[:n] {
			b = binary.BigEndian.AppendUint64(append(b, t.Session[:]...), t.Sequence)
			b = binary.BigEndian.AppendUint32(b, t.Index)
		}
		sorted = sorted[n:]
	}
	return b
}

// placesKept is for how long the places of a lane are remembered once nobody can join it any more.
const placesKept = 30 * 24 * time.Hour

// Forget lets the places of a lane end in a while. It is for a sale that was closed; doing it again changes nothing.
func (c *Client) Forget(ctx context.Context, k line.Key) error {
	for first := range 256 {
		if err := c.forget.Run(ctx, c.c, []string{places(k)}, first, placesKept.Milliseconds()).Err(); err != nil {
			return unavailable("let places end", err)
		}
	}
	return nil
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
