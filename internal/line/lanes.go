package line

import (
	"math"
	"slices"
	"sort"

	"onsale/events"
)

// MaxShares is the most of the release that priority lanes can have together, in MaxLanes lanes at most.
const (
	MaxShares = 0.9
	MaxLanes  = 16
)

// lanes is the record's lanes as the operator wants them now. One that the operator took away stays, without a
// share of its own: who is in it is served when the others are empty. None goes back.
func lanes(last []events.Lane, want []LaneControl) []events.Lane {
	next := slices.Clone(last)
	for i := range next {
		next[i].Share = 0
	}
	for _, w := range want {
		i := slices.IndexFunc(next, func(l events.Lane) bool { return l.Name == w.Name })
		if i < 0 {
			next = append(next, events.Lane{Name: w.Name})
			i = len(next) - 1
		}
		next[i].Share, next[i].Granted = w.Share, w.Granted
	}
	return next
}

func laneOf(all []events.Lane, name string) (events.Lane, bool) {
	i := slices.IndexFunc(all, func(l events.Lane) bool { return l.Name == name })
	if i < 0 {
		return events.Lane{}, false
	}
	return all[i], true
}

// queue is one lane while calls are shared out.
type queue struct {
	name    string
	share   float64
	credit  float64
	serving uint64
	joined  uint64
	called  uint64
}

// waiting is how many could be called, those who left included.
func (q queue) waiting() uint64 { return q.joined - min(q.serving, q.joined) }

// share gives calls to the lanes by their shares, and what a lane has no one for to the others. It returns how many
// were called, and how many places were passed because their fans had left. What a lane is behind or ahead of its share
// by is kept in its credit, so that shares hold over many small records; an empty lane keeps none, and can't save up
// calls for later. The credits of all lanes add up to nothing: each call is credited once and taken once.
func share(next *events.Admission, seen Seen, due uint64) (called, skipped uint64) {
	var queues []queue
	for _, l := range Lanes(*next) {
		queues = append(queues, queue{name: l.Name, serving: l.Serving, joined: seen.Joined[l.Name], share: l.Share, credit: l.Credit})
	}
	credit := float64(due) // that no lane has yet
	for called < due && round(queues, &credit, due-called) {
		for i := range queues {
			met, gone := queues[i].move(seen)
			called, skipped = called+met, skipped+gone
		}
	}
	next.Skipped += skipped
	next.Serving = queues[0].serving
	next.Lanes = slices.Clone(next.Lanes)
	for i := range next.Lanes {
		q := queues[i+1]
		next.Lanes[i].Serving, next.Lanes[i].Credit = q.serving, math.Round(q.credit*1e6)/1e6
	}
	return called, skipped
}

// round gives up to n calls, and one at least, to the lanes in which someone waits; false where nobody does. A lane
// without a share gets what nobody else can use.
func round(queues []queue, credit *float64, n uint64) bool {
	var weight float64
	for i := range queues {
		if q := &queues[i]; q.waiting() > 0 && q.share > 0 {
			weight += q.share
		} else {
			*credit += q.credit
			q.credit = 0
		}
	}
	if weight == 0 {
		return inOrder(queues, n)
	}
	var given uint64
	for i := range queues {
		q := &queues[i]
		if q.waiting() == 0 || q.share == 0 {
			continue
		}
		q.credit += *credit * q.share / weight
		q.called = min(uint64(max(math.Floor(q.credit+1e-9), 0)), q.waiting(), n-given)
		given += q.called
	}
	*credit = 0
	if given == 0 { // less than one for each: to the lane that is behind most
		queues[behindMost(queues)].called = 1
	}
	return true
}

// inOrder gives n calls to lanes that have no share, the first of them first; no credit is touched. False where nobody
// waits there.
func inOrder(queues []queue, n uint64) bool {
	var given uint64
	for i := range queues {
		q := &queues[i]
		q.called = min(n-given, q.waiting())
		given += q.called
	}
	return given > 0
}

// behindMost is the lane with the most credit of those that have a share and someone who waits.
func behindMost(queues []queue) int {
	most := -1
	for i, q := range queues {
		if q.waiting() > 0 && q.share > 0 && (most < 0 || q.credit > queues[most].credit) {
			most = i
		}
	}
	return most
}

// move passes as many fans as were called, and those before, between and right after them who have left. It returns
// the numbers of both: where everyone left, fewer are called than could have been.
func (q *queue) move(seen Seen) (called, skipped uint64) {
	if q.called == 0 {
		return 0, 0
	}
	left := seen.Left
	if left == nil {
		left = func(string, uint64, uint64) uint64 { return 0 }
	}
	met := func(places int) uint64 {
		return uint64(places) - left(q.name, q.serving, q.serving+uint64(places))
	}
	// Millions may have left in a row, so the place to go to is searched for and not walked to.
	places := sort.Search(int(q.waiting()), func(i int) bool { return met(i+1) > q.called })
	called = met(places)
	if q.share > 0 {
		q.credit -= float64(called)
	}
	q.called, q.serving = 0, q.serving+uint64(places)
	return called, uint64(places) - called
}
