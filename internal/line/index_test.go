package line_test

import (
	"context"
	"errors"
	"math/rand"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"onsale/internal/line"
)

// chunk is a message of a line's stream.
type chunk struct {
	sequence uint64
	joins    int
}

// stream makes a line's stream; some sequences are missing, and some chunks are empty.
func stream(r *rand.Rand) []chunk {
	var all []chunk
	for s := uint64(1); s <= uint64(1+r.Intn(60)); s++ {
		if r.Intn(5) > 0 {
			all = append(all, chunk{s, r.Intn(9)})
		}
	}
	return all
}

// follow applies a stream as a follower does that loses its connection again and again: each time it goes back
// to some place that it has read before.
func follow(r *rand.Rand, x *line.Index, all []chunk) {
	for next := 0; next < len(all); {
		x.Apply(all[next].sequence, "", uint16(all[next].joins))
		if next++; r.Intn(4) == 0 {
			next = r.Intn(next + 1)
		}
	}
}

// However often parts are read again, every node gives everyone the same number, and the numbers are 0 to
// joined-1 in the order of the stream.
func TestIndex_IsAFunctionOfTheStream(t *testing.T) {
	t.Parallel()
	for seed := range int64(300) {
		r := rand.New(rand.NewSource(seed))
		all := stream(r)
		for range 3 {
			x := line.NewIndex()
			follow(r, x, all)
			var arrival uint64
			for _, c := range all {
				for i := range uint32(c.joins) {
					if _, got, ok := x.Arrival(c.sequence, i); !ok || got != arrival {
						t.Fatalf("seed %d: join %d of chunk %d arrived as %d, %v; want %d", seed, i, c.sequence, got, ok, arrival)
					}
					arrival++
				}
			}
			if got := x.Joined(""); got != arrival {
				t.Fatalf("seed %d: %d joined, want %d", seed, got, arrival)
			}
		}
	}
}

// A node that has read less says less, and nothing else.
func TestIndex_NeverChangesItsMind(t *testing.T) {
	t.Parallel()
	for seed := range int64(100) {
		all := stream(rand.New(rand.NewSource(seed)))
		whole := line.NewIndex()
		for _, c := range all {
			whole.Apply(c.sequence, "", uint16(c.joins))
		}
		x := line.NewIndex()
		for i, c := range all {
			x.Apply(c.sequence, "", uint16(c.joins))
			for j, d := range all {
				_, got, ok := x.Arrival(d.sequence, 0)
				if ok != (j <= i) {
					t.Fatalf("seed %d: after chunk %d, chunk %d is known: %v", seed, c.sequence, d.sequence, ok)
				}
				if _, want, _ := whole.Arrival(d.sequence, 0); ok && got != want {
					t.Fatalf("seed %d: after chunk %d, chunk %d begins at %d, later at %d", seed, c.sequence, d.sequence, got, want)
				}
			}
		}
	}
}

func TestIndex_KnowsNothingUnread(t *testing.T) {
	t.Parallel()
	x := line.NewIndex()
	for _, sequence := range []uint64{0, 1, 1 << 63} {
		if _, n, ok := x.Arrival(sequence, 0); ok || n != 0 {
			t.Errorf("Arrival(%d) of an empty line = %d, %v", sequence, n, ok)
		}
	}
	x.Apply(2, "", 5)
	x.Apply(2, "", 7)
	x.Apply(1, "", 7)
	x.Apply(0, "", 7)
	if got := x.Joined(""); got != 5 {
		t.Errorf("chunks that were applied before count: %d joined", got)
	}
	if _, n, ok := x.Arrival(0, 0); ok {
		t.Errorf("there is a chunk 0, it begins at %d", n)
	}
}

func TestIndex_WaitFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := line.NewIndex()
		var back [20]atomic.Bool
		for sequence := range uint64(len(back)) {
			go func() {
				if err := x.WaitFor(t.Context(), sequence); err != nil {
					t.Errorf("WaitFor(%d) = %v", sequence, err)
				}
				back[sequence].Store(true)
			}()
		}
		for read := range uint64(len(back)) {
			x.Apply(read, "", 1)
			synctest.Wait() // everyone is back, or waits
			for sequence := range back {
				if got, due := back[sequence].Load(), uint64(sequence) <= read; got != due {
					t.Fatalf("read up to %d: WaitFor(%d) is back: %v", read, sequence, got)
				}
			}
		}
	})
}

func TestIndex_WaitForEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := line.NewIndex()
		x.Apply(1, "", 1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- x.WaitFor(ctx, 2) }()
		synctest.Wait()
		if len(ended) > 0 {
			t.Fatalf("WaitFor = %v, before anything happened", <-ended)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("WaitFor = %v, want context.Canceled", err)
		}
		if err := x.WaitFor(ctx, 1); err != nil {
			t.Errorf("WaitFor what was read = %v, even with an ended context", err)
		}
	})
}

// Readers see whole chunks: with chunks of ten, never a number of joins between.
func TestIndex_ConcurrentReaders(t *testing.T) {
	t.Parallel()
	const chunks = 500
	x := line.NewIndex()
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for last := uint64(0); last < chunks*10; {
				joined := x.Joined("")
				if joined%10 != 0 || joined < last {
					t.Errorf("%d joined after %d", joined, last)
					return
				}
				if joined > 0 {
					if _, n, ok := x.Arrival(joined/10, 9); !ok || n != joined-1 {
						t.Errorf("the last of %d arrived as %d, %v", joined, n, ok)
						return
					}
				}
				last = joined
			}
		})
	}
	for _, follower := range []int{1, 2} {
		readers.Go(func() {
			for s := uint64(1); s <= chunks; s++ {
				x.Apply(s, "", 10)
				if follower == 2 {
					x.Apply(max(s, 5)-4, "", 10)
				}
			}
		})
	}
	readers.Wait()
}
