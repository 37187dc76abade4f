package line_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"onsale/internal/line"
	"onsale/internal/sale"
)

// sessionsOf makes n sessions that nobody else has.
func sessionsOf(r *rand.Rand, n int) []sale.SessionHash {
	all := make([]sale.SessionHash, n)
	for i := range all {
		binary.LittleEndian.PutUint64(all[i][:], r.Uint64())
		binary.LittleEndian.PutUint64(all[i][8:], r.Uint64())
	}
	return all
}

// Who joined is never called new, and who is new seldom known.
func TestSessions(t *testing.T) {
	t.Parallel()
	n := 1_000_000
	if testing.Short() {
		n = 200_000
	}
	r := rand.New(rand.NewPCG(1, 2))
	all := sessionsOf(r, n)
	maybe := make([]bool, n)
	var s line.Sessions
	s.Add(all, maybe)
	wrong := 0
	for _, m := range maybe {
		if m {
			wrong++
		}
	}
	if most := n / 500; wrong > most {
		t.Errorf("%d of %d new sessions are called known, want %d at most", wrong, n, most)
	}
	s.Add(all, maybe)
	for i, m := range maybe {
		if !m {
			t.Fatalf("session %d is called new", i)
		}
	}
}

func BenchmarkSessions(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	all := sessionsOf(r, 1_000_000)
	maybe := make([]bool, 128)
	var s line.Sessions
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := i * 128 % (len(all) - 128)
		s.Add(all[at:at+128], maybe)
	}
}
