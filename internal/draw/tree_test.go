package draw_test

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"testing"

	"onsale/internal/draw"
	"onsale/internal/sale"
)

// exampleChunk is leaf i of the trees in tests and in docs/draw-vectors.json: a chunk of the general lane with
// 1 + i mod 3 joins, whose "session hashes" are i and the join's number, 8 bytes each.
func exampleChunk(i uint64) []byte {
	b := []byte{1}
	for j := range 1 + i%3 {
		b = binary.BigEndian.AppendUint64(b, i)
		b = binary.BigEndian.AppendUint64(b, j)
	}
	return b
}

func leafHashes(first, count uint64) []draw.Hash {
	leaves := make([]draw.Hash, count)
	for i := range leaves {
		leaves[i] = draw.LeafHash(exampleChunk(first + uint64(i)))
	}
	return leaves
}

// rootByDefinition is RFC 6962, section 2.1, to the letter.
func rootByDefinition(leaves []draw.Hash) draw.Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	split := 1
	for 2*split < len(leaves) {
		split *= 2
	}
	left, right := rootByDefinition(leaves[:split]), rootByDefinition(leaves[split:])
	return sha256.Sum256(slices.Concat([]byte{1}, left[:], right[:]))
}

// pathByDefinition is RFC 6962, section 2.1.1, to the letter.
func pathByDefinition(leaf int, leaves []draw.Hash) []draw.Hash {
	if len(leaves) <= 1 {
		return nil
	}
	split := 1
	for 2*split < len(leaves) {
		split *= 2
	}
	if leaf < split {
		return append(pathByDefinition(leaf, leaves[:split]), rootByDefinition(leaves[split:]))
	}
	return append(pathByDefinition(leaf-split, leaves[split:]), rootByDefinition(leaves[:split]))
}

func grown(size uint64) *draw.Tree {
	tree := draw.NewTree()
	for i := range size {
		tree.Append(exampleChunk(i))
	}
	return tree
}

func TestTree_RootAtEverySize(t *testing.T) {
	t.Parallel()
	tree, leaves := draw.NewTree(), leafHashes(0, 600)
	for size := range uint64(600) {
		if tree.Size() != size {
			t.Fatalf("Size() = %d, want %d", tree.Size(), size)
		}
		if size < 40 || size%7 == 0 || size%256 < 2 {
			if got, want := tree.Root(), rootByDefinition(leaves[:size]); got != want {
				t.Fatalf("root of %d leaves is %v, want %v", size, got, want)
			}
		}
		tree.Append(exampleChunk(size))
	}
}

func TestTree_ProofsVerify(t *testing.T) {
	t.Parallel()
	for _, size := range []uint64{1, 2, 3, 5, 255, 256, 257, 300, 511, 512, 513, 1023, 1500} {
		tree, leaves := grown(size), leafHashes(0, size)
		root := tree.Root()
		for leaf := uint64(0); leaf < size; leaf += 1 + size/23 {
			path := proofOf(t, tree, leaf)
			if want := pathByDefinition(int(leaf), leaves); !slices.Equal(path, want) {
				t.Fatalf("path of %d in %d is %v, want %v", leaf, size, path, want)
			}
			if err := draw.VerifyInclusion(root, size, leaf, exampleChunk(leaf), path); err != nil {
				t.Fatalf("leaf %d of %d: %v", leaf, size, err)
			}
			checkRefusals(t, root, size, leaf, path)
		}
	}
}

func proofOf(t *testing.T, tree *draw.Tree, leaf uint64) []draw.Hash {
	t.Helper()
	first, count, err := tree.Tile(leaf)
	if err != nil {
		t.Fatal(err)
	}
	path, err := tree.Proof(leaf, leafHashes(first, count))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// checkRefusals changes each part of a proof in turn. (The size is not one: RFC 6962's paths don't bind it, the
// record of the draw names it beside the root.)
func checkRefusals(t *testing.T, root draw.Hash, size, leaf uint64, path []draw.Hash) {
	t.Helper()
	body := exampleChunk(leaf)
	refused := func(what string, root draw.Hash, leaf uint64, body []byte, path []draw.Hash) {
		t.Helper()
		if err := draw.VerifyInclusion(root, size, leaf, body, path); sale.CodeOf(err) != "not_included" {
			t.Errorf("leaf %d of %d with another %s: %v", leaf, size, what, err)
		}
	}
	other := root
	other[31] ^= 1
	refused("root", other, leaf, body, path)
	refused("index", root, size, body, path)
	if size > 1 {
		refused("index", root, leaf^1, body, path)
	}
	refused("body", root, leaf, append(slices.Clone(body), 0), path)
	refused("path, longer", root, leaf, body, append(slices.Clone(path), root))
	if len(path) > 0 {
		refused("path, shorter", root, leaf, body, path[1:])
		changed := slices.Clone(path)
		changed[len(path)-1][0] ^= 1
		refused("path", root, leaf, body, changed)
	}
}

func TestTree_ProofWantsItsOwnTile(t *testing.T) {
	t.Parallel()
	tree := grown(300)
	for _, c := range []struct {
		what string
		leaf uint64
		tile []draw.Hash
		code string
	}{
		{"no leaf", 300, nil, "no_such_chunk"},
		{"no tile", 3, nil, "other_chunks"},
		{"too few leaves", 3, leafHashes(0, 255), "other_chunks"},
		{"too many leaves", 3, leafHashes(0, 257), "other_chunks"},
		{"another tile", 3, leafHashes(1, 256), "other_chunks"},
		{"another last tile", 299, leafHashes(255, 44), "other_chunks"},
		{"too few of the last tile", 257, leafHashes(256, 43), "other_chunks"},
	} {
		if _, err := tree.Proof(c.leaf, c.tile); sale.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", c.what, err, c.code)
		}
	}
	if _, _, err := tree.Tile(300); sale.CodeOf(err) != "no_such_chunk" {
		t.Errorf("Tile(300): %v", err)
	}
}

// A sealed tree is asked by many at once; the race detector sees any write.
func TestTree_IsShared(t *testing.T) {
	t.Parallel()
	tree := grown(700)
	root, tile := tree.Root(), leafHashes(256, 256)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			path, err := tree.Proof(300, tile)
			if err != nil || tree.Root() != root || draw.VerifyInclusion(root, 700, 300, exampleChunk(300), path) != nil {
				t.Error("a shared tree gave another answer", err)
			}
		})
	}
	wg.Wait()
}
