package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"time"

	"onsale/internal/app"
	"onsale/internal/bench"
)

type benchCmd struct {
	Names       []string      `arg:"" optional:"" help:"Which ones; all where none is named."`
	List        bool          `help:"List the benchmarks."`
	JSON        bool          `help:"Print a JSON line a figure."`
	Samples     int           `default:"5" help:"Samples of each figure; the median counts."`
	Duration    time.Duration `default:"3s" help:"Length of a sample."`
	Connections int           `default:"256" help:"Connections of the load."`
	Fans        int           `default:"10000000" help:"Fans in the line of line-10m."`
	CPUProfile  string        `name:"cpuprofile" placeholder:"FILE" help:"Write a CPU profile of the run, for go tool pprof."`
}

// Validate bounds the load: it shares the machine with what it measures.
func (c *benchCmd) Validate() error {
	if c.Samples < 1 || c.Samples > 100 || c.Duration < 100*time.Millisecond || c.Duration > 10*time.Minute || c.Connections < 1 || c.Connections > 4096 {
		return errors.New("samples must be 1 to 100, duration 100ms to 10m, connections 1 to 4096")
	}
	if c.Fans < bench.MinFans || c.Fans > bench.MaxFans {
		return fmt.Errorf("fans must be %d to %d", bench.MinFans, bench.MaxFans)
	}
	for _, name := range c.Names {
		known := false
		for _, b := range bench.All() {
			known = known || b.Name == name
		}
		if !known {
			return fmt.Errorf("there is no benchmark %q: see --list", name)
		}
	}
	return nil
}

func (c *benchCmd) Run(e *env) error {
	if c.List {
		for _, b := range bench.All() {
			fmt.Fprintf(e.out, "%-10s %s\n", b.Name, b.Help)
		}
		return nil
	}
	if c.CPUProfile != "" {
		f, err := os.Create(c.CPUProfile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	app.Collect(app.CollectSeldom, os.Getenv) // as onsale up
	// Beside the data, since a disk of memory, as temporary folders often are, would flatter every fsync.
	dir := e.cli.Data + "-bench"
	results, err := bench.Run(e.ctx, bench.Config{
		Dir: dir, Samples: c.Samples, Duration: c.Duration, Connections: c.Connections, Fans: c.Fans, Log: e.log,
		Progress: func(line string) { fmt.Fprintln(os.Stderr, line) },
	}, c.Names)
	if err != nil {
		return err
	}
	if c.JSON {
		return bench.PrintJSON(e.out, results)
	}
	return bench.Print(e.out, results)
}
