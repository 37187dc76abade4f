package stack

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// leftoverLimit is how long the servers of a stack that was killed may take to end by themselves.
const leftoverLimit = 15 * time.Second

// awaitLeftovers waits until no server works in dir any more. Two servers on the same files would destroy
// them, so one that stays is an error. Nothing is killed: it may be somebody's own doing.
func awaitLeftovers(ctx context.Context, cfg Config, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, leftoverLimit)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	told := false
	for {
		pids := runningIn(dir)
		if len(pids) == 0 {
			return nil
		}
		if !told {
			cfg.Progress(fmt.Sprintf("waiting for a former server (process id %d) to leave %s", pids[0], dir))
			told = true
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("a server still runs on %s (process id %d): end it with `kill -INT %d`, then start again",
				dir, pids[0], pids[0])
		}
	}
}

func isServer(program string) bool {
	for _, name := range []string{"postgres", "redis-server", "valkey-server"} {
		// A title may follow the name.
		if program == name || strings.HasPrefix(program, name+":") {
			return true
		}
	}
	return false
}
