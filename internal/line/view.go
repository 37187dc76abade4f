package line

import (
	"math"
	"math/bits"

	"onsale/events"
)

// View is a record of the log, prepared for being asked by millions: what is dear to compute is computed once.
// Goroutines may share it.
type View struct {
	Record *events.Admission
	lanes  []laneView // the general one first
}

type laneView struct {
	events.Lane
	flow  float64           // turns a second; 0 where nobody can say
	waits [maxDoublings]ETA // of the positions 1, 2, 4, 8, ...
}

// maxDoublings is how far waits are told: up to position 2^40.
const maxDoublings = 41

// NewView prepares a record.
func NewView(a *events.Admission) *View {
	v := &View{Record: a}
	for _, l := range Lanes(*a) {
		lane := laneView{Lane: l}
		o := Outlook(l.Outlook)
		if o.Flow <= 0 {
			o.Flow = Pace(*a) * l.Share // before the first record that foresees anything
		}
		if lane.flow = o.Flow; o.Flow > 0 { // else a lane without a share, behind others
			for i := range lane.waits {
				lane.waits[i].Expected, lane.waits[i].Low, lane.waits[i].High = o.ETA(1 << i)
			}
		}
		v.lanes = append(v.lanes, lane)
	}
	return v
}

// lane finds a lane; one that the record doesn't know has not been called at all.
func (v *View) lane(name string) *laneView {
	for i := range v.lanes {
		if v.lanes[i].Name == name {
			return &v.lanes[i]
		}
	}
	return &laneView{}
}

// Wait is the wait of the fan at a position of a lane, from 1; nil where nobody can say. Between two positions of the
// table it is linear, so that a page that has the table says the same.
func (v *View) Wait(lane string, position uint64) *ETA { return v.lane(lane).wait(position) }

// Wait is the ETA of a position.
type Wait struct {
	Position uint64
	ETA
}

// Waits is the table of a lane's waits, from the next position to the first that is no nearer than the last fan's;
// none where nobody waits, or nobody can say.
func (v *View) Waits(lane string, last uint64) []Wait {
	l := v.lane(lane)
	var all []Wait
	for i := 0; i < maxDoublings && l.flow > 0 && last > 0; i++ {
		all = append(all, Wait{1 << i, l.waits[i]})
		if 1<<i >= last {
			break
		}
	}
	return all
}

func (l *laneView) wait(position uint64) *ETA {
	if l.flow <= 0 || position == 0 {
		return nil
	}
	position = min(position, 1<<(maxDoublings-1))
	i := min(bits.Len64(position)-1, maxDoublings-2)
	from, to := l.waits[i], l.waits[i+1]
	part := min(float64(position)/float64(uint64(1)<<i)-1, 1)
	return &ETA{
		Expected: int64(math.Ceil(min(float64(position)/l.flow, farthest))),
		Low:      from.Low + int64(math.Floor(float64(to.Low-from.Low)*part)),
		High:     from.High + int64(math.Ceil(float64(to.High-from.High)*part)),
	}
}
