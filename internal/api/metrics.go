package api

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	chunkSize = promauto.NewHistogram(prometheus.HistogramOpts{
		Name: "onsale_join_chunk_size", Help: "Joins stored in one message.", Buckets: prometheus.ExponentialBuckets(1, 2, 11),
	})
	joinPhase = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name: "onsale_join_seconds", Help: "Time a chunk of joins spent in each phase.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
	}, []string{"phase"})
	placesForgotten = promauto.NewCounter(prometheus.CounterOpts{
		Name: "onsale_places_forgotten_total", Help: "Places that were not stored in Redis because it was away for too long: a session that joins again later may get a second one.",
	})
	placesFailed = promauto.NewCounter(prometheus.CounterOpts{
		Name: "onsale_places_failures_total", Help: "Calls to Redis that could not look places up or store them: the line goes on, and a refresh may get a second place until it is back.",
	})
)
