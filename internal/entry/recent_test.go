package entry_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"onsale/internal/entry"
)

func early(t *testing.T, r *entry.Recent, ticket string, now time.Time, want time.Duration) {
	t.Helper()
	if wait, is := r.NotBefore(ticket, now); is != (want > 0) || wait != want {
		t.Errorf("NotBefore(%s, %v) = %v, %v; want %v", ticket, now, wait, is, want)
	}
}

func TestRecent_TellsWhoIsEarly(t *testing.T) {
	t.Parallel()
	r := entry.NewRecent(1024)
	early(t, r, "a", opens, 0)
	r.Told("a", opens.Add(5*time.Second))
	early(t, r, "a", opens, 5*time.Second)
	early(t, r, "a", opens.Add(4999*time.Millisecond), time.Millisecond)
	early(t, r, "a", opens.Add(5*time.Second), 0)
	early(t, r, "a", opens.Add(time.Hour), 0)
	early(t, r, "b", opens, 0)
	r.Told("a", opens.Add(2*time.Second)) // told anew, and sooner
	early(t, r, "a", opens.Add(time.Second), time.Second)
	early(t, r, "a", opens.Add(2*time.Second), 0)
}

// A wait is told in milliseconds; a fan who waits as long is not early, whatever the fractions of its times are.
func TestRecent_TheWaitIsEnough(t *testing.T) {
	t.Parallel()
	r, random := entry.NewRecent(1024), rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		now := opens.Add(time.Duration(random.Int64N(int64(time.Second))))
		r.Told("a", now.Add(time.Duration(random.Int64N(int64(time.Second)))))
		if wait, is := r.NotBefore("a", now); is {
			early(t, r, "a", now.Add(wait), 0)
		}
	}
}

// A slot's time comes around every 50 days: an old one must not seem to lie ahead.
func TestRecent_OldTimesAreNone(t *testing.T) {
	t.Parallel()
	r := entry.NewRecent(1024)
	r.Told("a", opens)
	for days := range 49 {
		early(t, r, "a", opens.AddDate(0, 0, days), 0)
	}
	r.Told("a", opens.Add(entry.MaxAhead))
	early(t, r, "a", opens, entry.MaxAhead)
	r.Told("a", opens.Add(entry.MaxAhead+time.Millisecond))
	early(t, r, "a", opens, 0)
}

// Whatever is told to others, nobody is early before a time that it was never told, and those told last are known.
func TestRecent_ForgetsInTheFansFavour(t *testing.T) {
	t.Parallel()
	r := entry.NewRecent(64)
	for i := range 10_000 {
		r.Told(fmt.Sprint("told ", i), opens.Add(time.Minute))
		early(t, r, fmt.Sprint("told ", i), opens, time.Minute)
	}
	for i := range 1000 {
		early(t, r, fmt.Sprint("not told ", i), opens, 0)
	}
	known := 0
	for i := range 10_000 {
		if _, is := r.NotBefore(fmt.Sprint("told ", i), opens); is {
			known++
		}
	}
	if known != 64 {
		t.Errorf("%d are known in 64 slots", known)
	}
}

// A table that is half full knows nearly all: the ways of a group even out how full groups are. That holds in either
// half of the 50 days in which a slot's time comes around.
func TestRecent_KnowsNearlyAllWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	for _, now := range []time.Time{opens, opens.AddDate(0, 0, 25)} {
		r, known := entry.NewRecent(1<<14), 0
		for i := range 1 << 13 {
			r.Told(fmt.Sprint(i), now.Add(time.Minute))
		}
		for i := range 1 << 13 {
			if _, is := r.NotBefore(fmt.Sprint(i), now); is {
				known++
			}
		}
		if share := float64(known) / (1 << 13); share < 0.985 {
			t.Errorf("at %v, %.3f are known", now, share)
		}
	}
}

// Times that have passed make room before those that lie ahead.
func TestRecent_OverwritesTheEarliest(t *testing.T) {
	t.Parallel()
	r := entry.NewRecent(1) // one group
	r.Told("long", opens.Add(5*time.Minute))
	for i := range 100 {
		r.Told(fmt.Sprint(i), opens.Add(time.Duration(i)*time.Second))
	}
	early(t, r, "long", opens, 5*time.Minute)
	early(t, r, "99", opens, 99*time.Second)
}

func TestRecent_IsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	r := entry.NewRecent(16)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 2000 {
				ticket := fmt.Sprint(i, "-", n%10)
				r.Told(ticket, opens.Add(time.Minute))
				if wait, is := r.NotBefore(ticket, opens); is && wait != time.Minute {
					t.Errorf("%s was told a minute, and reads %v", ticket, wait)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkRecent(b *testing.B) {
	r := entry.NewRecent(entry.DefaultSlots)
	tickets := make([]string, 1<<12)
	for i := range tickets {
		tickets[i] = fmt.Sprintf("ARjTzgWGiE0VAAAAAAAAACoAAAD_MCYqBUwYzMZCo_nm1saUybFjRSjeN0qfD53G-Ji97G8%04x", i)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			ticket := tickets[i&(len(tickets)-1)]
			r.NotBefore(ticket, opens)
			r.Told(ticket, opens.Add(time.Second))
		}
	})
}
