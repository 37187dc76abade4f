// Package bench measures the system the way its claims are stated: as a rate and as a ratio to a baseline that is
// measured in the same run, in turn with it, because a machine's speed drifts. The load comes from the same
// process and shares its cores with the servers. Latencies are open-loop: a request's time runs from when it
// was due, not from when a free connection got round to it.
package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"text/tabwriter"
	"time"
)

// Config says how to measure.
type Config struct {
	Dir         string        // for the local system's data; emptied
	Samples     int           // of each figure; the median counts
	Duration    time.Duration // of each sample
	Connections int
	Fans        int // in the line of line-10m
	Log         *slog.Logger
	Progress    func(string)
}

// Result is one figure.
type Result struct {
	Bench    string    `json:"bench"`
	Value    float64   `json:"value"` // the median of Samples
	Unit     string    `json:"unit"`
	Baseline float64   `json:"baseline,omitempty"` // the baseline's median, in the same unit
	Ratio    float64   `json:"ratio,omitempty"`    // the median of the samples' ratios
	Samples  []float64 `json:"samples"`
	Against  string    `json:"against,omitempty"` // what the baseline is; "at most" for a bar that the value must not exceed
}

// Bench is one named measurement.
type Bench struct {
	Name string
	Help string
	run  func(ctx context.Context, r *runner) ([]Result, error)
}

// All are the benchmarks, in the order they run.
func All() []Bench {
	return []Bench{
		{"http", "a bare Fiber handler: the ceiling of everything that speaks HTTP here", benchHTTP},
		{"join", "joins over HTTP, durable; against one message per join, and against the bare handler", benchJoin},
		{"position", "polls of a position; against the bare handler", benchPosition},
		{"line-stream", "joins into the line's own stream, without HTTP; on one node, and on three with three replicas", benchLineStream},
		{"line-10m", "a line of ten million: memory, restart, opening and ticks, each against its bar", benchTenMillion},
		{"draw", "places of a lobby's draw, its Merkle tree and its proofs, in one goroutine", benchDraw},
		{"eta", "the ETA's honesty and arrivals against the target, in simulated sales in virtual time", benchETA},
		{"commit", "two-seat orders committed, durable, with their outbox rows but no relay; against a transaction for each", benchCommit},
		{"hold", "holds of two seats over HTTP, each of a fan whose pass the node has seen; against the bare handler", benchHold},
		{"hold-contended", "10,000 fans who want one of 100 seats: each held once, and refusals; against the bare handler", benchHoldContended},
		{"seatmap", "the stadium's map: clients that have it, against the bare handler; its size, and a change seen on another node, against their bars", benchSeatMap},
		{"path", "orders from hold to captured, with the Stripe double at no latency, and the wait for the confirmation", benchPath},
	}
}

// Run runs the named benchmarks, all when none is named.
func Run(ctx context.Context, cfg Config, names []string) ([]Result, error) {
	var results []Result
	for _, b := range All() {
		if len(names) > 0 && !slices.Contains(names, b.Name) {
			continue
		}
		r := &runner{Config: cfg}
		r.tell("%s: %s", b.Name, b.Help)
		found, err := b.run(ctx, r)
		if err != nil {
			return results, fmt.Errorf("bench %s: %w", b.Name, err)
		}
		results = append(results, found...)
	}
	return results, nil
}

// runner is what a running benchmark has.
type runner struct{ Config }

func (r *runner) tell(format string, args ...any) { r.Progress(fmt.Sprintf(format, args...)) }

// sample is one measurement of the thing itself and of its baselines.
type sample func(ctx context.Context) (value float64, baselines []float64, err error)

// versus names a figure that compares with one of the baselines.
type versus struct {
	name, unit, against string
}

// compare takes the samples and makes a figure for each baseline; without any, one figure.
func (r *runner) compare(ctx context.Context, figures []versus, take sample) ([]Result, error) {
	values := make([]float64, 0, r.Samples)
	bases := make([][]float64, len(figures))
	for i := range r.Samples {
		v, b, err := take(ctx)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		for j := range b {
			bases[j] = append(bases[j], b[j])
		}
		r.tell("  sample %d of %d: %.0f %s%s", i+1, r.Samples, v, figures[0].unit, shown(b))
	}
	out := make([]Result, len(figures))
	for j, f := range figures {
		out[j] = Result{Bench: f.name, Value: median(values), Unit: f.unit, Samples: values, Against: f.against}
		if len(bases[j]) == 0 {
			continue
		}
		ratios := make([]float64, len(values))
		for i := range values {
			ratios[i] = values[i] / bases[j][i]
		}
		out[j].Baseline, out[j].Ratio = median(bases[j]), median(ratios)
	}
	return out, nil
}

func shown(baselines []float64) string {
	if len(baselines) == 0 {
		return ""
	}
	return fmt.Sprintf(", baselines %.0f", baselines)
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}

// Print writes the figures as a table.
func Print(w io.Writer, results []Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "BENCH\tVALUE\tUNIT\tBASELINE\tRATIO\tAGAINST")
	for _, r := range results {
		base, ratio := "", ""
		if r.Baseline > 0 {
			base, ratio = fmt.Sprintf("%.0f", r.Baseline), fmt.Sprintf("%.2f", r.Ratio)
		}
		fmt.Fprintf(t, "%s\t%.4g\t%s\t%s\t%s\t%s\n", r.Bench, r.Value, r.Unit, base, ratio, r.Against)
	}
	return t.Flush()
}

// PrintJSON writes the figures as JSON lines.
func PrintJSON(w io.Writer, results []Result) error {
	enc := json.NewEncoder(w)
	for _, r := range results {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}
