package bench

import (
	"errors"
	"fmt"
	"math"

	dto "github.com/prometheus/client_model/go"
)

// times is a histogram of durations, as a node keeps one.
type times struct {
	bounds []float64 // seconds, the upper ends of the buckets
	counts []uint64  // in each, and at last those above all
}

// timesOf reads a histogram of a node's metrics.
func timesOf(m map[string]*dto.MetricFamily, name string) (times, error) {
	f, err := family(m, name)
	if err != nil {
		return times{}, err
	}
	h := f.GetHistogram()
	if len(h.GetBucket()) == 0 {
		return times{}, fmt.Errorf("%s is not a histogram", name)
	}
	var t times
	var below uint64
	for _, b := range h.GetBucket() {
		if !math.IsInf(b.GetUpperBound(), 1) {
			t.bounds = append(t.bounds, b.GetUpperBound())
			t.counts = append(t.counts, b.GetCumulativeCount()-below)
			below = b.GetCumulativeCount()
		}
	}
	t.counts = append(t.counts, h.GetSampleCount()-below)
	return t, nil
}

var errOtherBuckets = errors.New("two readings of a histogram have other buckets")

// since is what came after an earlier reading.
func (t times) since(before times) (times, error) {
	if len(t.counts) != len(before.counts) {
		return times{}, errOtherBuckets
	}
	d := times{bounds: t.bounds, counts: make([]uint64, len(t.counts))}
	for i := range t.counts {
		d.counts[i] = t.counts[i] - before.counts[i]
	}
	return d, nil
}

func (t times) total() uint64 {
	var n uint64
	for _, c := range t.counts {
		n += c
	}
	return n
}

// quantile is the time, in seconds, that a part of them is below, linear within a bucket; the last bound where it is
// above that.
func (t times) quantile(part float64) float64 {
	rank := part * float64(t.total())
	var below, from float64
	for i, bound := range t.bounds {
		in := float64(t.counts[i])
		if in > 0 && below+in >= rank {
			return from + (bound-from)*(rank-below)/in
		}
		below, from = below+in, bound
	}
	return from
}

// most is the upper end of the last bucket that is not empty: none took longer, unless it is the last bound.
func (t times) most() float64 {
	most := 0.0
	for i, c := range t.counts {
		if c > 0 {
			most = t.bounds[min(i, len(t.bounds)-1)]
		}
	}
	return most
}
