package bench

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
)

// etaKind is a kind of simulated sales.
type etaKind struct {
	name  string
	total bool // counts in the figures over all kinds
	disturbance
}

// etaKinds are what is simulated. The last two are not in the totals: their operators are none that the priors of
// line.Outlook were chosen for.
var etaKinds = []etaKind{
	{"none", true, disturbance{}},
	{"steps", true, disturbance{steps: 900}},
	{"pauses", true, disturbance{pauses: 900}},
	{"no-shows", true, disturbance{noShows: true}},
	{"all", true, disturbance{steps: 900, pauses: 900, noShows: true, stalls: true}},
	{"restless", false, disturbance{steps: 400, pauses: 400, noShows: true, stalls: true}},
	{"calm", false, disturbance{steps: 2400, pauses: 2400, noShows: true}},
}

// The priors of line.Outlook and the numbers in line.Shows were chosen on the sales of the seeds 1,000 to 1,699. What is
// reported are others, from etaReport on, on which no choice was made.
const (
	etaReport  = 70_000
	etaPerKind = 30 // sales
)

// benchETA measures how honest the ETA is: in simulated sales, in virtual time, against when each turn came.
func benchETA(ctx context.Context, r *runner) ([]Result, error) {
	var total etaFigures
	var byKind []Result
	for k, kind := range etaKinds {
		var f etaFigures
		for i := range etaPerKind {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			f.add(etaOf(etaReport+uint64(100*k+i), kind.disturbance))
		}
		r.tell("  %s: %d sales, %d fans, the interval held for %.1f %%", kind.name, etaPerKind, f.told.fans, f.told.held())
		byKind = append(byKind, f.results("-"+kind.name)...)
		if kind.total {
			total.add(f)
		}
	}
	return append(total.results(""), byKind...), nil
}

// etaOf simulates one sale.
func etaOf(seed uint64, d disturbance) etaFigures {
	r := rand.New(rand.NewPCG(seed, 0))
	return simulate(r, planSale(r, d)).figures()
}

// figures compares what was told with what came, once the sale is over.
func (s *etaSale) figures() etaFigures {
	var f etaFigures
	for place, called := range s.calledAt {
		s.judge(&f, place, int(s.joinedAt[place]), int(called))
	}
	for range 200 {
		s.follow(&f, s.r.IntN(s.fans))
	}
	f.perSale = []float64{f.told.held()}
	f.releases, f.seconds = s.releases, float64(s.now)/float64(ticksSecond)
	s.inside(&f)
	return f
}

// etaFigures are what was told in some sales, against what came.
type etaFigures struct {
	told, first          interval // at a random moment of each fan's wait, and at the first
	before, after, naive []float64
	perSale              []float64 // percent of the fans for whom the interval held
	rises, unexplained   int
	releases             int // changes of the release
	seconds              float64
	every, busy          arrivals
}

// interval counts fans by where their turn came.
type interval struct{ fans, early, late int }

func (i *interval) count(off int) {
	i.fans++
	switch {
	case off < 0:
		i.early++
	case off > 0:
		i.late++
	}
}

func (i interval) held() float64 { return percent(i.fans-i.early-i.late, i.fans) }

func (i *interval) add(o interval) {
	i.fans, i.early, i.late = i.fans+o.fans, i.early+o.early, i.late+o.late
}

// arrivals are how those who came inside followed the target.
type arrivals struct {
	settled      []float64 // seconds from each step until they stayed within a tenth of the target
	within, rest int       // seconds within a tenth, of all that are later than a minute after a step
}

func (a *arrivals) add(o arrivals) {
	a.settled, a.within, a.rest = append(a.settled, o.settled...), a.within+o.within, a.rest+o.rest
}

func (f *etaFigures) add(o etaFigures) {
	f.told.add(o.told)
	f.first.add(o.first)
	f.before, f.after, f.naive = append(f.before, o.before...), append(f.after, o.after...), append(f.naive, o.naive...)
	f.perSale = append(f.perSale, o.perSale...)
	f.rises, f.unexplained = f.rises+o.rises, f.unexplained+o.unexplained
	f.releases, f.seconds = f.releases+o.releases, f.seconds+o.seconds
	f.every.add(o.every)
	f.busy.add(o.busy)
}

// judge compares what a fan was told with when its turn came. Those who leave count too: their turn comes as well. A
// moment in a pause, when no ETA is told, is drawn again, some times.
func (s *etaSale) judge(f *etaFigures, place, joined, called int) {
	if called <= joined {
		return
	}
	if s.history[joined].open {
		_, _, off := s.compare(place, joined, called)
		f.first.count(off)
	}
	at := joined + s.r.IntN(called-joined)
	for try := 0; try < 20 && !s.history[at].open; try++ {
		at = joined + s.r.IntN(called-joined)
	}
	if !s.history[at].open {
		return
	}
	miss, naive, off := s.compare(place, at, called)
	f.told.count(off)
	if int(s.history[at].serving) < s.fans/10 {
		f.before = append(f.before, miss)
		return
	}
	f.after, f.naive = append(f.after, miss), append(f.naive, naive)
}

// compare is the relative error of the ETA told to a place at a tick, the one that position / rate would have, and
// whether the turn came before the interval (-1), in it or after it (1). A wait of less than a second counts as one.
func (s *etaSale) compare(place, at, called int) (miss, naive float64, off int) {
	h := s.history[at]
	turns := place - int(h.serving) + 1
	eta, low, high := h.ETA(uint64(turns))
	took := float64(called-at) / float64(ticksSecond)
	switch {
	case took < float64(low):
		off = -1
	case took > float64(high):
		off = 1
	}
	relative := func(told float64) float64 { return math.Abs(told-took) / max(took, 1) }
	return relative(float64(eta)), relative(math.Ceil(float64(turns) / h.rate)), off
}

// follow lets one fan poll from its join to its turn. It counts how often the ETA was higher than in the answer
// before, and how often no reason since that answer was told with it.
func (s *etaSale) follow(f *etaFigures, place int) {
	last, lastAt := int64(math.MaxInt64), 0
	for at := int(s.joinedAt[place]); at < int(s.calledAt[place]); {
		h := s.history[at]
		every := 2.0
		if h.open {
			eta, _, _ := h.ETA(uint64(place - int(h.serving) + 1))
			if eta > last {
				f.rises++
				if h.Rose == "" || h.RoseAt.Before(timeOf(lastAt)) {
					f.unexplained++
				}
			}
			last, lastAt = eta, at
			every = pollInterval(float64(eta))
		}
		at += max(1, int(every*(0.9+0.2*s.r.Float64())*float64(ticksSecond)))
	}
}

const (
	smoothFor = 20   // seconds over which arrivals are smoothed
	settleFor = 60   // seconds in which arrivals may take to follow a step
	tolerance = 0.1  // of the target
	busyRate  = 20.0 // fans a second from which chance alone leaves the smoothed arrivals within the tolerance
)

// inside compares those who came inside with the target, from each step to the next, as long as there is a line and it
// isn't paused. A step is the opening, a change of the rate, a resumption, or a jump of the share of those who come.
func (s *etaSale) inside(f *etaFigures) {
	end := min(len(s.targets), len(s.arrived))
	for i, step := range s.steps {
		from, to := step/ticksSecond+1, end
		if i+1 < len(s.steps) {
			to = min(to, s.steps[i+1]/ticksSecond)
		}
		if from >= to {
			continue
		}
		if stop := slices.Index(s.targets[from:to], 0); stop >= 0 {
			to = from + stop
		}
		a := s.settling(from, to)
		f.every.add(a)
		if s.targets[from] >= busyRate {
			f.busy.add(a)
		}
	}
}

// settling is how arrivals followed a step, between two seconds.
func (s *etaSale) settling(from, to int) (a arrivals) {
	settled := smoothFor
	for t := from + smoothFor; t < to; t++ {
		sum := 0
		for _, n := range s.arrived[t-smoothFor : t] {
			sum += int(n)
		}
		off := math.Abs(float64(sum)/smoothFor/s.targets[t]-1) > tolerance
		if off && t < from+2*settleFor {
			settled = t + 1 - from
		}
		if t >= from+settleFor {
			a.rest++
			if !off {
				a.within++
			}
		}
	}
	if to >= from+2*settleFor {
		a.settled = []float64{float64(settled)}
	}
	return a
}

func percent(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }

// quantile of no values is 0.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

func (f *etaFigures) results(kind string) []Result {
	one := func(name string, value float64, unit string) Result {
		return Result{Bench: "eta-" + name + kind, Value: value, Unit: unit, Samples: []float64{value}}
	}
	held := one("held", f.told.held(), "% of fans, 90 promised")
	held.Samples = f.perSale
	typical := one("error", 100*quantile(f.after, 0.5), "% median, after a tenth")
	typical.Baseline, typical.Against = 100*quantile(f.naive, 0.5), "position / rate"
	if typical.Baseline > 0 {
		typical.Ratio = typical.Value / typical.Baseline
	}
	return []Result{
		held,
		one("early", percent(f.told.early, f.told.fans), "% of fans"),
		one("late", percent(f.told.late, f.told.fans), "% of fans"),
		one("held-first", f.first.held(), "% of fans, told first"),
		typical,
		one("error-p90", 100*quantile(f.after, 0.9), "% 90th percentile"),
		one("error-before", 100*quantile(f.before, 0.5), "% median, before a tenth"),
		one("error-before-p90", 100*quantile(f.before, 0.9), "% 90th percentile"),
		one("rises", float64(f.rises), "in 200 waits a sale"),
		one("rises-unexplained", float64(f.unexplained), "of those"),
		one("settled", quantile(f.busy.settled, 0.5), "s, 20 fans/s and more"),
		one("settled-p90", quantile(f.busy.settled, 0.9), "s"),
		one("within", percent(f.busy.within, f.busy.rest), "% of seconds"),
		one("within-any", percent(f.every.within, f.every.rest), "% of seconds, any rate"),
		one("releases", 60*float64(f.releases)/max(f.seconds, 1), "changes/min"),
	}
}
