package entry

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Addresses limits the joins from each client address, an IPv6 network of 64 bits counting as one, since that is what
// one household or server is given. It is a token bucket in the form of the generic cell rate algorithm: of an address
// it keeps one time only, up to when the address has spent, in a fixed table. An address that is forgotten has a full
// burst again; those that have spent least are forgotten first. Safe for concurrent use.
type Addresses struct {
	table table
	seed  maphash.Seed
	locks [256]sync.Mutex // each for a share of the groups: a limit must hold under races too
}

// NewAddresses has room for about so many addresses, in 8 bytes each. An address needs its room while it has spent
// ahead, so a table of DefaultSlots serves 100,000 joins a second from as many addresses at a join each second.
func NewAddresses(slots int) *Addresses {
	return &Addresses{table: newTable(slots), seed: maphash.MakeSeed()}
}

// Take spends one join of an address in an event and returns 0, or spends nothing and returns how long to wait until
// there is one. The limit must have passed Policy.Validate. An address that is not valid, such as of a client on a
// Unix socket, is not limited.
func (a *Addresses) Take(eventID string, addr netip.Addr, l Limit, now time.Time) time.Duration {
	if !addr.IsValid() {
		return 0
	}
	key := a.key(eventID, addr)
	lock := &a.locks[a.table.group(key)%len(a.locks)]
	lock.Lock()
	defer lock.Unlock()
	ms := millis(now)
	spent, ok := a.table.get(key)
	ahead := since(spent, ms)
	if !ok || ahead < 0 || ahead > maxDebtMS {
		spent, ahead = ms, 0 // what was not spent in time does not add up; and a time so far ahead was weeks ago
	}
	if wait := int64(ahead) - int64(l.Burst-1)*int64(l.EveryMS); wait > 0 {
		return time.Duration(wait) * time.Millisecond
	}
	a.table.put(key, spent+uint32(l.EveryMS))
	return 0
}

// key hashes the event and the network of an address.
func (a *Addresses) key(eventID string, addr netip.Addr) uint64 {
	var b [16]byte
	addr = addr.Unmap()
	if addr.Is4() {
		v4 := addr.As4()
		copy(b[12:], v4[:])
		b[8] = 4 // no IPv6 network has bits here
	} else {
		v6 := addr.As16()
		copy(b[:8], v6[:8])
	}
	binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])^maphash.String(a.seed, eventID))
	return maphash.Bytes(a.seed, b[:])
}
