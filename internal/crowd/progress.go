package crowd

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	lineEvery   = 2 * time.Second
	redrawEvery = 250 * time.Millisecond
	watchEvery  = 2 * time.Second

	barWidth  = 40
	lineWidth = 79 // a block that wraps can't be redrawn in place
)

// watcher keeps what the public state of the line was last.
type watcher struct {
	mu     sync.Mutex
	status queueStatus
	most   int64 // the most seats that were ever left
}

func (w *watcher) saw(q queueStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = q
	if q.SeatsLeft != nil {
		w.most = max(w.most, *q.SeatsLeft)
	}
}

// watchLine asks for the public state of the line now and then until the context is done.
func (c *crowd) watchLine(ctx context.Context) {
	for sleep(ctx, watchEvery) == nil {
		if q, a, err := send[queueStatus](ctx, c.client, c.queueRequest()); err == nil && a.ok() {
			c.watch.saw(q)
		}
	}
}

// snapshot is the run at one moment.
type snapshot struct {
	elapsed     time.Duration
	fans        int
	state       string // of the line
	sold, total int64  // seats; total is 0 while it is not known
	stages      [stageKinds]int64
	joined      int64
	held        int64
	paid        int64
	ended       int64
	gaveUp      int64
	failed      int64
	throttled   int64
	requests    int64
	ledger      ledgerCounts
	calls       []CallStats
}

func (c *crowd) snapshot(elapsed time.Duration) snapshot {
	m := c.meter
	s := snapshot{
		elapsed: elapsed, fans: c.cfg.Fans,
		joined: m.total.joined.Load(), held: m.total.held.Load(), paid: m.total.paid.Load(),
		ended: m.total.ended.Load(), gaveUp: m.total.gaveUp.Load(), failed: m.total.failed.Load(),
		throttled: m.total.throttled.Load(), requests: m.total.calls.Load(),
		ledger: c.ledger.counts(), calls: m.stats(),
	}
	for i := range s.stages {
		s.stages[i] = m.now[i].Load()
	}
	s.sold, s.total = c.hall(int64(s.ledger.Sold))
	c.watch.mu.Lock()
	s.state = c.watch.status.State
	c.watch.mu.Unlock()
	return s
}

// hall returns how many seats are sold and how many there are, from whichever source knows best: the
// last seat list, the public count of seats left, or at least what this crowd has bought.
func (c *crowd) hall(bought int64) (sold, total int64) {
	sold = bought
	c.watch.mu.Lock()
	left, most := c.watch.status.SeatsLeft, c.watch.most
	c.watch.mu.Unlock()
	total = most
	if l := c.seats.last(); l != nil {
		total = int64(len(l.ids))
		sold = max(sold, int64(l.sold))
	}
	if left != nil && total > 0 {
		sold = max(sold, total-*left)
	}
	return min(sold, max(total, bought)), total
}

// reporter writes the progress of one run.
type reporter struct {
	out         io.Writer
	interactive bool
	drawn       int // lines of the block that is on the screen
	last        snapshot
}

// startReport writes the progress until the returned function is called, which writes it once more.
func (c *crowd) startReport(ctx context.Context, started time.Time) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	r := &reporter{out: c.cfg.Out, interactive: c.cfg.Interactive}
	every := lineEvery
	if r.interactive {
		every = redrawEvery
	}
	var working sync.WaitGroup
	working.Go(func() { c.watchLine(ctx) })
	working.Go(func() {
		for sleep(ctx, every) == nil {
			r.write(c.snapshot(time.Since(started)))
		}
	})
	return func() {
		cancel()
		working.Wait()
		r.write(c.snapshot(time.Since(started)))
	}
}

// write puts the next snapshot out. Progress that can't be written is no reason to stop a run.
func (r *reporter) write(s snapshot) {
	if !r.interactive {
		fmt.Fprintln(r.out, plainLine(s, r.last))
		r.last = s
		return
	}
	lines := block(s, r.last)
	var b strings.Builder
	if r.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", r.drawn)
	}
	for _, line := range lines {
		b.WriteString("\x1b[2K" + clip(line, lineWidth) + "\n")
	}
	b.WriteString("\x1b[J")
	io.WriteString(r.out, b.String())
	r.drawn = len(lines)
	// Rates over one redraw would flicker; they are taken over about as long as a plain line's.
	if s.elapsed-r.last.elapsed >= lineEvery {
		r.last = s
	}
}

// perSecond is the rate at which a count grew between two snapshots.
func perSecond(now, before int64, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return float64(now-before) / took.Seconds()
}

// plainLine is a snapshot on one line, for logs.
func plainLine(s, before snapshot) string {
	took := s.elapsed - before.elapsed
	var b strings.Builder
	fmt.Fprintf(&b, "%6s  sold %s | joined %d waiting %d choosing %d holding %d paying %d paid %d gave up %d errors %d | "+
		"per second: calls %.0f joins %.0f paid %.0f | p99:", s.elapsed.Round(time.Second), ratio(s.sold, s.total),
		s.joined, s.stages[stageWaiting], s.stages[stageChoosing], s.stages[stageHolding], s.stages[stagePaying],
		s.paid, s.gaveUp, s.failed, perSecond(s.requests, before.requests, took),
		perSecond(s.joined, before.joined, took), perSecond(s.paid, before.paid, took))
	for _, c := range s.calls {
		switch c.Call {
		case callJoin.String(), callPosition.String(), callHold.String():
			fmt.Fprintf(&b, " %s %s", c.Call, shortDuration(c.P99))
		}
	}
	fmt.Fprintf(&b, " | violations %d", s.ledger.Violations)
	if s.ledger.Disputes > 0 {
		fmt.Fprintf(&b, " (%d seats disputed)", s.ledger.Disputes)
	}
	return b.String()
}

// block is a snapshot as the lines that a terminal shows.
func block(s, before snapshot) []string {
	took := s.elapsed - before.elapsed
	state := s.state
	if state == "" {
		state = "unknown"
	}
	lines := []string{
		fmt.Sprintf("%s %s seats sold   line: %s   %s", bar(s.sold, s.total), ratio(s.sold, s.total), state, s.elapsed.Round(time.Second)),
		fmt.Sprintf("fans %d: joined %d  waiting %d  choosing %d  holding %d  paying %d", s.fans, s.joined,
			s.stages[stageWaiting], s.stages[stageChoosing], s.stages[stageHolding], s.stages[stagePaying]),
		fmt.Sprintf("done %d: paid %d  gave up %d   errors %d  throttled %d", s.ended, s.paid, s.gaveUp, s.failed, s.throttled),
		fmt.Sprintf("per second: calls %.0f  joins %.0f  holds %.0f  paid %.0f",
			perSecond(s.requests, before.requests, took), perSecond(s.joined, before.joined, took),
			perSecond(s.held, before.held, took), perSecond(s.paid, before.paid, took)),
		fmt.Sprintf("violations %d  seats disputed %d", s.ledger.Violations, s.ledger.Disputes),
		fmt.Sprintf("%-14s %9s %9s %9s %9s", "call", "count", "p50", "p95", "p99"),
	}
	for _, c := range s.calls {
		lines = append(lines, fmt.Sprintf("%-14s %9d %9s %9s %9s", c.Call, c.Count,
			shortDuration(c.P50), shortDuration(c.P95), shortDuration(c.P99)))
	}
	return lines
}

func bar(done, total int64) string {
	full := 0
	if total > 0 {
		full = int(min(max(done, 0), total) * barWidth / total)
	}
	return "▕" + strings.Repeat("█", full) + strings.Repeat("░", barWidth-full) + "▏"
}

func ratio(done, total int64) string {
	if total <= 0 {
		return fmt.Sprintf("%d/?", done)
	}
	return fmt.Sprintf("%d/%d", done, total)
}

// clip shortens a line to a number of signs.
func clip(line string, width int) string {
	if signs := []rune(line); len(signs) > width {
		return string(signs[:width])
	}
	return line
}
