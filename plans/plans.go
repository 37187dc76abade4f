// Package plans holds the seating plans that Onsale ships, in pretix's open JSON format. It promises that
// every one of them is read by package plan without a problem. The files are made by the generator below
// and embedded; anyone may import the package.
package plans

import (
	"embed"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
)

//go:generate go run ../internal/plan/venue/genplans -out .

//go:embed *.json
var files embed.FS

const extension = ".json"

// Names returns the names of the plans in alphabetical order.
func Names() []string {
	found, err := fs.Glob(files, "*"+extension)
	if err != nil {
		panic(err) // only a malformed pattern is an error, and the pattern is a constant
	}
	names := make([]string, 0, len(found))
	for _, file := range found {
		names = append(names, strings.TrimSuffix(file, extension))
	}
	slices.Sort(names)
	return names
}

// Open opens a plan by its name. A name that is not one of Names gives an error that lists them and is
// fs.ErrNotExist.
func Open(name string) (io.ReadCloser, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("open plan %q, there are %s: %w", name, strings.Join(Names(), ", "), fs.ErrNotExist)
	}
	return files.Open(name + extension)
}
