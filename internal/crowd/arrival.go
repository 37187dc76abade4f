package crowd

import (
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// rushShare of the fans arrive within the first rushPart of the spread: people sit at their screens
	// when a sale opens, and the peak is what a sale has to survive.
	rushShare = 0.8
	rushPart  = 0.1
)

// arrivals returns when each of n fans arrives, counted from the start, in rising order within spread.
func arrivals(rng *rand.Rand, n int, spread time.Duration) []time.Duration {
	offsets := make([]time.Duration, n)
	for i := range offsets {
		rush, u := rng.Float64() < rushShare, rng.Float64()
		at := rushPart * u
		if !rush {
			// The square thins the late ones out towards the end.
			at = rushPart + (1-rushPart)*u*u
		}
		offsets[i] = time.Duration(at * float64(spread))
	}
	slices.Sort(offsets)
	return offsets
}
