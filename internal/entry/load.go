package entry

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// Level is how busy a line is: 0 below a threshold, 1 from it on, and one more for each doubling.
type Level uint8

// Fall is how long a line must have been calmer before its level falls, by one, and then for each further one.
// A challenge makes joins rarer by itself, and a level that followed at once would swing.
const Fall = 30 * time.Second

// Pressure is a level and since when nothing has been seen that deserves it. The zero value is calm.
type Pressure struct {
	Level Level
	Seen  time.Time // when the level was last deserved, or fallen to
}

// Next is the pressure after a second with so many joins. It rises at once and falls slowly.
func (p Pressure) Next(joins, threshold int64, now time.Time) Pressure {
	deserved := levelOf(joins, threshold)
	if deserved >= p.Level {
		return Pressure{Level: deserved, Seen: now}
	}
	steps := min(int64(now.Sub(p.Seen)/Fall), int64(p.Level-deserved))
	if steps <= 0 {
		return p
	}
	return Pressure{Level: p.Level - Level(steps), Seen: p.Seen.Add(time.Duration(steps) * Fall)}
}

// levelOf is the level that a number of joins in a second deserves. No threshold is no load.
func levelOf(joins, threshold int64) Level {
	if threshold < 1 || joins < threshold {
		return 0
	}
	return Level(bits.Len64(uint64(joins / threshold)))
}

// Load counts the joins that arrive at one node for one event and tells their level. The zero value is ready. Safe for
// concurrent use. The threshold comes with each call, since an operator may change it.
type Load struct {
	mu       sync.Mutex // for changes of pressure, which are rare
	pressure Pressure
	level    atomic.Uint32 // of pressure
	second   atomic.Int64  // Unix, which joins counts
	joins    atomic.Int64
}

// Arrived counts a join and tells the level with it. All that arrive count, also those that are then refused: if a
// refusal made the line look calm, the demand would undo itself. A surge is seen in its own second, not after it.
func (l *Load) Arrived(threshold int64, now time.Time) Level {
	l.turn(threshold, now)
	joins := l.joins.Add(1)
	if level := Level(l.level.Load()); levelOf(joins, threshold) <= level {
		return level
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set(l.pressure.Next(joins, threshold, now))
	return l.pressure.Level
}

// Level tells the level without a join, for a page that wants its challenge ahead.
func (l *Load) Level(threshold int64, now time.Time) Level {
	l.turn(threshold, now)
	return Level(l.level.Load())
}

// turn closes the seconds that have passed. A clock that goes back counts in the second that is open.
func (l *Load) turn(threshold int64, now time.Time) {
	second := now.Unix()
	if second <= l.second.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	counted := l.second.Load()
	if second <= counted {
		return
	}
	pressure := l.pressure.Next(l.joins.Swap(0), threshold, time.Unix(counted+1, 0))
	if second > counted+1 {
		pressure = pressure.Next(0, threshold, now) // nobody came in between
	}
	l.set(pressure)
	l.second.Store(second)
}

func (l *Load) set(p Pressure) {
	l.pressure = p
	l.level.Store(uint32(p.Level))
}
