package beacon

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cloudflare/circl/sign/bls"

	"onsale/internal/draw"
)

// Scheme is the one scheme of signatures that is verified here: a signature in G1 of BLS12-381, a key in G2, over
// the SHA-256 of the round's number, so that each round stands for itself.
const Scheme = "bls-unchained-g1-rfc9380"

const (
	maxPeriod     = 24 * time.Hour
	publicKeySize = 96
	signatureSize = 48
)

// Chain is what drand's /info tells of a chain, once it has been found to be what the chain's hash stands for.
type Chain struct {
	Hash      [32]byte
	PublicKey []byte // compressed point of G2
	Period    time.Duration
	Genesis   time.Time // of round 1
}

// info is the JSON of /info.
type info struct {
	PublicKey string `json:"public_key"`
	Period    int64  `json:"period"`       // seconds
	Genesis   int64  `json:"genesis_time"` // Unix seconds
	Hash      string `json:"hash"`
	GroupHash string `json:"groupHash"`
	Scheme    string `json:"schemeID"`
	Metadata  struct {
		BeaconID string `json:"beaconID"`
	} `json:"metadata"`
}

// ParseChain reads drand's /info and checks it against the chain's hash, which is over all that it tells: whoever
// has the hash need not trust where the rest came from. Else the error is ErrUntrusted.
func ParseChain(hash [32]byte, body []byte) (Chain, error) {
	var i info
	if err := json.Unmarshal(body, &i); err != nil {
		return Chain{}, ErrUntrusted.Because(err)
	}
	if i.Scheme != Scheme {
		return Chain{}, ErrScheme.With("scheme", fmt.Sprintf("%.40s", i.Scheme))
	}
	period := time.Duration(i.Period) * time.Second
	key, err := hex.DecodeString(i.PublicKey)
	if err != nil || len(key) != publicKeySize || i.Period <= 0 || i.Period > int64(maxPeriod/time.Second) || i.Genesis <= 0 || i.Genesis > 1<<40 {
		return Chain{}, ErrUntrusted.With("chain_info", "malformed")
	}
	group, err := hex.DecodeString(i.GroupHash)
	if err != nil {
		return Chain{}, ErrUntrusted.With("chain_info", "malformed")
	}
	if ChainHash(i.Period, i.Genesis, key, group, i.Metadata.BeaconID) != hash {
		return Chain{}, ErrUntrusted.With("chain_info", "of another chain")
	}
	return Chain{Hash: hash, PublicKey: key, Period: period, Genesis: time.Unix(i.Genesis, 0).UTC()}, nil
}

// ChainHash is drand's hash of a chain: SHA-256 over the period in seconds (4 bytes), the genesis in Unix seconds (8),
// the public key, the group's hash, and the chain's name unless that is empty or "default".
func ChainHash(period, genesis int64, publicKey, groupHash []byte, name string) [32]byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(period))
	b = binary.BigEndian.AppendUint64(b, uint64(genesis))
	b = append(b, publicKey...)
	b = append(b, groupHash...)
	if name != "default" {
		b = append(b, name...)
	}
	return sha256.Sum256(b)
}

// At is when a round is published.
func (c Chain) At(round uint64) time.Time {
	rounds := min(max(round, 1), draw.MaxBeaconRound) - 1
	return time.Unix(c.Genesis.Unix()+int64(rounds)*int64(c.Period/time.Second), 0).UTC()
}

// FirstAfter is the first round that is published after t: the one to name for a sale that opens at t.
func (c Chain) FirstAfter(t time.Time) uint64 {
	if t.Before(c.Genesis) {
		return 1
	}
	return min(uint64((t.Unix()-c.Genesis.Unix())/int64(c.Period/time.Second))+2, draw.MaxBeaconRound)
}

// Verify checks that the chain signed the value; else the error is ErrUntrusted.
func (c Chain) Verify(v Value) error {
	if sha256.Sum256(v.Signature) != v.Randomness {
		return ErrUntrusted.With("value", "the randomness is not the hash of the signature")
	}
	var key bls.PublicKey[bls.KeyG2SigG1]
	if err := key.UnmarshalBinary(c.PublicKey); err != nil {
		return ErrUntrusted.With("value", "the chain has no valid key").Because(err)
	}
	if len(v.Signature) != signatureSize || !bls.Verify(&key, roundMessage(v.Round), v.Signature) {
		return ErrUntrusted.With("value", "the signature is not the chain's for this round")
	}
	return nil
}

// roundMessage is what a chain signs for a round.
func roundMessage(round uint64) []byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, round))
	return sum[:]
}
