package double

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	serverDrain   = 10 * time.Second // for calls in progress, at the end of Run
	webhookDrain  = 5 * time.Second  // for events that were not tried yet, after that
	flushInterval = time.Second      // how late a delivery mark may reach the journal
	flushBatch    = 256              // delivery marks that are written at once, at the latest
)

// errRunTwice is returned by every Run but the first.
var errRunTwice = errors.New("run stripe double: it runs only once")

// Config says which account the double plays and where it keeps it.
type Config struct {
	SecretKey     string // the only API key accepted, as a bearer token; required
	WebhookURL    string // where signed events go; "" makes none
	WebhookSecret string // whsec_..., signs the events; required with WebhookURL
	// WebhookFunc is given each event at once, in the order of their effects and without faults, for a test that
	// loses and reorders them itself. It must not call the double. Not together with WebhookURL; it keeps no account
	// of what was delivered.
	WebhookFunc   func(body []byte, signature string)
	WebhookEvents []string         // the types the endpoint is enabled for; nil for all
	JournalPath   string           // state is restored from this file at New; "" keeps it in memory
	Seed          uint64           // of the faults' randomness; 0 takes a random one
	Now           func() time.Time // nil: time.Now. Stamps objects and ages idempotency keys
	Log           *slog.Logger     // nil: discards
}

// validate names every problem of c at once.
func (c Config) validate() error {
	var problems []error
	if c.SecretKey == "" {
		problems = append(problems, errors.New("SecretKey is empty"))
	}
	if c.WebhookURL != "" {
		u, err := url.Parse(c.WebhookURL)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			problems = append(problems, fmt.Errorf("WebhookURL %q is not an http(s) URL", c.WebhookURL))
		}
		if c.WebhookSecret == "" {
			problems = append(problems, errors.New("WebhookURL without WebhookSecret: receivers refuse unsigned events"))
		}
	}
	if c.WebhookFunc != nil && (c.WebhookURL != "" || c.JournalPath != "") {
		problems = append(problems, errors.New("WebhookFunc with a WebhookURL or a JournalPath: events have one receiver, and this one keeps none"))
	}
	return errors.Join(problems...)
}

// Double is one account at the stand-in. All methods may be called from many goroutines.
type Double struct {
	cfg     Config
	log     *slog.Logger
	routed  map[string]*route      // fixed at New, as is mute
	mute    func(kind string) bool // no events: nobody receives them
	faults  atomic.Pointer[Faults]
	dice    *dice
	meter   meter
	courier *courier
	hurry   chan struct{} // closed when a shutdown begins: cuts latency short
	ran     atomic.Bool

	// mu is held for one state transition and its single journal write, never while anything waits.
	mu      sync.Mutex
	state   *state
	keys    *keyring
	journal *journal // nil: memory only
	done    []string // delivered events whose mark is not in the journal yet
	line    []byte   // the journal's latest, whose room the next one takes
}

// New restores the account from the journal, compacts the journal, and returns a double that is not
// serving yet. It fails on an invalid config, an unreadable journal, or one that is damaged anywhere but
// in its last line: dropping a payment silently is worse than not starting.
func New(cfg Config) (*Double, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configure stripe double: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &Double{
		cfg:   cfg,
		log:   cfg.Log,
		dice:  newDice(cfg.Seed),
		hurry: make(chan struct{}),
		state: newState(),
		keys:  newKeyring(),
		mute: func(kind string) bool {
			return cfg.WebhookURL == "" && cfg.WebhookFunc == nil || cfg.WebhookEvents != nil && !slices.Contains(cfg.WebhookEvents, kind)
		},
	}
	d.faults.Store(&Faults{})
	d.courier = newCourier(cfg, d.dice, d.markDone)
	if cfg.JournalPath != "" {
		if err := d.restore(); err != nil {
			return nil, fmt.Errorf("restore stripe double from %s: %w", cfg.JournalPath, err)
		}
	}
	d.routed = d.routes()
	return d, nil
}

// Handler serves the API and the control endpoints. Events are queued but delivered only while Run runs.
func (d *Double) Handler() fasthttp.RequestHandler { return d.serve }

// Faults returns the faults in force.
func (d *Double) Faults() Faults { return *d.faults.Load() }

// SetFaults replaces the faults, for calls and events that begin after it. Values out of range are
// brought to the nearest bound; Faults.Validate tells of them.
func (d *Double) SetFaults(f Faults) {
	f = f.clamped()
	d.faults.Store(&f)
}

// Run serves ln and delivers webhooks until ctx ends, then lets calls in progress finish (10 s) and tries
// the events that were not tried yet once (5 s); what is left stays in the journal. It closes ln, runs only
// once, and returns an error when serving failed, calls outlasted the drain, or the journal took no more.
func (d *Double) Run(ctx context.Context, ln net.Listener) error {
	if d.ran.Swap(true) {
		return errors.Join(errRunTwice, ln.Close())
	}

	srv := &fasthttp.Server{
		Handler:                      d.serve,
		ReadTimeout:                  30 * time.Second,
		IdleTimeout:                  2 * time.Minute,
		ReadBufferSize:               maxHeaders,
		MaxRequestBodySize:           maxRead,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		CloseOnShutdown:              true,
		Logger:                       slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
	deliveries, stopDeliveries := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDeliveries()
	var work sync.WaitGroup
	work.Go(func() { d.courier.run(deliveries) })
	flushing, stopFlushing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFlushing()
	work.Go(func() { d.flushEvery(flushing) })

	ln = newListener(ln)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("serve stripe double: %w", err)
	case <-ctx.Done():
		close(d.hurry)
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), serverDrain)
		if shut := srv.ShutdownWithContext(limit); shut != nil {
			err = fmt.Errorf("drain calls of stripe double: %w", shut)
		}
		cancel()
	}
	_ = ln.Close() // one that failed is still open, and one that a shutdown overtook
	d.courier.drain()
	hard := time.AfterFunc(webhookDrain, stopDeliveries)
	defer hard.Stop()
	stopFlushing()
	work.Wait()
	return errors.Join(err, d.flushDone())
}

// Close writes what is still buffered and closes the journal; calls that come after it are answered 500.
func (d *Double) Close() error {
	if err := d.flushDone(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.journal == nil {
		return nil
	}
	return d.journal.close()
}

// flushEvery writes delivery marks that no call has carried along, once per flushInterval.
func (d *Double) flushEvery(ctx context.Context) {
	ticker := time.NewTicker(flushInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := d.flushDone(); err != nil {
				d.log.Error("write delivery marks", "error", err)
			}
		}
	}
}

// pause adds the latency in force to a call. No lock is held meanwhile, and a shutdown cuts it short.
func (d *Double) pause() {
	f := d.faults.Load()
	wait := time.Duration(f.LatencyMS) * time.Millisecond
	if f.LatencyJitterMS > 0 {
		wait += d.dice.upTo(time.Duration(f.LatencyJitterMS) * time.Millisecond)
	}
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.hurry:
	}
}
