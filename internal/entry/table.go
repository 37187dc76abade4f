package entry

import (
	"sync/atomic"
	"time"
)

// DefaultSlots is the size of a table that serves a node well: 2 MB.
const DefaultSlots = 1 << 18

// table keeps one time per key in a fixed number of slots. It is lossy: a new key overwrites the earliest of the ways
// slots it may stand in, and what was overwritten is forgotten. A slot is the key's 32-bit fingerprint and a time in
// milliseconds modulo 2^32 (50 days). Keys are hashes with a seed of the process, so that nobody can aim at a slot; a
// key that is not there is taken for another that is once in some billion lookups.
type table struct {
	slots []atomic.Uint64 // 0 is empty
}

const ways = 8 // one cache line

// newTable has at least that many slots, rounded up to a power of two.
func newTable(slots int) table {
	n := ways
	for n < slots {
		n *= 2
	}
	return table{slots: make([]atomic.Uint64, n)}
}

// group is the index of the slots where a key may stand.
func (t table) group(key uint64) int { return int(key>>32) & (len(t.slots)/ways - 1) }

// get tells the time of a key. The slots of its group are looked at in order, so a key that a race has written twice
// has one time.
func (t table) get(key uint64) (ms uint32, ok bool) {
	at := t.group(key) * ways
	for i := range ways {
		if v := t.slots[at+i].Load(); uint32(v>>32) == fingerprint(key) {
			return uint32(v), true
		}
	}
	return 0, false
}

// put keeps a time for a key, where it stands, or in an empty slot, or instead of the earliest time.
func (t table) put(key uint64, ms uint32) {
	at := t.group(key) * ways
	chosen, earliest := at, uint64(0)
	for i := at; i < at+ways; i++ {
		v := t.slots[i].Load()
		if uint32(v>>32) == fingerprint(key) {
			chosen = i
			break
		}
		if i == at || earliest != 0 && (v == 0 || since(uint32(earliest), uint32(v)) > 0) {
			chosen, earliest = i, v
		}
	}
	t.slots[chosen].Store(uint64(fingerprint(key))<<32 | uint64(ms))
}

// fingerprint is never 0, which is an empty slot's.
func fingerprint(key uint64) uint32 { return max(uint32(key), 1) }

// millis is a time as a slot keeps it.
func millis(t time.Time) uint32 { return uint32(t.UnixMilli()) }

// since is how many milliseconds b comes before a, negative if it comes after: right up to 24 days apart.
func since(a, b uint32) int32 { return int32(a - b) }
