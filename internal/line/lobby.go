package line

import (
	"encoding/hex"
	"fmt"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/sale"
)

// Lobby is a line after its draw: it gives every fan the final place. Goroutines may share it.
type Lobby struct {
	sealed uint64 // sequence of the seal
	lanes  map[string]*draw.Permutation
}

// NewLobby makes the order of a lobby from its draw and the joins of each lane before the seal.
func NewLobby(d events.Draw, joined map[string]uint64) (*Lobby, error) {
	seed, err := draw.ParseHash(d.Seed)
	if err != nil {
		return nil, fmt.Errorf("read the draw's seed: %w", err)
	}
	l := &Lobby{sealed: d.Sealed, lanes: make(map[string]*draw.Permutation, len(joined))}
	for lane, n := range joined {
		if l.lanes[lane], err = draw.NewPermutation(draw.LaneKey(seed, lane), n); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Place is the place of an arrival number of a lane. The lobby's are drawn; who came later keeps the arrival number.
func (l *Lobby) Place(lane string, arrival uint64) uint64 {
	if p := l.lanes[lane]; p != nil {
		return p.Place(arrival)
	}
	return arrival
}

// Sealed is the sequence of the seal.
func (l *Lobby) Sealed() uint64 { return l.sealed }

// Evidence is the draw of an event and what it follows from.
func Evidence(eventID string, sealed uint64, secret draw.Secret, beacon []byte, root draw.Hash, joined map[string]uint64) (*events.Draw, *events.Drawn) {
	lobby := map[string]uint64{}
	for lane, n := range joined {
		if n > 0 || lane == "" {
			lobby[lane] = n
		}
	}
	return &events.Draw{Sealed: sealed, Seed: draw.Seed(eventID, secret, root, beacon).String()}, &events.Drawn{
		Root: root.String(), Chunks: sealed - 1, Secret: hex.EncodeToString(secret[:]), Beacon: hex.EncodeToString(beacon), Lobby: lobby,
	}
}

// CheckDraw computes a draw again from its evidence, and says what is wrong with it.
func CheckDraw(eventID, commitment string, d events.Draw, e events.Drawn) error {
	secret, err := hex.DecodeString(e.Secret)
	if err != nil || len(secret) != len(draw.Secret{}) {
		return sale.Errorf(sale.Invalid, "bad_draw", "the secret has not 64 hexadecimal digits")
	}
	if draw.Commitment(draw.Secret(secret)).String() != commitment {
		return sale.Errorf(sale.Invalid, "bad_draw", "the secret is not the one that was committed to")
	}
	beacon, err := hex.DecodeString(e.Beacon)
	if err != nil {
		return sale.Errorf(sale.Invalid, "bad_draw", "the beacon is not hexadecimal")
	}
	root, err := draw.ParseHash(e.Root)
	if err != nil {
		return err
	}
	if e.Chunks+1 != d.Sealed {
		return sale.Errorf(sale.Invalid, "bad_draw", "%d chunks stand before a seal at %d", e.Chunks, d.Sealed)
	}
	if draw.Seed(eventID, draw.Secret(secret), root, beacon).String() != d.Seed {
		return sale.Errorf(sale.Invalid, "bad_draw", "the seed does not follow from event, secret, root and beacon")
	}
	return nil
}
