package pass_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"onsale/internal/pass"
	"onsale/internal/sale"
)

const ttl = 2 * time.Minute

var (
	noon    = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	session = sale.HashSession("gala", "a-session-of-16+")
	seedOne = bytes.Repeat([]byte{1}, ed25519.SeedSize)
	seedTwo = bytes.Repeat([]byte{2}, ed25519.SeedSize)
)

func encoded(seeds ...[]byte) string {
	all := make([]string, len(seeds))
	for i, s := range seeds {
		all[i] = base64.StdEncoding.EncodeToString(s)
	}
	return strings.Join(all, ",")
}

// keys are keys at noon and some time.
func keys(t testing.TB, after time.Duration, seeds ...[]byte) *pass.Keys {
	t.Helper()
	k, err := pass.ParseKeys(encoded(seeds...), ttl, func() time.Time { return noon.Add(after) })
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func issue(t testing.TB, k *pass.Keys) string {
	t.Helper()
	token, _, err := k.Issue("gala", session)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// claims are those of a good pass of noon.
func claims() jwt.MapClaims {
	return jwt.MapClaims{"iss": "onsale", "aud": []string{"gala"}, "sub": session.String(), "iat": noon.Unix(), "exp": noon.Add(ttl).Unix()}
}

// forge signs any claims with any header.
func forge(t testing.TB, method jwt.SigningMethod, kid any, key any, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	token.Header["kid"] = kid
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// spelled signs a header and claims as they are spelled.
func spelled(t testing.TB, k *pass.Keys, header, claims string) string {
	t.Helper()
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	seed := map[string][]byte{kid(keys(t, 0, seedOne)): seedOne, kid(keys(t, 0, seedTwo)): seedTwo}[kid(k)]
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(seed), []byte(text)))
}

func plainHeader(k *pass.Keys) string { return `{"alg":"EdDSA","kid":"` + kid(k) + `","typ":"JWT"}` }

var plainClaims = fmt.Sprintf(`{"iss":"onsale","sub":"%s","aud":["gala"],"exp":%d,"iat":%d}`, session, noon.Add(ttl).Unix(), noon.Unix())

func kid(k *pass.Keys) string { return k.JWKS()[0].Kid }

func TestPass_RoundTrip(t *testing.T) {
	t.Parallel()
	k := keys(t, 999*time.Millisecond, seedOne)
	token, expires, err := k.Issue("gala", session)
	if err != nil {
		t.Fatal(err)
	}
	if !expires.Equal(noon.Add(ttl)) || expires.Location() != time.UTC {
		t.Errorf("it expires at %v, want %v", expires, noon.Add(ttl))
	}
	got, err := k.Verify(token)
	if want := (pass.Claims{EventID: "gala", Session: session}); err != nil || got != want {
		t.Errorf("Verify = %+v, %v; want %+v", got, err, want)
	}
}

// The forger's tools make a good pass too, so that what they are refused for below is what was altered.
func TestPass_ForgedGoodPassVerifies(t *testing.T) {
	t.Parallel()
	k := keys(t, 0, seedOne)
	token := forge(t, jwt.SigningMethodEdDSA, kid(k), ed25519.NewKeyFromSeed(seedOne), claims())
	if got, err := k.Verify(token); err != nil || got.EventID != "gala" || got.Session != session {
		t.Errorf("Verify = %+v, %v", got, err)
	}
	if token := spelled(t, k, plainHeader(k), plainClaims); token != issue(t, k) {
		t.Errorf("spelled out it is %s, issued %s", token, issue(t, k))
	}
	// What a later version may add is passed over.
	more := spelled(t, k, plainHeader(k), strings.Replace(plainClaims, `}`, `,"jti":"1","zone":{"a":[1,2]}}`, 1))
	if _, err := k.Verify(more); err != nil {
		t.Errorf("with more claims: %v", err)
	}
}

func TestPass_Times(t *testing.T) {
	t.Parallel()
	token := issue(t, keys(t, 0, seedOne))
	for _, c := range []struct {
		after time.Duration
		want  error
	}{
		{-pass.Leeway - time.Second, pass.ErrBad}, // not issued yet, by a clock that is too far behind
		{-pass.Leeway - 1, pass.ErrBad}, {-pass.Leeway, nil}, {0, nil}, {ttl - 1, nil}, {ttl, nil}, {ttl + pass.Leeway - 1, nil},
		{ttl + pass.Leeway, pass.ErrExpired}, {ttl + time.Hour, pass.ErrExpired}, {24 * 365 * time.Hour, pass.ErrExpired},
	} {
		got, err := keys(t, c.after, seedOne).Verify(token)
		if !errors.Is(err, c.want) || c.want != nil && got != (pass.Claims{}) {
			t.Errorf("%v after it was issued: Verify = %+v, %v; want %v", c.after, got, err, c.want)
		}
	}
}

func TestPass_Refuses(t *testing.T) {
	t.Parallel()
	k := keys(t, 0, seedOne)
	private := ed25519.NewKeyFromSeed(seedOne)
	public := []byte(private.Public().(ed25519.PublicKey))
	x, err := base64.RawURLEncoding.DecodeString(k.JWKS()[0].X)
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) string {
		c := maps.Clone(claims())
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return forge(t, jwt.SigningMethodEdDSA, kid(k), private, c)
	}
	good := issue(t, k)
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT","kid":"` + kid(k) + `"}`))
	for name, token := range map[string]string{
		"nothing": "", "dots": "..", "one part": parts[0], "two parts": parts[0] + "." + parts[1], "four parts": good + ".x", "no signature": parts[0] + "." + parts[1] + ".",
		"alg none":                       forge(t, jwt.SigningMethodNone, kid(k), jwt.UnsafeAllowNoneSignatureType, claims()),
		"alg none, signature kept":       none + "." + parts[1] + "." + parts[2],
		"HS256 with the public key":      forge(t, jwt.SigningMethodHS256, kid(k), public, claims()),
		"HS256 with the JWK's x":         forge(t, jwt.SigningMethodHS256, kid(k), x, claims()),
		"HS256 with the text of x":       forge(t, jwt.SigningMethodHS256, kid(k), []byte(k.JWKS()[0].X), claims()),
		"another key, our kid":           forge(t, jwt.SigningMethodEdDSA, kid(k), ed25519.NewKeyFromSeed(seedTwo), claims()),
		"another key, its kid":           issue(t, keys(t, 0, seedTwo)),
		"our key, another kid":           forge(t, jwt.SigningMethodEdDSA, kid(keys(t, 0, seedTwo)), private, claims()),
		"unknown kid":                    forge(t, jwt.SigningMethodEdDSA, "nobody", private, claims()),
		"empty kid":                      forge(t, jwt.SigningMethodEdDSA, "", private, claims()),
		"no kid":                         forge(t, jwt.SigningMethodEdDSA, nil, private, claims()),
		"kid of another type":            forge(t, jwt.SigningMethodEdDSA, []string{kid(k)}, private, claims()),
		"two audiences":                  with("aud", []string{"gala", "other"}),
		"the audience twice":             with("aud", []string{"gala", "gala"}),
		"no audience":                    with("aud", nil),
		"an empty audience list":         with("aud", []string{}),
		"no expiry":                      with("exp", nil),
		"a text as expiry":               with("exp", "tomorrow"),
		"issued in the future":           with("iat", noon.Add(pass.Leeway+time.Second).Unix()),
		"not valid yet":                  with("nbf", noon.Add(pass.Leeway+time.Second).Unix()),
		"another issuer":                 with("iss", "offsale"),
		"no issuer":                      with("iss", nil),
		"no issue time":                  with("iat", nil),
		"no subject":                     with("sub", nil),
		"a short subject":                with("sub", "AAAA"),
		"a session as subject":           with("sub", "a-session-of-16+"),
		"a claim twice":                  spelled(t, k, plainHeader(k), strings.Replace(plainClaims, `{`, `{"exp":9999999999,`, 1)),
		"a claim twice, in another case": spelled(t, k, plainHeader(k), strings.Replace(plainClaims, `}`, `,"EXP":9999999999}`, 1)),
		"a claim in another case":        spelled(t, k, plainHeader(k), strings.Replace(plainClaims, `"iss"`, `"Iss"`, 1)),
		"a claim with a long s":          spelled(t, k, plainHeader(k), strings.Replace(plainClaims, `"iss"`, `"iſs"`, 1)),
		"claims beyond number":           spelled(t, k, plainHeader(k), strings.Replace(plainClaims, `{`, `{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"k":0,"l":0,`, 1)),
		"claims that are a list":         spelled(t, k, plainHeader(k), "["+plainClaims+"]"),
		"claims twice":                   spelled(t, k, plainHeader(k), plainClaims+plainClaims),
		"kid twice":                      spelled(t, k, strings.Replace(plainHeader(k), `{`, `{"kid":"nobody",`, 1), plainClaims),
		"alg twice":                      spelled(t, k, strings.Replace(plainHeader(k), `{`, `{"alg":"none",`, 1), plainClaims),
		"crit":                           spelled(t, k, strings.Replace(plainHeader(k), `{`, `{"crit":["exp"],`, 1), plainClaims),
		"crit, of nothing":               spelled(t, k, strings.Replace(plainHeader(k), `{`, `{"crit":null,`, 1), plainClaims),
		"of another type":                spelled(t, k, strings.Replace(plainHeader(k), `"JWT"`, `"at+jwt"`, 1), plainClaims),
		"beyond length":                  spelled(t, k, plainHeader(k), strings.Replace(plainClaims, `}`, `,"more":"`+strings.Repeat("x", 1024)+`"}`, 1)),
		"payload of another":             parts[0] + "." + strings.Split(with("sub", sale.HashSession("gala", "another-session-").String()), ".")[1] + "." + parts[2],
		"a line break at the end":        good + "\n", "a space at the end": good + " ", "a line break within": good[:len(good)-9] + "\r\n" + good[len(good)-9:], "padding": good + "==",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := k.Verify(token)
			if !errors.Is(err, pass.ErrBad) || sale.KindOf(err) != sale.Unauthorized || got != (pass.Claims{}) {
				t.Errorf("Verify(%s) = %+v, %v; want ErrBad", token, got, err)
			}
		})
	}
}

// One pass has one spelling: no bit of it can be changed, no part left out.
func TestPass_NoBitCanChange(t *testing.T) {
	t.Parallel()
	k := keys(t, 0, seedOne)
	token := issue(t, k)
	for i := range len(token) {
		for bit := range 8 {
			b := []byte(token)
			b[i] ^= 1 << bit
			if got, err := k.Verify(string(b)); err == nil {
				t.Fatalf("bit %d of byte %d altered: Verify = %+v", bit, i, got)
			}
		}
		if got, err := k.Verify(token[:i]); err == nil {
			t.Fatalf("the first %d bytes: Verify = %+v", i, got)
		}
	}
	parts := strings.Split(token, ".")
	for p := range parts {
		raw, err := base64.RawURLEncoding.DecodeString(parts[p])
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(raw) * 8 {
			b := bytes.Clone(raw)
			b[i/8] ^= 1 << (i % 8)
			altered := append([]string(nil), parts...)
			altered[p] = base64.RawURLEncoding.EncodeToString(b)
			if got, err := k.Verify(strings.Join(altered, ".")); err == nil {
				t.Fatalf("bit %d of part %d altered: Verify = %+v", i, p, got)
			}
		}
	}
}

// The steps of a rotation, of which two neighbours are always in force at once, on one node or another: each node
// takes the passes of both. A key that was taken out is good for nothing.
func TestPass_Rotation(t *testing.T) {
	t.Parallel()
	steps := [][][]byte{{seedOne}, {seedOne, seedTwo}, {seedTwo, seedOne}, {seedTwo}}
	signer := []string{kid(keys(t, 0, seedOne)), kid(keys(t, 0, seedOne)), kid(keys(t, 0, seedTwo)), kid(keys(t, 0, seedTwo))}
	for i, signs := range steps {
		token := issue(t, keys(t, 0, signs...))
		for j, verifies := range steps {
			k := keys(t, 0, verifies...)
			_, err := k.Verify(token)
			listed := slices.ContainsFunc(k.JWKS(), func(x pass.JWK) bool { return x.Kid == signer[i] })
			if (err == nil) != listed || !listed && !errors.Is(err, pass.ErrUnknownKey) {
				t.Errorf("signed in step %d, verified in step %d: %v; its key is listed: %v", i, j, err, listed)
			}
			if err != nil && (i-j)*(i-j) <= 1 {
				t.Errorf("signed in step %d, verified in step %d: %v", i, j, err)
			}
		}
	}
	both := keys(t, 0, seedTwo, seedOne)
	if set := both.JWKS(); len(set) != 2 || set[0].Kid != signer[3] || set[1].Kid != signer[0] {
		t.Errorf("JWKS = %+v, the signing key is to be first", set)
	}
}

func TestParseKeys_Refuses(t *testing.T) {
	t.Parallel()
	for name, seeds := range map[string]string{
		"nothing": "", "blank": "  ", "a comma": ",", "not base64": "*", "31 bytes": encoded(seedOne[:31]), "33 bytes": encoded(append(bytes.Clone(seedOne), 0)),
		"a private key": encoded(ed25519.NewKeyFromSeed(seedOne)), "an empty second": encoded(seedOne) + ",", "a bad second": encoded(seedOne) + ",x",
		"twice": encoded(seedOne, seedOne), "twice, apart": encoded(seedOne, seedTwo, seedOne), "semicolons": encoded(seedOne) + ";" + encoded(seedTwo),
	} {
		k, err := pass.ParseKeys(seeds, ttl, time.Now)
		if err == nil || k != nil {
			t.Errorf("%s: ParseKeys = %v, %v", name, k, err)
		} else if s := strings.TrimSpace(strings.Split(seeds, ",")[0]); len(s) > 1 && strings.Contains(err.Error(), s) {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
	if _, err := pass.ParseKeys(" "+encoded(seedOne)+" , "+encoded(seedTwo)+"\n", ttl, time.Now); err != nil {
		t.Errorf("with spaces around: %v", err)
	}
}

func payload(t testing.TB, token string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return b
}
