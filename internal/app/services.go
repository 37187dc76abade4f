package app

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"golang.org/x/sync/errgroup"

	"onsale/events"
	"onsale/internal/access"
	"onsale/internal/admin"
	"onsale/internal/admitter"
	"onsale/internal/api"
	"onsale/internal/committer"
	"onsale/internal/entry"
	"onsale/internal/line"
	"onsale/internal/pace"
	"onsale/internal/pass"
	"onsale/internal/payworker"
	"onsale/internal/stripe"
	"onsale/nats"
)

// controlsEvery is how often the admitter reads what operators want.
const controlsEvery = 250 * time.Millisecond

// RunAPI serves fans. ln may be given by the caller, who then knows the port; nil listens where cfg says.
func RunAPI(ctx context.Context, cfg API, ln net.Listener, log *slog.Logger) error {
	secret, err := base64.StdEncoding.DecodeString(cfg.TicketSecret)
	if err != nil {
		return fmt.Errorf("ticket-secret: %w", err)
	}
	passes, err := pass.ParseKeys(cfg.PassKeys, cfg.PassTTL, time.Now)
	if err != nil {
		return err
	}
	entryCost, err := cfg.entry()
	if err != nil {
		return err
	}
	entryCost.Proofs = entry.NewProofs(secret)
	p, err := connect(ctx, "api", cfg.Common, cfg.RedisURL, log)
	if err != nil {
		return err
	}
	defer p.close()
	p.servesAlone = true
	if ln == nil {
		if ln, err = net.Listen("tcp", cfg.Listen); err != nil {
			return fmt.Errorf("open the listener: %w", err)
		}
	}
	log.Info("api listens", "address", ln.Addr().String())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return p.serveOps(ctx, cfg.OpsListen, func(app fiber.Router) {
			if cfg.AdminToken != "" {
				admin.Mount(app, admin.Deps{
					Token: cfg.AdminToken, Catalog: p.store, Paces: p.store, Orders: p.store, Log: p.nats, Codes: access.NewCodes(secret), Line: p.nats.EnsureLine,
				})
			}
		})
	})
	g.Go(func() error {
		return api.Run(ctx, api.Deps{
			Listener: ln, Streams: p.nats, Catalog: p.store, Holds: p.redis, Memory: p.redis, Places: p.redis, Notices: p.nats,
			Webhook: stripe.New(stripe.Config{WebhookSecrets: cfg.WebhookSecrets}).Verify,
			Tickets: line.NewTickets(secret), Codes: access.NewCodes(secret), Passes: passes, Entry: entryCost, MaxChunk: cfg.MaxChunk,
			Now: time.Now, Log: log, Ready: &p.ready,
		})
	})
	return g.Wait()
}

// RunAPIAlone is RunAPI in a process that does nothing else.
func RunAPIAlone(ctx context.Context, cfg API, log *slog.Logger) error {
	Collect(CollectOften, os.Getenv)
	return RunAPI(ctx, cfg, nil, log)
}

// ServeNode serves one of the services that the bench starts as children, api or admitter, by the environment alone.
func ServeNode(ctx context.Context, service string, stdout io.Writer) error {
	const about = "A service of Onsale."
	if service == "admitter" {
		return Serve(ctx, service, about, nil, stdout, RunAdmitter)
	}
	return Serve(ctx, service, about, nil, stdout, RunAPIAlone)
}

// RunAdmitter moves the lines.
func RunAdmitter(ctx context.Context, cfg Admitter, log *slog.Logger) error {
	p, err := connect(ctx, "admitter", cfg.Common, "", log)
	if err != nil {
		return err
	}
	defer p.close()
	p.ready.Store(true)
	var source admitter.Beacon
	if b := newBeacons(cfg.BeaconURL); b != nil {
		source = b
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.serveOps(ctx, cfg.OpsListen, nil) })
	g.Go(func() error {
		return admitter.Run(ctx, admitter.Deps{
			Controls: p.store, Streams: p.nats, Notices: p.nats, Beacon: source, Tick: cfg.Tick, Refresh: controlsEvery, Now: time.Now, Log: log,
		})
	})
	return g.Wait()
}

// sweepEvery is how often the payworker looks for payments that nobody ends.
const sweepEvery = 3 * time.Second

// checkoutsConsumer is the durable consumer that all payworkers share.
const checkoutsConsumer = "payworker-checkouts"

// RunPayworker deals with Stripe.
func RunPayworker(ctx context.Context, cfg Payworker, log *slog.Logger) error {
	p, err := connect(ctx, "payworker", cfg.Common, cfg.RedisURL, log)
	if err != nil {
		return err
	}
	defer p.close()
	p.ready.Store(true)
	limit := StripeLimit(cfg.StripeRate, cfg.StripeBurst)
	pacer := pace.New(pace.Config{Limit: limit, Store: p.redis.Pace(cfg.StripeSecretKey, limit), Call: cfg.StripeTimeout, Now: time.Now, Log: log})
	gateway := stripe.New(stripe.Config{SecretKey: cfg.StripeSecretKey, APIURL: cfg.StripeAPIURL, Timeout: cfg.StripeTimeout, Pacer: pacer})
	worker := nats.Worker{AckWait: cfg.AckWait, Concurrency: cfg.Concurrency}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.serveOps(ctx, cfg.OpsListen, nil) })
	g.Go(func() error {
		deps := payworker.Deps{
			Checkouts: p.consume(worker, checkoutsConsumer, events.Checkouts),
			Orders:    p.consume(worker, "payworker-orders", events.Orders),
			Payments:  p.consume(worker, "payworker-refunds", events.Payments, events.PaymentsOf(events.PaymentRefundRequested)),
			Webhooks:  p.consume(worker, "payworker-stripe", events.Stripe),
			Attempts:  p.store, Authorizations: p.store, Endings: p.store, Gateway: gateway, Till: gateway,
			Refunds: p.store, Returns: p.store, Hearing: p.store, Payback: gateway, Pace: pacer, Holds: p.redis, Notify: p.nats.Notify,
			Backlog: func(ctx context.Context) (uint64, error) {
				return p.nats.Backlog(ctx, events.Checkouts, checkoutsConsumer)
			},
			Grace: cfg.AbandonGrace, SweepEvery: sweepEvery, Now: time.Now, Log: log,
		}
		return p.relaying(ctx, events.Payments, func() error { return payworker.Run(ctx, deps) })
	})
	return g.Wait()
}

// RunCommitter sells seats.
func RunCommitter(ctx context.Context, cfg Committer, log *slog.Logger) error {
	p, err := connect(ctx, "committer", cfg.Common, cfg.RedisURL, log)
	if err != nil {
		return err
	}
	defer p.close()
	p.ready.Store(true)
	worker := nats.Worker{AckWait: cfg.AckWait, Concurrency: cfg.Concurrency}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.serveOps(ctx, cfg.OpsListen, nil) })
	g.Go(func() error {
		deps := committer.Deps{
			Authorized: p.consume(worker, "committer-payments", events.Payments, events.PaymentsOf(events.PaymentAuthorized)),
			Orders:     p.consume(worker, "committer-orders", events.Orders),
			Ledger:     p.store, Holds: p.redis, Log: log,
		}
		return p.relaying(ctx, events.Orders, func() error { return committer.Run(ctx, deps) })
	})
	return g.Wait()
}

// consume is a worker's durable consumer of a stream.
func (p *platform) consume(w nats.Worker, durable, stream string, subjects ...string) events.Consume {
	w.Durable, w.Stream, w.Subjects, w.Prefetch = durable, stream, subjects, 8 // each may hold many records
	if stream == events.Checkouts {
		w.Prefetch = 2 // and these may wait for their turns at Stripe: what is buffered must be begun before it is given again
	}
	return func(ctx context.Context, handle events.Handler) error { return p.nats.Consume(ctx, w, handle) }
}

// relaying does a service's work, and publishes a stream's outbox until it is done: what the last of it commits may go out
// with the next relay.
func (p *platform) relaying(ctx context.Context, stream string, work func() error) error {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var relay sync.WaitGroup
	relay.Go(func() {
		publish := func(ctx context.Context, outs []events.Outgoing) error {
			return p.nats.PublishAll(ctx, events.Pack(outs))
		}
		p.store.Relay(ctx, stream, publish, func(err error) { p.log.Warn("relay", "error", err) })
	})
	err := work()
	stop()
	relay.Wait()
	return err
}
