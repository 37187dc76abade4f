// Package up is the embedded default: everything a sale needs, on this machine. It starts NATS, Postgres and
// Redis where none was named, a double of Stripe where there is no key, and the four services, all wired to
// each other, with secrets of the data folder's own. Tests and the bench start the same.
package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"onsale/events"
	"onsale/internal/app"
	"onsale/internal/stack"
	"onsale/internal/stripe/double"
	"onsale/store"
)

// Config says what to start.
type Config struct {
	Dir   string
	Fresh bool // forget what was there

	Listen    string // of the api; where it is taken, a free port serves
	OpsListen string // of the api's operations; likewise

	NATSURL, DatabaseURL, RedisURL string // each names one that runs already
	StripeKey, WebhookSecret       string // of a real account; "" starts the double

	StripeRate *float64 // calls a second of the account; nil for the payworker's default, and for no limit with the double

	// Services "all" runs the four services in this process, "none" leaves them to be run as binaries with
	// the environment that is written to the data folder.
	Services string
	Durable  bool           // fsync everywhere; without it only tests should run
	Entry    *app.EntryCost // what joins are asked for; nil for nothing
	Log      *slog.Logger
	Progress func(string)
}

// Local is a running system.
type Local struct {
	BaseURL, AdminURL, StripeURL   string
	AdminToken, StripeKey          string
	NATSURL, DatabaseURL, RedisURL string
	Double                         *double.Double // nil with a real account
	EnvFile                        string
	API                            app.API // what the api was told; another node is told the same

	stack *stack.Stack
	stop  context.CancelFunc
	ended chan struct{}
	err   error
}

// What is kept in the data folder beside the servers' own.
const (
	secretsFile = "secrets.json"
	envFile     = "onsale.env"
	journalFile = "stripe-double.jsonl"
)

// Start starts everything and returns when the api is ready. It stops when ctx ends or a part fails; wait for
// that with Wait.
func Start(ctx context.Context, cfg Config) (l *Local, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711 // Postgres runs as another user, and must get to its part
	}
	if err := os.MkdirAll(cfg.Dir, mode); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	st, err := stack.Start(ctx, stack.Config{
		Dir: cfg.Dir, Fresh: cfg.Fresh, NATSURL: cfg.NATSURL, DatabaseURL: cfg.DatabaseURL, RedisURL: cfg.RedisURL,
		Durable: cfg.Durable, Log: cfg.Log, Progress: cfg.Progress,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Close())
		}
	}()
	if cfg.Fresh {
		// The stack emptied its own part of the folder, which by now is known to be ours.
		for _, name := range []string{journalFile, secretsFile, envFile} {
			if err := os.Remove(filepath.Join(cfg.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("start fresh: %w", err)
			}
		}
	}
	if err := store.Migrate(ctx, st.DatabaseURL); err != nil {
		return nil, err
	}
	sec, err := loadSecrets(cfg.Dir)
	if err != nil {
		return nil, err
	}
	apiLn, err := listen(cfg.Listen, cfg.Progress)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			apiLn.Close()
		}
	}()
	opsAddr, err := reserve(cfg.OpsListen, cfg.Progress)
	if err != nil {
		return nil, err
	}
	l = &Local{
		BaseURL: "http://" + apiLn.Addr().String(), AdminURL: "http://" + opsAddr, AdminToken: sec.AdminToken,
		NATSURL: st.NATSURL, DatabaseURL: st.DatabaseURL, RedisURL: st.RedisURL, stack: st, ended: make(chan struct{}),
	}
	run, stop := context.WithCancel(ctx)
	l.stop = stop
	services, sctx := errgroup.WithContext(run)
	var payments errgroup.Group
	later, stopPayments := context.WithCancel(context.WithoutCancel(ctx)) // outlives the services, which drain into it
	if err := l.startStripe(later, cfg, sec, &payments); err != nil {
		stop()
		stopPayments()
		return nil, err
	}
	c := l.configs(cfg, sec, opsAddr)
	l.API = c.api
	l.EnvFile = filepath.Join(cfg.Dir, envFile)
	if err := writeFile(l.EnvFile, []byte(l.environment(c))); err != nil {
		stop()
		stopPayments()
		return nil, err
	}
	if cfg.Services == "none" {
		apiLn.Close() // its port is kept for the binary
		services.Go(func() error { <-sctx.Done(); return nil })
	} else {
		log := func(name string) *slog.Logger { return cfg.Log.With("service", name) }
		services.Go(func() error { return app.RunAPI(sctx, c.api, apiLn, log("api")) })
		services.Go(func() error { return app.RunAdmitter(sctx, c.admitter, log("admitter")) })
		services.Go(func() error { return app.RunPayworker(sctx, c.payworker, log("payworker")) })
		services.Go(func() error { return app.RunCommitter(sctx, c.committer, log("committer")) })
	}
	services.Go(func() error {
		select {
		case err := <-st.Failed():
			return err
		case <-sctx.Done():
			return nil
		}
	})
	go func() {
		defer close(l.ended)
		err := services.Wait()
		stopPayments()
		l.err = errors.Join(err, payments.Wait(), st.Close())
	}()
	if cfg.Services != "none" {
		if err := l.waitReady(ctx); err != nil {
			stop()
			return nil, errors.Join(err, l.Wait())
		}
	}
	return l, nil
}

// startStripe starts the double, unless there is an account.
func (l *Local) startStripe(ctx context.Context, cfg Config, sec secrets, g *errgroup.Group) error {
	if cfg.StripeKey != "" {
		l.StripeKey = cfg.StripeKey
		return nil
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the Stripe double: %w", err)
	}
	l.Double, err = double.New(double.Config{
		SecretKey: sec.StripeKey, WebhookURL: l.BaseURL + "/v1/webhooks/stripe", WebhookSecret: sec.WebhookSecret, WebhookEvents: events.WebhookTypes(),
		JournalPath: filepath.Join(cfg.Dir, journalFile), Log: cfg.Log.With("service", "stripe-double"),
	})
	if err != nil {
		ln.Close()
		return err
	}
	l.StripeURL, l.StripeKey = "http://"+ln.Addr().String(), sec.StripeKey
	cfg.Progress("no STRIPE_SECRET_KEY: payments go to a double of Stripe on " + l.StripeURL)
	g.Go(func() error { return errors.Join(l.Double.Run(ctx, ln), l.Double.Close()) })
	return nil
}

// Ended is closed when everything has stopped, by Close or because a part failed.
func (l *Local) Ended() <-chan struct{} { return l.ended }

// Wait returns when everything has stopped, with what went wrong.
func (l *Local) Wait() error {
	<-l.ended
	return l.err
}

// Close stops everything, in order: the services drain first, the servers go last.
func (l *Local) Close() error {
	l.stop()
	return l.Wait()
}

const readyLimit = time.Minute

func (l *Local) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for {
		if app.Ready(ctx, l.AdminURL) == nil {
			return nil
		}
		select {
		case <-l.ended:
			return errors.New("a service ended while it was starting")
		case <-ctx.Done():
			return errors.Join(errors.New("the api did not become ready"), app.Ready(context.WithoutCancel(ctx), l.AdminURL))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// listen opens a listener at an address, or at a free port of the same host where the port is taken.
func listen(address string, tell func(string)) (net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	if err == nil {
		return ln, nil
	}
	host, port, serr := net.SplitHostPort(address)
	if serr != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if ln, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	tell(fmt.Sprintf("port %s is taken: using %s", port, ln.Addr()))
	return ln, nil
}

// reserve finds an address that can be listened on.
func reserve(address string, tell func(string)) (string, error) {
	ln, err := listen(address, tell)
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

type configs struct {
	api       app.API
	admitter  app.Admitter
	payworker app.Payworker
	committer app.Committer
}

// configs are what each service is told.
func (l *Local) configs(cfg Config, sec secrets, opsAddr string) configs {
	all := configs{app.Defaults[app.API](), app.Defaults[app.Admitter](), app.Defaults[app.Payworker](), app.Defaults[app.Committer]()}
	for _, c := range []*app.Common{&all.api.Common, &all.admitter.Common, &all.payworker.Common, &all.committer.Common} {
		c.NATSURL, c.DatabaseURL, c.OpsListen = l.NATSURL, l.DatabaseURL, ""
	}
	api, pay := &all.api, &all.payworker
	api.OpsListen, api.Listen, api.RedisURL = opsAddr, strings.TrimPrefix(l.BaseURL, "http://"), l.RedisURL
	api.TicketSecret, api.PassKeys, api.AdminToken, api.WebhookSecrets = sec.TicketSecret, sec.PassKey, sec.AdminToken, []string{sec.WebhookSecret}
	if cfg.Entry != nil {
		api.EntryCost = *cfg.Entry
	}
	pay.RedisURL, pay.StripeSecretKey, pay.StripeAPIURL = l.RedisURL, l.StripeKey, l.StripeURL
	if cfg.StripeKey != "" {
		api.WebhookSecrets = []string{cfg.WebhookSecret}
	} else {
		pay.StripeRate = 0
	}
	if cfg.StripeRate != nil {
		pay.StripeRate = *cfg.StripeRate
	}
	if pay.StripeRate == 0 {
		pay.Concurrency = 512 // the double takes as many as come, and none waits for its turn
	}
	all.committer.RedisURL = l.RedisURL
	return all
}

// environment is what the four binaries and the operator's commands need to reach this system.
func (l *Local) environment(c configs) string {
	vars := map[string]string{
		"NATS_URL": l.NATSURL, "DATABASE_URL": l.DatabaseURL, "REDIS_URL": l.RedisURL,
		"API_LISTEN": c.api.Listen, "TICKET_SECRET": c.api.TicketSecret, "PASS_KEYS": c.api.PassKeys,
		"ADMIN_TOKEN": c.api.AdminToken, "STRIPE_WEBHOOK_SECRETS": strings.Join(c.api.WebhookSecrets, ","),
		"STRIPE_SECRET_KEY": l.StripeKey, "STRIPE_API_URL": l.StripeURL,
		"STRIPE_RATE": strconv.FormatFloat(c.payworker.StripeRate, 'g', -1, 64),
		"ONSALE_URL":  l.BaseURL, "ONSALE_ADMIN_URL": l.AdminURL,
	}
	lines := make([]string, 0, len(vars))
	for k, v := range vars {
		lines = append(lines, k+"='"+strings.ReplaceAll(v, "'", `'\''`)+"'")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}
