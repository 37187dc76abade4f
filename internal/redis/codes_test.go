package redis

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// redeem1 takes a use of a code and says whether there was one.
func (r *rig) redeem1(k line.Key, code events.CodeID, uses int, session sale.SessionHash) bool {
	r.Helper()
	ok, err := r.Redeem(r.Context(), k, code, uses, session)
	if err != nil {
		r.Fatal(err)
	}
	return ok
}

// TestACodeIsUsedSoOften: of many sessions that want a code at once, as many get it as it has uses; who has it, has it
// for good, and asks as often as it likes.
func TestACodeIsUsedSoOften(t *testing.T) {
	t.Parallel()
	r := setup(t)
	k := line.Key{EventID: show, Epoch: epoch, Lane: "presale"}
	for _, uses := range []int{1, 2, 7, 500} {
		code := events.CodeID{1, byte(uses)}
		const sessions, asks = 40, 3
		var won [sessions]atomic.Int64
		var all sync.WaitGroup
		for i := range sessions {
			for range asks {
				all.Go(func() {
					ok, err := r.Redeem(t.Context(), k, code, uses, fan(i))
					if err != nil {
						t.Error(err)
					}
					if ok {
						won[i].Add(1)
					}
				})
			}
		}
		all.Wait()
		winners := 0
		for i := range won {
			n := won[i].Load()
			if n > 0 {
				winners++
			}
			if n != 0 && n != asks {
				t.Errorf("%d uses: session %d got the code %d of %d times", uses, i, n, asks)
			}
			if again := r.redeem1(k, code, uses, fan(i)); again != (n > 0) {
				t.Errorf("%d uses: session %d had it %d times, then %v", uses, i, n, again)
			}
		}
		if want := min(uses, sessions); winners != want {
			t.Errorf("%d uses: %d of %d sessions got the code", uses, winners, want)
		}
	}
}

// TestCodesAreApart: uses are counted for each code of each lane of each event, whichever line it is made for.
func TestCodesAreApart(t *testing.T) {
	t.Parallel()
	r := setup(t)
	code := events.CodeID{1, 2, 3}
	presale := line.Key{EventID: show, Epoch: epoch, Lane: "presale"}
	if !r.redeem1(presale, code, 1, fan(1)) || r.redeem1(presale, code, 1, fan(2)) {
		t.Error("a code of one use was not good once")
	}
	for name, c := range map[string]struct {
		key  line.Key
		code events.CodeID
	}{
		"another code": {presale, events.CodeID{1, 2, 4}}, "another lane": {line.Key{EventID: show, Epoch: epoch, Lane: "presale-2"}, code},
		"another event": {line.Key{EventID: "other", Epoch: epoch, Lane: "presale"}, code},
	} {
		if !r.redeem1(c.key, c.code, 1, fan(2)) || r.redeem1(c.key, c.code, 1, fan(3)) {
			t.Errorf("%s was not good once", name)
		}
	}
	// A line that is made anew gives no code back.
	if r.redeem1(line.Key{EventID: show, Epoch: epoch + 1, Lane: "presale"}, code, 1, fan(2)) {
		t.Error("the code is good again in another epoch")
	}
	if r.redeem1(presale, events.CodeID{9}, 0, fan(1)) {
		t.Error("a code without uses was good")
	}
}

// TestCodesAreForgottenAfterAllSales: the uses of a code are kept for half a year after the last, and not for ever.
func TestCodesAreForgottenAfterAllSales(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.redeem1(line.Key{EventID: show, Epoch: epoch, Lane: "presale"}, events.CodeID{1}, 2, fan(1))
	keys, err := r.db.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v (%v)", keys, err)
	}
	if kept := r.db.PTTL(t.Context(), keys[0]).Val(); kept < codeKept-time.Hour || kept > codeKept {
		t.Errorf("it is kept for %v", kept)
	}
	if err := r.db.PExpire(t.Context(), keys[0], time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	r.redeem1(line.Key{EventID: show, Epoch: epoch, Lane: "presale"}, events.CodeID{1}, 2, fan(2))
	if kept := r.db.PTTL(t.Context(), keys[0]).Val(); kept < codeKept-time.Hour {
		t.Errorf("after another use it is kept for %v", kept)
	}
}
