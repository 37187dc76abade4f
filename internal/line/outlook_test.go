package line_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"onsale/internal/line"
	"onsale/internal/sale"
)

// watched is a line whose outlook is followed second by second.
type watched struct {
	line.Outlook
	last line.Observation
	pace float64 // of the part of a turn that is due, in turns
}

func watch(rate, part float64) *watched {
	is := line.Observation{At: began, State: sale.Open, Joined: 1 << 40, Rate: rate, Part: part, Release: rate * part}
	w := &watched{last: is}
	w.Outlook = w.Next(is, is)
	return w
}

// run lets seconds pass after a change, in which yield times the turns that are due are called.
func (w *watched) run(seconds int, yield float64, change func(*line.Observation)) {
	for range seconds {
		is := w.last
		is.At = is.At.Add(time.Second)
		change(&is)
		if is.State == sale.Open {
			w.pace += is.Release * yield
			is.Serving += uint64(w.pace)
			w.pace -= float64(uint64(w.pace))
		}
		w.Outlook = w.Next(w.last, is)
		w.last = is
	}
}

func unchanged(*line.Observation) {}

func TestOutlook_SaysWhyETAsRise(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct {
		yield  float64
		change func(*line.Observation)
	}{
		"":                    {1, unchanged},
		line.RoseRateLowered:  {1, func(o *line.Observation) { o.Rate, o.Release = 90, 90 }},
		line.RoseShareChanged: {1, func(o *line.Observation) { o.Part, o.Release = 0.9, 90 }},
		line.RoseMoreCame:     {1, func(o *line.Observation) { o.Release = 90 }},
		line.RoseSlower:       {0.7, unchanged},
	} {
		w := watch(100, 1)
		w.run(60, 1, unchanged)
		before, _, _ := w.ETA(100_000)
		w.run(60, c.yield, c.change)
		after, _, _ := w.ETA(100_000)
		if w.Rose != want || (after > before) != (want != "") {
			t.Errorf("the ETA went from %d to %d by %q, want %q", before, after, w.Rose, want)
		}
		w.run(300, c.yield, c.change)
		if w.Rose != "" {
			t.Errorf("%q is still told after five minutes", w.Rose)
		}
	}
}

func TestOutlook_TellsOfAPauseOnceItIsOver(t *testing.T) {
	t.Parallel()
	w := watch(100, 1)
	w.run(60, 1, unchanged)
	w.run(120, 1, func(o *line.Observation) { o.State = sale.Paused })
	w.run(1, 1, func(o *line.Observation) { o.State = sale.Open })
	if w.Rose != line.RosePaused || w.Flow != 100 || w.Pauses != 1 || w.Paused != 120 {
		t.Errorf("after a pause: %+v", w.Outlook)
	}
}

// A told flow that followed every measurement would let the seconds wobble.
func TestOutlook_IsSteadyWhileLittleChanges(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	w := watch(100, 1)
	w.run(3600, 1, func(o *line.Observation) { o.Release = 100 * (0.97 + 0.06*r.Float64()) })
	if w.Flow != 100 || w.Rose != "" {
		t.Errorf("the flow is %g by %q, want 100 still", w.Flow, w.Rose)
	}
}

// A priority lane beside empty ones is faster than its part, until the others are back.
func TestOutlook_OfALaneThatGetsWhatOthersLeave(t *testing.T) {
	t.Parallel()
	w := watch(100, 0.3)
	w.run(300, 1/0.3, unchanged)
	if w.Flow < 90 || w.Flow > 105 || w.Rose != "" {
		t.Errorf("alone the flow is %g by %q, want about 100", w.Flow, w.Rose)
	}
	w.run(600, 1, unchanged)
	if w.Flow < 29 || w.Flow > 35 {
		t.Errorf("with the others back the flow is %g, want about 30", w.Flow)
	}
	w = watch(100, 0.3)
	w.run(300, 1/0.3, unchanged)
	w.run(60, 1, unchanged)
	if w.Rose != line.RoseShareChanged {
		t.Errorf("ETAs rose by %q, want %q", w.Rose, line.RoseShareChanged)
	}
}

// Whatever happens, a fan who polls as told never sees an ETA rise without a reason newer than the answer before.
func TestOutlook_NeverRisesWithoutAReason(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 5))
		w := watch(50, 1)
		place, lastETA, lastAt, pollAt, yield, rises := uint64(400_000), int64(1<<62), began, began, 1.0, 0
		for second := 0; second < 5000 && w.last.Serving < place; second++ {
			w.run(1, yield, func(o *line.Observation) { disturb(r, o, &yield) })
			if w.last.At.Before(pollAt) || w.last.State != sale.Open {
				continue
			}
			eta, _, _ := w.ETA(place - min(w.last.Serving, place-1))
			if eta > lastETA {
				rises++
				if w.Rose == "" || w.RoseAt.Before(lastAt) {
					t.Fatalf("seed %d: the ETA rose from %d to %d without a reason: %+v", seed, lastETA, eta, w.Outlook)
				}
			}
			lastETA, lastAt = eta, w.last.At
			pollAt = lastAt.Add(time.Duration(1+r.IntN(60)) * time.Second)
		}
		if rises == 0 {
			t.Errorf("seed %d: no ETA rose, so nothing was tested", seed)
		}
	}
}

// disturb changes a line at random, now and then.
func disturb(r *rand.Rand, o *line.Observation, yield *float64) {
	makeUp := o.Release / (o.Rate * o.Part)
	switch r.IntN(300) {
	case 0:
		o.Rate = 20 + 80*r.Float64()
	case 1:
		o.Part = 0.3 + 0.7*r.Float64()
	case 2:
		o.State = sale.Paused
	case 3, 4, 5:
		o.State = sale.Open
	case 6:
		*yield = 0.5 + r.Float64()
	case 7, 8, 9, 10:
		makeUp = min(max(makeUp*(0.9+0.2*r.Float64()), 1), line.MaxMakeUp)
	}
	o.Release = o.Rate * o.Part * makeUp
}

func TestOutlook_ETAsAreOrdered(t *testing.T) {
	t.Parallel()
	for _, o := range []line.Outlook{{}, {Flow: 0.001}, {Flow: 10}, {Flow: 1e6, Ran: 1e5, Swing: 50, Pauses: 100, Paused: 1e5}} {
		var before int64
		for turns := uint64(1); turns < 1<<62; turns *= 3 {
			eta, low, high := o.ETA(turns)
			if low < 0 || low > eta || eta > high || eta < before {
				t.Fatalf("%+v: %d turns take %d, %d to %d; fewer took %d", o, turns, eta, low, high, before)
			}
			before = eta
		}
	}
}

// The interval is as wide as the line's own past says.
func TestOutlook_LearnsHowWideTheIntervalIs(t *testing.T) {
	t.Parallel()
	width := func(o line.Outlook) int64 {
		_, low, high := o.ETA(6000)
		return high - low
	}
	start := line.Outlook{Flow: 10, Ran: 60}
	calm, swinging, pausing := start, start, start
	calm.Ran = 3600
	swinging.Ran, swinging.Swing = 3600, 2
	pausing.Ran, pausing.Pauses, pausing.Paused = 3600, 6, 900
	if a, b := width(calm), width(start); a >= b {
		t.Errorf("after a calm hour the interval is %d s wide, after a minute %d s", a, b)
	}
	for name, o := range map[string]line.Outlook{"swinging": swinging, "pausing": pausing} {
		if a, b := width(o), width(calm); a < 2*b {
			t.Errorf("after a %s hour the interval is %d s wide, after a calm one %d s", name, a, b)
		}
	}
	if _, lowCalm, _ := calm.ETA(6000); lowCalm < 500 {
		t.Errorf("after a calm hour 600 s may be %d s", lowCalm)
	}
}

func TestOutlook_GoesThroughARecord(t *testing.T) {
	t.Parallel()
	w := watch(100, 1)
	w.run(100, 0.8, unchanged)
	data, err := json.Marshal(w.Outlook)
	if err != nil {
		t.Fatal(err)
	}
	var got line.Outlook
	if err := json.Unmarshal(data, &got); err != nil || got != w.Outlook || len(data) > 200 {
		t.Errorf("%s is read as %+v (%v)", data, got, err)
	}
}
