// Package double is a chain of public random values for tests and demonstrations: it serves what a relay of drand
// serves, over the same paths, signed by a key of its own. It is stateful, as a chain is: a round is there once its
// time has come and never changes. Its key is derived from a seed that is in the open, so it is of no worth where
// money is. Tests, and the commands that start everything on one machine, may import it.
package double

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloudflare/circl/sign/bls"

	"onsale/internal/beacon"
)

// name is the chain's, as quicknet is another's.
const name = "double"

// Config of a Double.
type Config struct {
	Seed    []byte           // of the key, at least 32 bytes
	Genesis time.Time        // of round 1; whole seconds
	Period  time.Duration    // whole seconds, 1 s to 24 h
	Now     func() time.Time // the clock that publishes
}

// Faults is what goes wrong on purpose. The zero value is a healthy relay.
type Faults struct {
	Late       time.Duration // rounds are published this much after their time
	Errors     int           // the next so many requests are answered 500
	Randomness bool          // is not the hash of the signature
	Signature  bool          // is of another round, with the randomness that goes with it
	Round      bool          // another round than was asked for, whole and well signed
	Info       bool          // /info has a key that is not the chain's
	TooLong    bool          // answers go on past every bound
	Redirect   string        // answers send the caller to this address
	Silent     bool          // requests are never answered: they end when the caller goes
}

// Double is one relay of the chain. It is an http.Handler, for httptest or any server on loopback.
type Double struct {
	cfg   Config
	key   *bls.PrivateKey[bls.KeyG2SigG1]
	info  []byte
	chain beacon.Chain

	mu       sync.Mutex
	faults   Faults
	requests int
}

// New makes a chain.
func New(cfg Config) (*Double, error) {
	if cfg.Now == nil || cfg.Period < time.Second || cfg.Period%time.Second != 0 {
		return nil, errors.New("the double of a beacon needs a clock, and a period of whole seconds")
	}
	key, err := bls.KeyGen[bls.KeyG2SigG1](cfg.Seed, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("make the key of the beacon's double: %w", err)
	}
	public, err := key.PublicKey().MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("write the key of the beacon's double: %w", err)
	}
	group := sha256.Sum256(cfg.Seed)
	seconds := int64(cfg.Period / time.Second)
	hash := beacon.ChainHash(seconds, cfg.Genesis.Unix(), public, group[:], name)
	d := &Double{cfg: cfg, key: key, info: mustJSON(map[string]any{
		"public_key":   hex.EncodeToString(public),
		"period":       seconds,
		"genesis_time": cfg.Genesis.Unix(),
		"hash":         hex.EncodeToString(hash[:]),
		"groupHash":    hex.EncodeToString(group[:]),
		"schemeID":     beacon.Scheme,
		"metadata":     map[string]string{"beaconID": name},
	})}
	d.chain, err = beacon.ParseChain(hash, d.info)
	return d, err
}

// Chain is what a client will find.
func (d *Double) Chain() beacon.Chain { return d.chain }

// SetFaults replaces what goes wrong.
func (d *Double) SetFaults(f Faults) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = f
}

// Requests counts what was asked so far.
func (d *Double) Requests() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.requests
}

// Value is what the chain signs for a round, whether or not it is published.
func (d *Double) Value(round uint64) beacon.Value {
	message := sha256.Sum256(binary.BigEndian.AppendUint64(nil, round))
	signature := bls.Sign(d.key, message[:])
	return beacon.Value{Round: round, Randomness: sha256.Sum256(signature), Signature: signature}
}

// next counts a request and tells what goes wrong with it.
func (d *Double) next() (faults Faults, fail bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests++
	if fail = d.faults.Errors > 0; fail {
		d.faults.Errors--
	}
	return d.faults, fail
}

// ServeHTTP answers GET /{chain}/info, /{chain}/public/{round} and /{chain}/public/latest.
func (d *Double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	faults, fail := d.next()
	switch {
	case fail:
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	case faults.Silent:
		<-r.Context().Done()
		return
	case faults.Redirect != "":
		http.Redirect(w, r, faults.Redirect, http.StatusFound)
		return
	case faults.TooLong:
		w.Write([]byte(`{"round":1,"signature":"` + strings.Repeat("00", 1<<20) + `"}`))
		return
	}
	resource, found := strings.CutPrefix(r.URL.Path, "/"+hex.EncodeToString(d.chain.Hash[:])+"/")
	if !found || r.Method != http.MethodGet {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if resource == "info" {
		w.Write(d.infoWith(faults))
		return
	}
	d.serveRound(w, r, strings.TrimPrefix(resource, "public/"), faults)
}

func (d *Double) serveRound(w http.ResponseWriter, r *http.Request, number string, faults Faults) {
	last := d.chain.FirstAfter(d.cfg.Now().Add(-faults.Late)) - 1
	round, err := strconv.ParseUint(number, 10, 64)
	if number == "latest" {
		round, err = last, nil
	}
	if err != nil || round == 0 || round > last {
		http.NotFound(w, r)
		return
	}
	if faults.Round {
		round++
	}
	v := d.Value(round)
	if faults.Signature {
		v = d.Value(round + 1)
	}
	if faults.Randomness {
		v.Randomness[0] ^= 1
	}
	w.Write(mustJSON(map[string]any{
		"round":      round,
		"randomness": hex.EncodeToString(v.Randomness[:]),
		"signature":  hex.EncodeToString(v.Signature),
	}))
}

// infoWith is /info, with the key's last digit changed where that is the fault.
func (d *Double) infoWith(faults Faults) []byte {
	if !faults.Info {
		return d.info
	}
	key := hex.EncodeToString(d.chain.PublicKey)
	other := key[:len(key)-1] + string("10"[min(1, key[len(key)-1]-'0')])
	return []byte(strings.Replace(string(d.info), key, other, 1))
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("the double of a beacon can't write JSON: " + err.Error())
	}
	return b
}
