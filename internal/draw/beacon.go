package draw

import (
	"encoding/hex"
	"strconv"
	"strings"

	"onsale/internal/sale"
)

// MaxBeaconRound keeps times within int64 seconds at the longest period of a chain. At 3 s it is a hundred thousand
// years away.
const MaxBeaconRound = 1 << 40

// BeaconRef names a public random value in advance: the chain by its hash, and the round. Its text is
// "<chain>/<round>", as an event's first admission record has it. Package beacon reads the value.
type BeaconRef struct {
	Chain [32]byte
	Round uint64 // from 1 to MaxBeaconRound
}

// ParseBeaconRef reads a BeaconRef. What it can't read is Invalid.
func ParseBeaconRef(s string) (BeaconRef, error) {
	bad := sale.Errorf(sale.Invalid, "bad_beacon", "a beacon is named <chain hash, 64 hex digits>/<round>, not %q", s)
	chain, number, found := strings.Cut(s, "/")
	round, err := strconv.ParseUint(number, 10, 64)
	if !found || err != nil || round == 0 || round > MaxBeaconRound || strconv.FormatUint(round, 10) != number {
		return BeaconRef{}, bad
	}
	hash, err := ParseHash(chain)
	if err != nil || hash.String() != chain { // a value has one name, in lowercase
		return BeaconRef{}, bad
	}
	return BeaconRef{Chain: hash, Round: round}, nil
}

// String is what ParseBeaconRef reads.
func (r BeaconRef) String() string {
	return hex.EncodeToString(r.Chain[:]) + "/" + strconv.FormatUint(r.Round, 10)
}
