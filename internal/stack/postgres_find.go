package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// postgresVersion is one set of Postgres programs on this machine.
type postgresVersion struct {
	folder string
	major  string // such as "15"
}

func (v postgresVersion) program(name string) string { return filepath.Join(v.folder, name) }

// postgresFolders lists where the server's programs may be, the preferred place first. Debian keeps them
// out of PATH, for several versions may be installed.
func postgresFolders() []string {
	var folders []string
	if path, err := exec.LookPath("postgres"); err == nil {
		folders = append(folders, filepath.Dir(path))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
	} {
		if found, err := filepath.Glob(pattern); err == nil {
			slices.SortFunc(found, func(a, b string) int { return versionIn(b) - versionIn(a) })
			folders = append(folders, found...)
		}
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		folders = append(folders, strings.TrimSpace(string(out)))
	}
	return folders
}

// versionIn is the number in the name of a version's folder: 15 in /usr/lib/postgresql/15/bin.
func versionIn(folder string) int {
	name := filepath.Base(filepath.Dir(folder))
	n, err := strconv.Atoi(name[strings.LastIndexAny(name, "@-")+1:])
	if err != nil {
		return 0
	}
	return n
}

// findPostgres returns the first version in folders that serves data of version major, or any when there is
// no data yet.
func findPostgres(ctx context.Context, folders []string, major string) (postgresVersion, error) {
	var others []string
	for _, folder := range folders {
		v := postgresVersion{folder: folder}
		if _, err := os.Stat(v.program("initdb")); err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, v.program("postgres"), "--version").Output()
		if ctx.Err() != nil {
			return postgresVersion{}, fmt.Errorf("find Postgres: %w", context.Cause(ctx))
		}
		if err != nil {
			continue
		}
		// postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)
		if _, after, ok := strings.Cut(string(out), "(PostgreSQL) "); ok {
			v.major = after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
		}
		if v.major != "" && (major == "" || v.major == major) {
			return v, nil
		}
		others = append(others, v.major)
	}
	if major != "" && len(others) > 0 {
		return postgresVersion{}, fmt.Errorf("the data was made by Postgres %s, and only %s is on this machine: "+
			"install postgresql-%s, or start with --fresh to give the data up", major, strings.Join(others, ", "), major)
	}
	return postgresVersion{}, errors.New("no Postgres server on this machine: run scripts/setup, or install it " +
		"(Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@15), or name one that runs with DATABASE_URL")
}

// majorOf returns the version that made data, empty when there is no data yet.
func majorOf(data string) (string, error) {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if _, dataErr := os.Lstat(data); errors.Is(dataErr, fs.ErrNotExist) {
		return "", nil
	}
	return "", fmt.Errorf("read version of the data: %w", err)
}
