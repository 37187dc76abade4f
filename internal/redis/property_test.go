package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"onsale/internal/sale"
)

// Times that pass are multiples of jump, and lives end halfway between two: so a hold lapses at the same moment for
// the model and for Redis, whatever the test itself takes.
const jump = 10 * time.Minute

// step is one call or one passing of time, with all that any kind of it might need.
type step struct {
	kind                 string
	session              int // who calls
	seats                []string
	lives                time.Duration
	most                 int
	hold, order, replace int // of those there are; a hold from the latest backwards
	request              byte
	passes               time.Duration
	rush                 []step // for others who want seats at the same moment
}

var (
	stage   = seats(0, 4)
	orders  = []uuid.UUID{{1}, {2}, {3}}
	choices = []string{"take", "take", "rush", "find", "bind", "bind", "extend", "release", "releaseFor", "markSold", "markVoided", "heldByOthers", "pass", "pass"}
	// Sets of seats, sorted as a hold has them.
	wishes = [][]string{{"A-0"}, {"A-1"}, {"A-0", "A-1"}, {"A-1", "A-2"}, {"A-2", "A-3"}, {"A-0", "A-1", "A-2", "A-3"}}
)

// wish is a step that takes seats.
func wish(t *rapid.T) step {
	return step{
		kind:    "take",
		session: rapid.IntRange(0, 2).Draw(t, "session"),
		seats:   rapid.SampledFrom(wishes).Draw(t, "seats"),
		lives:   time.Duration(rapid.IntRange(0, 3).Draw(t, "lives"))*jump + jump/2,
		most:    rapid.SampledFrom([]int{0, 2, 4}).Draw(t, "most"),
	}
}

func steps() *rapid.Generator[[]step] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		s := wish(t)
		if s.kind = rapid.SampledFrom(choices).Draw(t, "kind"); s.kind == "rush" {
			s.rush = rapid.SliceOfN(rapid.Custom(wish), 2, 5).Draw(t, "rush")
		}
		s.hold = rapid.IntRange(0, 3).Draw(t, "hold")
		s.order = max(0, rapid.IntRange(-3, len(orders)-1).Draw(t, "order")) // most are the same
		s.replace = rapid.IntRange(-1, len(orders)-1).Draw(t, "replace")
		s.request = byte(rapid.IntRange(0, 3).Draw(t, "request") / 3) // most are the same
		s.passes = time.Duration(rapid.IntRange(1, 3).Draw(t, "passes")) * jump
		return s
	}), 1, 20)
}

// world is the model and an event in Redis that is to be the same.
type world struct {
	*rapid.T
	*model
	ctx   context.Context
	c     *Client
	db    *redis.Client
	event string
}

// TestHoldsAreAsTheModelSays plays random sequences of calls and of passing time against Redis and against the model:
// ten thousand, or a few hundred with -short.
func TestHoldsAreAsTheModelSays(t *testing.T) {
	t.Parallel()
	r := setup(t)
	parts := 100 // of a hundred sequences each, rapid's default
	if testing.Short() {
		parts = 4
	}
	var event atomic.Int64
	t.Run("sequences", func(t *testing.T) {
		for part := range parts {
			t.Run(fmt.Sprint(part), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(rt *rapid.T) {
					w := world{T: rt, model: newModel(), ctx: t.Context(), c: r.Client, db: r.db, event: fmt.Sprint("model-", event.Add(1))}
					for _, s := range steps().Draw(rt, "steps") {
						w.play(s)
						w.compare(s.kind)
					}
					w.forget()
				})
			})
		}
	})
	if left, err := r.db.DBSize(t.Context()).Result(); !t.Failed() && (err != nil || left != 0) {
		t.Errorf("%d keys are left that nobody knows of (%v)", left, err)
	}
}

func (w *world) play(s step) {
	switch {
	case s.kind == "take":
		w.playTakes(s)
	case s.kind == "rush":
		w.playTakes(s.rush...)
	case s.kind == "pass":
		w.pass(s.passes)
		w.travel(s.passes)
	case len(w.holds) == 0: // nothing to call for
	default:
		w.playOn(s, w.holds[len(w.holds)-1-s.hold%len(w.holds)])
	}
}

// playTakes has some ask for seats at once: each must be answered as if they had come one after the other.
func (w *world) playTakes(all ...step) {
	wanted := make([]sale.Wanted, len(all))
	for i, s := range all {
		wanted[i] = sale.Wanted{EventID: w.event, Session: fan(s.session), Seats: s.seats, TTL: s.lives, Most: s.most}
	}
	got, err := w.c.TakeAll(w.ctx, wanted)
	if err != nil {
		w.Fatal(err)
	}
	for i, s := range all {
		want, verdict := w.take(fan(s.session), s.seats, s.lives, s.most)
		if want != nil && want.id == uuid.Nil {
			want.id, want.fence = got[i].Hold.ID, got[i].Hold.Fence
			if want.fence <= w.fence {
				w.Fatalf("fence %d after %d", want.fence, w.fence)
			}
			w.fence = want.fence
		}
		w.same("take", verdict, got[i].Err)
		if want != nil {
			w.sameHold(want, got[i].Hold)
		}
	}
}

// playOn is a call for a hold that is or was.
func (w *world) playOn(s step, h *modelHold) {
	session, order, request := fan(s.session), orders[s.order], [32]byte{s.request}
	if s.kind == "bind" && s.request == 0 {
		session = h.session // mostly the owner's
	}
	replace := ""
	if s.replace >= 0 {
		replace = orders[s.replace].String()
	}
	theirs := sale.Hold{ID: h.id, EventID: w.event, Session: h.session, Seats: h.seats}
	switch s.kind {
	case "find":
		w.find(h)
	case "bind":
		asked := theirs
		asked.Session = session
		w.same("bind", w.bind(h, session, order, request, s.lives, replace), bind(w.ctx, w.c, asked, order, request, s.lives, replace))
	case "extend":
		extended, err := w.c.Extend(w.ctx, w.event, h.session, h.id, order, s.lives)
		if want := w.extend(h, order, s.lives); err != nil || extended != want {
			w.Fatalf("extend: %v, want %v (%v)", extended, want, err)
		}
	case "release":
		by := ""
		id := uuid.Nil
		if s.replace >= 0 {
			id = orders[s.replace]
			by = id.String()
		}
		w.same("release", w.release(h, id), w.c.Release(w.ctx, w.event, h.session, h.id, by))
	case "releaseFor":
		w.release(h, order)
		w.same("release for an order", done, w.c.ReleaseFor(w.ctx, w.event, h.session, h.id, order))
	case "markSold":
		w.sell(h, order)
		w.same("mark sold", done, w.c.MarkSold(w.ctx, w.event, h.session, h.id, order, h.seats))
	case "markVoided":
		w.void(h, order)
		w.same("mark voided", done, w.c.MarkVoided(w.ctx, w.event, h.session, order, h.seats))
	case "heldByOthers":
		others, err := w.c.HeldByOthers(w.ctx, []sale.Claim{{EventID: w.event, Hold: h.id, Seats: h.seats}})
		if want := w.heldByOthers(h); err != nil || !slices.Equal(others[0], want) {
			w.Fatalf("held by others: %v, want %v (%v)", others, want, err)
		}
	}
}

// same checks a call's answer.
func (w *world) same(what string, want result, err error) {
	w.Helper()
	got := result{code: sale.CodeOf(err)}
	var e *sale.Error
	if errors.As(err, &e) {
		for _, field := range []string{"hold_id", "order_id", "bought"} {
			if v, ok := e.Fields[field]; ok {
				got.of = fmt.Sprint(v)
			}
		}
		got.seat, _ = e.Fields["seats"].([]string)
	}
	if err == nil {
		got = done
	}
	if got.code != want.code || got.of != want.of || !slices.Equal(got.seat, want.seat) {
		w.Fatalf("%s: %+v, want %+v (%v)", what, got, want, err)
	}
}

// find looks a hold up.
func (w *world) find(h *modelHold) {
	w.Helper()
	found, err := w.c.Find(w.ctx, w.event, h.session, h.id)
	if h.ended {
		w.same("find", noHold, err)
		return
	}
	if err != nil {
		w.Fatalf("find: %v", err)
	}
	w.sameHold(h, found)
	order := ""
	if h.order != uuid.Nil {
		order = h.order.String()
	}
	if found.Order != order {
		w.Fatalf("find: paid by %q, want %q", found.Order, order)
	}
}

func (w *world) sameHold(want *modelHold, got sale.Hold) {
	w.Helper()
	left := time.Until(got.ExpiresAt)
	if got.ID != want.id || got.Session != want.session || !slices.Equal(got.Seats, want.seats) || got.Fence != want.fence ||
		(want.deadline-w.now-left).Abs() > jump/4 {
		w.Fatalf("the hold is %+v and lives for %s, want %+v until %s", got, left, *want, want.deadline-w.now)
	}
}

// compare looks at all seats and all holds.
func (w *world) compare(after string) {
	w.Helper()
	states, err := w.c.SeatStates(w.ctx, w.event, stage)
	if err != nil {
		w.Fatal(err)
	}
	if diff := cmp.Diff(w.states(stage), states); diff != "" {
		w.Fatalf("the seats after %s (-want +got):\n%s", after, diff)
	}
	if after == "pass" || after == "extend" || after == "bind" {
		for _, h := range w.holds {
			w.find(h)
		}
	}
}

// keys are all that the event may have in Redis.
func (w *world) keys() []string {
	k := []string{seatsKey(w.event), tag(w.event) + ":fence"}
	for i := range 3 {
		k = append(k, holdKey(w.event, fan(i)), ownTimeKey(w.event, fan(i)), boughtKey(w.event, fan(i)))
	}
	return k
}

// travel lets time pass for every key that has a time to live.
func (w *world) travel(d time.Duration) {
	w.Helper()
	if err := later.Run(w.ctx, w.db, w.keys(), d.Milliseconds()).Err(); err != nil && !errors.Is(err, redis.Nil) {
		w.Fatal(err)
	}
}

var later = redis.NewScript(`
	for _, k in ipairs(KEYS) do
		local left = redis.call('PTTL', k)
		if left > 0 then
			redis.call('PEXPIRE', k, left - tonumber(ARGV[1])) -- one that is not positive deletes it
		end
	end`)

// forget removes the keys that the sequence is known to leave.
func (w *world) forget() {
	w.Helper()
	if err := w.db.Del(w.ctx, w.keys()...).Err(); err != nil {
		w.Fatal(err)
	}
}
