package gate

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"onsale/internal/pass"
	"onsale/internal/sale"
)

var errNotReady = sale.Errorf(sale.Unavailable, "gate_not_ready", "the gate has not reached the sale yet; try again")

// keys are the api's public keys: the last good ones.
type keys struct {
	fetch func() ([]byte, error)
	now   func() time.Time
	log   *slog.Logger

	current atomic.Pointer[pass.Verifier]

	flight singleflight.Group // one fetch at a time; what follows belongs to it
	raw    []byte             // as current was read from
	sought time.Time          // when they were last fetched for a pass's sake
	away   bool
}

// seekPause is how long a pass with an unknown key must wait after another had the keys fetched: anyone can make up
// such passes.
const seekPause = 5 * time.Second

// follow fetches the keys at intervals; every retry, where they could not be had.
func (k *keys) follow(ctx context.Context, interval, retry time.Duration) {
	every(ctx, func() (time.Duration, bool) {
		if _, err, _ := k.flight.Do("", func() (any, error) { return nil, k.load() }); err != nil {
			return min(retry, interval), false
		}
		return interval, false
	})
}

// verify checks a pass. One of a key that is not known may be signed with a new one: then the keys are fetched.
func (k *keys) verify(token string) (pass.Claims, error) {
	now := k.current.Load()
	if now == nil {
		return pass.Claims{}, errNotReady
	}
	c, err := now.Verify(token)
	if !errors.Is(err, pass.ErrUnknownKey) {
		return c, err
	}
	_, _, _ = k.flight.Do("", func() (any, error) {
		if at := k.now(); at.Sub(k.sought).Abs() >= seekPause { // a clock that was set back does not stop it
			k.sought = at
			return nil, k.load()
		}
		return nil, nil
	})
	if next := k.current.Load(); next != now {
		return next.Verify(token)
	}
	return c, err
}

// load fetches the keys. The same keys keep their verifier, and what it remembers. It is called by one at a time.
func (k *keys) load() error {
	raw, err := k.fetch()
	var next *pass.Verifier
	if err == nil && !bytes.Equal(raw, k.raw) {
		next, err = pass.ParseJWKS(raw, k.now)
	}
	if err != nil {
		if !k.away {
			k.log.Warn("public keys can't be had; the last good ones stay", "known", k.current.Load() != nil, "error", err)
		}
		k.away = true
		return err
	}
	if next != nil {
		kids := []string{}
		for _, key := range next.JWKS() {
			kids = append(kids, key.Kid)
		}
		k.log.Info("public keys", "kids", kids)
		k.current.Store(next)
		k.raw = raw
	}
	k.away = false
	return nil
}
