package line

import (
	"math"
	"sort"
	"time"
)

// Shows measures what share of those whose turn comes do come. Most claim their turn within a second or two, some
// minutes later, some never; so the turns called lately are weighed by the part of their claims that is to be
// expected by now, and that part is measured too. It is meant for one goroutine, and holds the turns of at most
// showSlots seconds in which any were called and at most showPlaces of them; a line that is paused forgets nothing.
type Shows struct {
	slots []showSlot // oldest first
	known float64    // the share before anything was measured here
	next  uint64     // the first place that was not called yet
	begun bool
}

const (
	showEvery   = time.Second
	showSlots   = 300
	showPlaces  = 1 << 22
	showLag     = time.Second // by which a claim has reached the one who counts
	leastShow   = 0.01        // no share below this is ever told
	knownWeight = 10          // how many turns the share known before counts for
	enoughShows = 40          // expected claims before a share counts as measured
)

// claimAges are the ends of the classes into which the age of a turn at its claim falls, in seconds.
var claimAges = [...]float64{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256}

// showSlot holds the turns called within one second. Ages count from its beginning.
type showSlot struct {
	at         time.Time
	from, upTo uint64
	skipped    uint64   // places given up before their turn
	claimed    []uint64 // a bit for each place: a claim told twice counts once
	claims     [len(claimAges)]uint32
}

// NewShows starts from the share that is known, such as the one in the last record; a new line starts from 1.
func NewShows(known float64) *Shows {
	return &Shows{known: boundShare(known)}
}

func boundShare(share float64) float64 {
	if math.IsNaN(share) {
		return 1
	}
	return min(max(share, leastShow), 1)
}

// Released says that everyone below upTo is called, since at. The first call only says where the line stands. What
// was called before counts for nothing; at must not go back, and is taken as the latest one where it does.
func (s *Shows) Released(upTo uint64, at time.Time) {
	if !s.begun {
		s.begun, s.next = true, upTo
		return
	}
	if upTo <= s.next {
		return
	}
	from := max(s.next, upTo-min(upTo, showPlaces))
	s.next = upTo
	if n := len(s.slots); n > 0 {
		last := &s.slots[n-1]
		if at.Sub(last.at) < showEvery && upTo-last.from <= showPlaces {
			last.upTo = upTo
			last.claimed = append(last.claimed, make([]uint64, words(upTo-last.from)-len(last.claimed))...)
			s.forget()
			return
		}
	}
	s.slots = append(s.slots, showSlot{at: at, from: from, upTo: upTo, claimed: make([]uint64, words(upTo-from))})
	s.forget()
}

// Skipped says that so many places of the last Released were given up before their turn: nobody was called, and nobody
// is expected.
func (s *Shows) Skipped(places uint64) {
	if n := len(s.slots); n > 0 {
		last := &s.slots[n-1]
		last.skipped = min(last.skipped+places, last.upTo-last.from)
	}
}

func words(places uint64) int { return int((places + 63) / 64) }

// forget drops the oldest slots beyond the bounds.
func (s *Shows) forget() {
	drop := max(0, len(s.slots)-showSlots)
	for s.next-s.slots[drop].from > showPlaces && drop < len(s.slots)-1 {
		drop++
	}
	if drop > 0 {
		n := copy(s.slots, s.slots[drop:])
		clear(s.slots[n:])
		s.slots = s.slots[:n]
	}
}

// Claimed says that the fan with a place came at a time. A claim counts once, and only when the place was called here
// and is still remembered, and at most the last class of claimAges later.
func (s *Shows) Claimed(place uint64, at time.Time) {
	i := sort.Search(len(s.slots), func(i int) bool { return s.slots[i].upTo > place })
	if i == len(s.slots) || place < s.slots[i].from {
		return
	}
	slot := &s.slots[i]
	word, bit := (place-slot.from)/64, uint64(1)<<((place-slot.from)%64)
	if slot.claimed[word]&bit != 0 {
		return
	}
	slot.claimed[word] |= bit
	if class := sort.SearchFloat64s(claimAges[:], at.Sub(slot.at).Seconds()); class < len(claimAges) {
		slot.claims[class]++
	}
}

// Share is the share of those called who come, and whether it is measured: until enough turns are old enough it is
// the share known before. Of the windows that end now it takes the longest that contradicts no shorter one, so that
// it is steady while the share is and follows within seconds when it changes (Lepski's rule for the width of a
// window).
func (s *Shows) Share(now time.Time) (share float64, measured bool) {
	by := s.claimedBy(now)
	share = s.known
	var low, high = 0.0, math.Inf(1)
	var claims, due float64
	longer, seen := 8, 0
	for i := len(s.slots) - 1; i >= 0; i-- {
		slot := &s.slots[i]
		class := slot.known(now)
		if class < 0 {
			continue
		}
		for _, n := range slot.claims[:class+1] {
			claims += float64(n)
		}
		due += float64(slot.upTo-slot.from-slot.skipped) * by[class]
		if seen++; due < enoughShows || (seen < longer && i > 0) {
			continue
		}
		longer *= 2
		found := (claims + knownWeight*s.known) / (due + knownWeight)
		if found < low || found > high {
			break
		}
		share, measured = found, true
		// Three standard errors of a share, and a little for what is not known of the delays.
		width := 3*math.Sqrt(max(found*(1-found), 0.02)/due) + 0.03*found
		low, high = max(low, found-width), min(high, found+width)
	}
	return boundShare(share), measured
}

// known is the last class of ages that is over, for a slot, and whose claims are all known; -1 before the first.
func (s *showSlot) known(now time.Time) int {
	age, class := (now.Sub(s.at) - showLag).Seconds(), len(claimAges)-1
	for class >= 0 && claimAges[class] > age {
		class--
	}
	return class
}

// claimedBy is the part of all claims that is made by the end of each class of ages. Younger slots say nothing of
// the later classes, so the chance of a claim in a class given one in it or before is measured for each class, among
// the slots old enough, and the chances are multiplied from the last class down (the reverse-time hazard of
// Kalbfleisch and Lawless 1989, for delays seen only up to an age). A prior weighs as much as a few claims: four in
// five within a few seconds, the rest with a mean of half a minute.
func (s *Shows) claimedBy(now time.Time) [len(claimAges)]float64 {
	const weight = 20
	var in, upTo [len(claimAges)]float64
	for i := range s.slots {
		slot, sum := &s.slots[i], 0.0
		for class, n := range slot.claims[:slot.known(now)+1] {
			sum += float64(n)
			in[class] += float64(n)
			upTo[class] += sum
		}
	}
	var by [len(claimAges)]float64
	left := 1.0
	for class := len(claimAges) - 1; class >= 0; class-- {
		by[class] = left
		if class > 0 {
			here, before := priorBy(claimAges[class]), priorBy(claimAges[class-1])
			left *= 1 - (in[class]+weight*(here-before))/(upTo[class]+weight*here)
		}
	}
	return by
}

func priorBy(age float64) float64 { return 1 - 0.8*math.Exp(-age) - 0.2*math.Exp(-age/30) }

// MaxMakeUp bounds how many turns are called for each fan who should come: fewer than one in three come only where
// something is wrong, and then more calls would mend nothing.
const MaxMakeUp = 3

const (
	releaseStep  = 0.03        // smaller changes aren't worth a record
	releaseEvery = time.Second // nor are more frequent ones
)

// Release is how many turns a second to call so that rate fans a second come, where a share of those called does. last
// is the rate and the release of the last record, and since the time for which that release has stood. It follows a
// new rate at once, and otherwise changes by no less than 3 % and at most once a second.
func Release(rate, share float64, lastRate, lastRelease float64, since time.Duration) float64 {
	if rate <= 0 {
		return 0
	}
	due := rate
	if makeUp := min(1/boundShare(share), MaxMakeUp); makeUp > 1 {
		due = max(rate, digits(rate*makeUp, 4))
	}
	if rate == lastRate && lastRelease > 0 && (since < releaseEvery || math.Abs(due/lastRelease-1) < releaseStep) {
		return lastRelease
	}
	return due
}
