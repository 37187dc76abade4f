package crowd

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Summary is what came of a run.
type Summary struct {
	EventID      string        `json:"event_id"`
	Fans         int           `json:"fans"`    // that were to come
	Arrived      int           `json:"arrived"` // that came before the limit
	Joined       int64         `json:"joined"`  // whose join was accepted
	Elapsed      time.Duration `json:"elapsed_ns"`
	LimitReached bool          `json:"limit_reached"`

	// Outcomes says for each behaviour how many fans ended in which way.
	Outcomes map[Behaviour]map[Outcome]int `json:"outcomes"`

	OrdersAccepted  int   `json:"orders_accepted"`
	OrdersConfirmed int   `json:"orders_confirmed"` // that stood at the end
	SeatsConfirmed  int   `json:"seats_confirmed"`
	OrdersUnchecked int64 `json:"orders_unchecked"` // that could not be read again at the end

	CallsAnswered int64       `json:"calls_answered"`
	Failed        int64       `json:"failed"`    // lost, failed, or answered against the contract
	Throttled     int64       `json:"throttled"` // answered with 429 or 503
	Calls         []CallStats `json:"calls"`
	// Refusals counts every answer that was not a success as "call what". Many are as they should be,
	// such as a hold on seats that somebody else was faster to.
	Refusals map[string]int64 `json:"refusals,omitempty"`

	Violations Violations `json:"violations"`
}

func (c *crowd) summarize(fans []*fan, elapsed time.Duration, limitReached bool) Summary {
	counts := c.ledger.counts()
	m := c.meter
	s := Summary{
		EventID: c.cfg.EventID, Fans: c.cfg.Fans, Arrived: len(fans), Joined: m.total.joined.Load(),
		Elapsed: elapsed, LimitReached: limitReached,
		Outcomes:       map[Behaviour]map[Outcome]int{},
		OrdersAccepted: counts.Accepted, OrdersConfirmed: counts.Confirmed, SeatsConfirmed: counts.Sold,
		OrdersUnchecked: m.total.unchecked.Load(), CallsAnswered: m.total.calls.Load(),
		Failed: m.total.failed.Load(), Throttled: m.total.throttled.Load(), Calls: m.stats(),
		Violations: c.ledger.report(),
	}
	for _, f := range fans {
		if s.Outcomes[f.behaviour] == nil {
			s.Outcomes[f.behaviour] = map[Outcome]int{}
		}
		s.Outcomes[f.behaviour][f.outcome]++
	}
	m.mu.Lock()
	s.Refusals = maps.Clone(m.notes)
	m.mu.Unlock()
	return s
}

func (l *ledger) report() Violations {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Violations{Count: l.violations.Count, Texts: slices.Clone(l.violations.Texts)}
}

// Count returns how many fans ended with the outcome, over all behaviours.
func (s Summary) Count(o Outcome) int {
	n := 0
	for _, outcomes := range s.Outcomes {
		n += outcomes[o]
	}
	return n
}

// String returns the report as WriteTo writes it.
func (s Summary) String() string {
	var b strings.Builder
	s.render(&b)
	return b.String()
}

// WriteTo writes the report as tables that a person can read.
func (s Summary) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	s.render(&b)
	n, err := b.WriteTo(w)
	if err != nil {
		return n, fmt.Errorf("write crowd summary: %w", err)
	}
	return n, nil
}

// render writes to memory, which can't fail.
func (s Summary) render(w io.Writer) {
	fmt.Fprintf(w, "event %s: %d of %d fans came, %d joined, in %s", s.EventID, s.Arrived, s.Fans, s.Joined, s.Elapsed.Round(100*time.Millisecond))
	if s.LimitReached {
		fmt.Fprint(w, " (stopped by the limit)")
	}
	fmt.Fprintf(w, "\norders: %d accepted, %d confirmed with %d seats", s.OrdersAccepted, s.OrdersConfirmed, s.SeatsConfirmed)
	if s.OrdersUnchecked > 0 {
		fmt.Fprintf(w, ", %d could not be read again at the end", s.OrdersUnchecked)
	}
	fmt.Fprintf(w, "\ncalls: %d answered, %d failed, %d throttled\n\n", s.CallsAnswered, s.Failed, s.Throttled)
	s.renderOutcomes(w)
	s.renderCalls(w)
	s.renderRefusals(w)
	fmt.Fprintf(w, "violations: %d\n", s.Violations.Count)
	for _, text := range s.Violations.Texts {
		fmt.Fprintf(w, "  %s\n", text)
	}
	if more := s.Violations.Count - len(s.Violations.Texts); more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
}

func (s Summary) renderOutcomes(w io.Writer) {
	var seen []Outcome
	for _, o := range outcomes() {
		if s.Count(o) > 0 {
			seen = append(seen, o)
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, count func(Outcome) int) {
		total := 0
		for _, o := range seen {
			total += count(o)
		}
		fmt.Fprintf(t, "%s\t%d\t", name, total)
		for _, o := range seen {
			fmt.Fprintf(t, "%d\t", count(o))
		}
		fmt.Fprintln(t)
	}
	fmt.Fprint(t, "behaviour\tfans\t")
	for _, o := range seen {
		fmt.Fprintf(t, "%s\t", o)
	}
	fmt.Fprintln(t)
	for _, b := range behaviours() {
		if s.Outcomes[b] != nil {
			row(string(b), func(o Outcome) int { return s.Outcomes[b][o] })
		}
	}
	row("all", s.Count)
	t.Flush()
	fmt.Fprintln(w)
}

func (s Summary) renderCalls(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "call\tanswered\tp50\tp95\tp99\tmax\t")
	for _, c := range s.Calls {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t\n", c.Call, c.Count,
			shortDuration(c.P50), shortDuration(c.P95), shortDuration(c.P99), shortDuration(c.Max))
	}
	t.Flush()
	fmt.Fprintln(w)
}

func (s Summary) renderRefusals(w io.Writer) {
	const most = 12
	if len(s.Refusals) == 0 {
		return
	}
	whats := slices.SortedFunc(maps.Keys(s.Refusals), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Refusals[b], s.Refusals[a]), cmp.Compare(a, b))
	})
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "not a success\ttimes\t")
	for _, what := range whats[:min(most, len(whats))] {
		fmt.Fprintf(t, "%s\t%d\t\n", what, s.Refusals[what])
	}
	t.Flush()
	if more := len(whats) - most; more > 0 {
		fmt.Fprintf(w, "and %d other kinds\n", more)
	}
	fmt.Fprintln(w)
}
