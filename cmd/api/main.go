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
	return app.Serve(ctx, "api", "Onsale's api serves fans: the line, the seats, checkout and orders; and takes webhooks.", args, stdout, app.RunAPIAlone)
}
