// Package app is what every binary shares: configuration, logs, the operations listener, signals, and the wiring
// of each service to its adapters. It is the one place that knows both. Only cmd imports it, and what runs a whole
// system: up, bench and e2e.
package app

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"onsale/internal/beacon"
	"onsale/internal/pace"
	"onsale/internal/pass"
)

// Common is the configuration of every service.
type Common struct {
	NATSURL      string     `name:"nats-url" env:"NATS_URL" help:"NATS servers, comma-separated." required:""`
	NATSReplicas int        `name:"nats-replicas" env:"NATS_REPLICAS" default:"1" help:"Replicas of streams that are made: 3 in a cluster."`
	DatabaseURL  string     `name:"database-url" env:"DATABASE_URL" help:"Postgres; several hosts name a primary and its standbys." required:"" secret:"url"`
	OpsListen    string     `name:"ops-listen" env:"OPS_LISTEN" default:"127.0.0.1:0" help:"Where /healthz, /readyz and /metrics are served; empty for nowhere."`
	LogLevel     slog.Level `name:"log-level" env:"LOG_LEVEL" default:"info" help:"debug, info, warn or error."`
	CheckConfig  bool       `name:"check-config" help:"Print the configuration, secrets redacted, and end."`
}

// API is the configuration of the api.
type API struct {
	Common       `embed:""`
	RedisURL     string        `name:"redis-url" env:"REDIS_URL" help:"Redis or Valkey; addr parameters name a cluster's nodes, or with master_name its Sentinels." required:"" secret:"url"`
	Listen       string        `name:"listen" env:"API_LISTEN" default:"127.0.0.1:8080" help:"Where fans are served."`
	TicketSecret string        `name:"ticket-secret" env:"TICKET_SECRET" help:"Signs tickets; base64 of at least 32 bytes, the same on every node." required:"" secret:"all"`
	PassKeys     string        `name:"pass-keys" env:"PASS_KEYS" help:"Ed25519 seeds, base64, comma-separated: the first signs, all verify." required:"" secret:"all"`
	PassTTL      time.Duration `name:"pass-ttl" env:"PASS_TTL" default:"10m" help:"How long a pass is good for."`

	EntryCost      `embed:""`
	AdminToken     string   `name:"admin-token" env:"ADMIN_TOKEN" help:"The operators' token, at least 16 characters; empty turns the admin routes off." secret:"all"`
	WebhookSecrets []string `name:"stripe-webhook-secrets" env:"STRIPE_WEBHOOK_SECRETS" help:"Signing secrets of Stripe's webhooks; two during a rotation." secret:"all"`
	MaxChunk       int      `name:"max-chunk" env:"MAX_CHUNK" default:"1024" help:"Joins in one message of the line, at most: the stream syncs once a message."`
}

// Admitter is the configuration of the admitter.
type Admitter struct {
	Common    `embed:""`
	Tick      time.Duration `name:"tick" env:"ADMITTER_TICK" default:"100ms" help:"How often a line is moved."`
	BeaconURL []string      `name:"beacon-url" env:"BEACON_URL" help:"Relays of drand, where events may name a public random value for their draw."`
}

// Payworker is the configuration of the payworker. Any account of Stripe's takes 25 calls a second: they are the limit of
// one endpoint, and in a sandbox of all together (https://docs.stripe.com/rate-limits).
type Payworker struct {
	Common          `embed:""`
	StripeSecretKey string        `name:"stripe-secret-key" env:"STRIPE_SECRET_KEY" required:"" help:"Stripe's API key." secret:"all"`
	StripeAPIURL    string        `name:"stripe-api-url" env:"STRIPE_API_URL" help:"Another address for Stripe's API: the local double."`
	RedisURL        string        `name:"redis-url" env:"REDIS_URL" help:"Redis or Valkey; addr parameters name a cluster's nodes, or with master_name its Sentinels." required:"" secret:"url"`
	StripeRate      float64       `name:"stripe-rate" env:"STRIPE_RATE" default:"25" help:"Calls a second that all payworkers of the account make together; 0 for no limit."`
	StripeBurst     int           `name:"stripe-burst" env:"STRIPE_BURST" default:"0" help:"Calls that may begin at once after a rest; 0 for a tenth of a second's."`
	StripeTimeout   time.Duration `name:"stripe-timeout" env:"STRIPE_TIMEOUT" default:"20s" help:"Of one call, from its turn on; after it the outcome is unknown and is asked for again."`
	AbandonGrace    time.Duration `name:"abandon-grace" env:"PAYWORKER_ABANDON_GRACE" default:"1m" help:"How long after its payment window a payment that its buyer has not authenticated is canceled."`
	AckWait         time.Duration `name:"ack-wait" env:"PAYWORKER_ACK_WAIT" default:"40s" help:"After so long without an answer a message is given to another worker."`
	Concurrency     int           `name:"concurrency" env:"PAYWORKER_CONCURRENCY" default:"128" help:"Messages at once, of each stream."`
}

// Committer is the configuration of the committer.
type Committer struct {
	Common      `embed:""`
	RedisURL    string        `name:"redis-url" env:"REDIS_URL" help:"Redis or Valkey; addr parameters name a cluster's nodes, or with master_name its Sentinels." required:"" secret:"url"`
	AckWait     time.Duration `name:"ack-wait" env:"COMMITTER_ACK_WAIT" default:"30s" help:"After so long without an answer a message is given to another committer."`
	Concurrency int           `name:"concurrency" env:"COMMITTER_CONCURRENCY" default:"512" help:"Messages at once; a commit takes up to 256 of them."`
}

// Validate says all that is wrong with a configuration.
func (c Common) Validate() error {
	return errors.Join(
		unless(c.NATSReplicas >= 1 && c.NATSReplicas <= 5, "nats-replicas must be 1 to 5"),
		missing(c.NATSURL, "nats-url (NATS_URL)"),
		missing(c.DatabaseURL, "database-url (DATABASE_URL)"),
	)
}

// Validate says all that is wrong with a configuration.
func (c API) Validate() error {
	_, entry := c.entry()
	return errors.Join(c.Common.Validate(), missing(c.RedisURL, redisURL), c.checkKeys(), entry,
		unless(c.AdminToken == "" || len(c.AdminToken) >= 16, "admin-token must have at least 16 characters"),
		unless(c.PassTTL >= 30*time.Second && c.PassTTL <= time.Hour, "pass-ttl must be 30s to 1h"),
		unless(c.MaxChunk >= 1 && c.MaxChunk <= 4096, "max-chunk must be 1 to 4096"),
		unless(c.AdminToken == "" || c.OpsListen != "", "an admin-token without an ops-listen reaches nobody"),
	)
}

// checkKeys checks what signs tickets and passes.
func (c API) checkKeys() error {
	const makes = ": openssl rand -base64 32"
	secret, err := base64.StdEncoding.DecodeString(c.TicketSecret)
	tickets := unless(err == nil && len(secret) >= 32, "ticket-secret (TICKET_SECRET) must be the base64 of at least 32 bytes"+makes)
	if c.TicketSecret == "" {
		tickets = errors.New("ticket-secret (TICKET_SECRET) is missing" + makes)
	}
	_, passes := pass.ParseKeys(c.PassKeys, c.PassTTL, time.Now)
	if c.PassKeys == "" {
		passes = errors.New("pass-keys (PASS_KEYS) is missing" + makes)
	} else if passes != nil {
		passes = fmt.Errorf("pass-keys (PASS_KEYS): %w", passes)
	}
	return errors.Join(tickets, passes)
}

// Validate says all that is wrong with a configuration.
func (c Admitter) Validate() error {
	var relays error
	if len(c.BeaconURL) > 0 {
		relays = beacon.Config{Relays: c.BeaconURL, Timeout: beaconTimeout}.Validate()
	}
	return errors.Join(c.Common.Validate(), relays, unless(c.Tick >= 10*time.Millisecond && c.Tick <= time.Second, "tick must be 10ms to 1s"))
}

// MaxStripeRate bounds the settings of the rate and of the burst.
const MaxStripeRate = 10_000

// StripeLimit is what an account allows; a burst of 0 is a tenth of a second's calls.
func StripeLimit(rate float64, burst int) pace.Limit {
	if burst == 0 {
		burst = max(1, int(rate/10))
	}
	return pace.Limit{Rate: rate, Burst: burst}
}

// Validate says all that is wrong with a configuration.
func (c Payworker) Validate() error {
	return errors.Join(c.Common.Validate(),
		unless(c.StripeTimeout > 0 && c.AckWait >= c.StripeTimeout+10*time.Second,
			"ack-wait must be at least 10s longer than stripe-timeout: a call that is still out must not be made again"),
		missing(c.RedisURL, redisURL),
		missing(c.StripeSecretKey, "stripe-secret-key (STRIPE_SECRET_KEY)"),
		unless(c.StripeRate >= 0 && c.StripeRate <= MaxStripeRate, "stripe-rate must be 0 to 10000 calls a second"),
		unless(c.StripeBurst >= 0 && c.StripeBurst <= MaxStripeRate, "stripe-burst must be 0 to 10000 calls"),
		unless(c.AbandonGrace >= time.Second && c.AbandonGrace <= time.Hour, "abandon-grace must be 1s to 1h"),
		unless(c.Concurrency >= 1 && c.Concurrency <= 1024, "concurrency must be 1 to 1024"),
	)
}

// Validate says all that is wrong with a configuration.
func (c Committer) Validate() error {
	return errors.Join(c.Common.Validate(),
		missing(c.RedisURL, redisURL),
		unless(c.AckWait >= 20*time.Second, "ack-wait must be at least 20s, which is longer than a commit may take"),
		unless(c.Concurrency >= 1 && c.Concurrency <= 4096, "concurrency must be 1 to 4096"),
	)
}

func unless(ok bool, problem string) error {
	if ok {
		return nil
	}
	return errors.New(problem)
}

// redisURL is the setting that three of the services need.
const redisURL = "redis-url (REDIS_URL)"

// missing tells of a required setting without a value. The parser would too, but only where nothing else is wrong.
func missing(value, setting string) error { return unless(value != "", setting+" is missing") }

// ErrChecked ends a binary that was only asked to check its configuration.
var ErrChecked = errors.New("configuration checked")

// configuration is a service's, with what all have in common.
type configuration interface {
	Validate() error
	common() Common
}

func (c Common) common() Common { return c }

// Defaults is a service's configuration where nothing is set.
func Defaults[C configuration]() C {
	var c C
	parser, err := kong.New(&c)
	if err != nil {
		panic(err) // the tags are wrong
	}
	for _, f := range parser.Model.Flags {
		f.Tag.Envs = nil
		if err := f.Reset(); err != nil {
			panic(err) // likewise
		}
	}
	return c
}

// Load reads a binary's configuration from its flags and the environment.
func Load[C configuration](name, about string, args []string, stdout io.Writer) (C, error) {
	var c C
	parser, err := kong.New(&c, kong.Name(name), kong.Description(about), kong.Writers(stdout, stdout), kong.UsageOnError())
	if err != nil {
		return c, err
	}
	if _, err := parser.Parse(args); err != nil {
		return c, err
	}
	if c.common().CheckConfig {
		describe(stdout, reflect.ValueOf(c))
		return c, ErrChecked
	}
	return c, nil
}

// describe prints a configuration, a line a setting, with its secrets redacted.
func describe(w io.Writer, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			describe(w, v.Field(i))
			continue
		}
		shown := fmt.Sprint(v.Field(i).Interface())
		switch f.Tag.Get("secret") {
		case "all":
			if !v.Field(i).IsZero() {
				shown = "(set, not shown)"
			}
		case "url":
			shown = redactURL(shown)
		}
		fmt.Fprintf(w, "%-24s %s\n", f.Tag.Get("name"), shown)
	}
}

func redactURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" {
		if strings.Contains(s, "password") {
			return "(set, not shown)"
		}
		return s
	}
	return u.Redacted()
}
