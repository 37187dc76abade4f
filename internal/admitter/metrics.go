package admitter

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// tickBuckets are close where a tick should be, below 10 ms, and reach up to the limit of an append.
var tickBuckets = []float64{
	0.0001, 0.0002, 0.0003, 0.0005, 0.0007, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01,
	0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 5,
}

var (
	tickSeconds = promauto.NewHistogram(prometheus.HistogramOpts{
		Name: "onsale_admitter_tick_seconds", Help: "Time of one tick of one line, the append of its record included.", Buckets: tickBuckets,
	})
	tickOwnSeconds = promauto.NewHistogram(prometheus.HistogramOpts{
		Name: "onsale_admitter_tick_own_seconds", Help: "Time of one tick of one line without the append of its record: what the admitter itself takes.", Buckets: tickBuckets,
	})
)

// stopwatch measures one tick.
type stopwatch struct {
	began     time.Time
	appending time.Duration
}

func startTick() *stopwatch { return &stopwatch{began: time.Now()} }

// append measures do, which appends a record.
func (w *stopwatch) append(do func() error) error {
	began := time.Now()
	defer func() { w.appending += time.Since(began) }()
	return do()
}

// end observes the tick.
func (w *stopwatch) end() {
	took := time.Since(w.began)
	tickSeconds.Observe(took.Seconds())
	tickOwnSeconds.Observe((took - w.appending).Seconds())
}
