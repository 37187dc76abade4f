package redis

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"onsale/internal/sale"
)

func TestReleaseTouchesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	r := setup(t)
	mine, other := r.take(fan(1), long, "A-1", "A-2"), r.take(fan(2), long, "A-3")
	forged := mine
	forged.ID, forged.Seats = uuid.New(), []string{"A-1", "A-2", "A-3"}
	before := r.everything()
	r.refused(r.Release(t.Context(), forged.EventID, forged.Session, forged.ID, ""), sale.NotFound, "hold_not_found")
	if after := r.everything(); after != before {
		t.Errorf("a hold that isn't released:\n%s\n%s", before, after)
	}
	greedy := mine
	greedy.Seats = []string{"A-1", "A-2", "A-3"} // one is another's
	if err := r.Release(t.Context(), greedy.EventID, greedy.Session, greedy.ID, ""); err != nil {
		t.Error(err)
	}
	if left, err := r.SeatKeys(t.Context(), show); err != nil || len(left) != 1 || left[0].Hold != other.ID.String() {
		t.Errorf("left: %+v (%v)", left, err)
	}
	r.refused(r.Release(t.Context(), mine.EventID, mine.Session, mine.ID, ""), sale.NotFound, "hold_not_found")
	r.take(fan(1), long, "A-1")
}

func TestReleaseOfAHoldThatIsBeingPaid(t *testing.T) {
	t.Parallel()
	r := setup(t)
	h := r.take(fan(1), long, "A-1")
	order := r.bind(h)
	for _, caller := range []string{"", uuid.NewString()} {
		err := r.Release(t.Context(), h.EventID, h.Session, h.ID, caller)
		r.refused(err, sale.Conflict, "checkout_in_progress")
		var e *sale.Error
		if errors.As(err, &e) && e.Fields["order_id"] != order.String() {
			t.Errorf("named %v", e.Fields)
		}
	}
	if err := r.Release(t.Context(), h.EventID, h.Session, h.ID, order.String()); err != nil {
		t.Error(err)
	}
	r.take(fan(2), long, "A-1")
}

func TestReleaseForARejectedOrder(t *testing.T) {
	t.Parallel()
	r := setup(t)
	h := r.take(fan(1), long, "A-1")
	order := r.bind(h)
	if err := r.ReleaseFor(t.Context(), show, h.Session, h.ID, uuid.New()); err != nil {
		t.Errorf("another order's: %v", err)
	}
	if _, err := r.Find(t.Context(), show, h.Session, h.ID); err != nil {
		t.Fatalf("another order released it: %v", err)
	}
	for range 2 { // the second finds nothing, which is as good
		if err := r.ReleaseFor(t.Context(), show, h.Session, h.ID, order); err != nil {
			t.Error(err)
		}
		if _, err := r.Find(t.Context(), show, h.Session, h.ID); !errors.Is(err, sale.ErrNoHold) {
			t.Errorf("still held: %v", err)
		}
	}
	unbound := r.take(fan(1), long, "A-1")
	if err := r.ReleaseFor(t.Context(), show, unbound.Session, unbound.ID, order); err != nil {
		t.Error(err)
	}
	r.take(fan(2), long, "A-1") // a hold without an order was released too
}

func TestBindExtendsAndNeverShortens(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for i, c := range []struct{ ttl, window, want time.Duration }{
		{time.Minute, time.Hour, time.Hour},
		{time.Hour, time.Minute, time.Hour},
	} {
		h := r.take(fan(i), c.ttl, seats(i, i+1)...)
		if err := bind(t.Context(), r.Client, h, uuid.New(), [32]byte{}, c.window, ""); err != nil {
			t.Fatal(err)
		}
		if left := r.left(h); left > c.want || left < c.want-time.Minute/2 {
			t.Errorf("%s left, want %s", left, c.want)
		}
	}
}

func TestBindRefuses(t *testing.T) {
	t.Parallel()
	r := setup(t)
	h := r.take(fan(1), long, "A-1", "A-2")
	order, request := uuid.New(), [32]byte{7}
	bind := func(h sale.Hold, order uuid.UUID, request [32]byte, replace string) error {
		return bind(t.Context(), r.Client, h, order, request, long, replace)
	}
	unknown, foreign := h, h
	unknown.ID, foreign.Session = uuid.New(), fan(2)
	r.refused(bind(unknown, order, request, ""), sale.NotFound, "hold_not_found")
	r.refused(bind(foreign, order, request, ""), sale.NotFound, "hold_not_found")
	if found, err := r.Find(t.Context(), show, h.Session, h.ID); err != nil || found.Order != "" {
		t.Errorf("a refused order is bound: %q (%v)", found.Order, err)
	}
	for range 2 { // again is the same
		if err := bind(h, order, request, ""); err != nil {
			t.Error(err)
		}
	}
	r.refused(bind(h, order, [32]byte{8}, ""), sale.Unprocessable, "idempotency_key_reused")
	next := uuid.New()
	for _, replace := range []string{"", uuid.NewString(), next.String()} {
		err := bind(h, next, request, replace)
		r.refused(err, sale.Conflict, "checkout_in_progress")
		var e *sale.Error
		if errors.As(err, &e) && e.Fields["order_id"] != order.String() {
			t.Errorf("named %v", e.Fields)
		}
	}
	if err := bind(h, next, [32]byte{9}, order.String()); err != nil { // the first has failed
		t.Error(err)
	}
	if found, err := r.Find(t.Context(), show, h.Session, h.ID); err != nil || found.Order != next.String() {
		t.Errorf("bound to %q (%v)", found.Order, err)
	}
	r.refused(bind(h, order, request, ""), sale.Conflict, "checkout_in_progress")
}

// A payment that failed may be followed by another while the hold would still live without any: not for longer, or cards
// that are always declined would keep seats from others for good.
func TestFailedPaymentsDontKeepAHold(t *testing.T) {
	t.Parallel()
	r := setup(t)
	const own = 2 * time.Second
	taken := time.Now()
	h, waits := r.take(fan(1), own, "A-1"), r.take(fan(2), own, "A-2")
	tries := []uuid.UUID{uuid.New()}
	if err := bind(t.Context(), r.Client, h, tries[0], [32]byte{1}, long, ""); err != nil {
		t.Fatal(err)
	}
	waited := sale.Binding{Order: uuid.New(), Window: long, Wait: time.Minute} // for others' payments: that is not its fan's fault
	if _, err := r.Bind(t.Context(), show, waits.Session, waits.ID, waited); err != nil {
		t.Fatal(err)
	}
	for {
		last, next := tries[len(tries)-1], uuid.New()
		err := bind(t.Context(), r.Client, h, next, [32]byte{1}, long, last.String())
		if err != nil {
			r.refused(err, sale.Conflict, "hold_over")
			break
		}
		if tries = append(tries, next); time.Since(taken) > own+time.Minute/2 {
			t.Fatalf("%d orders were bound to a hold of %s, the last after %s", len(tries), own, time.Since(taken))
		}
		time.Sleep(own / 100)
	}
	if took := time.Since(taken); took < own || len(tries) == 1 {
		t.Errorf("refused after %s and %d tries, and not after the %s that the hold had", took, len(tries), own)
	}
	if err := bind(t.Context(), r.Client, waits, uuid.New(), [32]byte{1}, long, waited.Order.String()); err != nil {
		t.Errorf("after %s of waiting for others' payments: %v", time.Since(taken), err)
	}
	next := r.take(fan(1), long, "A-1") // the seat is free, and the session's next hold has a time of its own
	order := r.bind(next)
	if err := bind(t.Context(), r.Client, next, uuid.New(), [32]byte{1}, long, order.String()); err != nil {
		t.Error(err)
	}
}

func TestOneOfManyOrdersGetsTheHold(t *testing.T) {
	t.Parallel()
	r := setup(t)
	h := r.take(fan(1), long, "A-1")
	var won atomic.Int64
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			err := bind(t.Context(), r.Client, h, uuid.New(), [32]byte{}, long, "")
			if err == nil {
				won.Add(1)
			} else {
				r.refused(err, sale.Conflict, "checkout_in_progress")
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d orders have one hold", won.Load())
	}
}

func TestMarkSoldEndsTheHold(t *testing.T) {
	t.Parallel()
	r := setup(t)
	h := r.take(fan(1), long, "A-1", "A-2")
	order := r.bind(h)
	var first string
	for range 3 {
		if err := r.MarkSold(t.Context(), show, fan(1), h.ID, order, h.Seats); err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = r.everything()
		}
		if now := r.everything(); now != first {
			t.Errorf("a repetition changed something:\n%s\n%s", first, now)
		}
	}
	states, err := r.SeatStates(t.Context(), show, []string{"A-1", "A-2", "A-3"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]sale.SeatState{{Sold: order.String()}, {Sold: order.String()}, {}}, states); diff != "" {
		t.Error(diff)
	}
	if ttl := r.db.PTTL(t.Context(), seatsKey(show)).Val(); ttl != -1 {
		t.Errorf("a sold seat comes back in %s", ttl)
	}
	r.refused(r.Release(t.Context(), h.EventID, h.Session, h.ID, order.String()), sale.NotFound, "hold_not_found")
	r.take(fan(1), long, "A-3") // the session may hold again
	if _, err := r.Take(t.Context(), show, fan(2), []string{"A-1"}, long); takenSeats(t, err) == nil {
		t.Error("a sold seat is held")
	}
}

// A mark of its own takes what its hold has, what it marked before and what nobody has; where another is named it takes nothing.
func TestMarkOwnSoldTakesNothingFromOthers(t *testing.T) {
	t.Parallel()
	r := setup(t)
	mine, sold := r.take(fan(1), long, "A-1"), uuid.New()
	r.take(fan(2), long, "A-3")
	if err := r.MarkSold(t.Context(), show, fan(3), uuid.New(), sold, []string{"A-4"}); err != nil {
		t.Fatal(err)
	}
	order := r.bind(mine)
	own := func(seats ...string) bool {
		t.Helper()
		marked, err := r.MarkOwnSold(t.Context(), show, fan(1), mine.ID, order, seats)
		if err != nil {
			t.Fatal(err)
		}
		return marked
	}
	before := r.everything()
	for _, seat := range []string{"A-3", "A-4"} {
		if own("A-1", seat) || r.everything() != before {
			t.Errorf("seat %s of another was marked, or something changed", seat)
		}
	}
	for range 2 {
		if !own("A-1", "A-2") {
			t.Error("the order's own seat and a free one were not marked")
		}
	}
	states, err := r.SeatStates(t.Context(), show, seats(1, 5))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]sale.SeatState{{Sold: order.String()}, {Sold: order.String()}, {Held: true}, {Sold: sold.String()}}, states); diff != "" {
		t.Error(diff)
	}
}

// TestMarkSoldLeavesOtherHoldsAlone: a late or repeated mark must not end what the session holds by now.
func TestMarkSoldLeavesOtherHoldsAlone(t *testing.T) {
	t.Parallel()
	r := setup(t)
	bought := r.take(fan(1), long, "A-1")
	order := r.bind(bought)
	mark := func() {
		t.Helper()
		if err := r.MarkSold(t.Context(), show, fan(1), bought.ID, order, bought.Seats); err != nil {
			t.Fatal(err)
		}
	}
	mark()
	next := r.take(fan(1), long, "A-2")
	mark()
	if again := r.take(fan(1), long, "A-2"); again.ID != next.ID {
		t.Error("the session's next hold is gone")
	}
	if left, err := r.SeatKeys(t.Context(), show); err != nil || len(left) != 2 {
		t.Errorf("seats: %+v (%v)", left, err)
	}
}

func TestMarkVoidedTakesBackItsOwnMarksOnly(t *testing.T) {
	t.Parallel()
	r := setup(t)
	first, second := uuid.New(), uuid.New()
	mark := func(order uuid.UUID, seats ...string) {
		t.Helper()
		if err := r.MarkSold(t.Context(), show, fan(1), uuid.New(), order, seats); err != nil {
			t.Fatal(err)
		}
	}
	mark(first, "A-1", "A-2")
	mark(second, "A-2") // sold again since, and its mark came first
	held := r.take(fan(1), long, "A-3")
	for range 2 {
		if err := r.MarkVoided(t.Context(), show, fan(1), first, []string{"A-1", "A-2", "A-3", "A-4"}); err != nil {
			t.Fatal(err)
		}
		states, err := r.SeatStates(t.Context(), show, seats(1, 5))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]sale.SeatState{{}, {Sold: second.String()}, {Held: true}, {}}, states); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := r.Find(t.Context(), show, held.Session, held.ID); err != nil {
		t.Error(err)
	}
	r.take(fan(2), long, "A-1")
}

func TestHeldByOthers(t *testing.T) {
	t.Parallel()
	r := setup(t)
	mine, other := r.take(fan(1), long, "A-1", "A-2"), r.take(fan(2), long, "A-3", "A-4")
	if err := r.MarkSold(t.Context(), show, fan(1), uuid.New(), uuid.New(), []string{"A-5"}); err != nil {
		t.Fatal(err)
	}
	got, err := r.HeldByOthers(t.Context(), []sale.Claim{
		{EventID: show, Hold: mine.ID, Seats: []string{"A-1", "A-2"}},
		{EventID: show, Hold: mine.ID, Seats: []string{"A-4", "A-1", "A-3"}},
		{EventID: show, Hold: uuid.New(), Seats: []string{"A-5", "A-6"}}, // sold is Postgres's to say, free is free
		{EventID: show, Hold: mine.ID},
		{EventID: "other", Hold: mine.ID, Seats: []string{"A-3"}},
		{EventID: show, Hold: other.ID, Seats: []string{"A-1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{nil, {"A-4", "A-3"}, nil, nil, nil, {"A-1"}}, got); diff != "" {
		t.Error(diff)
	}
	if none, err := r.HeldByOthers(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("no claims: %v (%v)", none, err)
	}
}

func TestSeatStatesOfManySeats(t *testing.T) {
	t.Parallel()
	r := setup(t)
	all := seats(0, 2500)
	order := uuid.New()
	if err := r.MarkSold(t.Context(), show, fan(1), uuid.New(), order, []string{all[0], all[999], all[1000], all[2499]}); err != nil {
		t.Fatal(err)
	}
	r.take(fan(1), long, all[1], all[1001], all[2000])
	states, err := r.SeatStates(t.Context(), show, all)
	if err != nil || len(states) != len(all) {
		t.Fatalf("%d states (%v)", len(states), err)
	}
	want := map[int]sale.SeatState{1: {Held: true}, 1001: {Held: true}, 2000: {Held: true}}
	for _, i := range []int{0, 999, 1000, 2499} {
		want[i] = sale.SeatState{Sold: order.String()}
	}
	for i, s := range states {
		if s != want[i] {
			t.Errorf("%s is %+v, want %+v", all[i], s, want[i])
		}
	}
	if states, err = r.SeatStates(t.Context(), show, nil); err != nil || len(states) != 0 {
		t.Errorf("no seats: %v (%v)", states, err)
	}
}
