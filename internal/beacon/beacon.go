// Package beacon reads a public random value that nobody could know before it was published. An event names one in
// advance, by chain and round, and the draw's seed takes it in after the seal: then not even who knows the draw's
// secret can steer the draw. The values are those of drand (https://drand.love, chains of the scheme
// bls-unchained-g1-rfc9380, such as the League of Entropy's quicknet).
//
// The package promises that a value it returns was signed by the named chain for the named round: whoever carried it
// is not trusted. It is an adapter to the outside; package app plugs it in. Verify needs no network, so an auditor can
// use it too. A value's name is draw.BeaconRef.
package beacon

import "onsale/internal/sale"

// Value is what a chain published for one round.
type Value struct {
	Round      uint64
	Randomness [32]byte // SHA-256 of Signature: the draw's beacon
	Signature  []byte   // of the round by the chain's key
}

var (
	// ErrNotPublished is a round that lies ahead.
	ErrNotPublished = sale.Errorf(sale.Unavailable, "beacon_not_published", "the public random value is not published yet")
	// ErrUnavailable is a round that no relay gave.
	ErrUnavailable = sale.Errorf(sale.Unavailable, "beacon_unavailable", "the public random value could not be read")
	// ErrUntrusted is a value that the chain did not sign. It says nothing of what another relay would give.
	ErrUntrusted = sale.Errorf(sale.Internal, "beacon_untrusted", "the public random value is not what its chain signed")
	// ErrScheme is a chain whose signatures are not verified here; see Scheme.
	ErrScheme = sale.Errorf(sale.Invalid, "beacon_scheme", "the chain does not sign by the scheme %s", Scheme)
)
