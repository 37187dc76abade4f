//go:build !race

package entry_test

import (
	"testing"
	"time"

	"onsale/internal/entry"
)

// What every join and every poll goes through makes no garbage. Not under the race detector, which has pools forget at
// random; and not in parallel, for all that the process allocates is counted.
func TestAllocatesNothing(t *testing.T) {
	solution := solve(t, "gala", session, proofs.Challenge("gala", 8, opens))
	recent, addresses := entry.NewRecent(1024), entry.NewAddresses(1024)
	var load entry.Load
	for what, do := range map[string]func(i int){
		"a proof that is right": func(int) { _ = proofs.Verify("gala", session, solution, opens) },
		"a proof that is wrong": func(int) { _ = proofs.Verify("gala", session+"x", solution, opens) },
		"a stale proof":         func(int) { _ = proofs.Verify("gala", session, solution, opens.Add(time.Hour)) },
		"an IPv4 address":       func(i int) { addresses.Take("gala", v4(i), limit, opens) },
		"an IPv6 address":       func(i int) { addresses.Take("gala", v6(i), limit, opens) },
		"an early poll": func(i int) {
			recent.Told(session, opens.Add(time.Duration(i)*time.Second))
			recent.NotBefore(session, opens)
		},
		"an arrival": func(i int) { load.Arrived(10, opens.Add(time.Duration(i)*time.Millisecond)) },
	} {
		i := 0
		if n := testing.AllocsPerRun(500, func() { i++; do(i) }); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}
