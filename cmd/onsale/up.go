package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"onsale/internal/admin"
	"onsale/internal/app"
	"onsale/internal/up"
)

type upCmd struct {
	Fresh     bool   `help:"Forget what the data folder holds and start empty."`
	Listen    string `env:"API_LISTEN" default:"127.0.0.1:8080" help:"Where fans are served; a free port where it is taken."`
	OpsListen string `env:"OPS_LISTEN" default:"127.0.0.1:8081" help:"Where operators are served; a free port where it is taken."`
	Services  string `enum:"all,none" default:"all" help:"all: the four services in this process. none: only what they need; run them as binaries."`
	Demo      int    `placeholder:"FANS" help:"Put two events on sale, and send a crowd of so many to one of them."`

	NATSURL       string `name:"nats-url" env:"NATS_URL" help:"A NATS server that runs already."`
	DatabaseURL   string `name:"database-url" env:"DATABASE_URL" help:"A Postgres that runs already."`
	RedisURL      string `name:"redis-url" env:"REDIS_URL" help:"A Redis that runs already."`
	StripeKey     string `name:"stripe-secret-key" env:"STRIPE_SECRET_KEY" help:"A Stripe account, instead of the double."`
	WebhookSecret string `name:"stripe-webhook-secret" env:"STRIPE_WEBHOOK_SECRET" help:"The signing secret of its webhooks."`

	StripeRate *float64 `name:"stripe-rate" env:"STRIPE_RATE" help:"Calls a second to the account; by default 25 with an account, and without a limit to the double."`

	app.EntryCost `embed:""`
}

// Validate refuses an account whose webhooks could not be believed.
func (c *upCmd) Validate() error {
	if c.StripeKey != "" && c.WebhookSecret == "" {
		return errors.New("a Stripe key needs STRIPE_WEBHOOK_SECRET too: what a buyer does in their bank's app is told by webhook")
	}
	if c.StripeRate != nil && *c.StripeRate < 0 {
		return errors.New("a Stripe rate is 0, for no limit, or calls a second")
	}
	return nil
}

func (c *upCmd) Run(e *env) error {
	app.Collect(app.CollectSeldom, os.Getenv)
	l, err := up.Start(e.ctx, up.Config{
		Dir: e.cli.Data, Fresh: c.Fresh, Listen: c.Listen, OpsListen: c.OpsListen, Services: c.Services, Durable: true,
		NATSURL: c.NATSURL, DatabaseURL: c.DatabaseURL, RedisURL: c.RedisURL, StripeKey: c.StripeKey, WebhookSecret: c.WebhookSecret, Entry: &c.EntryCost, StripeRate: c.StripeRate,
		Log: app.NewLog(os.Stderr, e.cli.LogLevel, "onsale"), Progress: func(line string) { fmt.Fprintln(e.out, "·", line) },
	})
	if err != nil {
		return err
	}
	c.banner(e, l)
	if c.Demo > 0 && c.Services == "all" {
		if err := c.demo(e, l); err != nil && e.ctx.Err() == nil {
			fmt.Fprintln(e.out, "the demo ended early:", err)
		}
	}
	if e.ctx.Err() == nil {
		fmt.Fprintln(e.out, "\n"+c.running(l))
	}
	select {
	case <-e.ctx.Done():
		fmt.Fprintln(e.out, "\nStopping: the services finish what they have begun.")
	case <-l.Ended():
	}
	return l.Wait()
}

// running says what goes on until it is stopped.
func (c *upCmd) running(l *up.Local) string {
	if c.Services == "none" {
		return "Running what the services need until Ctrl-C. None of them runs yet: " + l.BaseURL + " is where the api will serve."
	}
	return "Serving on " + l.BaseURL + " until Ctrl-C."
}

func (c *upCmd) banner(e *env, l *up.Local) {
	fmt.Fprintf(e.out, "\n  Onsale  %s\n\n", l.BaseURL)
	for _, row := range [][2]string{
		{"operators", l.AdminURL + "  (health, metrics; the token is in " + l.EnvFile + ")"},
		{"postgres", "psql '" + shown(l.DatabaseURL, c.DatabaseURL) + "'"},
		{"redis", "redis-cli -u " + shown(l.RedisURL, c.RedisURL)},
		{"nats", "nats -s " + shown(l.NATSURL, c.NATSURL) + " stream ls"},
		{"data", filepath.Dir(l.EnvFile)},
	} {
		fmt.Fprintf(e.out, "  %-10s %s\n", row[0], row[1])
	}
	if c.Services == "none" {
		fmt.Fprintf(e.out, "\n  Run the services with its environment:  set -a; . %s; set +a; OPS_LISTEN=%s bin/api & bin/admitter & bin/payworker & bin/committer &\n", l.EnvFile, strings.TrimPrefix(l.AdminURL, "http://"))
	}
	fmt.Fprintln(e.out)
}

// shown is the URL of a server of ours; one that the operator named may hold a password, and is theirs to know.
func shown(url, given string) string {
	if given != "" {
		return "(as given)"
	}
	return url
}

// The demo's events. The matinee stays open, for the newcomer; each run has an evening of its own.
const (
	matinee      = "matinee"
	demoPlan     = "theatre"
	demoPrices   = "Premium=9500,Stalls=7500,First Balcony=5500,Second Balcony=3500"
	demoRate     = 100
	demoLineTime = 10 * time.Second
	demoHold     = 10 * time.Second // short, so that what is abandoned is soon sold to others
)

func (c *upCmd) demo(e *env, l *up.Local) error {
	client := admin.Client{URL: l.AdminURL, Token: l.AdminToken}
	all, err := client.List(e.ctx)
	if err != nil {
		return err
	}
	evenings, hasMatinee := 0, false
	for _, x := range all {
		hasMatinee = hasMatinee || x.EventID == matinee
		if n, err := strconv.Atoi(strings.TrimPrefix(x.EventID, "evening-")); err == nil {
			evenings = max(evenings, n)
		}
	}
	sale := createCmd{Plan: demoPlan, Prices: demoPrices, Currency: "eur", Rate: demoRate, MaxSeats: admin.DefaultMaxSeats,
		HoldTTL: demoHold, PaymentWindow: demoHold, Open: true}
	if !hasMatinee {
		sale.ID, sale.Name, sale.HoldTTL, sale.PaymentWindow = matinee, "The Matinee", admin.DefaultHoldTTL, admin.DefaultPaymentWindow
		if _, err := sale.put(e.ctx, client); err != nil {
			return err
		}
	}
	sale.ID, sale.Name, sale.HoldTTL, sale.PaymentWindow = fmt.Sprintf("evening-%d", evenings+1), "The Evening Show", demoHold, demoHold
	created, err := sale.put(e.ctx, client)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s: %d fans come for the %d seats of %s. (%s is open for you: see the README's walk.)\n\n", sale.Name, c.Demo, created.Seats, sale.ID, matinee)
	return (&crowdCmd{Event: sale.ID, Fans: c.Demo, Spread: demoLineTime, Limit: 5 * time.Minute, Seed: 1, URL: l.BaseURL, Audit: true}).Run(e)
}
