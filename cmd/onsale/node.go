package main

import (
	"context"
	"log/slog"
	"os"

	"onsale/internal/app"
)

// nodeCmd runs one service in this process, as its own binary does, with the same environment: the bench starts
// nodes of its own with it, and needs no binary but this one.
type nodeCmd struct {
	Service string `arg:"" enum:"api,admitter" help:"api or admitter."`
}

func (c *nodeCmd) Run(e *env) error {
	if c.Service == "admitter" {
		return runNode(e, c.Service, app.RunAdmitter, func(cfg app.Admitter) slog.Level { return cfg.LogLevel })
	}
	return runNode(e, c.Service, func(ctx context.Context, cfg app.API, log *slog.Logger) error {
		app.Collect(app.CollectOften, os.Getenv)
		return app.RunAPI(ctx, cfg, nil, log)
	}, func(cfg app.API) slog.Level { return cfg.LogLevel })
}

// runNode reads a service's configuration from the environment and runs it.
func runNode[C interface{ Validate() error }](e *env, name string, run func(context.Context, C, *slog.Logger) error, level func(C) slog.Level) error {
	cfg, err := app.Load[C](name, "A service of Onsale.", nil, e.out)
	if err != nil {
		return err
	}
	return run(e.ctx, cfg, app.NewLog(os.Stderr, level(cfg), name))
}
