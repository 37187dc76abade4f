package pass

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// JWK is one public key as RFC 8037 writes it.
type JWK struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	Kid string `json:"kid"`
	Use string `json:"use"`
	Alg string `json:"alg"`
	X   string `json:"x"`
}

// JWKS is the verifier's keys, of Keys the signing one first.
func (v *Verifier) JWKS() []JWK {
	set := make([]JWK, len(v.order))
	for i, kid := range v.order {
		set[i] = JWK{Kty: "OKP", Crv: "Ed25519", Kid: kid, Use: "sig", Alg: "EdDSA", X: base64.RawURLEncoding.EncodeToString(v.public[kid])}
	}
	return set
}

const maxKeys = 64

// ParseJWKS reads a set of public keys, RFC 7517's JSON object, into a verifier. Keys of other kinds are passed
// over, as that RFC's section 5 asks; a set in which nothing is left is an error, and so is a kid given twice.
func ParseJWKS(set []byte, now func() time.Time) (*Verifier, error) {
	var published struct {
		Keys []JWK `json:"keys"`
	}
	if err := json.Unmarshal(set, &published); err != nil {
		return nil, fmt.Errorf("read JWKS: %w", err)
	}
	if len(published.Keys) > maxKeys {
		return nil, fmt.Errorf("read JWKS: it has %d keys, %d are the most", len(published.Keys), maxKeys)
	}
	v := newVerifier(now)
	for _, k := range published.Keys {
		if k.Kty != "OKP" || k.Crv != "Ed25519" || k.Use != "" && k.Use != "sig" || k.Alg != "" && k.Alg != "EdDSA" || k.Kid == "" {
			continue
		}
		x, err := base64.RawURLEncoding.Strict().DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("read JWKS: the x of key %q is not the base64url of %d bytes", k.Kid, ed25519.PublicKeySize)
		}
		if !v.add(k.Kid, x) {
			return nil, fmt.Errorf("read JWKS: two keys of kid %q", k.Kid)
		}
	}
	if len(v.order) == 0 {
		return nil, errors.New("read JWKS: it has no Ed25519 key to verify with")
	}
	return &v, nil
}
