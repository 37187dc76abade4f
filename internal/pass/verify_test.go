package pass_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"onsale/internal/pass"
	"onsale/internal/sale"
)

// clock is moved by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func clocked(t testing.TB, seeds ...[]byte) (*pass.Keys, *clock) {
	t.Helper()
	c := &clock{at: noon}
	k, err := pass.ParseKeys(encoded(seeds...), ttl, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return k, c
}

// A pass that is remembered is as good, and as bad, as one that is seen for the first time: to the nanosecond.
func TestVerify_RememberedPassKeepsItsTimes(t *testing.T) {
	t.Parallel()
	for _, token := range []string{
		issue(t, keys(t, 0, seedOne)),
		spelled(t, keys(t, 0, seedOne), plainHeader(keys(t, 0, seedOne)), fmt.Sprintf(`{"iss":"onsale","sub":"%s","aud":"gala","nbf":%d,"exp":%d,"iat":%d}`,
			session, noon.Add(10*time.Second).Unix(), noon.Add(ttl).Unix(), noon.Unix())),
	} {
		k, c := clocked(t, seedOne)
		for _, after := range []time.Duration{
			-time.Hour, -pass.Leeway - 1, -pass.Leeway, 0, 10*time.Second - pass.Leeway - 1, 10*time.Second - pass.Leeway,
			ttl, ttl + pass.Leeway - 1, ttl + pass.Leeway, ttl + time.Hour,
		} {
			want, wantErr := keys(t, after, seedOne).Verify(token) // never saw it
			for range 3 {
				c.set(noon.Add(ttl / 2))
				if _, err := k.Verify(token); err != nil { // now it is remembered
					t.Fatal(err)
				}
				c.set(noon.Add(after))
				got, err := k.Verify(token)
				if got != want || !errors.Is(err, wantErr) || sale.CodeOf(err) != sale.CodeOf(wantErr) {
					t.Errorf("%v after it was issued: Verify = %+v, %v; for the first time it is %+v, %v", after, got, err, want, wantErr)
				}
			}
		}
	}
}

// What was refused is looked at again each time: it may be good later, as one that is not issued yet.
func TestVerify_FailuresAreNotRemembered(t *testing.T) {
	t.Parallel()
	token := issue(t, keys(t, 0, seedOne))
	k, c := clocked(t, seedOne)
	c.set(noon.Add(-time.Minute))
	if _, err := k.Verify(token); !errors.Is(err, pass.ErrBad) {
		t.Fatal(err)
	}
	c.set(noon)
	if _, err := k.Verify(token); err != nil {
		t.Errorf("when its time has come: %v", err)
	}
}

// A remembered pass vouches for no other: those that share its parts are refused.
func TestVerify_RememberedPassVouchesForNoOther(t *testing.T) {
	t.Parallel()
	k, _ := clocked(t, seedOne)
	token := issue(t, k)
	for range 2 {
		if _, err := k.Verify(token); err != nil {
			t.Fatal(err)
		}
		for i := range token {
			b := []byte(token)
			b[i] ^= 1
			if got, err := k.Verify(string(b)); err == nil {
				t.Errorf("byte %d altered: %+v", i, got)
			}
		}
	}
}

// What is kept to be given again is bounded, and what was dropped is signed anew.
func TestIssue_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	const most = 50
	k, _ := clocked(t, seedOne)
	pass.KeepAtMost(k, most)
	first := issue(t, k)
	for i := range 3 * most {
		if _, _, err := k.Issue("gala", sale.HashSession("gala", fmt.Sprint("session-of-a-fan-", i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := pass.Kept(k); n != most {
		t.Errorf("%d passes are kept", n)
	}
	if again := issue(t, k); again != first { // Ed25519 signs the same the same way
		t.Errorf("issued anew it is %s, not %s", again, first)
	}
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	c := pass.Claims{EventID: "gala", Session: session}
	for _, x := range []struct {
		event, session string
		want           error
	}{
		{"gala", "a-session-of-16+", nil}, {"gala", "another-session-", pass.ErrForeign}, {"other", "a-session-of-16+", pass.ErrForeign},
		{"gala", "", pass.ErrForeign}, {"", "a-session-of-16+", pass.ErrForeign}, {"gala", session.String(), pass.ErrForeign},
	} {
		if err := c.Admit(x.event, x.session); !errors.Is(err, x.want) {
			t.Errorf("Admit(%q, %q) = %v, want %v", x.event, x.session, err, x.want)
		}
	}
	if err := c.Admit("gala", ""); !strings.Contains(err.Error(), "send the session in Onsale-Session") {
		t.Errorf("no session: %v, which does not say what to send", err)
	}
	short := pass.Claims{EventID: "gala", Session: sale.HashSession("gala", "short")} // no client may have such a session
	if err := short.Admit("gala", "short"); !errors.Is(err, pass.ErrForeign) {
		t.Errorf("a session that is too short: %v", err)
	}
}

// The same session gets the same pass in the first half of its life, and then one with all its life before it.
func TestIssue_AgainInTheFirstHalf(t *testing.T) {
	t.Parallel()
	k, c := clocked(t, seedOne)
	first := issue(t, k)
	for _, x := range []struct {
		after time.Duration
		same  bool
	}{{0, true}, {ttl/2 - 1, true}, {ttl / 2, false}, {-1, false}} {
		k, c := clocked(t, seedOne)
		if issue(t, k) != first {
			t.Fatal("two nodes sign differently")
		}
		c.set(noon.Add(x.after))
		token, expires, err := k.Issue("gala", session)
		if err != nil || (token == first) != x.same {
			t.Errorf("%v later: the same pass %v, want %v (%v)", x.after, token == first, x.same, err)
		}
		if left := expires.Sub(noon.Add(x.after)); left < ttl/2 || left > ttl || expires.Location() != time.UTC {
			t.Errorf("%v later: it has %v left, until %v", x.after, left, expires)
		}
		var said struct{ Exp int64 }
		if err := json.Unmarshal(payload(t, token), &said); err != nil || said.Exp != expires.Unix() {
			t.Errorf("%v later: it is said to expire at %v, and says %d (%v)", x.after, expires, said.Exp, err)
		}
	}
	c.set(noon.Add(time.Minute / 2))
	for _, other := range []struct {
		event   string
		session sale.SessionHash
	}{{"other", session}, {"gala", sale.HashSession("gala", "another-session-")}} {
		token, _, err := k.Issue(other.event, other.session)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Verify(token); err != nil || got != (pass.Claims{EventID: other.event, Session: other.session}) {
			t.Errorf("to %v: %+v, %v", other, got, err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	b.Run("first", func(b *testing.B) {
		k := keys(b, 0, seedOne)
		token := issue(b, k)
		b.ReportAllocs()
		for b.Loop() {
			pass.Forget(k)
			if _, err := k.Verify(token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		k := keys(b, 0, seedOne)
		token := issue(b, k)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Verify(token); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkIssue(b *testing.B) {
	b.Run("first", func(b *testing.B) {
		k := keys(b, 0, seedOne)
		b.ReportAllocs()
		for b.Loop() {
			pass.Forget(k)
			issue(b, k)
		}
	})
	b.Run("again", func(b *testing.B) {
		k := keys(b, 0, seedOne)
		b.ReportAllocs()
		for b.Loop() {
			issue(b, k)
		}
	})
}
