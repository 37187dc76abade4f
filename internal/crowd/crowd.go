// Package crowd sends a crowd of simulated fans through a sale over its public HTTP API, and checks
// from their side that the sale keeps its word.
//
// It promises three things. A fan is a real HTTP client with one session, one ticket and at most one
// hold at a time. What the sale has accepted is never forgotten by the fan: after a lost connection a
// join is repeated with the same session and a checkout with the same idempotency key, until the run's
// limit. And whatever a fan could hold against the sale (a place that got worse, a seat sold twice, a
// retry that made a second order) is reported as a violation.
//
// It knows the sale only by its HTTP contract, and so imports nothing of the rest of the system. It is
// meant for the operator's command and for tests of a running system.
package crowd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// maxFans bounds a run: a fan costs one goroutine and a few kilobytes, and past this number one
	// machine measures itself rather than the sale.
	maxFans = 100_000

	defaultSpread = 30 * time.Second
	defaultLimit  = 10 * time.Minute

	// recheckLimit bounds the last look at every order once the fans are done.
	recheckLimit = 30 * time.Second

	// preflightLimit bounds the wait for the first answer, before which nobody has seen the sale, and preflightPause
	// lies between two tries.
	preflightLimit = 5 * time.Second
	preflightPause = 250 * time.Millisecond
)

// Config says which sale the crowd goes to, and how it behaves there.
type Config struct {
	BaseURL string // where the API answers, such as http://127.0.0.1:8080
	EventID string
	Fans    int

	// Spread is the time within which every fan arrives. Most arrive in its first tenth, as they do
	// when a sale has been announced. 30 s when zero.
	Spread time.Duration
	// Mix holds the shares of the behaviours; DefaultMix when nil.
	Mix Mix
	// Limit bounds the whole run, retries included. 10 min when zero.
	Limit time.Duration
	// Seed decides arrivals, behaviours and choices. Sessions and idempotency keys are random all the
	// same, since a second run with the same seed must not be taken for the first one's fans.
	Seed uint64

	// Out receives the progress; nothing is written when nil.
	Out io.Writer
	// Interactive says that Out is a terminal: one block is redrawn in place. Otherwise a line is
	// written every two seconds.
	Interactive bool

	// Authenticate answers the 3-D Secure challenge of a payment intent, as the cardholder's bank
	// would, at a local double of Stripe. Fans who are challenged walk away when it is nil.
	Authenticate func(ctx context.Context, paymentIntentID string) error

	// dial opens the connections when set, so that a test can keep the network in memory.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (c Config) withDefaults() Config {
	if c.Spread == 0 {
		c.Spread = defaultSpread
	}
	if c.Limit == 0 {
		c.Limit = defaultLimit
	}
	if c.Mix == nil {
		c.Mix = DefaultMix()
	}
	if c.Out == nil {
		c.Out = io.Discard
	}
	return c
}

// Validate returns every problem of the configuration at once.
func (c Config) Validate() error {
	c = c.withDefaults()
	var problems []error
	if u, err := url.Parse(c.BaseURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		problems = append(problems, fmt.Errorf("base URL %q is not an http or https address", c.BaseURL))
	}
	if c.EventID == "" {
		problems = append(problems, errors.New("event id is missing"))
	}
	if c.Fans < 1 || c.Fans > maxFans {
		problems = append(problems, fmt.Errorf("fans must be 1 to %d, not %d", maxFans, c.Fans))
	}
	if c.Spread < 0 || c.Limit < 0 {
		problems = append(problems, errors.New("spread and limit must not be negative"))
	}
	if c.Spread > c.Limit {
		problems = append(problems, fmt.Errorf("spread %s is longer than limit %s: some fans would never arrive", c.Spread, c.Limit))
	}
	if err := c.Mix.Validate(); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// address is the base URL without the password that may be in it.
func (c Config) address() string {
	u, err := url.Parse(c.BaseURL)
	if err != nil {
		return "an address that can't be read" // Validate refused it
	}
	return u.Redacted()
}

// ErrNoSuchEvent is returned by Run when the sale does not know the event.
var ErrNoSuchEvent = errors.New("no such event")

// crowd is one run: what all of its fans share.
type crowd struct {
	cfg    Config
	client *client
	meter  *meter
	ledger *ledger
	seats  *seatCache
	watch  *watcher
	newID  func() string
}

// Run sends the crowd and returns when every fan is done or the limit has passed, whichever is first.
// A limit that passed is told by the summary and is no error; a context that was canceled is one, and
// the summary then covers what had happened until then. Violations are in the summary.
func Run(ctx context.Context, cfg Config) (Summary, error) {
	if err := cfg.Validate(); err != nil {
		return Summary{}, fmt.Errorf("check crowd config: %w", err)
	}
	cfg = cfg.withDefaults()
	started := time.Now()
	c := newCrowd(cfg)
	defer c.client.http.CloseIdleConnections()

	limited, cancel := context.WithTimeout(ctx, cfg.Limit)
	defer cancel()
	if err := c.preflight(limited); err != nil {
		return Summary{}, err
	}

	stopReport := c.startReport(limited, started)
	fans := c.letIn(limited)
	limitReached := limited.Err() != nil && ctx.Err() == nil
	if ctx.Err() == nil {
		c.recheck(ctx)
	}
	c.ledger.settle()
	stopReport()

	s := c.summarize(fans, time.Since(started), limitReached)
	if err := ctx.Err(); err != nil {
		return s, fmt.Errorf("run crowd: %w", err)
	}
	return s, nil
}

func newCrowd(cfg Config) *crowd {
	m := newMeter()
	c := &crowd{
		cfg:    cfg,
		client: newClient(cfg, m),
		meter:  m,
		ledger: newLedger(),
		watch:  &watcher{},
		newID:  uuid.NewString,
	}
	c.seats = &seatCache{client: c.client, eventID: cfg.EventID}
	return c
}

// preflight asks for the line, so that a mistyped event or address fails soon instead of N times. Where nothing answers
// for a few seconds, nothing runs. A sale that is overloaded does answer, and the fans try again.
func (c *crowd) preflight(ctx context.Context) error {
	trying, cancel := context.WithTimeout(ctx, preflightLimit)
	defer cancel()
	var q queueStatus
	ask := func() (answer, error) {
		return c.client.once(trying, c.queueRequest(), func(body []byte) error { return json.Unmarshal(body, &q) })
	}
	a, err := ask()
	for err != nil && sleep(trying, preflightPause) == nil {
		a, err = ask()
	}
	if err != nil {
		return fmt.Errorf("reach the sale at %s: %w (is it running there?)", c.cfg.address(), err)
	}
	if a.status == http.StatusNotFound {
		return fmt.Errorf("find event %q: %w", c.cfg.EventID, ErrNoSuchEvent)
	}
	if a.ok() {
		c.watch.saw(q)
	}
	return nil
}

// letIn starts every fan at its time of arrival and returns when the last one is done. A fan's
// goroutine starts at its arrival, so that those still to come cost nothing.
func (c *crowd) letIn(ctx context.Context) []*fan {
	offsets := arrivals(rand.New(rand.NewPCG(c.cfg.Seed, 0)), c.cfg.Fans, c.cfg.Spread)
	fans := make([]*fan, 0, c.cfg.Fans)
	start := time.Now()
	var present sync.WaitGroup
	for i, offset := range offsets {
		if sleep(ctx, offset-time.Since(start)) != nil {
			break
		}
		f := newFan(c, i)
		fans = append(fans, f)
		present.Go(func() { f.run(ctx) })
	}
	present.Wait()
	return fans
}

// sleep waits for d or until the context is done, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
