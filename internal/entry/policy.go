// Package entry is what a join may be asked for before it costs anything: a proof of work, and not too many joins from
// one address. Both are off unless an api node's Policy turns them on, always or while many arrive. A proof makes a
// thousand places in line cost a thousand times the work of one; it is a price and not a wall, for who has more
// machines can pay more. The package also tells fans that poll too early. It is pure: time comes in as an argument, and
// its tables are of a fixed size, whatever arrives. The api and its wiring import it; it imports the domain.
package entry

import (
	"strings"

	"onsale/internal/sale"
)

// Mode says when something is asked for.
type Mode uint8

const (
	Off  Mode = iota
	On        // always
	Auto      // while more join than the policy's AutoAbove
)

var modeNames = [...]string{Off: "off", On: "on", Auto: "auto"}

// String is the mode's name.
func (m Mode) String() string {
	if int(m) >= len(modeNames) {
		return "invalid"
	}
	return modeNames[m]
}

// UnmarshalText reads off, on or auto, as a flag or the environment has it.
func (m *Mode) UnmarshalText(text []byte) error {
	for i, name := range modeNames {
		if string(text) == name {
			*m = Mode(i)
			return nil
		}
	}
	return sale.Errorf(sale.Invalid, "bad_mode", "a mode is off, on or auto, not %q", text)
}

// Limit bounds the joins from one address: Burst at once, then one each EveryMS milliseconds. Thousands of fans may
// share an address behind a carrier's or a university's network, so it wants to be generous.
type Limit struct {
	Burst   int
	EveryMS int
}

// Policy is what an api node asks of those who join, whatever the event. Every node has the same. All of it can be
// changed during a sale: the nodes are restarted one at a time.
type Policy struct {
	Proof        Mode
	ProofBits    int // difficulty at first; each bit doubles the work
	ProofBitsMax int // difficulty that it may rise to under load
	Address      Mode
	AddressLimit Limit
	AutoAbove    int64 // joins a second at one node from which on Auto asks, and each doubling costs a bit more
}

// MaxProofBits is the hardest that a proof may be: 17 million hashes in the mean, some six seconds in a page that makes
// 2.6 million a second, as one on a desktop does, and several times that on a phone.
const MaxProofBits = 24

// maxDebtMS bounds Burst * EveryMS: how far ahead an address can have spent.
const maxDebtMS = 60 * 60 * 1000

// Validate says all that is wrong with a policy, as Invalid, in the words of the api's settings. Figures count even while
// what they are for is off, so that turning it on in the middle of a sale can't fail.
func (p Policy) Validate() error {
	var wrong []string
	refuse := func(bad bool, what string) {
		if bad {
			wrong = append(wrong, what)
		}
	}
	refuse(int(p.Proof) >= len(modeNames), "entry-proof must be off, on or auto")
	refuse(int(p.Address) >= len(modeNames), "entry-address must be off, on or auto")
	refuse(p.ProofBits < 1 || p.ProofBits > MaxProofBits, "entry-proof-bits must be 1 to 24")
	refuse(p.ProofBitsMax < p.ProofBits || p.ProofBitsMax > MaxProofBits, "entry-proof-bits-max must be entry-proof-bits to 24")
	refuse(p.AddressLimit.Burst < 1 || p.AddressLimit.Burst > maxDebtMS, "entry-address-burst must be 1 to 3600000 joins")
	refuse(p.AddressLimit.EveryMS < 1 || p.AddressLimit.EveryMS > maxDebtMS, "entry-address-every must be 1ms to 1h")
	refuse(int64(p.AddressLimit.Burst)*int64(p.AddressLimit.EveryMS) > maxDebtMS, "entry-address-burst times entry-address-every must be at most an hour")
	refuse(p.AutoAbove < 1, "entry-auto-above must be at least 1 join a second")
	if len(wrong) > 0 {
		return sale.Errorf(sale.Invalid, "bad_entry_policy", "%s", strings.Join(wrong, "; "))
	}
	return nil
}

// Demand is what is asked of a join.
type Demand struct {
	ProofBits int  // difficulty of a challenge that is told now; 0: no proof is asked for
	Limited   bool // the address limit is in force
}

// At is what a policy asks for at a level of load. A proof that is always on starts at ProofBits too, and rises from
// the second level, as one that is on from the first does.
func (p Policy) At(level Level) Demand {
	asks := func(m Mode) bool { return m == On || m == Auto && level > 0 }
	d := Demand{Limited: asks(p.Address)}
	if asks(p.Proof) {
		d.ProofBits = min(p.ProofBits+max(int(level)-1, 0), p.ProofBitsMax)
	}
	return d
}
