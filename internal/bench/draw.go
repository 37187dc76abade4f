package bench

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"time"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/sale"
)

// The lobby that the draw is measured with: as many joins, in chunks of so many.
const (
	drawnFans  = 10_000_000
	drawnChunk = 256
)

// benchDraw measures the draw in one goroutine: its places, what it takes to make them and the tree, a proof, and how
// well small lobbies are mixed.
func benchDraw(ctx context.Context, r *runner) ([]Result, error) {
	var results []Result
	for _, measure := range []func(context.Context) ([]Result, error){r.drawPlaces, r.drawMaking, r.drawTree, r.drawChance} {
		found, err := measure(ctx)
		if err != nil {
			return nil, err
		}
		results = append(results, found...)
	}
	return results, nil
}

// atOnce is how many calls are made between two looks at the clock.
const atOnce = 1 << 14

// perSecond is how many calls of do a second return, in one goroutine, and how many allocations each makes.
func perSecond(ctx context.Context, d time.Duration, do func()) (rate, allocations float64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	n := 0
	for ; time.Since(began) < d && ctx.Err() == nil; n += atOnce {
		for range atOnce {
			do()
		}
	}
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	return float64(n) / took.Seconds(), float64(after.Mallocs-before.Mallocs) / float64(n), ctx.Err()
}

// hashesOfPlace is how many hashes a place takes that is computed without tables.
const hashesOfPlace = 12

// drawPlaces measures places against the hashes that each would take without the tables.
func (r *runner) drawPlaces(ctx context.Context) ([]Result, error) {
	p, err := draw.NewPermutation(draw.Hash{1}, drawnFans)
	if err != nil {
		return nil, err
	}
	allocations := 0.0
	figures := []versus{{"draw-places", "places/s", fmt.Sprintf("%d SHA-256 of one block", hashesOfPlace)}}
	results, err := r.compare(ctx, figures, func(ctx context.Context) (float64, []float64, error) {
		arrival := uint64(0)
		rate, allocated, err := perSecond(ctx, r.Duration, func() { arrival = (p.Place(arrival) + 1) % drawnFans })
		if err != nil {
			return 0, nil, err
		}
		allocations = max(allocations, allocated)
		var block [len(draw.Hash{}) + 9]byte
		hashes, _, err := perSecond(ctx, r.Duration, func() {
			for range hashesOfPlace {
				sum := sha256.Sum256(block[:])
				block[len(block)-1] = sum[0]
			}
		})
		return rate, []float64{hashes}, err
	})
	if err != nil {
		return nil, err
	}
	allocations = math.Round(allocations*1000) / 1000 // the clock and others' goroutines make a few
	return append(results, Result{Bench: "draw-places-allocs", Value: allocations, Unit: "a place", Samples: []float64{allocations}}), nil
}

// drawMaking measures the making of a permutation, in milliseconds.
func (r *runner) drawMaking(ctx context.Context) ([]Result, error) {
	key := draw.Hash{1}
	return r.compare(ctx, []versus{{"draw-permutation", "ms", ""}}, func(ctx context.Context) (float64, []float64, error) {
		key[1]++
		began := time.Now()
		_, err := draw.NewPermutation(key, drawnFans)
		return milliseconds(time.Since(began)), nil, err
	})
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// drawnBody is the body of a chunk of the lobby, by its number.
func drawnBody(chunk uint32) []byte {
	var sessions [drawnChunk]sale.SessionHash
	for i := range sessions {
		binary.BigEndian.PutUint32(sessions[i][:], chunk)
		binary.BigEndian.PutUint32(sessions[i][4:], uint32(i))
	}
	return events.Chunk{Sessions: sessions[:]}.Encode()
}

// drawTree measures the tree over all chunks, in milliseconds, against the same bytes hashed as one, and proofs: of a
// chunk whose tile's hashes are known, and with the hashing of the tile's chunks.
func (r *runner) drawTree(ctx context.Context) ([]Result, error) {
	const chunks = (drawnFans + drawnChunk - 1) / drawnChunk
	var tree *draw.Tree
	body := drawnBody(0)
	results, err := r.compare(ctx, []versus{{"draw-tree", "ms", "SHA-256 of the same bytes, at once"}}, func(ctx context.Context) (float64, []float64, error) {
		tree = draw.NewTree()
		began := time.Now()
		for i := range uint32(chunks) {
			binary.BigEndian.PutUint32(body[1:], i) // the first session's: no two chunks are alike
			tree.Append(body)
		}
		took := time.Since(began)
		whole := sha256.New()
		began = time.Now()
		for range chunks {
			whole.Write(body)
		}
		whole.Sum(nil)
		return milliseconds(took), []float64{milliseconds(time.Since(began))}, ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	proofs, err := r.drawProofs(ctx, tree, body)
	return append(results, proofs...), err
}

// drawProofs measures proofs from a tree, each of another tile, in microseconds. Each is verified.
func (r *runner) drawProofs(ctx context.Context, tree *draw.Tree, body []byte) ([]Result, error) {
	const proofs = 50
	bodyOf := func(leaf uint64) []byte {
		binary.BigEndian.PutUint32(body[1:], uint32(leaf))
		return body
	}
	root := tree.Root()
	return r.compare(ctx, []versus{{"draw-proof", "us", "with its tile's chunks hashed anew"}}, func(ctx context.Context) (float64, []float64, error) {
		var own, all time.Duration
		for i := range uint64(proofs) {
			leaf := (i*7919*draw.TileSize + i) % tree.Size()
			began := time.Now()
			first, count, err := tree.Tile(leaf)
			if err != nil {
				return 0, nil, err
			}
			tile := make([]draw.Hash, count)
			for j := range tile {
				tile[j] = draw.LeafHash(bodyOf(first + uint64(j)))
			}
			hashed := time.Now()
			path, err := tree.Proof(leaf, tile)
			if err != nil {
				return 0, nil, err
			}
			own, all = own+time.Since(hashed), all+time.Since(began)
			if err := draw.VerifyInclusion(root, tree.Size(), leaf, bodyOf(leaf), path); err != nil {
				return 0, nil, err
			}
		}
		return 1000 * milliseconds(own) / proofs, []float64{1000 * milliseconds(all) / proofs}, ctx.Err()
	})
}

// The lobbies whose draws are compared with chance: all orders of the few, the place of one fan among the more.
const (
	chanceOrders  = 4  // fans, with 24 orders
	chanceSamples = 50 // draws for each order, or each place
)

// chancePlaces are sizes of lobbies on both sides of where the shuffle ends and the network begins.
var chancePlaces = []uint64{2, 13, 1000, 1031, 2053}

// drawChance is how likely it is that chance alone is as uneven as the draw, by Pearson's chi-square test: a p-value
// for each lobby, in no order. Of p-values near 0 there are many only where the draw is not fair.
func (r *runner) drawChance(ctx context.Context) ([]Result, error) {
	var results []Result
	add := func(name string, p float64) {
		r.tell("  %s: p = %.3f", name, p)
		results = append(results, Result{Bench: name, Value: p, Unit: "p-value", Samples: []float64{p}})
	}
	orders, err := chanceOfOrders()
	if err != nil {
		return nil, err
	}
	add(fmt.Sprintf("draw-chance-orders-%d", chanceOrders), orders)
	for _, n := range chancePlaces {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p, err := chanceOfPlaces(n)
		if err != nil {
			return nil, err
		}
		add(fmt.Sprintf("draw-chance-place-%d", n), p)
	}
	return results, nil
}

// sampleKey is the key of a draw, by its number and the lobby's size.
func sampleKey(n uint64, sample int) draw.Hash {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], n)
	binary.BigEndian.PutUint64(b[8:], uint64(sample))
	return sha256.Sum256(b[:])
}

// chanceOfOrders counts every order of a small lobby.
func chanceOfOrders() (float64, error) {
	orders := 1
	for i := range chanceOrders {
		orders *= i + 1
	}
	counts := map[[chanceOrders]uint64]int{}
	for i := range chanceSamples * orders {
		p, err := draw.NewPermutation(sampleKey(chanceOrders, i), chanceOrders)
		if err != nil {
			return 0, err
		}
		var order [chanceOrders]uint64
		for arrival := range order {
			order[arrival] = p.Place(uint64(arrival))
		}
		counts[order]++
	}
	flat := make([]int, 0, orders)
	for _, c := range counts {
		flat = append(flat, c)
	}
	return chiSquare(append(flat, make([]int, orders-len(flat))...)), nil
}

// chanceOfPlaces counts the places of a lobby's first fan.
func chanceOfPlaces(n uint64) (float64, error) {
	counts := make([]int, n)
	for i := range chanceSamples * int(n) {
		p, err := draw.NewPermutation(sampleKey(n, i), n)
		if err != nil {
			return 0, err
		}
		counts[p.Place(0)]++
	}
	return chiSquare(counts), nil
}

// chiSquare is the probability that counts of equally likely cases are at least as uneven by chance alone. The
// distribution is approximated as by Wilson and Hilferty ("The Distribution of Chi-square", PNAS 1931), to about 0.005
// from one degree of freedom on.
func chiSquare(counts []int) float64 {
	total := 0
	for _, c := range counts {
		total += c
	}
	expected := float64(total) / float64(len(counts))
	sum := 0.0
	for _, c := range counts {
		sum += (float64(c) - expected) * (float64(c) - expected) / expected
	}
	freedom := float64(len(counts) - 1)
	part := 2 / (9 * freedom)
	z := (math.Cbrt(sum/freedom) - 1 + part) / math.Sqrt(part)
	return math.Erfc(z/math.Sqrt2) / 2
}
