package e2e

import (
	"math"
	"net/http"
	"testing"

	"onsale/internal/admin"
	"onsale/internal/line"
	"onsale/internal/testenv"
)

// Fans who leave, in the lobby or later, are out on every node and stay out; the line passes their places without
// spending any of its pace on them.
func TestLeaving(t *testing.T) {
	t.Parallel()
	const n, rate = 60, 2.0
	l := together(t)
	other := runNode(t, l, "api")
	create(t, l, "leaving", func(e *admin.CreateEvent) { e.Rate = rate })
	fans := joinMany(t, l.BaseURL, "leaving", 0, n, 20)
	leave(t, l.BaseURL, "leaving", fans[0])
	testenv.Eventually(t, "record of the line", func() bool { return len(admissions(t, l.BaseURL, "leaving")) > 0 })
	move(t, l, "leaving", "open", "open")
	move(t, l, "leaving", "pause", "paused")
	p := pageOf(t, l.BaseURL, "leaving")
	gone := map[uint64]bool{p.order.Place(fans[0].arrival): true}
	for _, f := range fans {
		if place := p.order.Place(f.arrival); place >= p.Serving+2 && place < p.Serving+32 && !gone[place] {
			leave(t, other.base, "leaving", f)
			gone[place] = true
		}
	}
	testenv.Eventually(t, "end of the line", func() bool {
		for _, f := range fans {
			if gone[p.order.Place(f.arrival)] {
				for _, base := range []string{l.BaseURL, other.base} {
					if a := ask(t, base, "leaving", f); a.text("state") != "left" || a.fields["position"] != nil || a.text("pass") != "" {
						return false
					}
				}
				leave(t, l.BaseURL, "leaving", f) // again
				for _, base := range []string{l.BaseURL, other.base} {
					joinFails(t, base, "leaving", joinBody(f.session), http.StatusConflict, "left_line")
				}
				if len(gone) > 3 {
					delete(gone, p.order.Place(f.arrival)) // this one is done
				}
			}
		}
		return true
	})
	move(t, l, "leaving", "resume", "open")
	testenv.Eventually(t, "passing of those who left", func() bool { return queueOf(t, l.BaseURL, "leaving").Serving >= p.Serving+33 })
	log := admissions(t, l.BaseURL, "leaving")
	var leapt bool
	for i := 1; i < len(log); i++ {
		leapt = leapt || log[i].Skipped-log[i-1].Skipped >= 29
	}
	if !leapt {
		t.Error("no record passes those who left at once")
	}
	mustKeepPace(t, log)
	mustVerify(t, l.BaseURL, "leaving")
	if q := queueOf(t, l.BaseURL, "leaving"); q.Joined != n {
		t.Errorf("%d joined, want %d: one who left is not there twice", q.Joined, n)
	}
}

// No more than the cap are inside, though all poll all the time; who leaves makes room for one; without a cap all come.
func TestCap(t *testing.T) {
	t.Parallel()
	const n, most = 20, 5
	l := together(t)
	create(t, l, "capped", func(e *admin.CreateEvent) { e.Cap = most })
	fans := joinMany(t, l.BaseURL, "capped", 0, n, 10)
	inside := map[string]fan{}
	came := 0
	poll := func() {
		t.Helper()
		for _, f := range fans {
			if _, in := inside[f.session]; in {
				continue
			}
			a := call(t, "GET", l.BaseURL+"/v1/queue/capped/position", nil, "Authorization", "Bearer "+f.ticket)
			if a.text("pass") != "" {
				inside[f.session] = f
				came++
			}
		}
	}
	move(t, l, "capped", "open", "open")
	testenv.Eventually(t, "full shop", func() bool { poll(); return came >= most })
	for range 100 { // each poll is a chance to come in
		poll()
	}
	if q := queueOf(t, l.BaseURL, "capped"); came != most || q.Serving != most {
		t.Errorf("%d came and %d were called, with a cap of %d", came, q.Serving, most)
	}
	for _, f := range inside {
		leave(t, l.BaseURL, "capped", f)
		break
	}
	for range 100 { // whoever has a pass can use it until it has run out, and so makes no room by leaving the line
		poll()
	}
	if came != most {
		t.Errorf("%d came, with a cap of %d of whom one left with a pass in hand", came, most)
	}
	if err := operator(l).SetCap(t.Context(), "capped", most+1); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "room for one", func() bool { poll(); return came > most })
	for range 100 {
		poll()
	}
	if came != most+1 {
		t.Errorf("%d came, with a cap of %d", came, most+1)
	}
	for _, a := range admissions(t, l.BaseURL, "capped") {
		if a.Inside > a.Cap {
			t.Errorf("record %d counts %d inside, of %d", a.N, a.Inside, a.Cap)
		}
	}
	if err := operator(l).SetCap(t.Context(), "capped", 0); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "all inside", func() bool { poll(); return came == n })
	mustVerify(t, l.BaseURL, "capped")
}

// Those who were called and have not come yet count as inside, also for an admitter that did not call them.
func TestCapHoldsForEveryAdmitter(t *testing.T) {
	t.Parallel()
	const n, most = 20, 5
	l := together(t)
	create(t, l, "many-hands", func(e *admin.CreateEvent) { e.Cap = most })
	joinMany(t, l.BaseURL, "many-hands", 0, n, 10)
	move(t, l, "many-hands", "open", "open")
	testenv.Eventually(t, "full shop", func() bool { return queueOf(t, l.BaseURL, "many-hands").Serving >= most })
	runNode(t, l, "admitter")
	for rate := 101.0; rate < 110; rate++ { // each change is a record, and either may write it
		if err := operator(l).SetRate(t.Context(), "many-hands", rate); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, "change of the rate", func() bool { return queueOf(t, l.BaseURL, "many-hands").Rate == rate })
	}
	if q := queueOf(t, l.BaseURL, "many-hands"); q.Serving != most {
		t.Errorf("%d were called, with a cap of %d and nobody who came", q.Serving, most)
	}
	mustVerify(t, l.BaseURL, "many-hands")
}

// Where half of those called don't come, more are called, within bounds, and the log says why.
func TestNoShowsAreMadeUpFor(t *testing.T) {
	t.Parallel()
	const n, rate = 700, 40.0
	l := together(t)
	create(t, l, "noshow", func(e *admin.CreateEvent) { e.Rate = rate })
	fans := joinMany(t, l.BaseURL, "noshow", 0, n, 30)
	move(t, l, "noshow", "open", "open")
	came := make([]bool, n)
	testenv.Eventually(t, "making up for those who don't come", func() bool {
		p := pageOf(t, l.BaseURL, "noshow")
		for i := 0; i < n; i += 2 {
			if f := fans[i]; !came[i] && p.order.Place(f.arrival) < p.Serving {
				came[i] = ask(t, l.BaseURL, "noshow", f).text("pass") != ""
			}
		}
		log := admissions(t, l.BaseURL, "noshow")
		return line.Pace(log[len(log)-1]) > 1.5*rate || p.Serving == n
	})
	log := admissions(t, l.BaseURL, "noshow")
	made := false
	for _, a := range log {
		made = made || a.Reason == "no_shows" && a.Release > 1.2*rate
		if line.Pace(a) > 3*rate+1e-6 || math.Abs(a.Rate-rate) > 1e-9 {
			t.Errorf("record %d calls %g a second at a rate of %g", a.N, line.Pace(a), a.Rate)
		}
	}
	if !made {
		t.Error("nothing was made up for")
	}
	mustKeepPace(t, log)
	mustVerify(t, l.BaseURL, "noshow")
}

// A sale that is over takes nobody in, and serves no seats to those who have a pass.
func TestClosedSale(t *testing.T) {
	t.Parallel()
	l := together(t)
	create(t, l, "over", nil)
	move(t, l, "over", "open", "open")
	v := letIn(t, l, "over")
	seats := func() answer { return call(t, "GET", l.BaseURL+"/v1/events/over/seats", nil, v.headers()...) }
	if a := seats(); a.status != http.StatusOK {
		t.Errorf("seats of an open sale: %d %s", a.status, a.body)
	}
	move(t, l, "over", "close", "closed")
	if a := seats(); a.status != http.StatusConflict || a.text("code") != "sale_closed" {
		t.Errorf("seats: %d %s", a.status, a.body)
	}
	if a := v.hold(t, "A-1"); a.status != http.StatusConflict || a.text("code") != "sale_closed" {
		t.Errorf("a hold: %d %s", a.status, a.body)
	}
	joinFails(t, l.BaseURL, "over", joinBody("too-late-for-this-sale"), http.StatusConflict, "sale_closed")
	if a := ask(t, l.BaseURL, "over", fan{ticket: v.ticket}); a.text("state") != "closed" || a.text("pass") != "" {
		t.Errorf("a poll: %s", a.body)
	}
	mustVerify(t, l.BaseURL, "over")
}
