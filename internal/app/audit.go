package app

import (
	"context"
	"log/slog"
	"time"

	"onsale/internal/audit"
	"onsale/internal/pace"
	"onsale/internal/redis"
	"onsale/internal/stripe"
	"onsale/nats"
	"onsale/store"
)

// Audit says where everything is that an audit reads.
type Audit struct {
	NATSURL, DatabaseURL, RedisURL string
	StripeKey, StripeURL           string     // "" for Stripe's own
	StripeLimit                    pace.Limit // of the account, as its payworkers have it
}

// auditCall is the time of one call to Stripe.
const auditCall = 30 * time.Second

// RunAudit reads and compares everything. What may still be on its way is given time to settle. It reads Stripe in turn
// with the payworkers: an audit of a running sale must not have its payments refused.
func RunAudit(ctx context.Context, cfg Audit, settle time.Duration, log *slog.Logger) (audit.Report, error) {
	n, err := nats.Connect(nats.Config{URL: cfg.NATSURL, Name: "onsale-audit", Log: log})
	if err != nil {
		return audit.Report{}, err
	}
	defer n.Close()
	s, err := store.Open(ctx, cfg.DatabaseURL, 4, time.Now)
	if err != nil {
		return audit.Report{}, err
	}
	defer s.Close()
	r, err := redis.Open(cfg.RedisURL)
	if err != nil {
		return audit.Report{}, err
	}
	defer r.Close()
	pacer := pace.New(pace.Config{Limit: cfg.StripeLimit, Store: r.Pace(cfg.StripeKey, cfg.StripeLimit), Call: auditCall, Now: time.Now, Log: log})
	return audit.Run(ctx, audit.Deps{
		Books: s, Seats: r, Streams: n, Settle: settle, Now: time.Now,
		Intents: stripe.New(stripe.Config{SecretKey: cfg.StripeKey, APIURL: cfg.StripeURL, Timeout: auditCall, Pacer: pacer}),
	})
}
