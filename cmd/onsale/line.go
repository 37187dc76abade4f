package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"onsale/events"
	"onsale/internal/admin"
	"onsale/internal/line"
	"onsale/internal/sale"
)

type lineCmd struct {
	Show     showCmd     `cmd:"" help:"Show how the line stands."`
	Rate     rateCmd     `cmd:"" help:"Change the pace of admission."`
	Pause    pauseCmd    `cmd:"" help:"Stop the line. Those inside go on."`
	Resume   resumeCmd   `cmd:"" help:"Let a paused line go on."`
	Release  releaseCmd  `cmd:"" help:"Let everyone in who waits and who still comes."`
	Cap      capCmd      `cmd:"" help:"Limit how many shoppers are inside at once."`
	Payments paymentsCmd `cmd:"" help:"Slow the line down while payments take long, or don't."`
	Lane     laneCmd     `cmd:"" help:"Make a priority lane, or change its share."`
	Codes    codesCmd    `cmd:"" help:"Give out access codes for a priority lane."`
}

type showCmd struct {
	ID    string `arg:"" help:"The event."`
	Watch bool   `short:"w" help:"Show it again every second until Ctrl-C."`
}

const (
	watchEvery = time.Second
	showLimit  = 5 * time.Second // for one look at the line
)

func (c *showCmd) Run(e *env) error {
	client, err := e.admin()
	if err != nil {
		return err
	}
	if err := e.showLine(client, c.ID); !c.Watch {
		return err
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return nil
		case <-tick.C:
		}
		if isTerminal(e.out) {
			fmt.Fprint(e.out, "\x1b[H\x1b[2J")
		}
		// What fails now may work in a second: whoever watches a sale wants to see that too.
		if err := e.showLine(client, c.ID); err != nil && e.ctx.Err() == nil {
			fmt.Fprintln(e.out, "error:", err)
		}
	}
}

// showLine shows the last record of a line's log, and what only the public page of the line knows, where that can be
// read.
func (e *env) showLine(client admin.Client, eventID string) error {
	ctx, cancel := context.WithTimeout(e.ctx, showLimit)
	defer cancel()
	last, err := client.Line(ctx, eventID)
	if err != nil {
		return err
	}
	var page *linePage
	if url, err := e.setting("ONSALE_URL"); err == nil {
		if page, err = readLinePage(ctx, url, eventID); err != nil {
			e.log.Info("read the line's public page", "event_id", eventID, "error", err)
		}
	}
	var b bytes.Buffer
	printLine(&b, last, page)
	_, err = e.out.Write(b.Bytes())
	return err
}

// linePage is what is taken from GET /v1/queue/{event}.
type linePage struct {
	SeatsLeft int `json:"seats_left"`
	laneJoins
	Lanes []laneJoins `json:"lanes"`
}

type laneJoins struct {
	Name   string `json:"name"`
	Joined uint64 `json:"joined"`
}

func readLinePage(ctx context.Context, base, eventID string) (*linePage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/v1/queue/"+eventID, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the api answered %s", resp.Status)
	}
	var page linePage
	return &page, json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&page)
}

// joined is how many have joined a lane, where the page is known.
func (p *linePage) joined(lane string) (uint64, bool) {
	if p == nil {
		return 0, false
	}
	for _, l := range append([]laneJoins{p.laneJoins}, p.Lanes...) {
		if l.Name == lane {
			return l.Joined, true
		}
	}
	return 0, false
}

// printLine writes a line's record; page is nil where it could not be read.
func printLine(w io.Writer, a events.Admission, page *linePage) {
	fmt.Fprintf(w, "%s: %s; record %d, %s, at %s\n", a.EventID, a.State, a.N, a.Reason, a.At.Format(time.RFC3339))
	rate := fmt.Sprintf("%g fans a second", a.Rate)
	if a.Rate >= line.MaxRate {
		rate = "released: everyone comes in"
	}
	if pace := line.Pace(a); pace != a.Rate {
		rate += fmt.Sprintf("; %g places called a second, because not all who are called come", pace)
	}
	if p := a.Payments; p != nil {
		rate += fmt.Sprintf("; %g were set, but payments took %s", p.Set, (time.Duration(p.WaitMS) * time.Millisecond).Round(time.Second))
	}
	fmt.Fprintf(w, "  rate  %s\n", rate)
	if a.Cap > 0 {
		fmt.Fprintf(w, "  cap   %d shoppers, %d inside when some were called last\n", a.Cap, a.Inside)
	}
	if page != nil {
		fmt.Fprintf(w, "  left  %d seats\n", page.SeatsLeft)
	}
	if a.Outlook.Rose != "" {
		fmt.Fprintf(w, "  waits have become longer: %s\n", a.Outlook.Rose)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  LANE\tSHARE\tCALLED\tJOINED\tWAITING\tGRANTED\tLAST IN LINE WAITS")
	for _, l := range line.Lanes(a) {
		name, granted := l.Name, fmt.Sprint(l.Granted)
		if name == "" {
			name, granted = sale.GeneralLane, ""
		}
		joins, waiting, wait := "?", "?", "?"
		if joined, known := page.joined(l.Name); known {
			behind := joined - min(joined, l.Serving)
			joins, waiting, wait = fmt.Sprint(joined), fmt.Sprint(behind), lastWaits(&a, l, behind)
		}
		fmt.Fprintf(t, "  %s\t%.3g %%\t%d\t%s\t%s\t%s\t%s\n", name, 100*l.Share, l.Serving, joins, waiting, granted, wait)
	}
	t.Flush()
}

// lastWaits is what the last of a lane is told of the wait.
func lastWaits(a *events.Admission, l events.Lane, behind uint64) string {
	if behind == 0 || a.State != sale.Open {
		return "-"
	}
	eta := line.NewView(a).Wait(l.Name, behind)
	if eta == nil {
		return "until other lanes are empty"
	}
	return fmt.Sprintf("%s (%s to %s)", waitOf(eta.Expected), waitOf(eta.Low), waitOf(eta.High))
}

// waitOf writes a number of seconds. Past some days nobody counts them.
func waitOf(seconds int64) string {
	if seconds > 99*3600 {
		return "days"
	}
	return (time.Duration(seconds) * time.Second).String()
}

type rateCmd struct {
	ID   string  `arg:"" help:"The event."`
	Rate float64 `arg:"" help:"Fans a second."`
}

func (c *rateCmd) Run(e *env) error {
	return e.steer(func(client admin.Client) (string, error) {
		return fmt.Sprintf("%s: %g fans a second", c.ID, c.Rate), client.SetRate(e.ctx, c.ID, c.Rate)
	})
}

type paymentsCmd struct {
	ID string `arg:"" help:"The event."`
	To string `arg:"" enum:"on,off" help:"on or off."`
}

func (c *paymentsCmd) Run(e *env) error {
	return e.steer(func(client admin.Client) (string, error) {
		said := c.ID + ": the line keeps its rate, however long payments take"
		if c.To == "on" {
			said = c.ID + ": the line slows down while payments take long"
		}
		return said, client.SetPaceByPayments(e.ctx, c.ID, c.To == "on")
	})
}

// steer does something to a line and then says what.
func (e *env) steer(do func(admin.Client) (said string, err error)) error {
	client, err := e.admin()
	if err != nil {
		return err
	}
	said, err := do(client)
	if err == nil {
		fmt.Fprintln(e.out, said)
	}
	return err
}

type (
	pauseCmd   one
	resumeCmd  one
	releaseCmd one
)

func (c *pauseCmd) Run(e *env) error {
	return e.move(c.ID, "pause", "paused: nobody is called until `onsale line resume "+c.ID+"`; those inside go on")
}

// Run resumes. The route would open a sale that is in its lobby too; a word said to the wrong line must not.
func (c *resumeCmd) Run(e *env) error {
	client, err := e.admin()
	if err != nil {
		return err
	}
	last, err := client.Line(e.ctx, c.ID)
	if err != nil {
		return err
	}
	if last.State == sale.Lobby {
		return fmt.Errorf("%s is in its lobby and not paused: `onsale event open %s` opens it", c.ID, c.ID)
	}
	return e.move(c.ID, "resume", "goes on")
}

func (c *releaseCmd) Run(e *env) error {
	return e.steer(func(client admin.Client) (string, error) {
		last, err := client.Line(e.ctx, c.ID)
		if err != nil {
			return "", err
		}
		if err := client.SetRate(e.ctx, c.ID, line.MaxRate); err != nil {
			return "", err
		}
		return releasedText(last), nil
	})
}

// releasedText says what a release did to a line whose last record is this one.
func releasedText(last events.Admission) string {
	id := last.EventID
	said := fmt.Sprintf("%s: released. Everyone who waits is called now, %.0f a second, and who still comes is called at once.\n"+
		"  It was %g fans a second; `onsale line rate %s %g` sets that again, but who was called stays called.", id, line.MaxRate, last.Rate, id, last.Rate)
	if last.State != sale.Open {
		said += fmt.Sprintf("\n  By the last record the sale is %s: nobody is called until it is open.", last.State)
	}
	if last.Cap > 0 {
		said += fmt.Sprintf("\n  The cap of %d shoppers stands: no more than that are inside at once. `onsale line cap %s 0` lifts it.", last.Cap, id)
	}
	return said
}

type capCmd struct {
	ID       string `arg:"" help:"The event."`
	Shoppers int    `arg:"" help:"The most inside at once; 0 lifts the limit."`
}

func (c *capCmd) Run(e *env) error {
	return e.steer(func(client admin.Client) (string, error) {
		said := fmt.Sprintf("%s: at most %d shoppers inside", c.ID, c.Shoppers)
		if c.Shoppers == 0 {
			said = c.ID + ": no limit on the shoppers inside; the rate alone decides"
		}
		return said, client.SetCap(e.ctx, c.ID, c.Shoppers)
	})
}

type laneCmd struct {
	ID    string  `arg:"" help:"The event."`
	Name  string  `arg:"" help:"The lane: a-z, 0-9 and -."`
	Share float64 `required:"" help:"Its part of those called: 0.2 is one in five. 0 serves it when the others are empty."`
}

func (c *laneCmd) Run(e *env) error {
	return e.steer(func(client admin.Client) (string, error) {
		return fmt.Sprintf("%s: lane %s has %.3g %% of the release", c.ID, c.Name, 100*c.Share), client.SetLane(e.ctx, c.ID, c.Name, c.Share)
	})
}

type codesCmd struct {
	ID    string `arg:"" help:"The event."`
	Lane  string `arg:"" help:"The lane that the codes let into."`
	Count int    `required:"" help:"How many codes."`
	Uses  int    `default:"1" help:"Joins that each code allows."`
	Note  string `help:"For whom they are; kept with them, not in them."`
	Out   string `type:"path" placeholder:"FILE" help:"A new file for the codes; standard output where it is not given."`
}

// mostCodes bounds what is asked for at once.
const mostCodes = 10_000_000

// Validate refuses what the server would refuse only after it had given out a part.
func (c *codesCmd) Validate() error {
	if c.Count < 1 || c.Count > mostCodes {
		return fmt.Errorf("--count must be 1 to %d", mostCodes)
	}
	return nil
}

func (c *codesCmd) Run(e *env) error {
	client, err := e.admin()
	if err != nil {
		return err
	}
	if c.Out == "" {
		return c.issue(e.ctx, client, e.out, os.Stderr)
	}
	// A code is a key, and told only once: the file is its owner's, and none is overwritten.
	f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	failed := c.issue(e.ctx, client, f, os.Stderr)
	i, err := f.Stat()
	failed = errors.Join(failed, err, f.Close())
	if failed != nil && err == nil && i.Size() == 0 {
		failed = errors.Join(failed, os.Remove(c.Out)) // no code is in it, and it would be in the way of the next try
	}
	return failed
}

// issue writes the codes, one a line, and to info what they are.
func (c *codesCmd) issue(ctx context.Context, client admin.Client, out, info io.Writer) error {
	for done := 0; done < c.Count; {
		codes, err := client.Codes(ctx, c.ID, c.Lane, min(c.Count-done, admin.MaxCodes), c.Uses, c.Note)
		if err == nil && len(codes) == 0 {
			err = errors.New("the answer has no codes")
		}
		if err == nil {
			_, err = io.WriteString(out, strings.Join(codes, "\n")+"\n")
		}
		if err != nil {
			return fmt.Errorf("%d of %d codes were written: %w", done, c.Count, err)
		}
		done += len(codes)
	}
	fmt.Fprintf(info, "%s: %d codes for lane %s, good for %d joins in all. They are not shown again.\n", c.ID, c.Count, c.Lane, c.Count*c.Uses)
	return nil
}
