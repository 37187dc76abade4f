package gate

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var checks = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "onsale_gate_checks_total", Help: "Requests that a gateway asked about, by answer: admitted, or the code of the refusal.",
}, []string{"answer"})
