package pass_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"onsale/internal/pass"
)

// What a gateway in any language does: find the key by kid, check the signature, read the claims. It has the
// published JSON and no code of this package.
func TestJWKS_IsAllThatAVerifierNeeds(t *testing.T) {
	t.Parallel()
	k := keys(t, 0, seedTwo, seedOne)
	published, err := json.Marshal(map[string]any{"keys": k.JWKS()})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{issue(t, k), issue(t, keys(t, 0, seedOne))} {
		got := gateway(t, published, token)
		if got["iss"] != "onsale" || got["sub"] != session.String() || got["exp"] != float64(noon.Add(ttl).Unix()) || got["iat"] != float64(noon.Unix()) {
			t.Errorf("the claims are %v", got)
		}
		if aud, ok := got["aud"].([]any); !ok || len(aud) != 1 || aud[0] != "gala" {
			t.Errorf("the audience is %v", got["aud"])
		}
	}
	for _, secret := range [][]byte{seedOne, seedTwo} {
		for _, text := range []string{base64.RawURLEncoding.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret)} {
			if bytes.Contains(published, []byte(text)) {
				t.Error("a private key is published")
			}
		}
	}
}

func gateway(t *testing.T, published []byte, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	read := func(part string, v any) []byte {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err == nil && v != nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(published, &set); err != nil {
		t.Fatal(err)
	}
	var header, claims map[string]any
	read(parts[0], &header)
	signature := read(parts[2], nil)
	for _, jwk := range set.Keys {
		if jwk["kid"] != header["kid"] {
			continue
		}
		if jwk["kty"] != "OKP" || jwk["crv"] != "Ed25519" || jwk["use"] != "sig" || jwk["alg"] != header["alg"] || jwk["d"] != "" {
			t.Errorf("the key is %v, the header %v", jwk, header)
		}
		if !ed25519.Verify(read(jwk["x"], nil), []byte(parts[0]+"."+parts[1]), signature) {
			t.Fatal("the signature does not verify")
		}
		read(parts[1], &claims)
		return claims
	}
	t.Fatalf("no key %v is published", header["kid"])
	return nil
}

// A verifier made of what is published knows the keys and nothing else.
func TestParseJWKS_VerifiesWhatWasIssued(t *testing.T) {
	t.Parallel()
	v := published(t, keys(t, 0, seedTwo, seedOne))
	for _, k := range []*pass.Keys{keys(t, 0, seedOne), keys(t, 0, seedTwo)} {
		if got, err := v.Verify(issue(t, k)); err != nil || got != (pass.Claims{EventID: "gala", Session: session}) {
			t.Errorf("Verify = %+v, %v", got, err)
		}
	}
	if _, err := published(t, keys(t, 0, seedTwo)).Verify(issue(t, keys(t, 0, seedOne))); !errors.Is(err, pass.ErrBad) || !errors.Is(err, pass.ErrUnknownKey) {
		t.Errorf("of a key that isn't published: %v", err)
	}
	if _, err := v.Verify(issue(t, keys(t, 0, seedOne)) + "A"); !errors.Is(err, pass.ErrBad) || errors.Is(err, pass.ErrUnknownKey) {
		t.Errorf("altered: %v", err)
	}
}

func published(t testing.TB, k *pass.Keys) *pass.Verifier {
	t.Helper()
	set, err := json.Marshal(map[string]any{"keys": k.JWKS()})
	if err != nil {
		t.Fatal(err)
	}
	v, err := pass.ParseJWKS(set, func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestParseJWKS_PassesOverOtherKeys(t *testing.T) {
	t.Parallel()
	good := jwk("one", seedOne)
	for _, other := range []string{
		`{"kty":"RSA","kid":"r","n":"AQAB","e":"AQAB"}`, strings.Replace(jwk("two", seedTwo), `"sig"`, `"enc"`, 1),
		strings.Replace(jwk("two", seedTwo), "Ed25519", "X25519", 1), strings.Replace(jwk("two", seedTwo), "EdDSA", "HS256", 1),
		jwk("", seedTwo), `{}`,
	} {
		v, err := pass.ParseJWKS([]byte(`{"keys":[`+other+`,`+good+`],"more":1}`), time.Now)
		if err != nil {
			t.Errorf("beside %s: %v", other, err)
		} else if set := v.JWKS(); len(set) != 1 || set[0].Kid != "one" {
			t.Errorf("beside %s: the keys are %v", other, set)
		}
		if v, err := pass.ParseJWKS([]byte(`{"keys":[`+other+`]}`), time.Now); err == nil {
			t.Errorf("%s alone: %v", other, v.JWKS())
		}
	}
}

func jwk(kid string, seed []byte) string {
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"use":"sig","alg":"EdDSA","x":%q}`, kid, base64.RawURLEncoding.EncodeToString(public))
}

func TestParseJWKS_Refuses(t *testing.T) {
	t.Parallel()
	one := jwk("one", seedOne)
	many := make([]string, 65)
	for i := range many {
		many[i] = jwk(fmt.Sprint(i), seedOne)
	}
	for name, set := range map[string]string{
		"nothing": "", "a page": "<html>", "null": "null", "a list": "[" + one + "]", "no keys": `{}`, "an empty set": `{"keys":[]}`,
		"keys that are none": `{"keys":"x"}`, "a kid twice": `{"keys":[` + one + `,` + jwk("one", seedTwo) + `]}`, "too many": `{"keys":[` + strings.Join(many, ",") + `]}`,
		"a short x": `{"keys":[` + strings.Replace(one, `"x":"`, `"x":"","y":"`, 1) + `]}`, "an x that is no base64url": `{"keys":[` + strings.Replace(one, `"x":"`, `"x":"+`, 1) + `]}`,
	} {
		if v, err := pass.ParseJWKS([]byte(set), time.Now); err == nil || v != nil {
			t.Errorf("%s: ParseJWKS = %v, %v", name, v, err)
		}
	}
}
