package app

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"onsale/internal/api"
	"onsale/internal/entry"
)

// EntryCost is what a join may be asked for before anything is stored: nothing, where nothing is set. The figures are for
// who turns something on: on a desktop, 16 bits are 25 ms in a page and 20 bits 0.4 s in the mean; on a phone, several
// times that.
type EntryCost struct {
	EntryProof        entry.Mode    `name:"entry-proof" env:"ENTRY_PROOF" default:"off" help:"Proof of work at a join: off, on, or auto under load."`
	EntryProofBits    int           `name:"entry-proof-bits" env:"ENTRY_PROOF_BITS" default:"16" help:"Its difficulty at first; a bit more doubles the work."`
	EntryProofBitsMax int           `name:"entry-proof-bits-max" env:"ENTRY_PROOF_BITS_MAX" default:"20" help:"Its difficulty at most, under load."`
	EntryAddress      entry.Mode    `name:"entry-address" env:"ENTRY_ADDRESS" default:"off" help:"Limit on joins from one address: off, on, or auto under load."`
	EntryAddressBurst int           `name:"entry-address-burst" env:"ENTRY_ADDRESS_BURST" default:"100" help:"Joins that an address may make at once."`
	EntryAddressEvery time.Duration `name:"entry-address-every" env:"ENTRY_ADDRESS_EVERY" default:"200ms" help:"After them, one in so long."`
	EntryAutoAbove    int64         `name:"entry-auto-above" env:"ENTRY_AUTO_ABOVE" default:"1000" help:"Joins a second at this node from which on auto asks."`
	TrustedProxies    []string      `name:"trusted-proxies" env:"TRUSTED_PROXIES" placeholder:"CIDR,..." help:"Networks of proxies whose X-Forwarded-For is believed."`
}

// entry reads it for the api, and says all that is wrong with it.
func (c EntryCost) entry() (api.Entry, error) {
	e := api.Entry{Policy: entry.Policy{
		Proof: c.EntryProof, ProofBits: c.EntryProofBits, ProofBitsMax: c.EntryProofBitsMax, Address: c.EntryAddress,
		AddressLimit: entry.Limit{Burst: c.EntryAddressBurst, EveryMS: int(c.EntryAddressEvery.Milliseconds())}, AutoAbove: c.EntryAutoAbove,
	}}
	bad := e.Policy.Validate()
	for _, s := range c.TrustedProxies {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			bad = errors.Join(bad, fmt.Errorf("trusted-proxies: %q is not a network like 10.0.0.0/8", s))
		}
		e.Proxies = append(e.Proxies, p)
	}
	return e, bad
}
