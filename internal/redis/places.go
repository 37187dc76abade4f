package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"onsale/internal/line"
	"onsale/internal/sale"
)

// The places of sessions are kept in many small hashes, which Redis stores compactly: the first 18 bits of a
// session's hash choose one, so that ten million sessions make 38 a hash. The stream remains the truth.
func bucket(eventID string, s sale.SessionHash) string {
	n := binary.BigEndian.Uint32(s[:]) >> 14
	return fmt.Sprintf("%s:joined:%05x", tag(eventID), n)
}

func field(s sale.SessionHash) string { return string(s[2:]) }

// Recall returns the places that sessions already have, in order; nil where none is known.
func (c *Client) Recall(ctx context.Context, eventID string, sessions []sale.SessionHash) ([]*line.Ticket, error) {
	pipe := c.c.Pipeline()
	cmds := make([]*redis.StringCmd, len(sessions))
	for i, s := range sessions {
		cmds[i] = pipe.HGet(ctx, bucket(eventID, s), field(s))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, unavailable("recall places", err)
	}
	out := make([]*line.Ticket, len(sessions))
	for i, cmd := range cmds {
		v, err := cmd.Bytes()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return nil, unavailable("recall places", err)
		}
		if out[i], err = unpack(v, sessions[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Remember stores places and returns the lowest known of each session, which is the one that counts.
func (c *Client) Remember(ctx context.Context, eventID string, tickets []line.Ticket) ([]line.Ticket, error) {
	k, args := make([]string, len(tickets)), make([]any, 0, 2*len(tickets))
	for i, t := range tickets {
		k[i] = bucket(eventID, t.Session)
		args = append(args, field(t.Session), string(pack(t)))
	}
	values, err := c.remember.Run(ctx, c.c, k, args...).StringSlice()
	if err != nil {
		return nil, unavailable("remember places", err)
	}
	out := make([]line.Ticket, len(tickets))
	for i, v := range values {
		t, err := unpack([]byte(v), tickets[i].Session)
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

func unpack(v []byte, s sale.SessionHash) (*line.Ticket, error) {
	if len(v) != 12 {
		return nil, fmt.Errorf("recall places: a place of %d bytes", len(v))
	}
	return &line.Ticket{Sequence: binary.BigEndian.Uint64(v), Index: binary.BigEndian.Uint32(v[8:]), Session: s}, nil
}
