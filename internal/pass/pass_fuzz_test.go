package pass_test

import (
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"onsale/internal/pass"
	"onsale/internal/sale"
)

func FuzzPassVerify(f *testing.F) {
	k := keys(f, 0, seedOne, seedTwo)
	good := issue(f, k)
	parts := strings.Split(good, ".")
	for _, seed := range []string{
		good, "", ".", "..", "...", good + "\n", good + ".", strings.Repeat("{", 100), parts[0] + ".." + parts[2], "." + parts[1] + "." + parts[2],
		forge(f, jwt.SigningMethodNone, kid(k), jwt.UnsafeAllowNoneSignatureType, claims()),
		forge(f, jwt.SigningMethodHS256, kid(k), []byte(k.JWKS()[0].X), claims()),
		spelled(f, k, `{"crit":["b64"],"b64":false,"alg":"EdDSA","kid":"`+kid(k)+`"}`, plainClaims),
		spelled(f, k, plainHeader(k), `{"iss":"onsale","exp":1e999,"iat":-0.5,"aud":[[]],"sub":null}`),
		spelled(f, k, `[]`, `[]`), spelled(f, k, `null`, `null`), spelled(f, k, `{"alg":1,"kid":[]}`, `{"exp":{}}`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		got, err := k.Verify(token)
		switch {
		case err == nil && token != good:
			t.Errorf("%q was never issued, and reads as %+v", token, got)
		case err != nil && (sale.KindOf(err) != sale.Unauthorized || got != pass.Claims{}):
			t.Errorf("Verify = %+v, %v", got, err)
		}
		if token != good && len(token) < 1<<12 {
			if again, err := k.Verify(token); err == nil {
				t.Errorf("%q is refused once, then reads as %+v", token, again)
			}
		}
	})
}
