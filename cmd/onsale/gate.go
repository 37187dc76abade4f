package main

import (
	"fmt"
	"net"
	"time"

	"onsale/internal/gate"
)

type gateCmd struct {
	Listen    string        `env:"GATE_LISTEN" default:"127.0.0.1:8090" help:"Where gateways ask: /check, and /healthz, /readyz and /metrics beside it."`
	API       string        `name:"api" env:"ONSALE_URL" placeholder:"URL" help:"Where the sale is; the local system where it is not given."`
	JWKS      string        `name:"jwks" env:"GATE_JWKS" placeholder:"URL" help:"The public keys, where they are not at the sale's /.well-known/jwks.json."`
	Event     []string      `env:"GATE_EVENTS" required:"" help:"The event whose passes are accepted; may be given several times."`
	KeysEvery time.Duration `name:"keys-every" env:"GATE_KEYS_EVERY" default:"1m" help:"How often the public keys are fetched."`
}

// Run serves until it is told to stop.
func (c *gateCmd) Run(e *env) error {
	if c.API == "" {
		var err error
		if c.API, err = e.setting("ONSALE_URL"); err != nil {
			return err
		}
	}
	cfg := gate.Config{API: c.API, JWKS: c.JWKS, Events: c.Event, KeysEvery: c.KeysEvery, StateEvery: time.Second}
	if err := cfg.Validate(); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("open the listener: %w", err)
	}
	fmt.Fprintf(e.out, "gate for %v at http://%s/check, asking %s\n", c.Event, ln.Addr(), c.API)
	return gate.Run(e.ctx, gate.Deps{Config: cfg, Listener: ln, Now: time.Now, Log: e.log})
}
