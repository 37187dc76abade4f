// Package pass issues and checks the pass: a short-lived EdDSA JWT that lets one session into one event's
// seats. Any gateway can check it with the public keys; nothing is looked up. It is pure, and services import it.
package pass

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"

	"onsale/internal/sale"
)

// Issuer is the iss of every pass.
const Issuer = "onsale"

// Keys signs with its first key and verifies with all, so that keys rotate. Every node must verify with a key
// before any signs with it: a new key is added last, put first when all nodes have it, and the old one is taken
// out a pass's lifetime later.
type Keys struct {
	Verifier
	signing string
	private ed25519.PrivateKey
	ttl     time.Duration
	issued  *lru.Cache[holder, issued]
}

// Who asks again in the first half of a pass's life gets the same pass: polls are many, and a signature costs
// more than all the rest of one. Beyond the bound, the sessions that asked longest ago are forgotten, which costs
// no more than a signature.
const maxIssued = 16 << 10

type holder struct {
	eventID string
	session sale.SessionHash
}

type issued struct {
	pass string
	at   time.Time // as its iat says
}

// ParseKeys reads comma-separated base64 seeds of 32 bytes. A key's kid is derived from its public half.
func ParseKeys(seeds string, ttl time.Duration, now func() time.Time) (*Keys, error) {
	k := &Keys{Verifier: newVerifier(now), ttl: ttl, issued: newCache[holder, issued](maxIssued)}
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
		if !k.add(kid, public) {
			return nil, fmt.Errorf("pass key %d: given twice", i+1)
		}
	}
	return k, nil
}

// Issue gives a session its pass for an event, and says when it expires: half the lifetime from now or later.
func (k *Keys) Issue(eventID string, session sale.SessionHash) (string, time.Time, error) {
	now := k.now()
	who := holder{eventID, session}
	if was, ok := k.issued.Get(who); ok && !now.Before(was.at) && now.Before(was.at.Add(k.ttl/2)) {
		return was.pass, was.at.Add(k.ttl), nil
	}
	at := now.Truncate(time.Second).UTC()
	signed, err := k.sign(eventID, session, at)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign pass: %w", err)
	}
	who.eventID = strings.Clone(eventID) // it may be a part of something larger, which would be kept with it
	k.issued.Add(who, issued{signed, at})
	return signed, at.Add(k.ttl), nil
}

// sign writes a pass. It has no nbf: iat says as much, and a verifier whose clock is a moment behind, and which
// allows for no difference, would turn fans away with passes that are fresh.
func (k *Keys) sign(eventID string, session sale.SessionHash, at time.Time) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.RegisteredClaims{
		Issuer: Issuer, Audience: jwt.ClaimStrings{eventID}, Subject: session.String(),
		IssuedAt: jwt.NewNumericDate(at), ExpiresAt: jwt.NewNumericDate(at.Add(k.ttl)),
	})
	t.Header["kid"] = k.signing
	return t.SignedString(k.private)
}
