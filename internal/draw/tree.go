package draw

import (
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"onsale/internal/sale"
)

// TileSize is how many leaves a tile has; the last tile may have fewer.
const TileSize = 1 << tileLevel

const tileLevel = 8

// LeafHash is RFC 6962's hash of a chunk's body.
func LeafHash(body []byte) Hash { return Hash(rfc6962.DefaultHasher.HashLeaf(body)) }

// Tree is the Merkle tree of RFC 6962, section 2.1, over the chunks of a lobby in the order of their stream. It keeps
// the hashes of whole tiles and of what is above them, and the leaves of the last tile while that is not whole: 64
// bytes for 256 leaves. A proof within a tile takes the tile's leaves from the caller, who has the stream.
//
// Append needs the tree to itself; once nothing is appended any more, goroutines may share it.
type Tree struct {
	edge *compact.Range
	// whole holds the nodes from the level of tiles upwards, each level from the left.
	whole [][]Hash
	last  []Hash
}

var ranges = &compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// NewTree is a tree without leaves.
func NewTree() *Tree { return &Tree{edge: ranges.NewEmptyRange(0)} }

// Append adds the body of the next chunk.
func (t *Tree) Append(body []byte) {
	leaf := LeafHash(body)
	t.last = append(t.last, leaf)
	if err := t.edge.Append(leaf[:], t.keep); err != nil {
		panic("draw: a hash of 32 bytes was refused: " + err.Error()) // the library refuses nothing else
	}
	if len(t.last) == TileSize {
		t.last = t.last[:0]
	}
}

// keep takes each node as it becomes whole, those of a level from left to right.
func (t *Tree) keep(id compact.NodeID, hash []byte) {
	if id.Level < tileLevel {
		return
	}
	level := int(id.Level - tileLevel)
	if level == len(t.whole) {
		t.whole = append(t.whole, nil)
	}
	t.whole[level] = append(t.whole[level], Hash(hash))
}

// Size is how many leaves the tree has.
func (t *Tree) Size() uint64 { return t.edge.End() }

// Root is the root over all leaves so far; without leaves it is the hash of nothing, as in RFC 6962.
func (t *Tree) Root() Hash { return rootOf(t.edge) }

func rootOf(r *compact.Range) Hash {
	if r.Begin() == r.End() {
		return Hash(rfc6962.DefaultHasher.EmptyRoot())
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		panic("draw: a range from 0 has no root: " + err.Error())
	}
	return Hash(root)
}

// Tile is the first leaf of the tile that a leaf is in, and how many leaves the tile has.
func (t *Tree) Tile(leaf uint64) (first, count uint64, err error) {
	if leaf >= t.Size() {
		return 0, 0, errNoLeaf(leaf, t.Size())
	}
	first = leaf &^ (TileSize - 1)
	return first, min(TileSize, t.Size()-first), nil
}

func errNoLeaf(leaf, size uint64) error {
	return sale.Errorf(sale.NotFound, "no_such_chunk", "leaf %d is not among the %d before the seal", leaf, size)
}

// Proof is the audit path of a leaf in the tree as it is, from the leaf's sibling upwards. tile has the LeafHash of
// each leaf of its tile (see Tile); others than the tree was made of are Unprocessable.
func (t *Tree) Proof(leaf uint64, tile []Hash) ([]Hash, error) {
	first, count, err := t.Tile(leaf)
	if err != nil {
		return nil, err
	}
	if !t.made(first, count, tile) {
		return nil, sale.Errorf(sale.Unprocessable, "other_chunks", "the chunks from leaf %d on are not those that were sealed", first)
	}
	nodes, err := proof.Inclusion(leaf, t.Size())
	if err != nil {
		return nil, sale.Errorf(sale.Internal, "no_proof", "no proof for leaf %d of %d", leaf, t.Size()).Because(err)
	}
	hashes := make([][]byte, len(nodes.IDs))
	for i, id := range nodes.IDs {
		h := t.node(id, first, tile)
		hashes[i] = h[:]
	}
	hashes, err = nodes.Rehash(hashes, ranges.Hash)
	if err != nil {
		return nil, sale.Errorf(sale.Internal, "no_proof", "no proof for leaf %d of %d", leaf, t.Size()).Because(err)
	}
	path := make([]Hash, len(hashes))
	for i, h := range hashes {
		path[i] = Hash(h)
	}
	return path, nil
}

// made says whether the tree was made of these leaves.
func (t *Tree) made(first, count uint64, tile []Hash) bool {
	if uint64(len(tile)) != count {
		return false
	}
	if count < TileSize {
		return slices.Equal(tile, t.last)
	}
	return perfect(tile) == t.whole[0][first/TileSize]
}

// node is the hash of a whole node. Below the level of tiles a path needs only nodes of its leaf's own tile and,
// where the tree's right edge is folded into one hash, of the last one.
func (t *Tree) node(id compact.NodeID, first uint64, tile []Hash) Hash {
	if id.Level >= tileLevel {
		return t.whole[id.Level-tileLevel][id.Index]
	}
	begin := id.Index << id.Level
	if begin&^(TileSize-1) != first {
		tile = t.last
	}
	begin %= TileSize
	return perfect(tile[begin : begin+1<<id.Level])
}

// perfect is the root over leaf hashes.
func perfect(leaves []Hash) Hash {
	r := ranges.NewEmptyRange(0)
	for i := range leaves {
		if err := r.Append(leaves[i][:], nil); err != nil {
			panic("draw: a hash of 32 bytes was refused: " + err.Error())
		}
	}
	return rootOf(r)
}

// VerifyInclusion checks that a chunk's body is the leaf at an index of the tree of this size and root. An Invalid
// error tells that it is not proven.
func VerifyInclusion(root Hash, size, leaf uint64, body []byte, path []Hash) error {
	hashes := make([][]byte, len(path))
	for i := range path {
		hashes[i] = path[i][:]
	}
	h := LeafHash(body)
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, leaf, size, h[:], hashes, root[:]); err != nil {
		return sale.Errorf(sale.Invalid, "not_included", "the path does not lead from leaf %d of %d to the root", leaf, size).Because(err)
	}
	return nil
}
