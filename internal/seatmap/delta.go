package seatmap

import (
	"strconv"
	"sync"
)

// Delta is what changed between two editions, as clients read it. It never changes.
type Delta struct {
	Encoded        // {"version", "since", "changes": [{"id", "status"}]}
	Frame   []byte // the same as a server-sent event named "changes", whose id is the version
	Seats   int    // that changed
}

// The bounds of deltas.
const (
	maxDelta  = 4096 // seats; the whole map is no longer than a delta of more, and is there already
	maxDeltas = 256  // kept of an edition: clients have few versions, since they are all sent the same ones
)

// Since is what changed after the edition of a version up to this one, made once for all who ask, as long as they have
// no more versions than are kept. It is nil where that is not known: the version is another map's, or too old, or newer
// than this edition, or too much has changed. Then the whole map must be read.
func (e *Edition) Since(version string) *Delta {
	n, ok := e.m.number(version)
	if !ok || n > e.n {
		return nil
	}
	return e.making(n, version)()
}

// making makes a delta when it is first called. It is called without the lock, so that nobody waits for another's.
func (e *Edition) making(n uint64, version string) func() *Delta {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d, ok := e.deltas[n]; ok {
		return d
	}
	d := sync.OnceValue(func() *Delta {
		changed, ok := e.m.ring.between(n, e.n)
		if !ok || len(changed) > maxDelta {
			return nil
		}
		return e.delta(version, changed)
	})
	if len(e.deltas) < maxDeltas {
		e.deltas[n] = d
	}
	return d
}

func (e *Edition) delta(since string, changed []int32) *Delta {
	b := make([]byte, 0, 128+len(changed)*48)
	b = append(append(append(b, "id: "...), e.Version...), "\nevent: changes\ndata: "...)
	begin := len(b)
	b = append(append(append(b, `{"version":"`...), e.Version...), `","since":"`...)
	b = append(append(b, since...), `","changes":[`...)
	for k, i := range changed {
		if k > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"id":`...), e.m.seats[i].ID)
		b = append(append(append(b, `,"status":"`...), e.States[i].String()...), `"}`...)
	}
	b = append(b, "]}"...)
	end := len(b)
	b = append(b, "\n\n"...) // appendString leaves no line break in JSON
	return &Delta{Encoded: Encoded{plain: b[begin:end:end]}, Frame: b, Seats: len(changed)}
}

// full is the whole map as clients read it: {"seats": [{"id", "status", "price"}], "currency", "version"}.
func (e *Edition) full() []byte {
	b := make([]byte, 0, 64+len(e.m.seats)*56)
	b = append(b, `{"seats":[`...)
	for i, s := range e.m.seats {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"id":`...), s.ID)
		b = append(append(append(b, `,"status":"`...), e.States[i].String()...), `","price":`...)
		b = append(strconv.AppendInt(b, s.Price, 10), '}')
	}
	b = appendString(append(b, `],"currency":`...), e.m.currency)
	return append(append(append(b, `,"version":"`...), e.Version...), `"}`...)
}
