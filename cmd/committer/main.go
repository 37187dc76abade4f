// Command committer sells seats: it commits authorized payments, many in one transaction.
package main

import (
	"context"
	"io"
	"os"

	"onsale/internal/app"
)

func main() { os.Exit(app.Main(run)) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	return app.Serve(ctx, "committer", "Onsale's committer sells seats: it commits authorized payments, many in one transaction.", args, stdout, app.RunCommitter)
}
