package entry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/bits"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onsale/internal/entry"
	"onsale/internal/sale"
)

var update = flag.Bool("update", false, "write the golden files anew")

const session = "7c6f7a5b-0d0e-4b0a-8a0f-4c8e9a430d01"

var (
	proofs = entry.NewProofs(bytes.Repeat([]byte{7}, 32))
	opens  = time.Date(2027, 3, 1, 10, 0, 30, 0, time.UTC) // within a window, which begins on even minutes
)

// vector is a challenge and its first solution, as testdata/proofs.json has them.
type vector struct {
	Event    string          `json:"event"`
	Session  string          `json:"session"`
	At       time.Time       `json:"at"`
	Told     entry.Challenge `json:"told"`
	Solution entry.Solution  `json:"solution"`
	SHA256   string          `json:"sha256"` // of what is hashed with the solution
}

// vectors computes the vectors, with names of all lengths: the shortest, the longest, and such that the padding is
// none, one and 63 bytes.
func vectors(t *testing.T) []vector {
	t.Helper()
	var all []vector
	for _, v := range []struct {
		event, session string
		difficulty     int
	}{
		{"gala", session, 1},
		{"gala", session, 8},
		{"gala", session, 13},
		{"a", "sixteen-letters!", 6},
		{strings.Repeat("e", 40), strings.Repeat("~", 128), 7},
		{"gala", strings.Repeat("s", 128-16-5-23-1), 5},
		{"gala", strings.Repeat("s", 128-16-5-23-1-1), 5},
		{"gala", strings.Repeat("s", 128-16-5-23-1+1), 5},
	} {
		told := proofs.Challenge(v.event, v.difficulty, opens)
		solution := solve(t, v.event, v.session, told)
		sum := sha256.Sum256([]byte(message(v.event, v.session, solution)))
		all = append(all, vector{v.event, v.session, opens, told, solution, hex.EncodeToString(sum[:])})
	}
	return all
}

// message is what is hashed, put together as the documentation says it.
func message(event, session string, s entry.Solution) string {
	m := fmt.Sprintf("onsale proof v1\n%s\n%s\n%s\n", event, s.Challenge, session)
	for len(m)%64 != 0 {
		m += " "
	}
	return m + s.Nonce
}

func solve(t testing.TB, event, session string, c entry.Challenge) entry.Solution {
	t.Helper()
	s, err := entry.Solve(t.Context(), event, session, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	raw, err := os.ReadFile("testdata/proofs.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(raw, &all); err != nil || len(all) == 0 {
		t.Fatalf("%d vectors, %v", len(all), err)
	}
	return all
}

// The page's part and anyone's own solver are written after these: they can't change.
func TestProofs_Vectors(t *testing.T) {
	t.Parallel()
	got := vectors(t)
	if *update {
		raw, err := json.MarshalIndent(got, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/proofs.json", append(raw, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(readVectors(t), got); diff != "" {
		t.Errorf("vectors (-want +got):\n%s", diff)
	}
	for _, v := range got {
		if err := proofs.Verify(v.Event, v.Session, v.Solution, v.At); err != nil {
			t.Errorf("Verify(%+v) = %v", v, err)
		}
	}
}

func TestProofs_RefusesWhatSolvesNothing(t *testing.T) {
	t.Parallel()
	told := proofs.Challenge("gala", 12, opens)
	good := solve(t, "gala", session, told)
	refused := func(how, event, session string, s entry.Solution, want error) {
		t.Helper()
		if err := proofs.Verify(event, session, s, opens); !errors.Is(err, want) {
			t.Errorf("%s: Verify(%+v) = %v, want %v", how, s, err, want)
		}
	}
	refused("nothing", "gala", session, entry.Solution{}, entry.ErrNoProof)
	refused("another event", "opera", session, good, entry.ErrBadProof)
	refused("another session", "gala", session+"x", good, entry.ErrBadProof)
	for _, nonce := range []string{"", "0", good.Nonce + " ", good.Nonce + "\n", " " + good.Nonce, strings.Repeat("0", 17)} {
		refused("nonce", "gala", session, entry.Solution{Challenge: good.Challenge, Nonce: nonce}, entry.ErrBadProof)
	}
	for _, challenge := range []string{"", "AAAA", good.Challenge + "A", good.Challenge + "\n", good.Challenge[:21] + "\n", good.Challenge[:21] + "=", good.Challenge[:21] + "+"} {
		refused("challenge", "gala", session, entry.Solution{Challenge: challenge, Nonce: good.Nonce}, entry.ErrBadProof)
	}
	refused("a bit too few", "gala", session, withBits(t, told.Challenge, "%x", 11), entry.ErrBadProof)
	// These hash as they should and are spelled as they should not.
	easy := proofs.Challenge("gala", 2, opens).Challenge
	for _, format := range []string{"%X", "G%x", "%x~", "%x/", "%x:", "`%x", "%x\n", "%017x", " %x"} {
		refused(format, "gala", session, withBits(t, easy, format, 2), entry.ErrBadProof)
	}
	refused("names too long", "gala", strings.Repeat("s", 129), good, entry.ErrBadProof)
	refused("names too long", strings.Repeat("e", 41), session, good, entry.ErrBadProof)
}

// withBits finds a nonce written in a format, with a letter in it, whose hash begins with exactly so many zero bits.
func withBits(t *testing.T, challenge, format string, want int) entry.Solution {
	t.Helper()
	for n := range 1 << 20 {
		s := entry.Solution{Challenge: challenge, Nonce: fmt.Sprintf(format, 0xa0000+n)}
		sum := sha256.Sum256([]byte(message("gala", session, s)))
		if bits.LeadingZeros32(binary.BigEndian.Uint32(sum[:])) == want {
			return s
		}
	}
	t.Fatalf("no nonce like %s has %d zero bits", format, want)
	return entry.Solution{}
}

// A challenge that nobody told is no good, though it be solved: one of another event, of another secret, of no
// difficulty, or altered anywhere.
func TestProofs_RefusesChallengesThatNobodyTold(t *testing.T) {
	t.Parallel()
	refused := func(how, text string, difficulty int) {
		t.Helper()
		s := solve(t, "gala", session, entry.Challenge{Difficulty: difficulty, Challenge: text})
		if err := proofs.Verify("gala", session, s, opens); err == nil {
			t.Errorf("%s: a solution of %q is taken", how, text)
		}
	}
	told := proofs.Challenge("gala", 4, opens)
	refused("another event", proofs.Challenge("opera", 4, opens).Challenge, 4)
	refused("another secret", entry.NewProofs(bytes.Repeat([]byte{8}, 32)).Challenge("gala", 4, opens).Challenge, 4)
	for i := range told.Challenge {
		for bit := range 7 {
			b := []byte(told.Challenge)
			b[i] ^= 1 << bit
			refused("a bit flipped", string(b), 9)
		}
	}
	if c := proofs.Challenge("gala", 0, opens); c.Difficulty != 1 {
		t.Errorf("a challenge of no difficulty: %+v", c)
	}
	if c := proofs.Challenge("gala", 99, opens); c.Difficulty != entry.MaxProofBits {
		t.Errorf("a challenge that nobody can solve: %+v", c)
	}
}

func TestProofs_AreOfTwoWindows(t *testing.T) {
	t.Parallel()
	start := opens.Truncate(entry.Window)
	told := proofs.Challenge("gala", 6, opens)
	s := solve(t, "gala", session, told)
	if !told.ExpiresAt.Equal(start.Add(2 * entry.Window)) {
		t.Errorf("told at %v, it expires at %v", opens, told.ExpiresAt)
	}
	for at, want := range map[time.Duration]error{
		-entry.Window - 1:  entry.ErrStaleProof,
		-entry.Window:      nil, // a node whose clock is behind the one that told it
		0:                  nil,
		entry.Window:       nil,
		2*entry.Window - 1: nil,
		2 * entry.Window:   entry.ErrStaleProof,
		1000 * time.Hour:   entry.ErrStaleProof,
	} {
		if err := proofs.Verify("gala", session, s, start.Add(at)); !errors.Is(err, want) {
			t.Errorf("%v after its window began: %v, want %v", at, err, want)
		}
	}
	if first, last := proofs.Challenge("gala", 6, start), proofs.Challenge("gala", 6, start.Add(entry.Window-1)); first != last {
		t.Errorf("one window tells %+v and %+v", first, last)
	}
	if next := proofs.Challenge("gala", 6, start.Add(entry.Window)); next.Challenge == told.Challenge {
		t.Error("two windows tell the same")
	}
}

// A fan that was told little is asked for no more, whatever is told to others since, and by whatever node.
func TestProofs_TakeWhatWasTold(t *testing.T) {
	t.Parallel()
	other := entry.NewProofs(bytes.Repeat([]byte{7}, 32))
	for difficulty := 1; difficulty <= 10; difficulty++ {
		s := solve(t, "gala", session, proofs.Challenge("gala", difficulty, opens))
		if err := other.Verify("gala", session, s, opens.Add(entry.Window)); err != nil {
			t.Errorf("%d bits: %v", difficulty, err)
		}
	}
}

func TestProofs_JSON(t *testing.T) {
	t.Parallel()
	raw, err := json.Marshal(proofs.Challenge("gala", 18, opens))
	if want := `{"difficulty":18,"challenge":"` + proofs.Challenge("gala", 18, opens).Challenge + `","expires_at":"2027-03-01T10:04:00Z"}`; err != nil || string(raw) != want {
		t.Errorf("%s, %v; want %s", raw, err, want)
	}
}

func TestProofs_AreSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			event := fmt.Sprintf("event-%d", i)
			for range 50 {
				s := solve(t, event, session, proofs.Challenge(event, 3, opens))
				if err := proofs.Verify(event, session, s, opens); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestSolve_IsBounded(t *testing.T) {
	t.Parallel()
	why := errors.New("the fan left")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if s, err := entry.Solve(ctx, "gala", session, proofs.Challenge("gala", 24, opens)); !errors.Is(err, why) {
		t.Errorf("Solve = %+v, %v; want %v", s, err, why)
	}
	if s, err := entry.Solve(t.Context(), "gala", session, entry.Challenge{Difficulty: 25}); err == nil {
		t.Errorf("Solve = %+v", s)
	}
}

func FuzzProofs_Verify(f *testing.F) {
	good := solve(f, "gala", session, proofs.Challenge("gala", 10, opens))
	f.Add("gala", session, good.Challenge, good.Nonce)
	f.Add("gala", session, good.Challenge, "0")
	f.Add("", "", "", "")
	f.Add("opera", session, good.Challenge[:20], good.Nonce+"00")
	f.Fuzz(func(t *testing.T, event, session, challenge, nonce string) {
		s := entry.Solution{Challenge: challenge, Nonce: nonce}
		err := proofs.Verify(event, session, s, opens)
		if err != nil {
			if sale.KindOf(err) != sale.Forbidden {
				t.Errorf("Verify = %v", err)
			}
			return
		}
		// Any session may have a solution of the one challenge that was told, and only if it hashes as it should.
		sum := sha256.Sum256([]byte(message(event, session, s)))
		if event != "gala" || challenge != good.Challenge || sum[0] != 0 || sum[1]&0xc0 != 0 {
			t.Errorf("%q %q %+v passes", event, session, s)
		}
	})
}

func BenchmarkProofs_Verify(b *testing.B) {
	s := solve(b, "gala", session, proofs.Challenge("gala", 12, opens))
	wrong := entry.Solution{Challenge: s.Challenge, Nonce: "0"}
	b.Run("right", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if proofs.Verify("gala", session, s, opens) != nil {
				b.Fatal("refused")
			}
		}
	})
	b.Run("wrong", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if proofs.Verify("gala", session, wrong, opens) == nil {
				b.Fatal("taken")
			}
		}
	})
}

// BenchmarkSolve tells hashes a second: 2^12 of them in the mean solve what it solves.
func BenchmarkSolve(b *testing.B) {
	var hashes uint64
	for i := 0; b.Loop(); i++ {
		s := solve(b, "gala", fmt.Sprintf("%s-%d", session, i), proofs.Challenge("gala", 12, opens))
		var n uint64
		if _, err := fmt.Sscanf(s.Nonce, "%x", &n); err != nil {
			b.Fatal(err)
		}
		hashes += n + 1
	}
	b.ReportMetric(float64(hashes)/b.Elapsed().Seconds(), "hashes/s")
}
