package stack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func fakePostgres(t *testing.T, major string) string {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + major + ".13 (Debian " + major + ".13-0+deb12u1)'\n"
	for _, name := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindPostgres(t *testing.T) {
	t.Parallel()
	clientOnly, v17, v15 := t.TempDir(), fakePostgres(t, "17"), fakePostgres(t, "15")
	folders := []string{"/nowhere", clientOnly, v17, v15}
	for _, test := range []struct {
		folders     []string
		major, want string
		err         string
	}{
		{folders: folders, want: v17},
		{folders: folders, major: "15", want: v15},
		{folders: folders, major: "14", err: "made by Postgres 14, and only 17, 15 is on this machine"},
		{folders: folders[:2], err: "apt-get install postgresql"},
		{folders: folders[:2], major: "15", err: "apt-get install postgresql"},
	} {
		got, err := findPostgres(t.Context(), test.folders, test.major)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("version %q: got %v, want %q", test.major, err, test.err)
			}
			continue
		}
		if err != nil || got.folder != test.want {
			t.Errorf("version %q: got %v (%v), want %s", test.major, got, err, test.want)
		}
	}
}

// A start that was given up must not end in the advice to install what is there.
func TestFindPostgresCanceled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := findPostgres(ctx, []string{fakePostgres(t, "15")}, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestVersionIn(t *testing.T) {
	t.Parallel()
	for folder, want := range map[string]int{
		"/usr/lib/postgresql/9.6/bin":         0, // older than any that serves
		"/usr/lib/postgresql/15/bin":          15,
		"/usr/pgsql-16/bin":                   16,
		"/opt/homebrew/opt/postgresql@17/bin": 17,
	} {
		if got := versionIn(folder); got != want {
			t.Errorf("%s: %d, want %d", folder, got, want)
		}
	}
}

// Data whose version can't be read must never be taken for no data: it would be made anew.
func TestMajorOfDamagedData(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	if major, err := majorOf(data); major != "" || err != nil {
		t.Errorf("no data: %q, %v", major, err)
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := majorOf(data); err == nil {
		t.Error("data without a version was taken for no data")
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if major, err := majorOf(data); major != "15" || err != nil {
		t.Errorf("data of 15: %q, %v", major, err)
	}
}
