package nats

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// handled is how long handlers took, by consumer and verdict. Its sum of counts is the number of deliveries.
var handled = promauto.NewHistogramVec(prometheus.HistogramOpts{
	Name: "onsale_messages_handled_seconds", Help: "Time a handler took for one delivery of a message.",
	Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
}, []string{"consumer", "verdict"})
