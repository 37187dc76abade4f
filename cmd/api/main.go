// Command api serves fans: the line, the seats, checkout and orders; and takes webhooks.
package main

import (
	"context"
	"io"
	"os"

	"onsale/internal/app"
)

func main() { os.Exit(app.Main(run)) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	cfg, err := app.Load[app.API]("api", "Onsale's api serves fans: the line, the seats, checkout and orders; and takes webhooks.", args, stdout)
	if err != nil {
		return err
	}
	app.Collect(app.CollectOften, os.Getenv)
	return app.RunAPI(ctx, cfg, nil, app.NewLog(os.Stderr, cfg.LogLevel, "api"))
}
