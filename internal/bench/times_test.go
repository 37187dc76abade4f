package bench

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const scraped = `# TYPE tick histogram
tick_bucket{le="0.001"} 2
tick_bucket{le="0.002"} 8
tick_bucket{le="0.01"} 10
tick_bucket{le="+Inf"} 11
tick_sum 1
tick_count 11
# TYPE others gauge
others 3
`

func TestTimes(t *testing.T) {
	t.Parallel()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	m, err := parser.TextToMetricFamilies(strings.NewReader(scraped))
	if err != nil {
		t.Fatal(err)
	}
	all, err := timesOf(m, "tick")
	if err != nil || !slices.Equal(all.counts, []uint64{2, 6, 2, 1}) || all.total() != 11 {
		t.Fatalf("read %+v (%v)", all, err)
	}
	for _, name := range []string{"tack", "others"} {
		if x, err := timesOf(m, name); err == nil {
			t.Errorf("read %s as %+v", name, x)
		}
	}
	late, err := all.since(times{bounds: all.bounds, counts: []uint64{2, 2, 2, 1}})
	if err != nil || late.total() != 4 || late.most() != 0.002 || math.Abs(late.quantile(0.5)-0.0015) > 1e-9 || late.quantile(1) != 0.002 {
		t.Errorf("%+v (%v): most %f, half %f, all %f", late, err, late.most(), late.quantile(0.5), late.quantile(1))
	}
	if all.most() != 0.01 || all.quantile(0.99) != 0.01 {
		t.Errorf("above the last bound: most %f, p99 %f", all.most(), all.quantile(0.99))
	}
	if _, err := all.since(times{}); err == nil {
		t.Error("other buckets are subtracted")
	}
}
