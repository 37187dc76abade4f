package crowd

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// Behaviour is how a fan goes through the sale.
type Behaviour string

const (
	// Buyer waits, takes one to four seats and pays.
	Buyer Behaviour = "buyer"
	// Refresher joins again with its session while it waits, as a reloaded page does, then buys.
	Refresher Behaviour = "refresher"
	// LeavesLine gives up its place before, or just as, its turn comes.
	LeavesLine Behaviour = "leaves_line"
	// LeavesHold takes seats and is never seen again; the hold has to lapse by itself.
	LeavesHold Behaviour = "leaves_hold"
	// Releaser gives its first seats back, takes others and pays for those.
	Releaser Behaviour = "releaser"
	// DeclinedFirst pays with a card that is declined, then with a good one for the same hold.
	DeclinedFirst Behaviour = "declined_first"
	// OutOfFunds has a card without funds, and releases its seats.
	OutOfFunds Behaviour = "out_of_funds"
	// Retrier sends one checkout three times at once, and once more when it is decided.
	Retrier Behaviour = "retrier"
	// Fighter wants the very seats that every other fighter wants, and takes others if it must.
	Fighter Behaviour = "fighter"
	// Authenticator pays with a card whose bank asks for 3-D Secure.
	Authenticator Behaviour = "authenticator"
)

// behaviours lists them in the order in which they are drawn and reported.
func behaviours() []Behaviour {
	return []Behaviour{Buyer, Refresher, LeavesLine, LeavesHold, Releaser,
		DeclinedFirst, OutOfFunds, Retrier, Fighter, Authenticator}
}

// Mix gives each behaviour its share, in parts of the sum of all shares.
type Mix map[Behaviour]int

// DefaultMix is a crowd that mostly buys, with some of everything that has ever broken a sale.
func DefaultMix() Mix {
	return Mix{
		Buyer: 55, Refresher: 12, LeavesLine: 8, LeavesHold: 4, Releaser: 4,
		DeclinedFirst: 4, OutOfFunds: 3, Retrier: 4, Fighter: 4, Authenticator: 2,
	}
}

// Validate returns every problem of the mix at once.
func (m Mix) Validate() error {
	var problems []error
	known, total := behaviours(), 0
	for _, b := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(known, b) {
			problems = append(problems, fmt.Errorf("behaviour %q is not one of %v", b, known))
		}
		if m[b] < 0 {
			problems = append(problems, fmt.Errorf("behaviour %q has a negative share", b))
		}
		total += m[b]
	}
	if total <= 0 && len(problems) == 0 {
		problems = append(problems, errors.New("the mix has no fans in it"))
	}
	return errors.Join(problems...)
}

// draw picks a behaviour with the probability of its share. The mix must be valid.
func (m Mix) draw(rng *rand.Rand) Behaviour {
	total := 0
	for _, parts := range m {
		total += parts
	}
	n := rng.IntN(total)
	for _, b := range behaviours() {
		if n < m[b] {
			return b
		}
		n -= m[b]
	}
	panic("crowd: the shares of a mix do not add up to their sum")
}

// drawQuantity is how many seats a fan wants: one to four, mostly two, since most go with somebody.
func drawQuantity(rng *rand.Rand) int {
	switch n := rng.IntN(10); {
	case n < 2:
		return 1
	case n < 7:
		return 2
	case n < 8:
		return 3
	default:
		return 4
	}
}
