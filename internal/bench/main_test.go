package bench

import (
	"context"
	"io"
	"log/slog"
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
	log := app.NewLog(os.Stderr, slog.LevelInfo, args[1])
	if args[1] == "admitter" {
		cfg, err := app.Load[app.Admitter]("admitter", "", nil, stdout)
		if err != nil {
			return err
		}
		return app.RunAdmitter(ctx, cfg, log)
	}
	cfg, err := app.Load[app.API]("api", "", nil, stdout)
	if err != nil {
		return err
	}
	return app.RunAPI(ctx, cfg, nil, log)
}
