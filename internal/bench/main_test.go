package bench

import (
	"context"
	"io"
	"os"
	"testing"

	"onsale/internal/app"
)

// TestMain is also what `onsale node` is: the nodes of line-10m are children of the program that measures them.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "node" {
		os.Exit(app.Main(runNode))
	}
	os.Exit(m.Run())
}

func runNode(ctx context.Context, args []string, stdout io.Writer) error {
	return app.ServeNode(ctx, args[1], stdout)
}
