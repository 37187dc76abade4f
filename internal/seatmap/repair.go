package seatmap

import "github.com/google/uuid"

// Seen is what Redis says of a seat.
type Seen struct{ Held, Sold bool }

// Mark begins a look at what others know: what the map is told from now on is newer than what the look finds.
func (m *Map) Mark() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told
}

// Differing are the seats of which Redis says something else than the map, in a look that began at a mark. seats nil
// stands for all, in their order.
func (m *Map) Differing(mark uint64, seats []string, seen []Seen) []string {
	var out []string
	m.compare(mark, seats, seen, func(i int32, _ Seen) { out = append(out, m.seats[i].ID) })
	return out
}

// Repair makes the map what Redis says, save for the seats that it was told of since the mark and for what the ledger
// says is sold, and returns how many it changed. Of a hold that is found so, the end is not known: it ends by the next
// look, if nothing is told of it before.
func (m *Map) Repair(mark uint64, seats []string, seen []Seen) int {
	repaired := 0
	m.compare(mark, seats, seen, func(i int32, s Seen) {
		m.marked[i] = s.Sold
		if !s.Held {
			delete(m.held, i)
		} else if _, known := m.held[i]; !known {
			m.held[i] = claim{hold: uuid.Nil}
		}
		m.tell(i)
		repaired++
	})
	return repaired
}

// compare calls each for the seats that are not as they were seen.
func (m *Map) compare(mark uint64, seats []string, seen []Seen, each func(i int32, s Seen)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n, s := range seen {
		i := n
		if seats != nil {
			var known bool
			if i, known = m.ordinals[seats[n]]; !known {
				continue
			}
		}
		if m.touched[i] > mark || m.sold[i] {
			continue // of what the ledger sold, Redis need not know
		}
		if _, held := m.held[int32(i)]; held != s.Held || m.marked[i] != s.Sold {
			each(int32(i), s)
		}
	}
}

// Settle makes what is sold what the ledger says is sold, in a look that began at a mark, and returns how many seats it
// changed.
func (m *Map) Settle(mark uint64, sold []string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	is := make([]bool, len(m.seats))
	for _, id := range sold {
		if i, ok := m.ordinals[id]; ok {
			is[i] = true
		}
	}
	repaired := 0
	for i := range is {
		if m.sold[i] != is[i] && m.touched[i] <= mark {
			m.sold[i] = is[i]
			m.tell(int32(i))
			repaired++
		}
	}
	return repaired
}
