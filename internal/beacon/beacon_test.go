package beacon_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"onsale/internal/beacon"
	"onsale/internal/sale"
)

// What the League of Entropy publishes of its chain quicknet, and two of its rounds. Public facts, read once.
const (
	quicknet     = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"
	quicknetInfo = `{"public_key":"83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a",` +
		`"period":3,"genesis_time":1692803367,"hash":"52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971",` +
		`"groupHash":"f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e","schemeID":"bls-unchained-g1-rfc9380","metadata":{"beaconID":"quicknet"}}`
	signature123  = "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92"
	signature1000 = "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"
	random1000    = "fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func quicknetChain(t *testing.T) beacon.Chain {
	t.Helper()
	chain, err := beacon.ParseChain([32]byte(unhex(t, quicknet)), []byte(quicknetInfo))
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

func TestChain_VerifiesQuicknet(t *testing.T) {
	t.Parallel()
	chain := quicknetChain(t)
	signature := unhex(t, signature1000)
	v := beacon.Value{Round: 1000, Randomness: [32]byte(unhex(t, random1000)), Signature: signature}
	if err := chain.Verify(v); err != nil {
		t.Error(err)
	}
	other := unhex(t, signature123)
	if err := chain.Verify(beacon.Value{Round: 123, Randomness: sha256.Sum256(other), Signature: other}); err != nil {
		t.Error(err)
	}
	for what, bad := range map[string]beacon.Value{
		"another round":         {Round: 1001, Randomness: v.Randomness, Signature: signature},
		"another signature":     {Round: 1000, Randomness: sha256.Sum256(other), Signature: other},
		"another randomness":    {Round: 1000, Randomness: [32]byte{1}, Signature: signature},
		"no signature":          {Round: 1000, Randomness: sha256.Sum256(nil)},
		"signature with a tail": {Round: 1000, Randomness: sha256.Sum256(append(signature[:48:48], 0)), Signature: append(signature[:48:48], 0)},
	} {
		if err := chain.Verify(bad); sale.CodeOf(err) != "beacon_untrusted" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestChain_Clock(t *testing.T) {
	t.Parallel()
	chain := quicknetChain(t)
	genesis := time.Unix(1692803367, 0)
	for _, c := range []struct {
		t     time.Time
		after uint64
	}{
		{genesis.Add(-time.Hour), 1}, {genesis.Add(-1), 1}, {genesis, 2}, {genesis.Add(2999 * time.Millisecond), 2},
		{genesis.Add(3 * time.Second), 3}, {genesis.Add(999 * 3 * time.Second), 1001},
	} {
		if got := chain.FirstAfter(c.t); got != c.after {
			t.Errorf("FirstAfter(%v) = %d, want %d", c.t.Sub(genesis), got, c.after)
		}
		if !chain.At(c.after).After(c.t) {
			t.Errorf("round %d is published at %v, not after %v", c.after, chain.At(c.after).Sub(genesis), c.t.Sub(genesis))
		}
	}
	if !chain.At(1).Equal(genesis) || !chain.At(0).Equal(genesis) || !chain.At(1000).Equal(genesis.Add(2997*time.Second)) {
		t.Errorf("At: %v, %v, %v", chain.At(0), chain.At(1), chain.At(1000))
	}
	if far := chain.At(1<<64 - 1); far.Before(genesis) {
		t.Errorf("At overflows: %v", far)
	}
}

// The chain's hash is over everything that is believed of the chain.
func TestParseChain_RefusesWhatTheHashIsNotOf(t *testing.T) {
	t.Parallel()
	hash := [32]byte(unhex(t, quicknet))
	for _, c := range []struct{ old, new, code string }{
		{`"public_key":"83cf`, `"public_key":"93cf`, "beacon_untrusted"},
		{`"public_key":"83cf`, `"public_key":"cf`, "beacon_untrusted"},
		{`"public_key":"83cf`, `"public_key":"zzcf`, "beacon_untrusted"},
		{`"period":3`, `"period":30`, "beacon_untrusted"},
		{`"period":3`, `"period":0`, "beacon_untrusted"},
		{`"period":3`, `"period":4294967299`, "beacon_untrusted"}, // 3, were it cut to 4 bytes
		{`1692803367`, `1692803366`, "beacon_untrusted"},
		{`"groupHash":"f4`, `"groupHash":"f5`, "beacon_untrusted"},
		{`"groupHash":"f4`, `"groupHash":"x4`, "beacon_untrusted"},
		{`"beaconID":"quicknet"`, `"beaconID":"default"`, "beacon_untrusted"},
		{`bls-unchained-g1-rfc9380`, `pedersen-bls-chained`, "beacon_scheme"},
		{`{"public_key"`, `["public_key"`, "beacon_untrusted"},
	} {
		_, err := beacon.ParseChain(hash, []byte(strings.Replace(quicknetInfo, c.old, c.new, 1)))
		if sale.CodeOf(err) != c.code || err == nil {
			t.Errorf("%s instead of %s: %v", c.new, c.old, err)
		}
	}
}
