// Package pass issues and checks the pass: a short-lived EdDSA JWT that lets one session into one event's
// seats. Any gateway can check it with the public keys; nothing is looked up. It is pure, and services import it.
package pass

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"onsale/internal/sale"
)

// Issuer is the iss of every pass.
const Issuer = "onsale"

// Errors of Verify.
var (
	ErrBad     = sale.Errorf(sale.Unauthorized, "bad_pass", "the pass is missing or does not verify")
	ErrExpired = sale.Errorf(sale.Unauthorized, "pass_expired", "the pass has expired: poll the position for a fresh one")
	ErrForeign = sale.Errorf(sale.Forbidden, "foreign_pass", "the pass was given to another session or for another event")
)

// Keys signs with its first key and verifies with all, so that keys rotate: put the new one first, take the old
// one out a pass's lifetime later.
type Keys struct {
	signing string
	private ed25519.PrivateKey
	public  map[string]ed25519.PublicKey
	order   []string
	ttl     time.Duration
	now     func() time.Time
}

// Leeway is how far clocks may differ between who issues a pass and who checks it.
const Leeway = 5 * time.Second

// ParseKeys reads comma-separated base64 seeds of 32 bytes. A key's kid is derived from its public half.
func ParseKeys(seeds string, ttl time.Duration, now func() time.Time) (*Keys, error) {
	k := &Keys{public: map[string]ed25519.PublicKey{}, ttl: ttl, now: now}
	for i, s := range strings.Split(seeds, ",") {
		seed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
		if err != nil || len(seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("pass key %d: not the base64 of %d bytes", i+1, ed25519.SeedSize)
		}
		private := ed25519.NewKeyFromSeed(seed)
		public := private.Public().(ed25519.PublicKey)
		sum := sha256.Sum256(public)
		kid := base64.RawURLEncoding.EncodeToString(sum[:8])
		if i == 0 {
			k.signing, k.private = kid, private
		}
		if _, twice := k.public[kid]; twice {
			return nil, fmt.Errorf("pass key %d: given twice", i+1)
		}
		k.public[kid] = public
		k.order = append(k.order, kid)
	}
	return k, nil
}

// Issue gives a session its pass for an event, and says when it expires.
func (k *Keys) Issue(eventID string, session sale.SessionHash) (string, time.Time, error) {
	now := k.now().Truncate(time.Second)
	expires := now.Add(k.ttl)
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.RegisteredClaims{
		Issuer: Issuer, Audience: jwt.ClaimStrings{eventID}, Subject: session.String(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
	})
	t.Header["kid"] = k.signing
	signed, err := t.SignedString(k.private)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign pass: %w", err)
	}
	return signed, expires.UTC(), nil
}

// Claims are what a verified pass says.
type Claims struct {
	EventID string
	Session sale.SessionHash
}

// Verify checks a pass's signature and times and reads it. The caller compares the event and the session.
func (k *Keys) Verify(token string) (Claims, error) {
	if strings.ContainsAny(token, "\r\n") {
		return Claims{}, ErrBad // the signature's decoder would skip them: one pass has one spelling
	}
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		public, known := k.public[kid]
		if !known {
			return nil, fmt.Errorf("unknown kid")
		}
		return public, nil
	}, jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer(Issuer), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithLeeway(Leeway), jwt.WithTimeFunc(k.now), jwt.WithStrictDecoding())
	if err != nil {
		if errors.Is(err, jwt.ErrTokenExpired) {
			return Claims{}, ErrExpired.Because(err)
		}
		return Claims{}, ErrBad.Because(err)
	}
	session, err := sale.ParseSessionHash(claims.Subject)
	if err != nil || len(claims.Audience) != 1 {
		return Claims{}, ErrBad
	}
	return Claims{EventID: claims.Audience[0], Session: session}, nil
}

// JWK is one public key as RFC 8037 writes it.
type JWK struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	Kid string `json:"kid"`
	Use string `json:"use"`
	Alg string `json:"alg"`
	X   string `json:"x"`
}

// JWKS is the public half of all keys, the signing one first.
func (k *Keys) JWKS() []JWK {
	set := make([]JWK, len(k.order))
	for i, kid := range k.order {
		set[i] = JWK{Kty: "OKP", Crv: "Ed25519", Kid: kid, Use: "sig", Alg: "EdDSA", X: base64.RawURLEncoding.EncodeToString(k.public[kid])}
	}
	return set
}
