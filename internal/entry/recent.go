package entry

import (
	"hash/maphash"
	"time"
)

// Recent remembers for tickets when they may be polled with next, in a fixed table. What it forgets, and it forgets
// under load, is in the fan's favour. Safe for concurrent use, without locks.
type Recent struct {
	table table
	seed  maphash.Seed
}

// MaxAhead is the furthest that a not-before time may be ahead; one that is further away counts as none.
const MaxAhead = 10 * time.Minute

// NewRecent has room for about so many tickets, in 8 bytes each.
func NewRecent(slots int) *Recent { return &Recent{table: newTable(slots), seed: maphash.MakeSeed()} }

// Told notes that a ticket was told not to poll before a time. Milliseconds count; the rest is the fan's.
func (r *Recent) Told(ticket string, until time.Time) {
	r.table.put(maphash.String(r.seed, ticket), millis(until))
}

// NotBefore says whether a ticket polls before the time that it was told last, and how much too early that is. It may
// be asked before the ticket is verified: it costs less, and keeps nothing.
func (r *Recent) NotBefore(ticket string, now time.Time) (wait time.Duration, early bool) {
	until, ok := r.table.get(maphash.String(r.seed, ticket))
	if !ok {
		return 0, false
	}
	wait = time.Duration(since(until, millis(now))) * time.Millisecond
	if wait <= 0 || wait > MaxAhead {
		return 0, false
	}
	return wait, true
}
