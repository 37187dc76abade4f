package pass

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"

	"onsale/internal/sale"
)

// Errors of Verify.
var (
	ErrBad     = sale.Errorf(sale.Unauthorized, "bad_pass", "the pass is missing or does not verify")
	ErrExpired = sale.Errorf(sale.Unauthorized, "pass_expired", "the pass has expired: poll the position for a fresh one")
	ErrForeign = sale.Errorf(sale.Forbidden, "foreign_pass", "the pass was given to another session or for another event, or no session was shown: "+
		"send the session in Onsale-Session, in the body for a hold")
)

// ErrUnknownKey is the cause of an ErrBad when the pass names a key that the verifier does not have: a newer set
// of keys may have it.
var ErrUnknownKey = errors.New("no key of this kid")

// Leeway is how far clocks may differ between who issues a pass and who checks it.
const Leeway = 5 * time.Second

const (
	maxToken    = 1024     // bytes; a pass has about 330, so longer ones are not looked at
	maxVerified = 64 << 10 // passes remembered; about 30 MB
)

// Verifier checks passes with public keys. It is safe for concurrent use. Its keys never change: who has others
// makes another, and with it what the old one remembers is gone.
type Verifier struct {
	public   map[string]ed25519.PublicKey
	order    []string
	now      func() time.Time
	parser   *jwt.Parser
	verified *lru.Cache[string, verified] // by the whole token, the oldest goes first; what failed is never in it
}

// verified is a pass whose signature was found to be right, and when it is good.
type verified struct {
	Claims
	from, until time.Time // until excluded; the leeway is in them
}

// Claims are what a verified pass says.
type Claims struct {
	EventID string
	Session sale.SessionHash
}

// Admit says whether who shows the pass may go in: nil, or ErrForeign where it was given to another session than
// the one shown with it, or for another event.
func (c Claims) Admit(eventID, session string) error {
	if c.EventID != eventID || sale.CheckSession(session) != nil || c.Session != sale.HashSession(eventID, session) {
		return ErrForeign
	}
	return nil
}

func newVerifier(now func() time.Time) Verifier {
	return Verifier{
		public: map[string]ed25519.PublicKey{}, now: now, verified: newCache[string, verified](maxVerified),
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(Issuer), jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(), jwt.WithLeeway(Leeway), jwt.WithTimeFunc(now), jwt.WithStrictDecoding()),
	}
}

func newCache[K comparable, V any](most int) *lru.Cache[K, V] {
	c, err := lru.New[K, V](most)
	if err != nil {
		panic(err) // a size that isn't positive
	}
	return c
}

// add says whether the kid is new.
func (v *Verifier) add(kid string, key ed25519.PublicKey) bool {
	if _, twice := v.public[kid]; twice {
		return false
	}
	v.public[kid] = key
	v.order = append(v.order, kid)
	return true
}

// Verify checks a pass's signature and times and reads it; whom it admits to what is for Admit to say. A pass that
// is shown again is known, and of it the times alone are checked again.
func (v *Verifier) Verify(token string) (Claims, error) {
	if len(token) > maxToken {
		return Claims{}, ErrBad
	}
	if known, ok := v.verified.Peek(token); ok {
		if now := v.now(); !now.Before(known.from) && now.Before(known.until) {
			return known.Claims, nil
		}
		v.verified.Remove(token) // what is wrong with it now is said below
	}
	known, err := v.verify(token)
	if errors.Is(err, jwt.ErrTokenExpired) {
		return Claims{}, ErrExpired.Because(err)
	}
	if err != nil {
		return Claims{}, ErrBad.Because(err)
	}
	v.verified.Add(token, known)
	return known.Claims, nil
}

func (v *Verifier) verify(token string) (verified, error) {
	if strings.ContainsAny(token, "\r\n") {
		return verified{}, errors.New("a line break") // base64's decoder would skip it: one pass has one spelling
	}
	var c claims
	if _, err := v.parser.ParseWithClaims(token, &c, v.key); err != nil {
		return verified{}, err
	}
	session, err := sale.ParseSessionHash(c.Subject)
	if err != nil {
		return verified{}, err
	}
	if len(c.Audience) != 1 {
		return verified{}, fmt.Errorf("%d audiences", len(c.Audience))
	}
	if c.IssuedAt == nil {
		return verified{}, errors.New("no iat")
	}
	from := c.IssuedAt.Time
	if c.NotBefore != nil && c.NotBefore.After(from) {
		from = c.NotBefore.Time
	}
	return verified{Claims{EventID: c.Audience[0], Session: session}, from.Add(-Leeway), c.ExpiresAt.Add(Leeway)}, nil
}

// key finds the key that a token names, once its header is found to be no more than what a pass's header is. The
// parser would let pass a header that makes demands (crit), which RFC 7515, section 4.1.11 forbids.
func (v *Verifier) key(t *jwt.Token) (any, error) {
	encoded, _, _ := strings.Cut(t.Raw, ".")
	header, err := v.parser.DecodeSegment(encoded)
	if err == nil {
		err = distinct(header)
	}
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if _, demands := t.Header["crit"]; demands {
		return nil, errors.New("header: crit")
	}
	if typ, given := t.Header["typ"]; given && typ != "JWT" {
		return nil, errors.New("header: not a JWT")
	}
	kid, _ := t.Header["kid"].(string)
	public, known := v.public[kid]
	if !known {
		return nil, ErrUnknownKey
	}
	return public, nil
}
