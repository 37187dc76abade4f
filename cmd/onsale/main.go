// Command onsale is the operator's and the newcomer's command: it runs everything on one machine, puts events on
// sale, sends a crowd, audits and measures.
package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"runtime"

	"github.com/alecthomas/kong"

	"onsale/internal/app"
	"onsale/internal/stack"
)

type cli struct {
	Data     string     `env:"ONSALE_DATA" type:"path" placeholder:"DIR" help:"Data folder of the local system. Its onsale.env also tells the other commands where to find it."`
	LogLevel slog.Level `name:"log-level" env:"LOG_LEVEL" default:"warn" help:"debug, info, warn or error."`

	Up      upCmd      `cmd:"" help:"Run everything on this machine until Ctrl-C."`
	Event   eventCmd   `cmd:"" help:"Put events on sale, open and close them."`
	Line    lineCmd    `cmd:"" help:"Watch an event's line and steer it."`
	Order   orderCmd   `cmd:"" help:"Look at orders, and refund them."`
	Crowd   crowdCmd   `cmd:"" help:"Send a crowd of fans through a sale, then audit it."`
	Audit   auditCmd   `cmd:"" help:"Check the guarantees on live data; exits 1 and names each breach."`
	Verify  verifyCmd  `cmd:"" help:"Check an event's public records, as anyone can; exits 1 and names each breach."`
	Gate    gateCmd    `cmd:"" help:"Check passes for a gateway in front of another site."`
	Bench   benchCmd   `cmd:"" help:"Measure, against a baseline in the same run."`
	Node    nodeCmd    `cmd:"" hidden:""`
	Migrate migrateCmd `cmd:"" help:"Bring Postgres's schema to this version."`
}

func main() {
	// A broker runs in this process and waits for the disk at every write. Go takes such a thread for busy, so
	// with one for each core the others' work would wait with it.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
	var failed error
	code := app.Main(func(ctx context.Context, args []string, stdout io.Writer) error {
		failed = run(ctx, args, stdout)
		return failed
	})
	if code != 0 && errors.As(failed, new(stopped)) {
		code = 2
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	var c cli
	exited := false
	parser, err := kong.New(&c, kong.Name("onsale"), kong.UsageOnError(), kong.Writers(stdout, os.Stderr),
		kong.Description("A ticket on-sale that stays up, fair and correct."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Exit(func(int) { exited = true }))
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if exited {
		return nil // it was asked for help, which is printed
	}
	if err != nil {
		return err
	}
	if c.Data == "" {
		c.Data = stack.DefaultDir()
	}
	return command.Run(&env{ctx: ctx, out: stdout, cli: &c, log: app.NewLog(os.Stderr, c.LogLevel, "onsale")})
}

// env is what every command gets.
type env struct {
	ctx context.Context
	out io.Writer
	cli *cli
	log *slog.Logger
}
