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
	return app.Serve(ctx, "admitter", "Onsale's admitter moves the lines at the pace that operators set.", args, stdout, app.RunAdmitter)
}
