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
	return app.Serve(ctx, "payworker", "Onsale's payworker deals with Stripe: it authorizes, captures and cancels.", args, stdout, app.RunPayworker)
}
