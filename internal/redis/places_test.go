package redis

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"onsale/internal/line"
	"onsale/internal/sale"
)

const epoch = 1_770_000_000_123_456_789

var general = line.Key{EventID: show, Epoch: epoch}

func place(session sale.SessionHash, sequence uint64, index uint32) line.Ticket {
	return line.Ticket{Epoch: epoch, Session: session, Sequence: sequence, Index: index}
}

// remember stores places.
func (r *rig) remember(k line.Key, tickets ...line.Ticket) {
	r.Helper()
	if err := r.Remember(r.Context(), k, tickets); err != nil {
		r.Fatal(err)
	}
}

// recall1 is the place of a session in a lane, nil for none.
func (r *rig) recall1(k line.Key, session sale.SessionHash) *line.Ticket {
	r.Helper()
	known, err := r.Recall(r.Context(), k, []sale.SessionHash{session})
	if err != nil {
		r.Fatal(err)
	}
	return known[0]
}

func TestTheLowestPlaceIsRemembered(t *testing.T) {
	t.Parallel()
	r := setup(t)
	known, err := r.Recall(t.Context(), general, []sale.SessionHash{fan(1), fan(2)})
	if err != nil || known[0] != nil || known[1] != nil {
		t.Errorf("nobody has joined: %v (%v)", known, err)
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
		r.remember(general, step.add)
		if got := r.recall1(general, fan(1)); got == nil || *got != step.want {
			t.Errorf("after %+v: %+v, want %+v", step.add, got, step.want)
		}
	}
	if known, err = r.Recall(t.Context(), general, []sale.SessionHash{fan(2), fan(1)}); err != nil || known[0] != nil || *known[1] != place(fan(1), 255, 900) {
		t.Errorf("recalled %v (%v)", known, err)
	}
	if known, err = r.Recall(t.Context(), line.Key{EventID: "other", Epoch: epoch}, []sale.SessionHash{fan(1)}); err != nil || known[0] != nil {
		t.Errorf("of another event: %v (%v)", known, err)
	}
	if known, err = r.Recall(t.Context(), line.Key{EventID: show, Epoch: epoch + 1}, []sale.SessionHash{fan(1)}); err != nil || known[0] != nil {
		t.Errorf("of a line made anew: %v (%v)", known, err)
	}
	if known, err = r.Recall(t.Context(), general, nil); err != nil || len(known) != 0 {
		t.Errorf("of nobody: %v (%v)", known, err)
	}
	r.remember(general)
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
		r.remember(general, round[0]...)
		for i, want := range round[1] {
			if got := r.recall1(general, want.Session); got == nil || *got != want {
				t.Fatalf("the place of fan %d is %+v, want %+v", i, got, want)
			}
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
			if err := r.Remember(t.Context(), general, mine); err != nil {
				t.Error(err)
				return
			}
			for _, p := range mine {
				if got, err := r.Recall(t.Context(), general, []sale.SessionHash{p.Session}); err != nil || got[0] == nil || p.Before(*got[0]) {
					t.Errorf("stored %+v, was told %+v (%v)", p, got, err)
				}
			}
		})
	}
	all.Wait()
	for s, want := range lowest {
		if got, err := r.Recall(t.Context(), general, []sale.SessionHash{s}); err != nil || got[0] == nil || *got[0] != want {
			t.Errorf("got %+v, want %+v (%v)", got[0], want, err)
		}
	}
}

// TestManyOfOneTail: a batch of more than a script takes, many in one tail, some twice.
func TestManyOfOneTail(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var batch []line.Ticket
	var sessions []sale.SessionHash
	for i := range 3*rememberedAtOnce + 5 {
		session := sale.SessionHash{0xab, 0xc0 | byte(i%16), byte(i >> 16), byte(i >> 8), byte(i)}
		if i%3 == 0 {
			session[1] = byte(i) // another tail
		}
		sessions = append(sessions, session)
		batch = append(batch, place(session, 7, uint32(i)), place(session, 8, 0))
	}
	r.remember(general, batch...)
	known, err := r.Recall(t.Context(), general, sessions)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range known {
		if want := place(sessions[i], 7, uint32(i)); k == nil || *k != want {
			t.Fatalf("the place of session %d is %+v, want %+v", i, k, want)
		}
	}
}

// TestTailsAreSettled: however much is added to a line, in whatever order, no tail stays long, the lowest place of each
// session is found, and what was there already takes no room.
func TestTailsAreSettled(t *testing.T) {
	t.Parallel()
	r := setup(t)
	const fans, rounds = 900, 12
	session := func(i int) sale.SessionHash {
		return sale.SessionHash{7, 0x30 | byte(i%16), byte(i >> 8), byte(i)} // all in one tail
	}
	want := map[sale.SessionHash]line.Ticket{}
	size := func() (n int64) {
		keys, err := r.db.Keys(t.Context(), "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if strings.HasPrefix(k, places(general)+"t") {
				if long := r.db.StrLen(t.Context(), k).Val(); long > int64((tooLong+2)*longTail+2*rememberedAtOnce*entrySize) {
					t.Errorf("a tail has %d bytes", long)
				}
				continue
			}
			n += r.db.HLen(t.Context(), k).Val()
		}
		return n
	}
	for range rounds {
		var batch []line.Ticket
		for _, i := range rand.Perm(fans) {
			p := place(session(i), rand.Uint64N(1<<40), rand.Uint32N(1024))
			if had, ok := want[p.Session]; !ok || p.Before(had) {
				want[p.Session] = p
			}
			batch = append(batch, p)
		}
		for some := range slices.Chunk(batch, 100) {
			r.remember(general, some...)
		}
		for s, w := range want {
			if got := r.recall1(general, s); got == nil || *got != w {
				t.Fatalf("the place of %x is %+v, want %+v", s, got, w)
			}
		}
	}
	if n := size(); n == 0 || n > fans {
		t.Errorf("%d places are settled of %d sessions", n, fans)
	}
}

// TestAPlaceThatLooksLikeASession: bytes that stand astride of two places, or in one, are no session.
func TestAPlaceThatLooksLikeASession(t *testing.T) {
	t.Parallel()
	r := setup(t)
	looked := sale.SessionHash{1, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 4, 1, 2, 3, 4}
	// The end of a place and the beginning of the next session are what is looked for.
	r.remember(general, place(sale.SessionHash{1, 1}, 1<<56|9, 4), place(sale.SessionHash{1, 2, 3, 4}, 1, 1))
	if got := r.recall1(general, looked); got != nil {
		t.Errorf("found %+v", got)
	}
	tail, err := r.db.Get(t.Context(), places(general)+"t\x01\x00").Result()
	if err != nil || !strings.Contains(tail, string(looked[:])) {
		t.Fatalf("the tail %x doesn't have the bytes of %x (%v)", tail, looked, err)
	}
	r.remember(general, place(looked, 77, 7))
	if got := r.recall1(general, looked); got == nil || *got != place(looked, 77, 7) {
		t.Errorf("found %+v", got)
	}
}

func TestSpoiltPlaceIsAnError(t *testing.T) {
	t.Parallel()
	r := setup(t)
	tail := tailOf(fan(1))
	if err := r.db.Append(t.Context(), places(general)+"t"+string(tail[:]), "short").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Recall(t.Context(), general, []sale.SessionHash{fan(1)}); err == nil {
		t.Error("recalled it")
	}
}

// TestPlacesAreSmall measures what a fan costs when ten million are there: about 2441 to a tail, which moves
// them into 16 hashes.
func TestPlacesAreSmall(t *testing.T) {
	t.Parallel()
	r := setup(t)
	const fans, limit = 20_000, 64 // bytes a fan
	var batch []line.Ticket
	for i := range fans {
		if batch = append(batch, place(dense(i), uint64(i/256), uint32(i%256))); len(batch) == 1000 {
			r.remember(general, batch...)
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
		bytes += n
		if strings.HasPrefix(k, places(general)+"t") {
			stored += r.db.StrLen(t.Context(), k).Val() / int64(entrySize)
		} else {
			stored += r.db.HLen(t.Context(), k).Val()
		}
	}
	if stored != fans {
		t.Errorf("%d of %d sessions are stored", stored, fans)
	}
	t.Logf("%d sessions in %d keys: %d bytes, %.1f a fan", fans, len(keys), bytes, float64(bytes)/fans)
	if bytes > fans*limit {
		t.Errorf("%.1f bytes a fan", float64(bytes)/fans)
	}
}

// TestLanesPlacesAreApart: a session has a place in each lane that it joined, and none counts in another.
func TestLanesPlacesAreApart(t *testing.T) {
	t.Parallel()
	r := setup(t)
	// Names that begin alike, that look like an epoch or a tail's name, and that are none.
	lanes := []string{"", "a", "ab", "a-b", "b", "0", "presale", "presale-2"}
	want := map[string]line.Ticket{}
	key := func(lane string) line.Key { return line.Key{EventID: show, Epoch: epoch, Lane: lane} }
	for i, lane := range lanes {
		known, err := r.Recall(t.Context(), key(lane), []sale.SessionHash{fan(1)})
		if err != nil || known[0] != nil {
			t.Errorf("nobody joined lane %q: %v (%v)", lane, known, err)
		}
		want[lane] = place(fan(1), uint64(100-i), uint32(i)) // lower than those of all lanes before
		r.remember(key(lane), want[lane])
	}
	for _, lane := range lanes {
		known, err := r.Recall(t.Context(), key(lane), []sale.SessionHash{fan(1), fan(2)})
		if err != nil || known[0] == nil || *known[0] != want[lane] || known[1] != nil {
			t.Errorf("lane %q: %v, want %+v (%v)", lane, known, want[lane], err)
		}
	}
}

// TestPlacesAreForgottenAfterTheSale: every key of a lane ends once it is told so, those of others don't, and being
// told again moves no end.
func TestPlacesAreForgottenAfterTheSale(t *testing.T) {
	t.Parallel()
	r := setup(t)
	kept := func(k line.Key, session sale.SessionHash) time.Duration {
		tail := tailOf(session)
		return r.db.PTTL(t.Context(), places(k)+"t"+string(tail[:])).Val()
	}
	other := line.Key{EventID: show, Epoch: epoch, Lane: "presale"}
	sessions := []sale.SessionHash{{0, 0, 1}, {0, 255, 1}, {255, 0, 1}, {255, 255, 1}, {17, 4, 1}}
	for _, k := range []line.Key{general, other} {
		for i, session := range sessions {
			r.remember(k, place(session, 1, uint32(i)))
		}
	}
	forget := func() {
		t.Helper()
		if err := r.Forget(t.Context(), general); err != nil {
			t.Fatal(err)
		}
	}
	forget()
	for _, session := range sessions {
		if got := kept(general, session); got < placesKept-time.Hour || got > placesKept {
			t.Errorf("the tail of %v is kept for %v", session, got)
		}
		if got := kept(other, session); got != -1 {
			t.Errorf("the tail of %v in another lane is kept for %v", session, got)
		}
	}
	first := tailOf(sessions[0])
	if err := r.db.PExpire(t.Context(), places(general)+"t"+string(first[:]), time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	forget()
	if got := kept(general, sessions[0]); got <= 0 || got > time.Hour {
		t.Errorf("being told again keeps a tail for %v", got)
	}
}
