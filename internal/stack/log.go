package stack

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	logLimitBytes = 16 << 20 // a log that is larger at a start is moved aside, one is kept
	tailBytes     = 8 << 10
	tailLines     = 20
)

// serverLog is the file that one run of a server writes to.
type serverLog struct {
	path string
	from int64 // where this run's lines begin
}

// openLog opens the log of server in dir for appending. The file is this process's own, whatever account
// the server runs as.
func openLog(dir, server string) (serverLog, *os.File, error) {
	folder := filepath.Join(dir, logFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return serverLog{}, nil, fmt.Errorf("make log folder: %w", err)
	}
	l := serverLog{path: filepath.Join(folder, server+".log")}
	if info, err := os.Stat(l.path); err == nil && info.Size() > logLimitBytes {
		if err := os.Rename(l.path, l.path+".1"); err != nil {
			return serverLog{}, nil, fmt.Errorf("rotate log: %w", err)
		}
	}
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return serverLog{}, nil, fmt.Errorf("open log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return serverLog{}, nil, fmt.Errorf("open log: %w", err)
	}
	l.from = info.Size()
	return l, file, nil
}

// tail returns the last lines of this run, indented, after a line that names the file.
func (l serverLog) tail() string {
	file, err := os.Open(l.path)
	if err != nil {
		return "its log can't be read: " + err.Error()
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "its log can't be read: " + err.Error()
	}
	from := max(l.from, info.Size()-tailBytes)
	text := make([]byte, max(0, info.Size()-from))
	n, _ := file.ReadAt(text, from)
	text = bytes.TrimSpace(text[:n])
	if len(text) == 0 {
		return "it wrote nothing to " + l.path
	}
	lines := strings.Split(string(text), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	return "the last lines of " + l.path + ":\n    " + strings.Join(lines, "\n    ")
}
