package draw_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"onsale/internal/draw"
	"onsale/internal/sale"
)

var update = flag.Bool("update", false, "write docs/draw-vectors.json anew")

const vectorsFile = "../../docs/draw-vectors.json"

// vectors is docs/draw-vectors.json: an example of every step of docs/draw.md. All bytes are in hex.
type vectors struct {
	Notes       []string            `json:"notes"`
	SHA256      []sumVector         `json:"sha256"`
	Commitment  []commitmentVector  `json:"commitment"`
	Seed        []seedVector        `json:"seed"`
	LaneKey     []laneVector        `json:"lane_key"`
	Leaf        []leafVector        `json:"leaf"`
	Root        []rootVector        `json:"root"`
	Inclusion   []inclusionVector   `json:"inclusion"`
	Permutation []permutationVector `json:"permutation"`
	Receipt     []receiptVector     `json:"receipt"`
}

type hexBytes []byte

func (b hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(b)), nil }

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

type (
	sumVector struct {
		Of  hexBytes  `json:"of"`
		Sum draw.Hash `json:"sum"`
	}
	commitmentVector struct {
		Secret     draw.Hash `json:"secret"`
		Commitment draw.Hash `json:"commitment"`
	}
	seedVector struct {
		EventID string    `json:"event_id"`
		Secret  draw.Hash `json:"secret"`
		Root    draw.Hash `json:"root"`
		Beacon  hexBytes  `json:"beacon"`
		Seed    draw.Hash `json:"seed"`
	}
	laneVector struct {
		Seed draw.Hash `json:"seed"`
		Lane string    `json:"lane"`
		Key  draw.Hash `json:"key"`
	}
	leafVector struct {
		Body hexBytes  `json:"body"`
		Hash draw.Hash `json:"hash"`
	}
	rootVector struct {
		Size uint64    `json:"size"`
		Root draw.Hash `json:"root"`
	}
	inclusionVector struct {
		Size uint64      `json:"size"`
		Leaf uint64      `json:"leaf"`
		Body hexBytes    `json:"body"`
		Path []draw.Hash `json:"path"`
		Root draw.Hash   `json:"root"`
	}
	permutationVector struct {
		Key    draw.Hash   `json:"key"`
		N      uint64      `json:"n"`
		Places []uint64    `json:"places,omitempty"` // of every arrival number
		Spots  [][2]uint64 `json:"spots,omitempty"`  // arrival number and place of some
	}
	receiptVector struct {
		Receipt     draw.Receipt `json:"receipt"`
		Root        draw.Hash    `json:"root"`
		Session     string       `json:"session"`
		SessionHash hexBytes     `json:"session_hash"`
	}
)

// computed is the file as the package computes it.
func computed(t *testing.T) vectors {
	t.Helper()
	v := vectors{Notes: []string{
		"An example of every step of docs/draw.md. All bytes are in hexadecimal, but a receipt's chunk, which is base64.",
		"Leaf i of the trees under root and inclusion is the chunk 01, then for j = 0 .. i mod 3: i and j in 8 bytes each.",
		"places has the place of arrival number 0, 1, 2 and so on; spots has pairs of arrival number and place.",
		"Written by: go test ./internal/draw -run Vectors -update",
	}}
	for _, length := range []int{0, 3, 41, 55, 56, 63, 64, 65, 119, 120, 1000} {
		of := exampleBytes(byte(length), length)
		v.SHA256 = append(v.SHA256, sumVector{of, sha256.Sum256(of)})
	}
	root := grown(300).Root()
	for i := range byte(2) {
		secret := draw.Hash(exampleBytes(0x10*(i+1), 32))
		v.Commitment = append(v.Commitment, commitmentVector{secret, draw.Commitment(draw.Secret(secret))})
		for _, value := range [][]byte{{}, exampleBytes(0xb0, 32)} {
			v.Seed = append(v.Seed, seedVector{"gala-2026", secret, root, value, draw.Seed("gala-2026", draw.Secret(secret), root, value)})
		}
	}
	for _, lane := range []string{"", "early", "a", "accessible-seating-1"} {
		v.LaneKey = append(v.LaneKey, laneVector{v.Seed[0].Seed, lane, draw.LaneKey(v.Seed[0].Seed, lane)})
	}
	receipt, receiptRoot, session := exampleReceipt(t)
	for _, body := range [][]byte{exampleChunk(0), exampleChunk(1), exampleChunk(2), receipt.Chunk} {
		v.Leaf = append(v.Leaf, leafVector{body, draw.LeafHash(body)})
	}
	for _, size := range []uint64{0, 1, 2, 3, 5, 300} {
		v.Root = append(v.Root, rootVector{size, grown(size).Root()})
	}
	for _, c := range []struct{ leaf, size uint64 }{{0, 1}, {0, 2}, {1, 2}, {2, 3}, {0, 5}, {3, 5}, {4, 5}, {0, 300}, {255, 300}, {256, 300}, {299, 300}} {
		tree := grown(c.size)
		v.Inclusion = append(v.Inclusion, inclusionVector{c.size, c.leaf, exampleChunk(c.leaf), proofOf(t, tree, c.leaf), tree.Root()})
	}
	v.Permutation = computedPermutations(t, v.LaneKey[0].Key)
	v.Receipt = []receiptVector{{receipt, receiptRoot, "c-session-of-16-chars", session[:]}}
	return v
}

func computedPermutations(t *testing.T, key draw.Hash) (all []permutationVector) {
	t.Helper()
	for _, n := range []uint64{1, 2, 3, 4, 5, 6, 10, 1000} {
		v := permutationVector{Key: key, N: n}
		p := permutation(t, key, n)
		for arrival := range n {
			v.Places = append(v.Places, p.Place(arrival))
		}
		all = append(all, v)
	}
	for _, n := range []uint64{0, 1024, 1025, 1089, 65_537, 10_000_000, 1<<32 + 1, draw.MaxJoins} {
		v := permutationVector{Key: key, N: n}
		p := permutation(t, key, n)
		for _, arrival := range []uint64{0, 1, n / 3, max(n, 1) - 1, n, n + 1_000_000} {
			v.Spots = append(v.Spots, [2]uint64{arrival, p.Place(arrival)})
		}
		all = append(all, v)
	}
	return all
}

// exampleBytes counts up from a first byte.
func exampleBytes(first byte, length int) []byte {
	b := make([]byte, length)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// written renders one vector a line.
func (v vectors) written(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	separator := "{"
	fields := reflect.ValueOf(v)
	for i := range fields.NumField() {
		fmt.Fprintf(&b, "%s\n  %q: [", separator, fields.Type().Field(i).Tag.Get("json"))
		for j := range fields.Field(i).Len() {
			line, err := json.Marshal(fields.Field(i).Index(j).Interface())
			if err != nil {
				t.Fatal(err)
			}
			if j > 0 {
				b.WriteByte(',')
			}
			b.WriteString("\n    ")
			b.Write(line)
		}
		b.WriteString("\n  ]")
		separator = ","
	}
	b.WriteString("\n}\n")
	return b.Bytes()
}

// What is published must stay what it is: a draw that was made can be checked for ever.
func TestVectors(t *testing.T) {
	t.Parallel()
	got := computed(t).written(t)
	if *update {
		if err := os.WriteFile(vectorsFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		if i >= len(gotLines) || i >= len(wantLines) || gotLines[i] != wantLines[i] {
			t.Fatalf("line %d of %s differs from what is computed; -update writes it anew, with a new version of the tags in internal/draw", i+1, vectorsFile)
		}
	}
}

// The file is right by a computation that shares nothing with the package but SHA-256, written as docs/draw.md reads.
func TestVectors_ByTheDocument(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	framed := func(parts ...string) draw.Hash {
		var all []byte
		for _, p := range parts {
			all = append(binary.BigEndian.AppendUint32(all, uint32(len(p))), p...)
		}
		return sha256.Sum256(all)
	}
	for _, c := range v.Commitment {
		if framed("onsale draw commitment v1", string(c.Secret[:])) != c.Commitment {
			t.Errorf("commitment %v", c.Commitment)
		}
	}
	for _, c := range v.Seed {
		if framed("onsale draw seed v1", c.EventID, string(c.Secret[:]), string(c.Root[:]), string(c.Beacon)) != c.Seed {
			t.Errorf("seed %v", c.Seed)
		}
	}
	for _, c := range v.LaneKey {
		if framed("onsale draw lane v1", string(c.Seed[:]), c.Lane) != c.Key {
			t.Errorf("key of lane %q", c.Lane)
		}
	}
	for _, c := range v.Root {
		if rootByDefinition(leafHashes(0, c.Size)) != c.Root {
			t.Errorf("root of %d", c.Size)
		}
	}
	for _, c := range v.Receipt {
		if got := sale.HashSession(c.Receipt.EventID, c.Session); !bytes.Equal(got[:], c.SessionHash) {
			t.Errorf("hash of session %q", c.Session)
		}
	}
	if len(v.Commitment)*len(v.Seed)*len(v.LaneKey)*len(v.Root)*len(v.Receipt) == 0 {
		t.Error("a kind of vector is missing")
	}
}
