package double

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// maxFaultMS bounds every delay: ten minutes is longer than any client's timeout.
const maxFaultMS = 600_000

// maxRateLimit bounds what is remembered of the last second's calls.
const maxRateLimit = 100_000

// reorderWindow is how long WebhookReorder may hold an event back.
const reorderWindow = 200 * time.Millisecond

// Faults is what goes wrong on purpose. The zero value is a healthy Stripe. Shares are 0 to 1, drawn for
// each call or event by itself; times are milliseconds.
type Faults struct {
	LatencyMS             int     `json:"latency_ms"`              // added to each API call
	LatencyJitterMS       int     `json:"latency_jitter_ms"`       // and up to this much more, uniformly
	RateLimitShare        float64 `json:"rate_limit_share"`        // answered 429 without effect
	RateLimit             int     `json:"rate_limit"`              // likewise what comes over so many calls in any second; 0 for no limit
	ErrorShare            float64 `json:"error_share"`             // answered 500 without effect; the key keeps the 500
	TimeoutBeforeShare    float64 `json:"timeout_before_share"`    // the connection is cut without effect
	TimeoutAfterShare     float64 `json:"timeout_after_share"`     // takes effect, then the connection is cut
	CaptureRefuseShare    float64 `json:"capture_refuse_share"`    // captures answered 402, the authorization having expired at the bank
	WebhookDuplicateShare float64 `json:"webhook_duplicate_share"` // events sent twice
	WebhookReorder        bool    `json:"webhook_reorder"`         // hold events back up to 200 ms and shuffle them
	WebhookDelayMS        int     `json:"webhook_delay_ms"`        // before the first attempt at each event
}

// Validate names every value that is out of range, by its JSON name.
func (f Faults) Validate() error {
	var problems []error
	for _, s := range f.shares() {
		if v := *s.value; !(v >= 0 && v <= 1) { // written so that NaN is refused
			problems = append(problems, fmt.Errorf("%s is %v, want 0 to 1", s.name, v))
		}
	}
	for _, m := range f.delays() {
		if v := *m.value; v < 0 || v > maxFaultMS {
			problems = append(problems, fmt.Errorf("%s is %d, want 0 to %d", m.name, v, maxFaultMS))
		}
	}
	if f.RateLimit < 0 || f.RateLimit > maxRateLimit {
		problems = append(problems, fmt.Errorf("rate_limit is %d, want 0 to %d", f.RateLimit, maxRateLimit))
	}
	return errors.Join(problems...)
}

// clamped returns f with every value brought into range; NaN counts as 0.
func (f Faults) clamped() Faults {
	for _, s := range f.shares() {
		if math.IsNaN(*s.value) {
			*s.value = 0
		}
		*s.value = min(max(*s.value, 0), 1)
	}
	for _, m := range f.delays() {
		*m.value = min(max(*m.value, 0), maxFaultMS)
	}
	f.RateLimit = min(max(f.RateLimit, 0), maxRateLimit)
	return f
}

// named is a field of Faults with its JSON name.
type named[T any] struct {
	name  string
	value *T
}

func (f *Faults) shares() []named[float64] {
	return []named[float64]{
		{"rate_limit_share", &f.RateLimitShare},
		{"error_share", &f.ErrorShare},
		{"timeout_before_share", &f.TimeoutBeforeShare},
		{"timeout_after_share", &f.TimeoutAfterShare},
		{"capture_refuse_share", &f.CaptureRefuseShare},
		{"webhook_duplicate_share", &f.WebhookDuplicateShare},
	}
}

func (f *Faults) delays() []named[int] {
	return []named[int]{
		{"latency_ms", &f.LatencyMS},
		{"latency_jitter_ms", &f.LatencyJitterMS},
		{"webhook_delay_ms", &f.WebhookDelayMS},
	}
}

// dice is the one source of the faults' randomness, so that a seed repeats them. Ids are drawn elsewhere:
// a seed that is used again after a restart must not make the ids of the first run again.
type dice struct {
	mu  sync.Mutex
	rnd *rand.Rand
}

func newDice(seed uint64) *dice {
	for seed == 0 {
		seed = rand.Uint64()
	}
	return &dice{rnd: rand.New(rand.NewPCG(seed, seed))}
}

// hit is true for the given share of its calls. The certain cases draw nothing.
func (d *dice) hit(share float64) bool {
	if share <= 0 || share >= 1 {
		return share >= 1
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rnd.Float64() < share
}

// upTo draws a duration from 0 to limit, uniformly.
func (d *dice) upTo(limit time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Duration(d.rnd.Int64N(int64(limit) + 1))
}

// meter remembers the calls of the last second that were taken, by the machine's clock: a test's own may stand still.
type meter struct {
	mu      sync.Mutex
	taken   []time.Time
	refused int64
}

// take says whether one more call is within a limit.
func (m *meter) take(limit int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, old := time.Now(), 0
	for old < len(m.taken) && now.Sub(m.taken[old]) >= time.Second {
		old++
	}
	m.taken = m.taken[old:]
	if len(m.taken) >= limit {
		return false
	}
	m.taken = append(m.taken, now)
	return true
}

// limited says whether a call is answered 429.
func (d *Double) limited() bool {
	f := d.Faults()
	if !d.dice.hit(f.RateLimitShare) && (f.RateLimit == 0 || d.meter.take(f.RateLimit)) {
		return false
	}
	d.meter.mu.Lock()
	defer d.meter.mu.Unlock()
	d.meter.refused++
	return true
}

// RateLimited is how many calls were answered 429.
func (d *Double) RateLimited() int64 {
	d.meter.mu.Lock()
	defer d.meter.mu.Unlock()
	return d.meter.refused
}
