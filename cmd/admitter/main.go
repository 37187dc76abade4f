// Command admitter moves the lines at the pace that operators set.
package main

import (
	"context"
	"io"
	"os"

	"onsale/internal/app"
)

func main() { os.Exit(app.Main(run)) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	cfg, err := app.Load[app.Admitter]("admitter", "Onsale's admitter moves the lines at the pace that operators set.", args, stdout)
	if err != nil {
		return err
	}
	return app.RunAdmitter(ctx, cfg, app.NewLog(os.Stderr, cfg.LogLevel, "admitter"))
}
