// Command payworker deals with Stripe: it authorizes, captures and cancels.
package main

import (
	"context"
	"io"
	"os"

	"onsale/internal/app"
)

func main() { os.Exit(app.Main(run)) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	cfg, err := app.Load[app.Payworker]("payworker", "Onsale's payworker deals with Stripe: it authorizes, captures and cancels.", args, stdout)
	if err != nil {
		return err
	}
	return app.RunPayworker(ctx, cfg, app.NewLog(os.Stderr, cfg.LogLevel, "payworker"))
}
