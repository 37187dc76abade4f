package redis

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"onsale/internal/line"
	"onsale/internal/sale"
)

const epoch = 1_770_000_000_123_456_789

func place(session sale.SessionHash, sequence uint64, index uint32) line.Ticket {
	return line.Ticket{Epoch: epoch, Session: session, Sequence: sequence, Index: index}
}

// remember stores tickets and returns what is known after that.
func (r *rig) remember1(t line.Ticket) line.Ticket {
	r.Helper()
	known, err := r.Remember(r.Context(), show, []line.Ticket{t})
	if err != nil {
		r.Fatal(err)
	}
	return known[0]
}

func TestTheLowestPlaceIsRemembered(t *testing.T) {
	t.Parallel()
	r := setup(t)
	places, err := r.Recall(t.Context(), show, epoch, []sale.SessionHash{fan(1), fan(2)})
	if err != nil || places[0] != nil || places[1] != nil {
		t.Errorf("nobody has joined: %v (%v)", places, err)
	}
	for _, step := range []struct{ add, want line.Ticket }{
		{place(fan(1), 300, 4), place(fan(1), 300, 4)},
		{place(fan(1), 300, 5), place(fan(1), 300, 4)},
		{place(fan(1), 301, 0), place(fan(1), 300, 4)},
		{place(fan(1), 300, 3), place(fan(1), 300, 3)},
		{place(fan(1), 255, 900), place(fan(1), 255, 900)},
		{place(fan(1), 1<<40, 0), place(fan(1), 255, 900)},
		{place(fan(1), 255, 900), place(fan(1), 255, 900)},
	} {
		if got := r.remember1(step.add); got != step.want {
			t.Errorf("after %+v: %+v, want %+v", step.add, got, step.want)
		}
	}
	if places, err = r.Recall(t.Context(), show, epoch, []sale.SessionHash{fan(2), fan(1)}); err != nil || places[0] != nil || *places[1] != place(fan(1), 255, 900) {
		t.Errorf("recalled %v (%v)", places, err)
	}
	if places, err = r.Recall(t.Context(), "other", epoch, []sale.SessionHash{fan(1)}); err != nil || places[0] != nil {
		t.Errorf("of another event: %v (%v)", places, err)
	}
	if places, err = r.Recall(t.Context(), show, epoch+1, []sale.SessionHash{fan(1)}); err != nil || places[0] != nil {
		t.Errorf("of a line made anew: %v (%v)", places, err)
	}
	if places, err = r.Recall(t.Context(), show, epoch, nil); err != nil || len(places) != 0 {
		t.Errorf("of nobody: %v (%v)", places, err)
	}
	if known, err := r.Remember(t.Context(), show, nil); err != nil || len(known) != 0 {
		t.Errorf("of nobody: %v (%v)", known, err)
	}
}

// TestEveryByteOfAPlaceCounts walks through all values of each byte: no collation but that of bytes will do.
func TestEveryByteOfAPlaceCounts(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var up, down []line.Ticket
	n := 0
	for shift := 0; shift < 64; shift += 8 {
		for v := range uint64(255) {
			low, high := place(fan(n), v<<shift, 7), place(fan(n), (v+1)<<shift, 3)
			if shift == 0 {
				low, high = place(fan(n), 9, uint32(v)), place(fan(n), 9, uint32(v+1))
			}
			up, down = append(up, low), append(down, high)
			n++
		}
	}
	for _, round := range [][2][]line.Ticket{{down, down}, {up, up}, {down, up}} {
		known, err := r.Remember(t.Context(), show, round[0])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(round[1], known); diff != "" {
			t.Fatalf("known (-want +got):\n%s", diff)
		}
	}
}

// TestOneSessionFromManyNodesHasOnePlace: every node is told the same in the end, and it is the lowest.
func TestOneSessionFromManyNodesHasOnePlace(t *testing.T) {
	t.Parallel()
	r := setup(t)
	const fans, nodes = 20, 50
	var mu sync.Mutex
	lowest := map[sale.SessionHash]line.Ticket{}
	var all sync.WaitGroup
	for range nodes {
		all.Go(func() {
			var mine []line.Ticket
			for _, f := range rand.Perm(fans) {
				mine = append(mine, place(fan(f), rand.Uint64N(1000), rand.Uint32N(256)))
			}
			mu.Lock()
			for _, p := range mine {
				if l, ok := lowest[p.Session]; !ok || p.Before(l) {
					lowest[p.Session] = p
				}
			}
			mu.Unlock()
			known, err := r.Remember(t.Context(), show, mine)
			if err != nil {
				t.Error(err)
				return
			}
			for i, k := range known {
				if k.Session != mine[i].Session || mine[i].Before(k) {
					t.Errorf("stored %+v, was told %+v", mine[i], k)
				}
			}
		})
	}
	all.Wait()
	for s, want := range lowest {
		if got, err := r.Recall(t.Context(), show, epoch, []sale.SessionHash{s}); err != nil || got[0] == nil || *got[0] != want {
			t.Errorf("got %+v, want %+v (%v)", got[0], want, err)
		}
	}
}

func TestOneSessionTwiceInABatch(t *testing.T) {
	t.Parallel()
	r := setup(t)
	low, high := place(fan(1), 5, 1), place(fan(1), 5, 2)
	known, err := r.Remember(t.Context(), show, []line.Ticket{high, low, high})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]line.Ticket{high, low, low}, known); diff != "" {
		t.Error(diff)
	}
}

func TestSpoiltPlaceIsAnError(t *testing.T) {
	t.Parallel()
	r := setup(t)
	session := fan(1)
	bucket := buckets(show, epoch) + string(session[:2])
	if err := r.db.HSet(t.Context(), bucket, string(session[2:]), "short").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Recall(t.Context(), show, epoch, []sale.SessionHash{fan(1)}); err == nil {
		t.Error("recalled it")
	}
}

// TestPlacesAreSmall measures what a fan costs when ten million are there: 152 to a bucket.
func TestPlacesAreSmall(t *testing.T) {
	t.Parallel()
	r := setup(t)
	const fans, limit = 20_000, 64 // bytes a fan
	var batch []line.Ticket
	for i := range fans {
		if batch = append(batch, place(dense(i), uint64(i/256), uint32(i%256))); len(batch) == 1000 {
			if _, err := r.Remember(t.Context(), show, batch); err != nil {
				t.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	keys, err := r.db.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var bytes, stored int64
	for _, k := range keys {
		n, err := r.db.MemoryUsage(t.Context(), k, 0).Result()
		if err != nil {
			t.Fatal(err)
		}
		bytes, stored = bytes+n, stored+r.db.HLen(t.Context(), k).Val()
	}
	if stored != fans {
		t.Errorf("%d of %d sessions are stored", stored, fans)
	}
	t.Logf("%d sessions in %d buckets: %d bytes, %.1f a fan", fans, len(keys), bytes, float64(bytes)/fans)
	if bytes > fans*limit {
		t.Errorf("%.1f bytes a fan", float64(bytes)/fans)
	}
}
