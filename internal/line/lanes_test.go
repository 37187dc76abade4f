package line_test

import (
	"fmt"
	"math"
	"math/rand"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

const tick = 100 * time.Millisecond

// crowd is what joined each lane, "" being the general one, and whose fans have left.
type crowd struct {
	joined map[string]uint64
	left   line.Marks
}

func (c *crowd) seen() line.Seen {
	s := seen(0)
	s.Joined, s.Left = c.joined, c.left.Count
	return s
}

// withLanes is what the operator asks for an open sale, each lane with a share in percent.
func withLanes(rate float64, percents ...int) line.Control {
	c := want(sale.Open, rate)
	for i, p := range percents {
		c.Lanes = append(c.Lanes, line.LaneControl{Name: fmt.Sprintf("lane-%d", i), Share: float64(p) / 100})
	}
	return c
}

// serving is how far each lane is called.
func (l *journal) serving() map[string]uint64 {
	serving := map[string]uint64{}
	for _, lane := range line.Lanes(*l.last) {
		serving[lane.Name] = lane.Serving
	}
	return serving
}

// run moves the line for a time and returns when it ended.
func (l *journal) run(c line.Control, s line.Seen, from time.Time, long, every time.Duration) time.Time {
	l.t.Helper()
	end := from.Add(long)
	for now := from; now.Before(end); now = now.Add(every) {
		l.look(c, s, now)
	}
	return end
}

// Over many small records each lane has its share of the calls at every moment, within a few.
func TestLanes_EachHasItsShare(t *testing.T) {
	t.Parallel()
	for _, percents := range [][]int{{25}, {1}, {33, 33, 24}, {90}, {50, 0, 7}, {5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}} {
		for _, rate := range []float64{3, 100, 977} {
			t.Run(fmt.Sprintf("%v %% of %g a second", percents, rate), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewSource(1))
				control := withLanes(rate, percents...)
				here := crowd{joined: map[string]uint64{"": 1 << 40}}
				general := 1.0
				for _, c := range control.Lanes {
					here.joined[c.Name] = 1 << 40
					general -= c.Share
				}
				l := opened(t, rate)
				for now := began; now.Before(began.Add(time.Minute)); now = now.Add(time.Duration(r.Int63n(int64(tick)))) {
					l.look(control, here.seen(), now)
					total, serving := float64(calledBy(*l.last)), l.serving()
					off := math.Abs(float64(serving[""]) - total*general)
					for _, c := range control.Lanes {
						off = max(off, math.Abs(float64(serving[c.Name])-total*c.Share))
					}
					if off > 2+float64(len(percents))/4 {
						t.Fatalf("of %g calls after %v a lane is %g off its share: %v", total, now.Sub(began), off, serving)
					}
				}
				if least := rate*59 - 2; float64(calledBy(*l.last)) < least {
					t.Errorf("%d were called in a minute, want %g", calledBy(*l.last), least)
				}
				l.checkEveryWindow(rate)
			})
		}
	}
}

// What an empty lane has no one for goes to the others at once, and when someone comes, the lane has its share and not
// what it could have had.
func TestLanes_AnEmptyLaneSavesNothingUp(t *testing.T) {
	t.Parallel()
	for name, empty := range map[string]string{"a priority lane": "lane-0", "the general lane": ""} {
		const rate = 100
		control := withLanes(rate, 50, 20)
		here := crowd{joined: map[string]uint64{"": 1 << 40, "lane-0": 1 << 40, "lane-1": 1 << 40}}
		here.joined[empty] = 0
		l := opened(t, rate)
		now := l.run(control, here.seen(), began, time.Minute, tick)
		if got := calledBy(*l.last); got < rate*60-rate/5 {
			t.Errorf("%s is empty: %d were called in a minute, want all of %d", name, got, rate*60)
		}
		before := l.serving()
		here.joined[empty] = 1 << 40
		l.run(control, here.seen(), now, time.Second, tick)
		after := l.serving()
		for lane, share := range map[string]float64{"": 0.3, "lane-0": 0.5, "lane-1": 0.2} {
			if got := float64(after[lane] - before[lane]); math.Abs(got-rate*share) > 4 {
				t.Errorf("%s fills: lane %q had %g of the next %d calls, want %g", name, lane, got, rate, rate*share)
			}
		}
		l.checkEveryWindow(rate)
	}
}

// Lanes without a share are served while all others are empty, the first of them first, and what they had then is held
// against nobody.
func TestLanes_OneTakenAwayIsServedWhenOthersAreEmpty(t *testing.T) {
	t.Parallel()
	const rate = 100
	here := crowd{joined: map[string]uint64{"": 50, "lane-0": 100, "lane-1": 1 << 40}}
	l := opened(t, rate)
	now := l.run(withLanes(rate, 40, 40), here.seen(), began, time.Second, tick)
	control := want(sale.Open, rate)
	if !l.look(control, here.seen(), now) || l.last.Reason != "lanes_changed" || len(l.last.Lanes) != 2 || l.last.Lanes[0].Share != 0 {
		t.Fatalf("lanes are taken away: %+v", l.last)
	}
	before := l.serving()
	now = l.run(control, here.seen(), now.Add(tick), 200*time.Millisecond, tick)
	if got := l.serving(); got[""] != before[""]+30 || got["lane-0"] != before["lane-0"] {
		t.Errorf("who has no share was called before others: %v, then %v", before, got)
	}
	now = l.run(control, here.seen(), now, 10*time.Second, tick)
	served := l.serving()
	if served[""] != 50 || served["lane-0"] != 100 || served["lane-1"] < rate*10-rate {
		t.Errorf("the general lane is empty: %v", served)
	}
	here.joined[""], here.joined["lane-0"] = 1<<40, 1<<40
	l.run(control, here.seen(), now, time.Second, tick)
	if got := l.serving(); got[""] < served[""]+rate-1 || got["lane-1"] != served["lane-1"] {
		t.Errorf("fans came to the general lane: %v, then %v", served, got)
	}
}

// Whatever happens to the lanes, nobody is sent back, nobody is called who has not joined, calls and places that were
// given up add up, and the pace holds in every window.
func TestLanes_RandomSales(t *testing.T) {
	t.Parallel()
	for seed := range int64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewSource(seed))
			const rate = 50
			l := opened(t, rate)
			here := crowd{joined: map[string]uint64{}}
			control := withLanes(rate, 30)
			for now := began; now.Before(began.Add(3 * time.Minute)); now = now.Add(gap(r)) {
				here.change(r, &control)
				before := *l.last
				l.look(control, here.seen(), now)
				here.check(t, &before, l.last)
			}
			if calledBy(*l.last) == 0 || l.last.Skipped == 0 {
				t.Errorf("%d were called, %d had left: nothing was tried", calledBy(*l.last), l.last.Skipped)
			}
			l.checkEveryWindow(rate)
		})
	}
}

// change lets fans join and leave, and the operator change lanes.
func (c *crowd) change(r *rand.Rand, control *line.Control) {
	lanes := []string{"", "lane-0", "lane-1", "lane-2"}
	lane := lanes[r.Intn(len(lanes))]
	if r.Intn(4) == 0 {
		c.joined[lane] += uint64(r.Intn(60))
	}
	for range r.Intn(3) {
		if n := c.joined[lane]; n > 0 {
			c.left.Add(lane, uint64(r.Int63n(int64(n))))
		}
	}
	if r.Intn(100) == 0 { // a crowd that joins and leaves again
		for range 200 {
			c.left.Add(lane, c.joined[lane])
			c.joined[lane]++
		}
	}
	if r.Intn(50) == 0 {
		control.Lanes = withLanes(0, r.Intn(31), r.Intn(31), r.Intn(31)).Lanes[:1+r.Intn(3)]
	}
}

// check holds a record against the one before and against who joined.
func (c *crowd) check(t *testing.T, before, after *events.Admission) {
	t.Helper()
	var skipped uint64
	for _, l := range line.Lanes(*after) {
		skipped += c.left.Count(l.Name, 0, l.Serving)
		if l.Serving > c.joined[l.Name] || math.Abs(l.Credit) > 5 {
			t.Fatalf("lane %q is called up to %d of %d, with a credit of %g", l.Name, l.Serving, c.joined[l.Name], l.Credit)
		}
	}
	// Someone may leave after having been called.
	if after.Skipped > skipped || after.Skipped < before.Skipped {
		t.Fatalf("%d were skipped, %d before; %d of those who were passed have left", after.Skipped, before.Skipped, skipped)
	}
	for i, l := range before.Lanes {
		if after.Lanes[i].Name != l.Name || after.Lanes[i].Serving < l.Serving {
			t.Fatalf("lane %q at %d became %q at %d", l.Name, l.Serving, after.Lanes[i].Name, after.Lanes[i].Serving)
		}
	}
}

// Places that were given up are passed without a call and cost no pace, wherever they are.
func TestLanes_GivenUpPlacesCostNothing(t *testing.T) {
	t.Parallel()
	const rate, joined = 100, 1000
	for name, gone := range map[string]func(place uint64) bool{
		"nobody": func(uint64) bool { return false }, "every other": func(p uint64) bool { return p%2 == 0 }, "nine of ten": func(p uint64) bool { return p%10 != 3 },
		"the first half": func(p uint64) bool { return p < joined/2 }, "the second half": func(p uint64) bool { return p >= joined/2 }, "all": func(uint64) bool { return true },
	} {
		here := crowd{joined: map[string]uint64{"": joined, "lane-0": joined}}
		var stay [2]uint64
		for p := range uint64(joined) {
			for i, lane := range []string{"", "lane-0"} {
				if gone(p) {
					here.left.Add(lane, p)
				} else {
					stay[i]++
				}
			}
		}
		all := stay[0] + stay[1]
		l := opened(t, rate)
		control := withLanes(rate, 25)
		l.look(control, here.seen(), began)
		for now := began; calledBy(*l.last) < all || l.last.Serving < joined || l.last.Lanes[0].Serving < joined; now = now.Add(tick) {
			if limit := time.Duration(float64(all)/rate*float64(time.Second)) + 5*tick; now.Sub(began) > limit {
				t.Fatalf("%s left: after %v %d of %d were called, %+v", name, limit, calledBy(*l.last), all, l.serving())
			}
			l.look(control, here.seen(), now)
		}
		if l.last.Skipped != 2*joined-all || calledBy(*l.last) != all {
			t.Errorf("%s left: %d skipped, %d called, want %d and %d", name, l.last.Skipped, calledBy(*l.last), 2*joined-all, all)
		}
		l.checkEveryWindow(rate)
	}
}

// Millions who left in a row are passed with few questions.
func TestLanes_ManyLeftInARow(t *testing.T) {
	t.Parallel()
	const gone = 10_000_000
	l := opened(t, 10)
	s, asked := seen(gone+5), 0
	s.Left = func(_ string, from, to uint64) uint64 {
		asked++
		return min(to, gone) - min(from, gone)
	}
	if !l.look(want(sale.Open, 10), s, began.Add(tick)) || l.last.Serving != gone+1 || l.last.Skipped != gone || asked > 100 {
		t.Errorf("%d questions were asked to come to %+v", asked, l.last)
	}
}

// A limit of shoppers holds whatever the pace would allow, and an operator who lifts it is obeyed.
func TestCap(t *testing.T) {
	t.Parallel()
	const rate, most = 1000, 40
	r := rand.New(rand.NewSource(3))
	control := withLanes(rate, 30)
	l := opened(t, rate)
	control.Cap = most
	s := seen(1 << 40)
	s.Joined["lane-0"] = 1 << 40
	if !l.look(control, s, began) || l.last.Reason != "lanes_changed" && l.last.Reason != "cap_changed" || l.last.Cap != most {
		t.Fatalf("a limit is set: %+v", l.last)
	}
	inside, full := 0, 0
	for now := began; now.Before(began.Add(time.Minute)); now = now.Add(tick) {
		s.Inside = inside
		before := calledBy(*l.last)
		l.look(control, s, now)
		called := int(calledBy(*l.last) - before)
		if inside >= most && called > 0 || inside+called > max(most, inside) {
			t.Fatalf("%d were called with %d inside, %d may be", called, inside, most)
		}
		if called > 0 && l.last.Inside != inside {
			t.Fatalf("%d were inside, the record says %d", inside, l.last.Inside)
		}
		if inside += called; inside >= most {
			full++
		}
		if r.Intn(3) == 0 {
			inside -= r.Intn(inside + 1)
		}
		if r.Intn(50) == 0 {
			inside += 2 * most // more came than were expected
		}
	}
	if full < 100 {
		t.Errorf("it was full %d times only", full)
	}
	control.Cap = 0
	end := began.Add(time.Minute)
	if !l.look(control, s, end) || l.last.Reason != "cap_changed" || l.last.Inside != 0 {
		t.Errorf("the limit is lifted: %+v", l.last)
	}
	before := calledBy(*l.last)
	if l.run(control, s, end, time.Second, tick); calledBy(*l.last)-before < rate*9/10 {
		t.Errorf("%d were called in a second without a limit", calledBy(*l.last)-before)
	}
}

// What changes in the lanes or the cap is told; it takes no pace from a slow line, however often it happens.
func TestLanes_ChangesAreTold(t *testing.T) {
	t.Parallel()
	const rate = 0.5
	l := opened(t, rate)
	control := withLanes(rate, 10)
	changes := []struct {
		how    func()
		reason string
	}{
		{func() {}, "lanes_changed"},
		{func() { control.Lanes[0].Granted += 100 }, "codes_granted"},
		{func() { control.Lanes[0].Share = 0.35 - control.Lanes[0].Share }, "lanes_changed"},
		{func() { control.Cap += 1000 }, "cap_changed"},
	}
	now := began
	for i := range 400 {
		c := changes[1+i%3]
		if i == 0 {
			c = changes[0]
		}
		c.how()
		if now = now.Add(tick); !l.look(control, seen(1<<40), now) || l.last.Reason != c.reason {
			t.Fatalf("change %d: %+v, want %q", i, l.last, c.reason)
		}
		for range 4 {
			now = now.Add(tick)
			l.look(control, seen(1<<40), now)
		}
	}
	if l.last.Lanes[0].Granted != control.Lanes[0].Granted {
		t.Errorf("%d joins were granted, the record says %d", control.Lanes[0].Granted, l.last.Lanes[0].Granted)
	}
	if got, due := calledBy(*l.last), uint64(rate*now.Sub(began).Seconds()); got < due-2 || got > due {
		t.Errorf("%d were called while changes came every half second, want %d", got, due)
	}
	l.checkEveryWindow(rate)
}
