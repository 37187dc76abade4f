// Command genplans writes the seating plans that Onsale ships, one file per venue. The folder plans runs it
// by go generate; nothing imports it.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"onsale/internal/plan/venue"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "genplans:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("genplans", flag.ContinueOnError)
	out := flags.String("out", "plans", "the folder to write to, which must exist")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, v := range venue.All() {
		p := v.Make()
		var file bytes.Buffer
		if err := venue.Write(&file, p); err != nil {
			return err
		}
		path := filepath.Join(*out, v.Name+".json")
		if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s: %d seats, %d bytes\n", path, len(p.Seats()), file.Len())
	}
	return nil
}
