package entry_test

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onsale/internal/entry"
)

var limit = entry.Limit{Burst: 3, EveryMS: 500}

func v4(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }

// v6 is an address in the i-th network of 64 bits.
func v6(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(i >> 16), byte(i >> 8), byte(i), 15: 1})
}

func TestAddresses_ABurstThenOneAtATime(t *testing.T) {
	t.Parallel()
	a, addr := entry.NewAddresses(1024), v4(1)
	for i, step := range []struct {
		at, wait time.Duration
	}{
		{0, 0}, {0, 0}, {0, 0}, // the burst
		{0, 500 * time.Millisecond},
		{0, 500 * time.Millisecond}, // a refusal costs nothing
		{499 * time.Millisecond, time.Millisecond},
		{500 * time.Millisecond, 0},
		{500 * time.Millisecond, 500 * time.Millisecond},
		{1500 * time.Millisecond, 0}, {1500 * time.Millisecond, 0},
		{1500 * time.Millisecond, 500 * time.Millisecond},
		{time.Hour, 0}, {time.Hour, 0}, {time.Hour, 0}, // no more than a burst is saved up
		{time.Hour, 500 * time.Millisecond},
		{30 * 24 * time.Hour, 0}, // past the point from which times of a table seem to lie ahead
	} {
		if got := a.Take("gala", addr, limit, opens.Add(step.at)); got != step.wait {
			t.Errorf("step %d, at %v: wait %v, want %v", i, step.at, got, step.wait)
		}
	}
}

// Who waits as long as it was told has its turn.
func TestAddresses_TheWaitIsEnough(t *testing.T) {
	t.Parallel()
	a, now, taken := entry.NewAddresses(1024), opens.Add(700*time.Microsecond), 0
	for range 100 {
		wait := a.Take("gala", v4(1), limit, now)
		if wait == 0 {
			taken++
			continue
		}
		now = now.Add(wait)
		if again := a.Take("gala", v4(1), limit, now); again != 0 {
			t.Fatalf("after a wait of %v, another of %v", wait, again)
		}
		taken++
	}
	if spent := now.Sub(opens.Add(700 * time.Microsecond)); taken != 3+int(spent/(500*time.Millisecond)) {
		t.Errorf("%d taken in %v", taken, spent)
	}
}

func TestAddresses_WhatCountsAsOne(t *testing.T) {
	t.Parallel()
	one := entry.Limit{Burst: 1, EveryMS: 1000}
	for _, pair := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
		{"::", "0.0.0.0", false},
		{"::1", "0.0.0.1", false},
	} {
		a := entry.NewAddresses(1024)
		a.Take("gala", netip.MustParseAddr(pair.a), one, opens)
		if wait := a.Take("gala", netip.MustParseAddr(pair.b), one, opens); (wait > 0) != pair.same {
			t.Errorf("after %s, %s waits %v", pair.a, pair.b, wait)
		}
		if wait := a.Take("opera", netip.MustParseAddr(pair.a), one, opens); wait != 0 {
			t.Errorf("%s waits %v in another event", pair.a, wait)
		}
	}
	a := entry.NewAddresses(1024)
	for range 10 {
		if wait := a.Take("gala", netip.Addr{}, one, opens); wait != 0 {
			t.Errorf("no address waits %v", wait)
		}
	}
}

// The scarce thing is the burst: many want it at once, and exactly so many get it.
func TestAddresses_HoldsUnderRaces(t *testing.T) {
	t.Parallel()
	const fans, joins, addresses, burst = 8, 25_000, 2, 100_000
	a, generous := entry.NewAddresses(1024), entry.Limit{Burst: burst, EveryMS: 10}
	var taken [addresses]atomic.Int64
	var wg sync.WaitGroup
	for range fans {
		wg.Go(func() {
			for range joins {
				for i := range addresses {
					if a.Take("gala", v4(i), generous, opens) == 0 {
						taken[i].Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	for i := range taken {
		if n := taken[i].Load(); n != burst {
			t.Errorf("address %d took %d, want %d", i, n, burst)
		}
	}
}

func TestAddresses_ForgetsWhoSpentLeast(t *testing.T) {
	t.Parallel()
	a := entry.NewAddresses(1) // one group
	for range 3 {
		a.Take("gala", v4(0), limit, opens)
	}
	for i := 1; i <= 100; i++ {
		a.Take("gala", v4(i), limit, opens)
	}
	if wait := a.Take("gala", v4(0), limit, opens); wait == 0 {
		t.Error("a spent address was forgotten for one that came once")
	}
}

func BenchmarkAddresses_Take(b *testing.B) {
	a := entry.NewAddresses(entry.DefaultSlots)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			a.Take("gala", v4(i&0xfffff), limit, opens)
		}
	})
}
