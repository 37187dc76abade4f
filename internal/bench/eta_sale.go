package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// Times of simulated sales count in ticks of the admitter.
const (
	tick        = 100 * time.Millisecond
	ticksSecond = int(time.Second / tick)
	etaTicks    = 12 * 3600 * ticksSecond // no sale takes longer
	wheelTicks  = 256                     // longer than any poll interval
)

// disturbance is what happens in a simulated sale. The operator changes the rate and pauses at random, each every
// so many seconds on average, and never where that is 0.
type disturbance struct {
	steps, pauses   float64
	noShows, stalls bool
}

// plannedSale is what will happen in a simulated sale.
type plannedSale struct {
	fans    int
	rate    float64 // at the opening
	changes []etaChange
	comes   func(place int) float64 // the share of those with about this place who come
	shifts  []int                   // the places where it jumps
	late    float64                 // of those who come, how many are late
	lobby   float64                 // how many are there when the sale opens; the rest join over joining seconds
	joining float64
	stalls  []int // when the admitter fails over, for 10 s
}

// etaChange is a wish of the operator's.
type etaChange struct {
	at     int // tick
	state  sale.State
	factor float64 // of the rate
}

// planSale draws a sale. What a kind of sales is named for happens at least once in what the sale is planned to take.
func planSale(r *rand.Rand, d disturbance) plannedSale {
	between := func(least, most float64) float64 { return least * math.Pow(most/least, r.Float64()) }
	p := plannedSale{fans: int(between(5_000, 200_000)), lobby: 0.5 + 0.5*r.Float64(), late: 0.2 * r.Float64()}
	planned := between(600, 3600)
	p.rate = math.Round(float64(p.fans) / planned)
	p.joining = planned / 3
	in := func(mean float64) int { return int(mean * r.ExpFloat64() * float64(ticksSecond)) }
	end := int(planned) * ticksSecond
	first := func(mean float64) int { return in(mean) % end }
	if d.steps > 0 {
		rate := p.rate
		for t := first(d.steps); t < 2*end; t += in(d.steps) {
			f := math.Pow(2, 2*r.Float64()-1)
			if rate*f < p.rate/4 || rate*f > p.rate*4 {
				f = 1 / f
			}
			rate *= f
			p.changes = append(p.changes, etaChange{t, sale.Open, f})
		}
	}
	if d.pauses > 0 {
		for t := first(d.pauses); t < 2*end; t += in(d.pauses) {
			long := int(between(30, 300) * float64(ticksSecond))
			p.changes = append(p.changes, etaChange{t, sale.Paused, 1}, etaChange{t + long, sale.Open, 1})
			t += long
		}
	}
	if d.stalls {
		p.stalls = append(p.stalls, r.IntN(end))
	}
	slices.SortFunc(p.changes, func(a, b etaChange) int { return a.at - b.at })
	here, there := 1.0, 1.0
	if d.noShows {
		here, there = 1-0.6*r.Float64(), 1-0.6*r.Float64()
	}
	p.comes = func(int) float64 { return here }
	switch shape := r.IntN(3); {
	case d.noShows && shape == 1: // those who wait longer leave more, or less
		p.comes = func(place int) float64 { return here + (there-here)*float64(place)/float64(p.fans) }
	case d.noShows && shape == 2:
		border := int((0.2 + 0.6*r.Float64()) * float64(p.fans))
		p.shifts = []int{border}
		p.comes = func(place int) float64 {
			if place < border {
				return here
			}
			return there
		}
	}
	return p
}

// etaSale is a sale in virtual time, driven by the code that drives a real one.
type etaSale struct {
	plannedSale
	r     *rand.Rand
	now   int // tick
	state sale.State
	rate  float64 // the operator's
	draw  events.Draw
	last  *events.Admission
	since int // the tick of the last change of the release
	here  int // how many have joined
	shows *line.Shows
	share float64

	woken  int                 // fans below this place are near enough to be simulated
	polls  [wheelTicks][]int32 // who polls at a tick
	claims [wheelTicks][]claim // what the admitter hears at a tick
	dozing map[int][]int32     // who is late, by tick

	joinedAt, calledAt []int32 // ticks, by place
	history            []told  // by tick
	arrived            []int32 // by second
	steps              []int   // ticks from which a new target counts
	targets            []float64
	releases           int // how often the release changed
}

type claim struct {
	place int32
	at    int
}

// told is what the record says at a tick.
type told struct {
	line.Outlook
	serving int32
	rate    float64
	open    bool
}

var etaBegan = time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)

func timeOf(t int) time.Time { return etaBegan.Add(time.Duration(t) * tick) }

// simulate runs a sale until everyone was called.
func simulate(r *rand.Rand, p plannedSale) *etaSale {
	s := &etaSale{
		plannedSale: p, r: r, state: sale.Open, rate: p.rate, share: 1, shows: line.NewShows(1), dozing: map[int][]int32{},
		joinedAt: make([]int32, p.fans), calledAt: make([]int32, p.fans),
	}
	for i := range s.joinedAt {
		if over := float64(i) - p.lobby*float64(p.fans); over > 0 {
			s.joinedAt[i] = int32(over / ((1 - p.lobby) * float64(p.fans)) * p.joining * float64(ticksSecond))
		}
	}
	s.steps = []int{0}
	s.admit() // the lobby
	for int(s.last.Serving) < p.fans && s.now < etaTicks {
		s.tick()
	}
	return s
}

func (s *etaSale) tick() {
	for len(s.changes) > 0 && s.changes[0].at <= s.now {
		s.change(s.changes[0])
		s.changes = s.changes[1:]
	}
	slot := s.now % wheelTicks
	for _, c := range s.claims[slot] {
		s.shows.Claimed(uint64(c.place), timeOf(c.at))
	}
	s.claims[slot] = s.claims[slot][:0]
	if !s.stalled() {
		s.admit()
	}
	s.wake()
	polling := s.polls[slot]
	s.polls[slot] = nil
	for _, place := range polling {
		s.poll(place)
	}
	for _, place := range s.dozing[s.now] {
		s.come(place)
	}
	delete(s.dozing, s.now)
	s.history = append(s.history, told{s.see(), int32(s.last.Serving), s.rate, s.state == sale.Open})
	if s.now%ticksSecond == 0 {
		target := s.rate
		if s.state != sale.Open || s.last.Serving >= uint64(s.here) {
			target = 0
		}
		s.targets = append(s.targets, target)
	}
	s.now++
}

func (s *etaSale) change(c etaChange) {
	if c.factor != 1 {
		s.rate *= c.factor
		s.steps = append(s.steps, s.now)
		return
	}
	s.state = c.state
	if c.state == sale.Open {
		s.steps = append(s.steps, s.now)
	}
}

func (s *etaSale) stalled() bool {
	for _, at := range s.stalls {
		if s.now >= at && s.now < at+10*ticksSecond {
			return true
		}
	}
	return false
}

// admit appends the record that is due, as the admitter does. A stall shows in the first record after it.
func (s *etaSale) admit() {
	joined := s.joined()
	seen := line.Seen{
		Joined: map[string]uint64{"": joined}, Share: s.share, Steady: time.Duration(s.now-s.since) * tick, Draw: &s.draw,
	}
	if s.now%ticksSecond == 0 { // a share changes slowly, and costs more than a record
		s.share, _ = s.shows.Share(timeOf(s.now))
	}
	next, due := line.Next(s.last, nil, "", line.Control{State: s.state, Rate: s.rate, SeatsLeft: 1}, seen, timeOf(s.now))
	if !due {
		return
	}
	var from uint64
	if s.last != nil {
		from = s.last.Serving
		if line.Pace(*s.last) != line.Pace(next) {
			s.since = s.now
			s.releases++
		}
	}
	s.shows.Released(next.Serving, next.At)
	for place := from; place < next.Serving; place++ {
		s.calledAt[place] = int32(s.now)
	}
	for _, border := range s.shifts {
		if from < uint64(border) && next.Serving >= uint64(border) {
			s.steps = append(s.steps, s.now)
		}
	}
	s.last = &next
}

// see is what the last record tells.
func (s *etaSale) see() line.Outlook { return line.Outlook(s.last.Outlook) }

func (s *etaSale) joined() uint64 {
	for s.here < s.fans && int(s.joinedAt[s.here]) <= s.now {
		s.here++
	}
	return uint64(s.here)
}

// nearBy is how long before its turn the polls of a fan are simulated, in seconds: the ones before leave no trace.
const nearBy = 46

// wake starts to simulate the fans whose turn comes near, somewhere between two of their polls.
func (s *etaSale) wake() {
	near := min(s.here, int(s.last.Serving)+int(nearBy*s.see().Flow)+1)
	for ; s.woken < near; s.woken++ {
		if s.r.Float64() < s.comes(s.woken) {
			s.pollIn(int32(s.woken), s.pollEvery(s.woken)*s.r.Float64())
		}
	}
}

// pollEvery is the interval in which a fan is told to poll, in seconds; it stands for line.Stand.
func (s *etaSale) pollEvery(place int) float64 {
	if s.state != sale.Open || s.see().Flow <= 0 {
		return 2
	}
	return pollInterval(float64(place-int(s.last.Serving)+1) / s.see().Flow)
}

func pollInterval(wait float64) float64 {
	return min(max(min(wait/3, 15), wait/20, 0.5), 60)
}

func (s *etaSale) pollIn(place int32, seconds float64) {
	at := s.now + max(1, int(math.Round(seconds*float64(ticksSecond)+s.r.Float64()-0.5)))
	s.polls[at%wheelTicks] = append(s.polls[at%wheelTicks], place)
}

// poll lets a fan in whose turn it is. Some don't look just then, and come a minute or some later.
func (s *etaSale) poll(place int32) {
	if uint64(place) >= s.last.Serving {
		s.pollIn(place, s.pollEvery(int(place))*(0.9+0.2*s.r.Float64()))
		return
	}
	if s.r.Float64() < s.late {
		at := s.now + 1 + int(min(90*s.r.ExpFloat64(), 600)*float64(ticksSecond))
		s.dozing[at] = append(s.dozing[at], place)
		return
	}
	s.come(place)
}

// come is a claim; the admitter hears of it within half a second.
func (s *etaSale) come(place int32) {
	for len(s.arrived) <= s.now/ticksSecond {
		s.arrived = append(s.arrived, 0)
	}
	s.arrived[s.now/ticksSecond]++
	heard := (s.now + 1 + s.r.IntN(ticksSecond/2)) % wheelTicks
	s.claims[heard] = append(s.claims[heard], claim{place, s.now})
}
