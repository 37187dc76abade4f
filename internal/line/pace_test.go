package line_test

import (
	"fmt"
	"math"
	"math/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

var rates = []float64{0.1, 0.5, 3, 7.3, 100, 5000}

const everyone = math.MaxUint64 / 2 // joined, where someone always waits

// runFor is how long the simulated lines run.
const runFor = 20 * time.Minute

// span is a stretch of time from least to most.
type span struct{ least, most time.Duration }

func (s span) draw(r *rand.Rand) time.Duration {
	return s.least + time.Duration(r.Int63n(int64(s.most-s.least)+1))
}

// With people always waiting, a line that is moved often enough admits what the rate says: no more, and less
// only by what waits for the next tick.
func TestNext_HoldsItsPace(t *testing.T) {
	t.Parallel()
	ticks := map[string]struct {
		span
		long time.Duration
	}{
		"even":   {span{100 * time.Millisecond, 100 * time.Millisecond}, runFor / 6},
		"random": {span{time.Millisecond, line.BurstWindow}, runFor},
		"dense":  {span{100 * time.Microsecond, 20 * time.Millisecond}, runFor / 60},
	}
	for _, rate := range rates {
		for name, tick := range ticks {
			t.Run(fmt.Sprintf("%g a second, %s ticks", rate, name), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewSource(1))
				l := opened(t, rate)
				for now := began; now.Before(began.Add(tick.long)); now = now.Add(tick.draw(r)) {
					l.step(want(sale.Open, rate), everyone, now)
				}
				got, most := float64(l.last.Serving), rate*tick.long.Seconds()
				if least := most - rate*tick.most.Seconds() - 2; got > most+0.01 || got < least {
					t.Errorf("%g were admitted in %v, want %g to %g", got, tick.long, least, most)
				}
				l.checkEveryWindow(rate)
			})
		}
	}
}

// Thousands of small records add up to no more than the rate: what is rounded is rounded against the line.
func TestNext_RoundsAgainstTheLine(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{4999, 7000.7} {
		l := opened(t, rate)
		for i := range 20_000 {
			l.step(want(sale.Open, rate), everyone, began.Add(time.Duration(i)*200*time.Microsecond))
		}
		if got, most := float64(l.last.Serving), rate*4; got > most || got < most-3 {
			t.Errorf("%g were admitted in 4 s, want %g", got, most)
		}
	}
}

// Whatever happens to the ticks, the crowd and the state, no stretch of time admits more than rate times the
// time, plus the window's worth, plus one.
func TestNext_NeverAboveItsPaceInAnyWindow(t *testing.T) {
	t.Parallel()
	for _, rate := range rates {
		for seed := range int64(2) {
			t.Run(fmt.Sprintf("%g a second, seed %d", rate, seed), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewSource(seed))
				l := opened(t, rate)
				var joined uint64
				state := sale.Open
				for now := began; now.Before(began.Add(runFor)); {
					if r.Intn(20) == 0 {
						joined += uint64(r.Float64() * 10 * (rate + 1))
					}
					if r.Intn(200) == 0 {
						state = []sale.State{sale.Open, sale.Paused, sale.SoldOut}[r.Intn(3)]
					} else if r.Intn(20) == 0 {
						state = sale.Open
					}
					l.step(want(state, rate), joined, now)
					if l.last.Serving > joined {
						t.Fatalf("%d admitted, %d joined", l.last.Serving, joined)
					}
					now = now.Add(gap(r))
				}
				if l.last.Serving == 0 && joined > 0 {
					t.Error("nobody was admitted")
				}
				l.checkEveryWindow(rate)
			})
		}
	}
}

// gap is the time to the next tick: mostly what was asked for, at times a stall.
func gap(r *rand.Rand) time.Duration {
	switch r.Intn(50) {
	case 0:
		return time.Duration(r.Int63n(int64(30 * time.Second)))
	case 1, 2, 3:
		return time.Duration(r.Int63n(int64(2 * line.BurstWindow)))
	case 4, 5:
		return 0
	}
	return time.Duration(r.Int63n(int64(100 * time.Millisecond)))
}

// Admitters that race for the log, each with the copy that it read last, are together as fast as one: an append
// succeeds for one of them, and what it admitted is spent for all.
func TestNext_ManyAdmittersAreAsFastAsOne(t *testing.T) {
	t.Parallel()
	for _, rate := range rates {
		t.Run(fmt.Sprintf("%g a second", rate), func(t *testing.T) {
			t.Parallel()
			const admitters, long, step = 5, 5 * time.Minute, 7 * time.Millisecond
			r := rand.New(rand.NewSource(2))
			l := opened(t, rate)
			copies := make([]records, admitters)
			pending := make([]*events.Admission, admitters)
			won := make([]int, admitters)
			for i := range copies {
				copies[i] = l.records
			}
			fenced := 0
			for now := began; now.Before(began.Add(long)); now = now.Add(step) {
				// Each is somewhere else between reading, deciding and appending.
				i := r.Intn(admitters)
				switch {
				case pending[i] != nil:
					if !l.append(*pending[i], copies[i].n) {
						fenced++
					} else if pending[i].Reason == "admitted" {
						won[i]++
					}
					pending[i], copies[i] = nil, l.records
				default:
					if next, due := line.Next(copies[i].last, copies[i].written, event, want(sale.Open, rate), seen(everyone), now); due {
						pending[i] = &next
					} else if r.Intn(3) == 0 {
						copies[i] = l.records
					}
				}
			}
			l.checkEveryWindow(rate)
			got, most := float64(l.last.Serving), rate*long.Seconds()
			if got > most || got < most*0.97-rate*line.BurstWindow.Seconds()-2 {
				t.Errorf("%g were admitted, want about %g", got, most)
			}
			if fenced == 0 {
				t.Error("nobody was ever fenced: they did not race")
			}
			for i, n := range won {
				if n == 0 {
					t.Errorf("admitter %d never won: they did not race, %v", i, won)
				}
			}
		})
	}
}

// After an hour in which no admitter ran, the line goes on with no more than a window's worth and one.
func TestNext_NoBurstAfterAnOutage(t *testing.T) {
	t.Parallel()
	for _, rate := range rates {
		for name, during := range map[string]func(l *journal){
			"down":         func(*journal) {},
			"paused":       func(l *journal) { l.step(want(sale.Paused, rate), everyone, began.Add(time.Second)) },
			"sold out":     func(l *journal) { l.step(want(sale.SoldOut, rate), everyone, began.Add(time.Second)) },
			"nobody there": func(l *journal) { l.step(want(sale.Open, rate), 0, began.Add(time.Second)) },
		} {
			l := opened(t, rate)
			during(l)
			back := began.Add(time.Second + runFor)
			for now := back; now.Before(back.Add(10 * time.Second)); now = now.Add(100 * time.Millisecond) {
				l.step(want(sale.Open, rate), everyone, now)
				if got, most := float64(l.last.Serving), rate*(now.Sub(back)+line.BurstWindow).Seconds()+1; got > most+1e-6 {
					t.Fatalf("%g a second, %s: %g admitted %v after the outage, want %g at most", rate, name, got, now.Sub(back), most)
				}
			}
			if least := rate*9.9 - 2; float64(l.last.Serving) < least {
				t.Errorf("%g a second, %s: %d admitted in 10 s after the outage, want %g", rate, name, l.last.Serving, least)
			}
		}
	}
}

// A pace that nobody would ask for harms nobody: no overflow, no burst.
func TestNext_OddRates(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{0, -1, math.SmallestNonzeroFloat64, 1e-12, 1e-4, 1e6} {
		l := opened(t, rate)
		for i := range 600 {
			l.step(want(sale.Open, rate), everyone, began.Add(time.Duration(i)*100*time.Millisecond))
		}
		if got, most := float64(l.last.Serving), max(rate, 0)*60; got > most || got < most-max(rate, 0)*0.1-1 {
			t.Errorf("%g a second: %g were admitted in a minute, want %g", rate, got, most)
		}
	}
}

// An admitter whose clock is behind the one who wrote last, or who has read less of the line, admits nobody and
// takes nothing back.
func TestNext_WithAnOldViewAdmitsNobody(t *testing.T) {
	t.Parallel()
	l := opened(t, 100)
	l.step(want(sale.Open, 100), 50, began.Add(200*time.Millisecond))
	if l.last.Serving != 20 {
		t.Fatalf("%d were admitted, want 20", l.last.Serving)
	}
	for name, c := range map[string]struct {
		joined uint64
		after  time.Duration
	}{
		"an earlier clock": {50, -time.Hour}, "the same clock": {50, 200 * time.Millisecond},
		"fewer joins": {19, time.Second}, "as many joins": {20, time.Second}, "no joins": {0, time.Second},
	} {
		if next, due := line.Next(l.last, l.written, event, want(sale.Open, 100), seen(c.joined), began.Add(c.after)); due || next.Serving < 20 {
			t.Errorf("%s: Next = %+v, %v", name, next, due)
		}
	}
	if next, due := line.Next(l.last, l.written, event, want(sale.Open, 100), seen(22), began.Add(time.Second)); !due || next.Serving != 22 {
		t.Errorf("two wait, Next = %+v, %v", next, due)
	}
}

// The record does not depend on where the clock's owner lives.
func TestNext_TimesAreUTC(t *testing.T) {
	t.Parallel()
	l := opened(t, 100)
	local := began.Add(time.Second + 999).In(time.FixedZone("somewhere", 3600))
	next, due := line.Next(l.last, l.written, event, want(sale.Open, 100), seen(1), local)
	if !due || next.At.Location() != time.UTC || next.PacedTo.Location() != time.UTC || !next.At.Equal(began.Add(time.Second)) {
		t.Errorf("Next = %+v, %v", next, due)
	}
	again, err := events.Decode[events.Admission](events.Encode(next))
	if diff := cmp.Diff(next, again); err != nil || diff != "" {
		t.Errorf("it is read otherwise: %v (-want +got):\n%s", err, diff)
	}
}
