package pass_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onsale/internal/pass"
	"onsale/internal/sale"
)

// alterations is how many altered passes are tried: full of them, a twentieth under the race detector, or as many
// as ONSALE_ALTERATIONS says.
func alterations(t *testing.T, full int) int {
	t.Helper()
	if n, err := strconv.Atoi(os.Getenv("ONSALE_ALTERATIONS")); err == nil && n > 0 {
		return n
	}
	if b, ok := debug.ReadBuildInfo(); ok && slices.Contains(b.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return full / 20
	}
	return full
}

// victim is a good pass and all that an attacker may have: other good passes, old ones, and what is published.
type victim struct {
	r       *rand.Rand
	session string
	pass    string
	parts   []string // of pass
	other   []string // parts of another session's
	kids    []string // ours
	public  []ed25519.PublicKey
	own     ed25519.PrivateKey // the attacker's
	now     int64              // Unix seconds
}

func (v *victim) header() string { return unbase64(v.parts[0]) }
func (v *victim) claims() string { return unbase64(v.parts[1]) }

// oursSigned is what only a defect of ours would write: the signature is right, and what it covers is not. It is
// made in the attack by the true key.
func (v *victim) oursSigned(header, claims string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(seedOne), []byte(text)))
}

func (v *victim) ownSigned(header, claims string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(v.own, []byte(text)))
}

// headed is the pass under another header, its signature kept.
func (v *victim) headed(header string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + v.parts[1] + "." + v.parts[2]
}

func (v *victim) claiming(claims string) string {
	return v.parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + v.parts[2]
}

func (v *victim) pick(of ...string) string { return of[v.r.IntN(len(of))] }
func (v *victim) within() int              { return v.r.IntN(len(v.pass)) }
func (v *victim) seconds() int64           { return 6 + v.r.Int64N(1<<v.r.IntN(33)) } // beyond the leeway, up to a lifetime

// set replaces a claim's number or text.
func (v *victim) set(claim, value string) string {
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(v.claims()), &all); err != nil {
		panic(err)
	}
	if all[claim] = json.RawMessage(value); value == "" {
		delete(all, claim)
	}
	b, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func unbase64(s string) string {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (v *victim) hmac(alg string, key []byte, kid string) string {
	sizes := map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+alg+`","kid":"`+kid+`","typ":"JWT"}`)) + "." + v.parts[1]
	m := hmac.New(sizes[alg], key)
	m.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// flip changes one bit of a part as it is decoded.
func (v *victim) flip(part int) string {
	parts := slices.Clone(v.parts)
	b := []byte(unbase64(parts[part]))
	b[v.r.IntN(len(b))] ^= 1 << v.r.IntN(8)
	parts[part] = base64.RawURLEncoding.EncodeToString(b)
	return strings.Join(parts, ".")
}

// groupOrder is the order of Ed25519's base point, 2^252 + 27742317777372353535851937790883648493 (RFC 8032, 5.1).
var groupOrder, _ = new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)

// shifted is the signature with the group's order added to its second half: the same to who reduces it.
func (v *victim) shifted() string {
	sig := []byte(unbase64(v.parts[2]))
	s := slices.Clone(sig[32:])
	slices.Reverse(s) // little endian
	n := new(big.Int).SetBytes(s)
	n.Add(n, groupOrder).FillBytes(s)
	slices.Reverse(s)
	return v.parts[0] + "." + v.parts[1] + "." + base64.RawURLEncoding.EncodeToString(append(sig[:32:32], s...))
}

// tail sets bits in the last character of a part that stand for nothing.
func (v *victim) tail() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	parts := slices.Clone(v.parts)
	var loose []int
	for i := range parts {
		if len(parts[i])%4 != 0 {
			loose = append(loose, i)
		}
	}
	p := loose[v.r.IntN(len(loose))]
	free := 1 << (2 * (4 - len(parts[p])%4)) // 4 with three characters, 16 with two
	last := len(parts[p]) - 1
	n := strings.IndexByte(alphabet, parts[p][last])
	parts[p] = parts[p][:last] + string(alphabet[n&^(free-1)|1+v.r.IntN(free-1)])
	return strings.Join(parts, ".")
}

var attacks = []struct {
	name string
	do   func(v *victim) string
}{
	{"a bit of the text", func(v *victim) string { b := []byte(v.pass); b[v.within()] ^= 1 << v.r.IntN(8); return string(b) }},
	{"a bit of the header", func(v *victim) string { return v.flip(0) }},
	{"a bit of the claims", func(v *victim) string { return v.flip(1) }},
	{"a bit of the signature", func(v *victim) string { return v.flip(2) }},
	{"cut", func(v *victim) string { return v.pass[:v.within()] }},
	{"cut in front", func(v *victim) string { return v.pass[1+v.within():] }},
	{"a byte left out", func(v *victim) string { i := v.within(); return v.pass[:i] + v.pass[i+1:] }},
	{"extended", func(v *victim) string {
		return v.pass + v.pick(".", "..", "=", "==", "A", "AAAA", " ", "\n", "\x00", ".e30", v.pass)
	}},
	{"extended in front", func(v *victim) string { return v.pick(".", " ", "\n", "A", "Bearer ", "\x00", "\ufeff") + v.pass }},
	{"something put within", func(v *victim) string {
		i := v.within()
		return v.pass[:i] + v.pick(" ", "\n", "\r\n", "\t", "\x00", "=", "%20", ".", "\u200b") + v.pass[i:]
	}},
	{"bits that stand for nothing", (*victim).tail},
	{"padded", func(v *victim) string { return v.parts[0] + "=." + v.parts[1] + "==." + v.parts[2] + "==" }},
	{"parts in another order", func(v *victim) string {
		p := slices.Clone(v.parts)
		i := v.r.IntN(3)
		p[i], p[(i+1)%3] = p[(i+1)%3], p[i]
		return strings.Join(p, ".")
	}},
	{"another's signature", func(v *victim) string { return v.parts[0] + "." + v.parts[1] + "." + v.other[2] }},
	{"another's claims", func(v *victim) string { return v.parts[0] + "." + v.other[1] + "." + v.parts[2] }},
	{"another's pass", func(v *victim) string { return strings.Join(v.other, ".") }},
	{"no signature", func(v *victim) string { return v.parts[0] + "." + v.parts[1] + v.pick(".", "") }},
	{"a signature of zeros", func(v *victim) string {
		return v.parts[0] + "." + v.parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64))
	}},
	{"a signature of the neutral point", func(v *victim) string {
		return v.parts[0] + "." + v.parts[1] + "." + base64.RawURLEncoding.EncodeToString(append([]byte{1}, make([]byte, 63)...))
	}},
	{"a signature with the order added", (*victim).shifted},
	{"alg none", func(v *victim) string {
		return v.headed(`{"alg":"` + v.pick("none", "None", "NONE", "nOnE", "") + `","kid":"` + v.pick(v.kids...) + `","typ":"JWT"}`)
	}},
	{"alg none, no signature", func(v *victim) string {
		return strings.TrimSuffix(v.headed(`{"alg":"`+v.pick("none", "None", "NONE")+`","kid":"`+v.pick(v.kids...)+`","typ":"JWT"}`), v.parts[2])
	}},
	{"no alg", func(v *victim) string { return v.headed(`{"kid":"` + v.kids[0] + `","typ":"JWT"}`) }},
	{"another alg", func(v *victim) string {
		return v.headed(`{"alg":"` + v.pick("RS256", "ES256", "PS256", "HS256", "eddsa", "Ed25519", "Ed448", "EdDSA ", "X") + `","kid":"` + v.kids[0] + `","typ":"JWT"}`)
	}},
	{"HMAC with the public key", func(v *victim) string {
		i := v.r.IntN(len(v.kids))
		x := base64.RawURLEncoding.EncodeToString(v.public[i])
		secrets := []string{string(v.public[i]), x, base64.StdEncoding.EncodeToString(v.public[i]), v.kids[i], "", `{"kty":"OKP","crv":"Ed25519","x":"` + x + `"}`}
		return v.hmac(v.pick("HS256", "HS384", "HS512"), []byte(v.pick(secrets...)), v.pick(v.kids...))
	}},
	{"signed by the attacker, our kid", func(v *victim) string { return v.ownSigned(v.header(), v.claims()) }},
	{"signed by the attacker, a kid of its own", func(v *victim) string {
		return v.ownSigned(`{"alg":"EdDSA","kid":"`+v.pick("mine", "", "../../dev/null", "' OR 1=1 --", "*", strings.Repeat("x", 300))+`","typ":"JWT"}`, v.claims())
	}},
	{"signed by the attacker, its key sent along", func(v *victim) string {
		x := base64.RawURLEncoding.EncodeToString(v.own.Public().(ed25519.PublicKey))
		return v.ownSigned(`{"alg":"EdDSA","kid":"`+v.pick(v.kids[0], "mine")+`","jwk":{"kty":"OKP","crv":"Ed25519","kid":"mine","x":"`+x+`"},"jku":"http://127.0.0.1:1/"}`, v.claims())
	}},
	{"the kid of another key of ours", func(v *victim) string { return v.headed(`{"alg":"EdDSA","kid":"` + v.kids[1] + `","typ":"JWT"}`) }},
	{"signed by us, the kid of another key", func(v *victim) string {
		return v.oursSigned(`{"alg":"EdDSA","kid":"`+v.kids[1]+`","typ":"JWT"}`, v.claims())
	}},
	{"signed by us, no such kid", func(v *victim) string {
		return v.oursSigned(`{"alg":"EdDSA",`+v.pick(``, `"kid":"",`, `"kid":null,`, `"kid":0,`, `"kid":["`+v.kids[0]+`"],`, `"kid":"nobody",`, `"KID":"`+v.kids[0]+`",`)+`"typ":"JWT"}`, v.claims())
	}},
	{"signed by us, crit", func(v *victim) string {
		return v.oursSigned(strings.Replace(v.header(), "{", `{"crit":`+v.pick(`["exp"]`, `["b64"],"b64":false`, `[]`, `null`)+`,`, 1), v.claims())
	}},
	{"signed by us, a member twice", func(v *victim) string {
		if v.r.IntN(3) == 0 {
			return v.oursSigned(strings.Replace(v.header(), "{", `{`+v.pick(`"alg":"none"`, `"kid":"x"`)+`,`, 1), v.claims())
		}
		more := v.pick(`"exp":9999999999`, `"aud":["gala"]`, `"sub":"`+v.session+`"`, `"iss":"onsale"`, `"EXP":9999999999`, `"Aud":["gala"]`)
		return v.oursSigned(v.header(), v.pick(strings.Replace(v.claims(), "{", "{"+more+",", 1), strings.TrimSuffix(v.claims(), "}")+","+more+"}"))
	}},
	{"signed by us, expired", func(v *victim) string {
		return v.oursSigned(v.header(), v.set("exp", strconv.FormatInt(v.now-v.seconds(), 10)))
	}},
	{"signed by us, no expiry", func(v *victim) string {
		return v.oursSigned(v.header(), v.set("exp", v.pick("", "null", `"never"`, "true", "[]", "{}")))
	}},
	{"signed by us, issued in the future", func(v *victim) string {
		return v.oursSigned(v.header(), v.set("iat", strconv.FormatInt(v.now+v.seconds(), 10)))
	}},
	{"signed by us, not before the future", func(v *victim) string {
		return v.oursSigned(v.header(), v.set("nbf", strconv.FormatInt(v.now+v.seconds(), 10)))
	}},
	{"signed by us, another issuer", func(v *victim) string {
		return v.oursSigned(v.header(), v.set("iss", v.pick("", `""`, `"Onsale"`, `"onsale "`, `"onsale2"`, `["onsale"]`, "null")))
	}},
	{"signed by us, for another event", func(v *victim) string {
		return v.oursSigned(v.header(), v.set("aud", v.pick(`["other"]`, `"other"`, `["Gala"]`, `["gala "]`, `[""]`, `"gal"`)))
	}},
	{"signed by us, several audiences", func(v *victim) string {
		return v.oursSigned(v.header(), v.set("aud", v.pick(`["gala","other"]`, `["other","gala"]`, `["gala","gala"]`, `[]`, "", "null", `[["gala"]]`, `{"gala":1}`)))
	}},
	{"signed by us, to another session", func(v *victim) string {
		return v.oursSigned(v.header(), v.set("sub", v.pick(`"`+sale.HashSession("gala", "another-session-").String()+`"`, `"`+sale.HashSession("other", v.session).String()+`"`, `"`+v.session+`"`, `""`, "", "null", "7")))
	}},
	{"claims altered, signature kept", func(v *victim) string {
		return v.claiming(v.set(v.pick("exp", "iat"), strconv.FormatInt(v.now+1+v.r.Int64N(4), 10)))
	}},
	{"written as JSON", func(v *victim) string {
		return `{"protected":"` + v.parts[0] + `","payload":"` + v.parts[1] + `","signature":"` + v.parts[2] + `"}`
	}},
	{"encrypted, it says", func(v *victim) string { return v.pass + "." + v.parts[1] + "." + v.parts[2] }},
	{"noise", func(v *victim) string {
		b := make([]byte, v.r.IntN(2000))
		for i := range b {
			b[i] = byte(v.r.Uint32())
		}
		return v.pick(string(b), v.parts[0]+"."+base64.RawURLEncoding.EncodeToString(b)+"."+v.parts[2])
	}},
}

// The smaller part of a million; internal/line tries the tickets. Each is shown by the session that the pass was
// given to, at the event it was given for, so that nothing but the alteration can be what it is refused for.
func TestPass_AHundredThousandAlterations(t *testing.T) {
	t.Parallel()
	const seed = 20260314
	n := alterations(t, 100_000)
	k := keys(t, 0, seedOne, seedTwo)
	if pass, _, err := k.Issue("gala", sale.HashSession("gala", fanSession(0))); err != nil || admitted(k, fanSession(0), pass) != nil {
		t.Fatal("not even a good pass is accepted")
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !t.Failed(); i = int(next.Add(1)) - 1 {
				r := rand.New(rand.NewPCG(seed, uint64(i))) // by its number: who tries it is of no matter
				attack := attacks[i%len(attacks)]
				v := newVictim(t, r, k)
				altered := attack.do(v)
				if altered == v.pass {
					t.Errorf("%d, %s: nothing is altered", i, attack.name)
				}
				if err := admitted(k, v.session, altered); !errors.Is(err, pass.ErrBad) && !errors.Is(err, pass.ErrExpired) && !errors.Is(err, pass.ErrForeign) {
					t.Errorf("%d, %s: %q: %v", i, attack.name, altered, err)
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d altered passes of %d kinds, none accepted", n, len(attacks))
}

func fanSession(i int) string { return fmt.Sprintf("session-of-a-fan-%d", i) }

func newVictim(t *testing.T, r *rand.Rand, k *pass.Keys) *victim {
	a := r.IntN(200) // few, so that most are issued from memory and verified before
	v := &victim{r: r, session: fanSession(a), now: noon.Unix(), own: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	for _, key := range k.JWKS() {
		v.kids = append(v.kids, key.Kid)
		v.public = append(v.public, ed25519.PublicKey(unbase64(key.X)))
	}
	both := [2]string{}
	for i, s := range []string{v.session, fanSession(a + 1)} {
		token, _, err := k.Issue("gala", sale.HashSession("gala", s))
		if err != nil {
			t.Error(err)
		}
		both[i] = token
	}
	v.pass, v.parts, v.other = both[0], strings.Split(both[0], "."), strings.Split(both[1], ".")
	return v
}

// admitted is what a gate does with a pass.
func admitted(k *pass.Keys, session, token string) error {
	c, err := k.Verify(token)
	if err != nil {
		return err
	}
	return c.Admit("gala", session)
}

// The attack's tools make good passes too: else all would be refused for the tool's own fault.
func TestPass_AttackersToolsAreGood(t *testing.T) {
	t.Parallel()
	k := keys(t, 0, seedOne, seedTwo)
	v := newVictim(t, rand.New(rand.NewPCG(1, 1)), k)
	for name, token := range map[string]string{
		"header and claims kept": v.oursSigned(v.header(), v.claims()), "a claim set to what it was": v.oursSigned(v.header(), v.set("iat", strconv.FormatInt(v.now, 10))),
		"under its own header": v.headed(v.header()), "with its own claims": v.claiming(v.claims()), "a later expiry": v.oursSigned(v.header(), v.set("exp", strconv.FormatInt(noon.Add(time.Hour).Unix(), 10))),
	} {
		if err := admitted(k, v.session, token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
