package payworker

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	allowed = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "onsale_stripe_allowed_rate", Help: "Calls a second that all workers of the Stripe account may make now; 0 for no limit.",
	})
	measured = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "onsale_payments_rate", Help: "Checkouts a second that this worker deals with, as measured while enough of them wait.",
	})
	waiting = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "onsale_payments_backlog", Help: "Checkouts that are accepted and not dealt with, over all workers.",
	})
)
