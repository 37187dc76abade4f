package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"onsale/internal/sale"
	"onsale/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const (
	patience = 30 * time.Second // how late a slow machine may look at a hold
	show     = "show"           // the event of most tests
	long     = 10 * time.Minute // a hold that outlasts its test
)

// rig is a client on a database of its own, and a plain one to look behind it.
type rig struct {
	*testing.T
	*Client
	db *redis.Client
}

func setup(t *testing.T) *rig {
	t.Helper()
	url := testenv.Redis(t)
	c, err := Open(url)
	if err != nil {
		t.Fatal(err)
	}
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	db := redis.NewClient(options)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{T: t, Client: c, db: db}
}

// fan is the session hash of the n-th fan.
func fan(n int) sale.SessionHash { return sale.HashSession(show, fmt.Sprintf("fan-%012d", n)) }

// dense is the session hash of the n-th fan as it falls when ten million are there: 152 to a bucket.
func dense(n int) sale.SessionHash {
	h := fan(n)
	binary.BigEndian.PutUint32(h[:], uint32(n/2441)<<20|binary.BigEndian.Uint32(h[:])>>12)
	return h
}

func seats(from, to int) []string {
	var s []string
	for i := from; i < to; i++ {
		s = append(s, fmt.Sprintf("A-%d", i))
	}
	return s
}

// take takes seats that must be free.
func (r *rig) take(session sale.SessionHash, ttl time.Duration, seats ...string) sale.Hold {
	r.Helper()
	h, err := r.Take(r.Context(), show, session, seats, ttl)
	if err != nil {
		r.Fatal(err)
	}
	return h
}

// left is how long Redis lets a hold live.
func (r *rig) left(h sale.Hold) time.Duration {
	return r.db.PTTL(r.Context(), holdKey(h.EventID, h.Session)).Val()
}

// bind gives a hold to an order.
func bind(ctx context.Context, c *Client, h sale.Hold, order uuid.UUID, request [32]byte, window time.Duration, replace string) error {
	_, err := c.Bind(ctx, h.EventID, h.Session, h.ID, sale.Binding{Order: order, Request: request, Window: window, Replace: replace})
	return err
}

// bind gives a hold to a new order.
func (r *rig) bind(h sale.Hold) uuid.UUID {
	r.Helper()
	order := uuid.New()
	if err := bind(r.Context(), r.Client, h, order, [32]byte{1}, long, ""); err != nil {
		r.Fatal(err)
	}
	return order
}

// refused checks an error's kind, code and one of its fields.
func (r *rig) refused(err error, kind sale.Kind, code string) {
	r.Helper()
	if sale.KindOf(err) != kind || sale.CodeOf(err) != code {
		r.Errorf("got %v, want %s", err, code)
	}
}

// everything is each key of the database with its value and whether it expires.
func (r *rig) everything() string {
	r.Helper()
	dump, err := redis.NewScript(`
		local keys = redis.call('KEYS', '*')
		table.sort(keys)
		local out = ''
		for _, k in ipairs(keys) do
			local kind = redis.call('TYPE', k).ok
			local value = kind == 'hash' and table.concat(redis.call('HGETALL', k), ' ') or redis.call('GET', k)
			out = out .. k .. ' = ' .. value .. (redis.call('PTTL', k) > 0 and ' expires' or '') .. '\n'
		end
		return out`).Run(r.Context(), r.db, nil).Text()
	if err != nil {
		r.Fatal(err)
	}
	return dump
}
