package app

import (
	"context"
	"sync"
	"time"

	"onsale/internal/beacon"
	"onsale/internal/draw"
)

// beaconTimeout bounds one request to a relay.
const beaconTimeout = 3 * time.Second

// beacons gives the admitter public random values by their names.
type beacons struct {
	relays []string
	mu     sync.Mutex
	chains map[[32]byte]*beacon.Client
}

// newBeacons is nil where there is no relay.
func newBeacons(relays []string) *beacons {
	if len(relays) == 0 {
		return nil
	}
	return &beacons{relays: relays, chains: map[[32]byte]*beacon.Client{}}
}

// Value is the value that a name stands for, once it is published.
func (b *beacons) Value(ctx context.Context, name string) ([]byte, error) {
	ref, err := draw.ParseBeaconRef(name)
	if err != nil {
		return nil, err
	}
	client, err := b.client(ref.Chain)
	if err != nil {
		return nil, err
	}
	v, err := client.Round(ctx, ref.Round)
	return v.Randomness[:], err
}

func (b *beacons) client(chain [32]byte) (*beacon.Client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.chains[chain]; c != nil {
		return c, nil
	}
	c, err := beacon.NewClient(beacon.Config{Relays: b.relays, Chain: chain, Timeout: beaconTimeout}, nil)
	if err == nil {
		b.chains[chain] = c
	}
	return c, err
}
