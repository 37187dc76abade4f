package line

import "math/bits"

// Places is how many turns are remembered, and how many of them were claimed.
func (s *Shows) Places() (called, claimed int) {
	for i := range s.slots {
		called += int(s.slots[i].upTo - s.slots[i].from)
		for _, w := range s.slots[i].claimed {
			claimed += bits.OnesCount64(w)
		}
	}
	return called, claimed
}
