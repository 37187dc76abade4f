package stripe

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"onsale/internal/pace"
)

var (
	turns = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name: "onsale_stripe_turn_wait_seconds", Help: "Time a call to Stripe waited for its turn under the account's rate, by class, and whether it was given one.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
	}, []string{"class", "outcome"})
	refusals = promauto.NewCounter(prometheus.CounterOpts{
		Name: "onsale_stripe_rate_limited_total", Help: "Calls that Stripe answered with 429 for the account's rate.",
	})
)

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "given"
	case errors.Is(err, pace.ErrNoTurn):
		return "too_late"
	}
	return "canceled"
}
