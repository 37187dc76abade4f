package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"

	"onsale/internal/line"
	"onsale/internal/sale"
)

// The places of sessions are kept in many small hashes, which Redis stores compactly: the first 18 bits of a
// session's hash choose one, so that ten million sessions make 38 a hash. The stream remains the truth; a line made anew has another epoch,
// and so other places.
func bucket(eventID string, epoch uint64, s sale.SessionHash) string {
	b := make([]byte, 0, len(eventID)+32)
	b = append(append(append(b, '{'), eventID...), "}:joined:"...)
	b = append(strconv.AppendUint(b, epoch, 36), ':')
	return string(strconv.AppendUint(b, uint64(binary.BigEndian.Uint32(s[:])>>14), 16))
}

func field(s sale.SessionHash) string { return string(s[2:]) }

// Recall returns the places that sessions already have in a line, in order; nil where none is known.
func (c *Client) Recall(ctx context.Context, eventID string, epoch uint64, sessions []sale.SessionHash) ([]*line.Ticket, error) {
	if len(sessions) == 0 {
		return nil, nil
	}
	k, args := make([]string, len(sessions)), make([]any, len(sessions))
	for i, s := range sessions {
		k[i], args[i] = bucket(eventID, epoch, s), field(s)
	}
	values, err := c.recall.Run(ctx, c.c, k, args...).StringSlice()
	if err != nil {
		return nil, unavailable("recall places", err)
	}
	out := make([]*line.Ticket, len(sessions))
	for i, v := range values {
		if v == "" {
			continue
		}
		if out[i], err = unpack([]byte(v), epoch, sessions[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Remember stores places and returns the lowest known of each session, which is the one that counts.
func (c *Client) Remember(ctx context.Context, eventID string, tickets []line.Ticket) ([]line.Ticket, error) {
	k, args := make([]string, len(tickets)), make([]any, 0, 2*len(tickets))
	for i, t := range tickets {
		k[i] = bucket(eventID, t.Epoch, t.Session)
		args = append(args, field(t.Session), string(pack(t)))
	}
	values, err := c.remember.Run(ctx, c.c, k, args...).StringSlice()
	if err != nil {
		return nil, unavailable("remember places", err)
	}
	out := make([]line.Ticket, len(tickets))
	for i, v := range values {
		t, err := unpack([]byte(v), tickets[i].Epoch, tickets[i].Session)
		if err != nil {
			return nil, err
		}
		out[i] = *t
	}
	return out, nil
}

func pack(t line.Ticket) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 12), t.Sequence)
	return binary.BigEndian.AppendUint32(b, t.Index)
}

func unpack(v []byte, epoch uint64, s sale.SessionHash) (*line.Ticket, error) {
	if len(v) != 12 {
		return nil, fmt.Errorf("recall places: a place of %d bytes", len(v))
	}
	return &line.Ticket{Epoch: epoch, Sequence: binary.BigEndian.Uint64(v), Index: binary.BigEndian.Uint32(v[8:]), Session: s}, nil
}
