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
	seatsRepaired = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "onsale_seats_repaired_total", Help: "Seats whose state on the node's map was wrong for 100 ms or more when it was compared: most are lost notices.",
	}, []string{"with"})
	seatLooksFailed = promauto.NewCounter(prometheus.CounterOpts{
		Name: "onsale_seat_looks_failed_total", Help: "Comparisons of a seat map with Redis or Postgres that failed: it goes on with what it is told.",
	})
	seatStreams = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "onsale_seat_streams", Help: "Streams of seat changes that are open.",
	})
	noticesLost = promauto.NewCounter(prometheus.CounterOpts{
		Name: "onsale_notices_lost_total", Help: "Changes of holds that other nodes were not told of.",
	})
	placesFailed = promauto.NewCounter(prometheus.CounterOpts{
		Name: "onsale_places_failures_total", Help: "Calls to Redis that could not look places up or store them: the line goes on, and a refresh may get a second place until it is back.",
	})
)
