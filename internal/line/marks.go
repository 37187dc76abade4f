package line

import (
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
)

// Marks is a set of fans of a line, by lane and number, small even for millions of them. Safe for concurrent use.
type Marks struct {
	any   atomic.Bool // what is asked most is asked of an empty set
	mu    sync.RWMutex
	lanes map[string]*roaring64.Bitmap
}

// Add marks a fan, and says whether it was not marked before.
func (m *Marks) Add(lane string, number uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lanes == nil {
		m.lanes = map[string]*roaring64.Bitmap{}
	}
	set := m.lanes[lane]
	if set == nil {
		set = roaring64.New()
		m.lanes[lane] = set
	}
	m.any.Store(true)
	return set.CheckedAdd(number)
}

// Has says whether a fan is marked.
func (m *Marks) Has(lane string, number uint64) bool {
	if !m.any.Load() {
		return false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	set := m.lanes[lane]
	return set != nil && set.Contains(number)
}

// Count is how many of the numbers from up to before to are marked.
func (m *Marks) Count(lane string, from, to uint64) uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	set := m.lanes[lane]
	if set == nil || from >= to {
		return 0
	}
	n := set.Rank(to - 1)
	if from > 0 {
		n -= set.Rank(from - 1)
	}
	return n
}
