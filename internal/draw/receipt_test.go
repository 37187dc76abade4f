package draw_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"onsale/internal/draw"
	"onsale/internal/sale"
)

// exampleReceipt is for the third join of a chunk of the lane "early", which is leaf 2 of 5, with its root.
func exampleReceipt(t testing.TB) (r draw.Receipt, root draw.Hash, session sale.SessionHash) {
	t.Helper()
	chunk := append([]byte{2, 5}, "early"...)
	for i := range byte(4) {
		s := sale.HashSession("gala", string([]byte{'a' + i})+"-session-of-16-chars")
		if i == 2 {
			session = s
		}
		chunk = append(chunk, s[:]...)
		chunk = append(chunk, 0xc0, 0, 0, 0, 0, 0, 0, i)
	}
	tree := draw.NewTree()
	leaves := make([]draw.Hash, 5)
	for i := range leaves {
		body := exampleChunk(uint64(i))
		if i == 2 {
			body = chunk
		}
		tree.Append(body)
		leaves[i] = draw.LeafHash(body)
	}
	path, err := tree.Proof(2, leaves)
	if err != nil {
		t.Fatal(err)
	}
	return draw.Receipt{EventID: "gala", Lane: "early", Sequence: 3, Index: 2, Chunk: chunk, Leaf: 2, TreeSize: 5, Path: path, Before: 11}, tree.Root(), session
}

func TestReceipt_Verify(t *testing.T) {
	t.Parallel()
	receipt, root, session := exampleReceipt(t)
	if err := receipt.Verify(root, session); err != nil {
		t.Fatal(err)
	}
	if receipt.Arrival() != 13 {
		t.Errorf("Arrival() = %d, want 13", receipt.Arrival())
	}
	for what, change := range map[string]func(r *draw.Receipt){
		"lane":                   func(r *draw.Receipt) { r.Lane = "" },
		"sequence":               func(r *draw.Receipt) { r.Sequence++ },
		"no sequence":            func(r *draw.Receipt) { r.Sequence, r.Leaf = 0, 1<<64-1 },
		"leaf":                   func(r *draw.Receipt) { r.Leaf, r.Sequence = 1, 2 },
		"index of another":       func(r *draw.Receipt) { r.Index = 1 },
		"index after the chunk":  func(r *draw.Receipt) { r.Index = 4 },
		"index far after it":     func(r *draw.Receipt) { r.Index = 1<<32 - 1 },
		"another byte":           func(r *draw.Receipt) { r.Chunk[len(r.Chunk)-1] ^= 1 },
		"cut chunk":              func(r *draw.Receipt) { r.Chunk = r.Chunk[:len(r.Chunk)-1] },
		"chunk without its name": func(r *draw.Receipt) { r.Chunk = r.Chunk[:4] },
		"no chunk":               func(r *draw.Receipt) { r.Chunk = nil },
		"unknown chunk":          func(r *draw.Receipt) { r.Chunk[0] = 3 },
		"path":                   func(r *draw.Receipt) { r.Path = r.Path[1:] },
		"size":                   func(r *draw.Receipt) { r.TreeSize = 2 },
	} {
		changed := receipt
		changed.Chunk, changed.Path = slices.Clone(receipt.Chunk), slices.Clone(receipt.Path)
		change(&changed)
		if err := changed.Verify(root, session); sale.KindOf(err) != sale.Invalid || err == nil {
			t.Errorf("another %s: %v, want an Invalid error", what, err)
		}
	}
	if err := receipt.Verify(draw.Hash{}, session); err == nil {
		t.Error("another root verifies")
	}
	if err := receipt.Verify(root, sale.SessionHash{}); err == nil {
		t.Error("another session's receipt verifies")
	}
}

func TestReceipt_General(t *testing.T) {
	t.Parallel()
	tree := grown(300)
	chunk := exampleChunk(260) // 3 joins
	r := draw.Receipt{EventID: "gala", Sequence: 261, Index: 2, Chunk: chunk, Leaf: 260, TreeSize: 300, Path: proofOf(t, tree, 260), Before: 519}
	session := sale.SessionHash(chunk[1+2*16:])
	if err := r.Verify(tree.Root(), session); err != nil {
		t.Error(err)
	}
}

func TestReceipt_JSON(t *testing.T) {
	t.Parallel()
	receipt, _, _ := exampleReceipt(t)
	written, err := json.Marshal(receipt)
	if err != nil {
		t.Fatal(err)
	}
	var read draw.Receipt
	if err := json.Unmarshal(written, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(receipt, read); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{`{"path":["00"]}`, `{"path":["` + string(make([]byte, 64)) + `"]}`, `{"path":["zz00000000000000000000000000000000000000000000000000000000000000"]}`} {
		if json.Unmarshal([]byte(bad), &read) == nil {
			t.Errorf("%q is read as a receipt", bad)
		}
	}
}
