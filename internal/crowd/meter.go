package crowd

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// call is one kind of call, for measuring.
type call int

const (
	callSlot call = iota // waiting for one of the crowd's own connections
	callJoin
	callPosition
	callQueue
	callSeats
	callHold
	callRelease
	callCheckout
	callCheckoutWait // answered when the outcome is known: Prefer: wait
	callOrder
	callOrderWait
	callKinds
)

func (c call) String() string {
	return [callKinds]string{"(own queue)", "join", "position", "queue", "seats", "hold", "release",
		"checkout", "checkout+wait", "order", "order+wait"}[c]
}

// stage is where in its visit a fan is.
type stage int

const (
	stageAway stage = iota // not yet arrived, or done
	stageJoining
	stageWaiting
	stageChoosing
	stageHolding
	stagePaying
	stageKinds
)

const (
	latencyMin    = 1              // µs
	latencyMax    = 120_000_000    // µs: longer than any timeout
	latencyDigits = 2              // an error of 1 % at most
	noteKinds     = 200            // bounds how many kinds of refusal are told apart
	otherNotes    = "other things" // the rest
)

// meter counts and times what the crowd does. It is safe for concurrent use.
type meter struct {
	latencies [callKinds]latency
	now       [stageKinds]atomic.Int64 // fans in each stage
	total     struct {
		calls, joined, held, ordered, paid, ended, gaveUp atomic.Int64
		failed, throttled, unchecked                      atomic.Int64
	}

	mu    sync.Mutex
	notes map[string]int64 // "call what" of every answer that was not a success
}

type latency struct {
	mu        sync.Mutex
	histogram *hdrhistogram.Histogram // in µs
}

func newMeter() *meter {
	m := &meter{notes: map[string]int64{}}
	for i := range m.latencies {
		m.latencies[i].histogram = hdrhistogram.New(latencyMin, latencyMax, latencyDigits)
	}
	return m
}

// observe notes how long one answered call took.
func (m *meter) observe(c call, d time.Duration) {
	if c != callSlot {
		m.total.calls.Add(1)
	}
	l := &m.latencies[c]
	l.mu.Lock()
	defer l.mu.Unlock()
	// In range by the clamp, which is the only way to fail.
	_ = l.histogram.RecordValue(min(max(d.Microseconds(), latencyMin), latencyMax))
}

func (m *meter) moved(from, to stage) {
	m.now[from].Add(-1)
	m.now[to].Add(1)
}

func (m *meter) ended(from stage, outcome Outcome) {
	m.moved(from, stageAway)
	m.total.ended.Add(1)
	if outcome == Bought {
		m.total.paid.Add(1)
	} else {
		m.total.gaveUp.Add(1)
	}
}

// note counts an answer that was not a success, and may well be as it should be.
func (m *meter) note(c call, what string) {
	key := c.String() + " " + what
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.notes[key]; !known && len(m.notes) >= noteKinds {
		key = otherNotes
	}
	m.notes[key]++
}

// failed counts a call that was lost, failed, or was answered in a way the contract has no place for.
func (m *meter) failed(c call, what string) {
	m.total.failed.Add(1)
	m.note(c, what)
}

func (m *meter) throttled(c call, what string) {
	m.total.throttled.Add(1)
	m.note(c, what)
}

// CallStats are the latencies of one kind of call, of its answered sendings only. They are the server's
// and the network's: the time a fan waited for one of the crowd's own connections is a kind by itself.
type CallStats struct {
	Call  string        `json:"call"`
	Count int64         `json:"count"`
	P50   time.Duration `json:"p50_ns"`
	P95   time.Duration `json:"p95_ns"`
	P99   time.Duration `json:"p99_ns"`
	Max   time.Duration `json:"max_ns"`
}

// stats returns the kinds of call that were made, in the order of a visit.
func (m *meter) stats() []CallStats {
	var all []CallStats
	for c := range callKinds {
		l := &m.latencies[c]
		l.mu.Lock()
		if count := l.histogram.TotalCount(); count > 0 {
			at := func(percent float64) time.Duration {
				return time.Duration(l.histogram.ValueAtQuantile(percent)) * time.Microsecond
			}
			all = append(all, CallStats{Call: c.String(), Count: count, P50: at(50), P95: at(95), P99: at(99), Max: at(100)})
		}
		l.mu.Unlock()
	}
	return all
}

// shortDuration writes a latency in as few signs as tell it to two digits or so.
func shortDuration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
}
