package store_test

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onsale/internal/line"
	"onsale/internal/sale"
)

func TestEventIsReadAsItWasCreated(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	want := event("later")
	want.OpensAt, want.Beacon, want.Cap = r.clock.Now().Add(time.Hour), "chain/9", 400
	if err := r.store.CreateEvent(t.Context(), want, plan(2), secret); err != nil {
		t.Fatal(err)
	}
	want.State, want.Seats = sale.Lobby, 2
	all, err := r.store.Events(t.Context())
	if err != nil || len(all) != 2 || all[0].ID != want.ID || all[1].ID != show {
		t.Fatalf("not the newest first: %v (%v)", all, err)
	}
	if diff := cmp.Diff(want, all[0]); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if !all[1].OpensAt.IsZero() {
		t.Errorf("an event opened by hand opens at %v", all[1].OpensAt)
	}
	seats, err := r.store.Seats(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plan(2), seats); diff != "" {
		t.Errorf("seats (-want +got):\n%s", diff)
	}
}

func TestSeatsKeepThePlansOrder(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	seats := plan(40)
	for i := range seats {
		seats[i].ID = seat((i * 17) % 40) // neither sorted nor reversed
	}
	if err := r.store.CreateEvent(t.Context(), event("other"), seats, secret); err != nil {
		t.Fatal(err)
	}
	got, err := r.store.Seats(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(seats, got); diff != "" {
		t.Error(diff)
	}
}

func TestOneOfManyCreatesAnEvent(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	var created atomic.Int64
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			err := r.store.CreateEvent(t.Context(), event("wanted"), plan(i+1), secret)
			switch {
			case err == nil:
				created.Add(1)
			case sale.KindOf(err) != sale.Conflict || sale.CodeOf(err) != "event_exists":
				t.Error(err)
			}
		})
	}
	all.Wait()
	if created.Load() != 1 {
		t.Errorf("%d were told that they created it", created.Load())
	}
	told := one[int](r, `SELECT seats FROM events WHERE event_id = 'wanted'`)
	if n := one[int](r, `SELECT count(*) FROM seats WHERE event_id = 'wanted'`); n != told {
		t.Errorf("an event of %d seats has %d", told, n)
	}
}

func TestEventWithABadSeatIsNotCreated(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	for name, spoil := range map[string]func([]sale.Seat){
		"a seat twice": func(s []sale.Seat) { s[1].ID = s[0].ID },
		"no price":     func(s []sale.Seat) { s[1].Price = 0 },
	} {
		seats := plan(2)
		spoil(seats)
		if err := r.store.CreateEvent(t.Context(), event("half"), seats, secret); err == nil || sale.KindOf(err) == sale.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
		if one[int](r, `SELECT count(*) FROM events WHERE event_id = 'half'`) != 0 {
			t.Errorf("%s: half of it is there", name)
		}
	}
}

func TestMoveSale(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	states := []sale.State{sale.Lobby, sale.Open, sale.Paused, sale.Closed}
	allowed := map[[2]sale.State]bool{
		{sale.Lobby, sale.Open}: true, {sale.Lobby, sale.Closed}: true,
		{sale.Open, sale.Open}: true, {sale.Open, sale.Paused}: true, {sale.Open, sale.Closed}: true,
		{sale.Paused, sale.Paused}: true, {sale.Paused, sale.Open}: true, {sale.Paused, sale.Closed}: true,
		{sale.Closed, sale.Closed}: true,
	}
	for _, from := range states {
		for _, to := range append(states, sale.SoldOut, "nonsense") {
			r.exec(`UPDATE events SET state = $1`, from)
			err := r.store.MoveSale(t.Context(), show, to)
			state := one[sale.State](r, `SELECT state FROM events`)
			if allowed[[2]sale.State{from, to}] {
				if err != nil || state != to {
					t.Errorf("%s to %s: is %s (%v)", from, to, state, err)
				}
			} else if sale.CodeOf(err) != "wrong_state" || sale.KindOf(err) != sale.Conflict || state != from {
				t.Errorf("%s to %s: is %s (%v)", from, to, state, err)
			}
		}
	}
	if err := r.store.MoveSale(t.Context(), "none", sale.Open); sale.KindOf(err) != sale.NotFound {
		t.Errorf("unknown event: %v", err)
	}
}

func TestSaleOpensByTheClock(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	e := event("timed")
	e.OpensAt = r.clock.Now().Add(time.Minute)
	if err := r.store.CreateEvent(t.Context(), e, plan(2), secret); err != nil {
		t.Fatal(err)
	}
	state := func() sale.State {
		controls, err := r.store.Controls(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if controls[show].State != sale.Lobby {
			t.Errorf("an event without a time is %s", controls[show].State)
		}
		return controls["timed"].State
	}
	r.clock.Advance(time.Minute - time.Millisecond)
	if s := state(); s != sale.Lobby {
		t.Errorf("just before: %s", s)
	}
	if err := r.store.MoveSale(t.Context(), "timed", sale.Paused); sale.KindOf(err) != sale.Conflict {
		t.Errorf("a lobby was paused: %v", err)
	}
	r.clock.Advance(time.Millisecond)
	if s := state(); s != sale.Open {
		t.Errorf("at the time: %s", s)
	}
	if err := r.store.MoveSale(t.Context(), "timed", sale.Paused); err != nil {
		t.Errorf("a sale that opened by the clock can't be paused: %v", err)
	}
	if s := state(); s != sale.Paused {
		t.Errorf("paused after its time: %s", s)
	}
}

func TestControlsCountWhatIsLeft(t *testing.T) {
	t.Parallel()
	r := setup(t, 5)
	if err := r.store.MoveSale(t.Context(), show, sale.Open); err != nil {
		t.Fatal(err)
	}
	control := func() (line.Control, bool) {
		controls, err := r.store.Controls(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c, ok := controls[show]
		return c, ok
	}
	c, _ := control()
	if diff := cmp.Diff(line.Control{State: sale.Open, Rate: 12.5, SeatsLeft: 5, PaymentWindow: 10 * time.Minute, Secret: secret}, c); diff != "" {
		t.Errorf("at first (-want +got):\n%s", diff)
	}
	payments := r.authorized(checkout(0, 1), checkout(1, 2), checkout(3))
	if _, err := r.store.CommitOrders(t.Context(), payments, none(3)); err != nil {
		t.Fatal(err)
	}
	if c, _ := control(); c.SeatsLeft != 2 {
		t.Errorf("%d seats left, three are sold", c.SeatsLeft)
	}
	if voided, err := r.store.VoidOrder(t.Context(), orderOf(payments[0]), "x", sale.Webhook{}); err != nil || !voided {
		t.Fatal(voided, err)
	}
	if c, _ := control(); c.SeatsLeft != 4 {
		t.Errorf("%d seats left, one is sold", c.SeatsLeft)
	}
	if err := r.store.MoveSale(t.Context(), show, sale.Closed); err != nil {
		t.Fatal(err)
	}
	if c, ok := control(); !ok || c.State != sale.Closed {
		t.Errorf("a sale that was just closed: %+v %v", c, ok)
	}
	r.clock.Advance(7*24*time.Hour - time.Second)
	if c, ok := control(); !ok || c.State != sale.Closed {
		t.Errorf("a sale that was closed this week: %+v %v", c, ok)
	}
	r.clock.Advance(time.Second)
	if _, ok := control(); ok {
		t.Error("a sale that was closed a week ago is still there")
	}
}

func TestSetRate(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	rate := func() float64 { return one[float64](r, `SELECT rate FROM events`) }
	if err := r.store.SetRate(t.Context(), show, 300.5); err != nil || rate() != 300.5 {
		t.Errorf("rate is %v (%v)", rate(), err)
	}
	for _, bad := range []float64{0, -1, 1_000_001, math.NaN(), math.Inf(1)} {
		if err := r.store.SetRate(t.Context(), show, bad); err == nil || rate() != 300.5 {
			t.Errorf("%v: rate is %v (%v)", bad, rate(), err)
		}
	}
	if err := r.store.SetRate(t.Context(), "none", 1); sale.KindOf(err) != sale.NotFound {
		t.Errorf("unknown event: %v", err)
	}
	if err := r.store.MoveSale(t.Context(), show, sale.Closed); err != nil {
		t.Fatal(err)
	}
	if err := r.store.SetRate(t.Context(), show, 1); sale.KindOf(err) != sale.NotFound {
		t.Errorf("closed event: %v", err)
	}
}

// TestControlsSeeManyEvents would catch a reader that keeps only the last row.
func TestControlsSeeManyEvents(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	for i := range 5 {
		e := event(fmt.Sprintf("e%d", i))
		e.Rate = float64(i + 1)
		if err := r.store.CreateEvent(t.Context(), e, plan(i+1), secret); err != nil {
			t.Fatal(err)
		}
	}
	controls, err := r.store.Controls(t.Context())
	if err != nil || len(controls) != 6 {
		t.Fatalf("%d events (%v)", len(controls), err)
	}
	for i := range 5 {
		want := line.Control{State: sale.Lobby, Rate: float64(i + 1), SeatsLeft: i + 1, PaymentWindow: event(show).Rules.PaymentWindow, Secret: secret}
		if diff := cmp.Diff(want, controls[fmt.Sprintf("e%d", i)]); diff != "" {
			t.Errorf("e%d (-want +got):\n%s", i, diff)
		}
	}
}

func TestSetCap(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	shoppers := func() int { return one[int](r, `SELECT shoppers FROM events`) }
	for _, n := range []int{300, 0, 1, 1 << 30} {
		if err := r.store.SetCap(t.Context(), show, n); err != nil || shoppers() != n {
			t.Errorf("the limit is %d, want %d (%v)", shoppers(), n, err)
		}
	}
	if err := r.store.SetCap(t.Context(), show, -1); err == nil || shoppers() != 1<<30 {
		t.Errorf("a limit below none: it is %d (%v)", shoppers(), err)
	}
	if err := r.store.SetCap(t.Context(), "none", 1); sale.CodeOf(err) != "event_not_found" {
		t.Errorf("unknown event: %v", err)
	}
	if err := r.store.MoveSale(t.Context(), show, sale.Closed); err != nil {
		t.Fatal(err)
	}
	if err := r.store.SetCap(t.Context(), show, 1); sale.CodeOf(err) != "event_not_found" || shoppers() != 1<<30 {
		t.Errorf("closed event: %v", err)
	}
}

func TestSetPaceByPayments(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	paced := func() bool {
		t.Helper()
		all, err := r.store.Controls(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if all[show].PaymentWindow != event(show).Rules.PaymentWindow {
			t.Errorf("the payment window is %v", all[show].PaymentWindow)
		}
		return all[show].PaceByPayments
	}
	if paced() {
		t.Error("a new event is paced by payments")
	}
	for _, on := range []bool{true, true, false} {
		if err := r.store.SetPaceByPayments(t.Context(), show, on); err != nil || paced() != on {
			t.Errorf("paced %v, want %v (%v)", paced(), on, err)
		}
	}
	if err := r.store.SetPaceByPayments(t.Context(), "none", true); sale.CodeOf(err) != "event_not_found" {
		t.Errorf("unknown event: %v", err)
	}
	if err := r.store.MoveSale(t.Context(), show, sale.Closed); err != nil {
		t.Fatal(err)
	}
	if err := r.store.SetPaceByPayments(t.Context(), show, true); sale.CodeOf(err) != "event_not_found" || paced() {
		t.Errorf("closed event: %v", err)
	}
}
