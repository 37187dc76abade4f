package redis

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"onsale/internal/line"
	"onsale/internal/sale"
)

func TestAcceptedCheckoutIsFound(t *testing.T) {
	t.Parallel()
	r := setup(t)
	order := uuid.New()
	if _, ok, err := r.Accepted(t.Context(), order); ok || err != nil {
		t.Errorf("found what was not accepted (%v)", err)
	}
	want := sale.Accepted{EventID: show, Session: fan(1), RequestHash: []byte{0, 255, 1}, Seats: []string{"A-1", "A-2"}, Amount: 12_345, Currency: "eur"}
	if err := r.Accept(t.Context(), order, want); err != nil {
		t.Fatal(err)
	}
	got, ok, err := r.Accepted(t.Context(), order)
	if !ok || err != nil {
		t.Fatalf("not found (%v)", err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, key := range r.db.Keys(t.Context(), "*").Val() {
		if ttl := r.db.PTTL(t.Context(), key).Val(); ttl <= acceptedTTL-time.Minute || ttl > acceptedTTL {
			t.Errorf("%s stays for %s", key, ttl)
		}
	}
	if err := r.db.Set(t.Context(), "order:"+order.String(), "{", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := r.Accepted(t.Context(), order); ok || err == nil {
		t.Error("read what can't be read")
	}
}

func TestSeatKeysReadsEverySeatOfOneEvent(t *testing.T) {
	t.Parallel()
	r := setup(t)
	odd := []string{"A*1", "A?2", "[A-3]", `A\4`, "A:seat:5", "{A}6"}
	held := r.take(fan(1), long, odd...)
	order := uuid.New()
	if err := r.MarkSold(t.Context(), show, fan(1), uuid.New(), order, seats(0, 3000)); err != nil {
		t.Fatal(err)
	}
	for i, other := range []string{"sho", "show2", "s*", "sh?w", "[s]how", "*"} {
		if _, err := r.Take(t.Context(), other, fan(1), []string{fmt.Sprintf("X-%d", i)}, long); err != nil {
			t.Fatal(err)
		}
	}
	want := []sale.SeatKey{}
	for _, s := range odd {
		want = append(want, sale.SeatKey{Seat: s, Hold: held.ID.String(), Expires: true})
	}
	for _, s := range seats(0, 3000) {
		want = append(want, sale.SeatKey{Seat: s, Sold: order.String()})
	}
	bySeat := func(a, b sale.SeatKey) int { return cmp.Compare(a.Seat, b.Seat) }
	slices.SortFunc(want, bySeat)
	got, err := r.SeatKeys(t.Context(), show)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, bySeat)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("seats (-want +got):\n%s", diff)
	}
	// An event whose id reads like a pattern has its own seats and no others.
	for i, glob := range []string{"sho", "show2", "s*", "sh?w", "[s]how", "*"} {
		if got, err := r.SeatKeys(t.Context(), glob); err != nil || len(got) != 1 || got[0].Seat != fmt.Sprintf("X-%d", i) {
			t.Errorf("%s: %d seats (%v)", glob, len(got), err)
		}
	}
	if got, err := r.SeatKeys(t.Context(), "none"); err != nil || len(got) != 0 {
		t.Errorf("none: %v (%v)", got, err)
	}
}

func TestAbsentRedisIsUnavailable(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	for _, url := range []string{"redis://" + address + "/0", "redis://" + address + "?addr=" + address} {
		c, err := Open(url)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		h := sale.Hold{ID: uuid.New(), EventID: show, Session: fan(1), Seats: []string{"A-1"}}
		var all sync.WaitGroup
		for name, call := range map[string]func(context.Context) error{
			"Take":       func(ctx context.Context) error { _, err := c.Take(ctx, show, fan(1), h.Seats, long); return err },
			"Find":       func(ctx context.Context) error { _, err := c.Find(ctx, show, h.Session, h.ID); return err },
			"Release":    func(ctx context.Context) error { return c.Release(ctx, h.EventID, h.Session, h.ID, "") },
			"ReleaseFor": func(ctx context.Context) error { return c.ReleaseFor(ctx, show, h.Session, h.ID, uuid.New()) },
			"Bind":       func(ctx context.Context) error { return bind(ctx, c, h, uuid.New(), [32]byte{}, long, "") },
			"MarkSold":   func(ctx context.Context) error { return c.MarkSold(ctx, show, fan(1), h.ID, uuid.New(), h.Seats) },
			"MarkVoided": func(ctx context.Context) error { return c.MarkVoided(ctx, show, fan(1), uuid.New(), h.Seats) },
			"HeldByOthers": func(ctx context.Context) error {
				_, err := c.HeldByOthers(ctx, []sale.Claim{{EventID: show, Seats: h.Seats}})
				return err
			},
			"SeatStates": func(ctx context.Context) error { _, err := c.SeatStates(ctx, show, h.Seats); return err },
			"SeatKeys":   func(ctx context.Context) error { _, err := c.SeatKeys(ctx, show); return err },
			"Recall": func(ctx context.Context) error {
				_, err := c.Recall(ctx, general, []sale.SessionHash{fan(1)})
				return err
			},
			"Remember": func(ctx context.Context) error {
				return c.Remember(ctx, general, []line.Ticket{place(fan(1), 1, 1)})
			},
			"Accept":   func(ctx context.Context) error { return c.Accept(ctx, uuid.New(), sale.Accepted{}) },
			"Accepted": func(ctx context.Context) error { _, _, err := c.Accepted(ctx, uuid.New()); return err },
		} {
			all.Go(func() {
				if err := call(t.Context()); sale.KindOf(err) != sale.Unavailable {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		all.Wait()
		if err := c.Check(t.Context()); err == nil {
			t.Error("the check finds it well")
		}
	}
}

func TestOpenReadsItsURL(t *testing.T) {
	t.Parallel()
	c, err := Open("redis://user:hunter2@a:7000?addr=b:7001&addr=c:7002")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cluster, ok := c.c.(*redis.ClusterClient)
	if !ok {
		t.Fatalf("a cluster's URL opens a %T", c.c)
	}
	if o := cluster.Options(); !slices.Equal(o.Addrs, []string{"a:7000", "b:7001", "c:7002"}) || o.Username != "user" || o.Password != "hunter2" {
		t.Errorf("got %v", o.Addrs)
	}
	single, err := Open("rediss://:hunter2@a:7000/3")
	if err != nil {
		t.Fatal(err)
	}
	defer single.Close()
	if o := single.c.(*redis.Client).Options(); o.Addr != "a:7000" || o.DB != 3 || o.TLSConfig == nil || o.Password != "hunter2" {
		t.Errorf("got %s, database %d", o.Addr, o.DB)
	}
	for _, bad := range []string{"http://:hunter2@a:7000", "redis://:hunter2@a:b", "redis://:hunter2@a/x", "http://:hunter2@a?addr=b:1", "redis://:hunter2@[::1"} {
		if _, err := Open(bad); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// recorder collects the keys of each script that a client runs.
type recorder struct {
	*testing.T
	keys [][]string
}

func (r *recorder) DialHook(next redis.DialHook) redis.DialHook { return next }
func (r *recorder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			r.see(cmd)
		}
		return next(ctx, cmds)
	}
}
func (r *recorder) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		r.see(cmd)
		return next(ctx, cmd)
	}
}

// see keeps the keys of a script's run.
func (r *recorder) see(cmd redis.Cmder) {
	if args := cmd.Args(); args[0] == "evalsha" {
		var keys []string
		for _, k := range args[3 : 3+args[2].(int)] {
			keys = append(keys, k.(string))
		}
		r.keys = append(r.keys, keys)
	}
}

// TestKeysOfAScriptShareASlot is what lets each script run on one node of a cluster.
func TestKeysOfAScriptShareASlot(t *testing.T) {
	t.Parallel()
	r := setup(t)
	rec := &recorder{T: t}
	r.c.AddHook(rec)
	h, other := r.take(fan(1), long, "A-1", "{B}-2"), r.take(fan(2), long, "A-3")
	order := r.bind(h)
	remembered := r.Remember(t.Context(), general, []line.Ticket{place(fan(1), 1, 1), place(fan(2), 1, 2), place(fan(3), 1, 3)})
	_, recalled := r.Recall(t.Context(), general, []sale.SessionHash{fan(1), fan(2), fan(3)})
	for _, err := range []error{
		recalled, r.MarkSold(t.Context(), show, fan(1), h.ID, order, h.Seats), r.MarkVoided(t.Context(), show, fan(1), order, h.Seats), remembered,
		r.Release(t.Context(), show, other.Session, other.ID, ""),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(rec.keys) < 7 { // hold, bind, remember, sell, unsell, hold, release
		t.Errorf("%d runs of scripts", len(rec.keys))
	}
	want := r.slot(tag(show))
	for _, keys := range rec.keys {
		for _, k := range keys {
			if got := r.slot(k); got != want {
				t.Errorf("%s is in slot %d, not %d", k, got, want)
			}
		}
	}
	stored, err := r.db.Keys(t.Context(), "*").Result()
	if err != nil || len(stored) < 3 {
		t.Errorf("stored %q, %v", stored, err)
	}
	for _, k := range stored { // also those that a script names itself
		if got := r.slot(k); got != want {
			t.Errorf("%q is stored in slot %d, not %d", k, got, want)
		}
	}
	if r.slot(tag("other")) == want {
		t.Error("every key is in one slot: this proves nothing")
	}
}

// slot is the cluster's slot of a key: CRC-16/XMODEM of its hash tag, modulo 16384, as the cluster
// specification says. A Redis outside a cluster doesn't answer CLUSTER KEYSLOT.
func (r *rig) slot(key string) uint16 {
	if _, rest, ok := strings.Cut(key, "{"); ok {
		if t, _, ok := strings.Cut(rest, "}"); ok && t != "" {
			key = t
		}
	}
	var crc uint16
	for _, b := range []byte(key) {
		crc ^= uint16(b) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % 16384
}

func TestSlotIsTheSpecifications(t *testing.T) {
	t.Parallel()
	r := &rig{T: t}
	for key, want := range map[string]uint16{"123456789": 0x31C3, "foo{123456789}bar": 0x31C3} {
		if got := r.slot(key); got != want {
			t.Errorf("%s: %#x, want %#x", key, got, want)
		}
	}
}
