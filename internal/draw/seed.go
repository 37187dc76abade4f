// Package draw turns the lobby of a sale into an order that nobody chose. It promises that a fan's place follows
// from public records alone: the chunks of the line's stream before its seal, a secret that was committed to before
// anyone joined, and a public random value where the event named one. docs/draw.md specifies every byte;
// docs/draw-vectors.json has an example of every step; web/draw.js is a second implementation.
//
// The package is pure: it reads no clock, no randomness and no store. Anyone may import it.
package draw

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"

	"onsale/internal/sale"
)

// Hash is 32 bytes of SHA-256: a commitment, a root, a seed or a lane's key. In JSON it is lowercase hex.
type Hash [sha256.Size]byte

// String is the hash in lowercase hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads what String wrote. What it can't read is Invalid.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if len(s) != hex.EncodedLen(len(h)) {
		return Hash{}, errBadHash
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return Hash{}, errBadHash
	}
	return h, nil
}

var errBadHash = sale.Errorf(sale.Invalid, "bad_hash", "a hash has 64 hexadecimal digits")

// MarshalText and UnmarshalText give the hash its written form in JSON.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText is the other direction of MarshalText.
func (h *Hash) UnmarshalText(b []byte) error {
	v, err := ParseHash(string(b))
	*h = v
	return err
}

// Secret is what the operator commits to when the event is made and publishes at the seal. Who knows it early can
// tell what a lobby's order would be, so it never prints itself.
type Secret [32]byte

// String hides the secret from logs.
func (Secret) String() string { return "[secret of the draw]" }

// GoString hides it from %#v too.
func (s Secret) GoString() string { return s.String() }

// NewSecret takes a secret from a source of randomness: crypto/rand's Reader outside tests.
func NewSecret(random io.Reader) (Secret, error) {
	var s Secret
	if _, err := io.ReadFull(random, s[:]); err != nil {
		return Secret{}, sale.Errorf(sale.Internal, "no_randomness", "the draw's secret could not be made").Because(err)
	}
	return s, nil
}

// The domain tags keep the hashes of different steps apart. A change of any step gets a new version.
const (
	tagCommitment = "onsale draw commitment v1"
	tagSeed       = "onsale draw seed v1"
	tagLane       = "onsale draw lane v1"
)

// Commitment binds the operator to a secret without telling it.
func Commitment(s Secret) Hash { return digest([]byte(tagCommitment), s[:]) }

// Seed is what all lanes of a draw follow from. root is the Merkle root of the chunks before the seal; beacon is the
// public random value, empty for an event that named none.
func Seed(eventID string, s Secret, root Hash, beacon []byte) Hash {
	return digest([]byte(tagSeed), []byte(eventID), s[:], root[:], beacon)
}

// LaneKey gives each lane an order of its own; the general lane's name is empty.
func LaneKey(seed Hash, lane string) Hash { return digest([]byte(tagLane), seed[:], []byte(lane)) }

// digest hashes parts, each after its length in 4 bytes, so that no two lists of parts read alike.
func digest(parts ...[]byte) Hash {
	h := sha256.New()
	var n [4]byte
	for _, p := range parts {
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return Hash(h.Sum(nil))
}
