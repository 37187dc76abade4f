package sale

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// No two lists of parts are hashed alike, however their characters are spread over the parts.
func TestDigest_PartsDoNotRunTogether(t *testing.T) {
	t.Parallel()
	seen := map[[32]byte][]string{}
	add := func(parts ...string) {
		sum := digest(parts...)
		if other, twice := seen[sum]; twice && !slices.Equal(other, parts) {
			t.Errorf("%q and %q are hashed alike", parts, other)
		}
		seen[sum] = slices.Clone(parts)
	}
	var spread func(rest string, parts []string)
	spread = func(rest string, parts []string) {
		add(append(parts, rest)...)
		if len(parts) == 4 {
			return
		}
		for i := range len(rest) + 1 {
			spread(rest[i:], append(parts, rest[:i]))
		}
	}
	for _, text := range []string{"", "a", "ab", "aaaa", "\x00\x00\x00\x01", "\x00\x00\x00\x01a\x00\x00\x00\x00", "\x00\x00\x00\x00"} {
		spread(text, nil)
	}
	add()
	r := rand.New(rand.NewSource(1))
	for range 20_000 {
		parts := make([]string, r.Intn(4))
		for i := range parts {
			b := make([]byte, r.Intn(6))
			for j := range b {
				b[j] = byte(r.Intn(3)) // looks like lengths
			}
			parts[i] = string(b)
		}
		add(parts...)
	}
}

// Hashes and ids stand in streams, passes and Postgres: they must stay what they are.
func TestDerived_StayTheSame(t *testing.T) {
	t.Parallel()
	session := HashSession("gala", "a-session-of-16+")
	order := OrderID("gala", session, "key-1")
	request := RequestHash(uuid.MustParse("7d309c74-6b7e-4f50-ac83-5b2cbf4e9032"), "pm_card_visa")
	for name, c := range map[string]struct{ got, want string }{
		"session": {session.String(), "MCYqBUwYzMZCo_nm1saUyQ"},
		"order":   {order.String(), "2eba64ae-9fd3-5a5f-9f79-4ccfed6a884d"},
		"attempt": {AttemptID(order, 1).String(), "98cd5fe2-df35-5aee-acb6-25f841133bb5"},
		"request": {SessionHash(request[:16]).String(), "bz0r6Hz99vrQ4UdlMDdpLQ"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", name, c.got, c.want)
		}
	}
}

// Each part of what an id is derived from matters, and nothing else does.
func TestDerived_DependOnEveryPart(t *testing.T) {
	t.Parallel()
	one, two := HashSession("gala", "session-number-1"), HashSession("gala", "session-number-2")
	holdOne, holdTwo := uuid.UUID{1}, uuid.UUID{2}
	seen := map[string]string{}
	add := func(what, id, again string) {
		if id != again {
			t.Errorf("%s: %s, and then %s", what, id, again)
		}
		if other, twice := seen[id]; twice {
			t.Errorf("%s and %s are the same", what, other)
		}
		seen[id] = what
	}
	for _, event := range []string{"gala", "gal", "gala-"} {
		for _, s := range []string{"session-number-1", "session-number-2", "asession-number-1"} {
			add("session "+event+s, HashSession(event, s).String(), HashSession(event, s).String())
		}
		for _, s := range []SessionHash{one, two} {
			for _, key := range []string{"", "k", "kk"} {
				order := OrderID(event, s, key)
				add("order "+event+s.String()+key, order.String(), OrderID(event, s, key).String())
				for _, n := range []int{1, 2, 256, 257} {
					add(fmt.Sprint("attempt ", n, " of ", order), AttemptID(order, n).String(), AttemptID(order, n).String())
				}
				if order != OrderID(event, s, key) {
					t.Error("deriving an attempt changed its order")
				}
			}
		}
	}
	for _, hold := range []uuid.UUID{holdOne, holdTwo} {
		for _, method := range []string{"", "pm_1", "pm_2"} {
			first, again := RequestHash(hold, method), RequestHash(hold, method)
			add("request "+hold.String()+method, string(first[:]), string(again[:]))
		}
	}
}

func TestSessionHash_Text(t *testing.T) {
	t.Parallel()
	for _, h := range []SessionHash{{}, HashSession("gala", "a-session-of-16+"), {0: 255, 15: 255}, {15: 1}} {
		text, err := h.MarshalText()
		if err != nil || string(text) != h.String() {
			t.Errorf("MarshalText = %q, %v; String = %q", text, err, h)
		}
		var again SessionHash
		if err := again.UnmarshalText(text); err != nil || again != h {
			t.Errorf("UnmarshalText(%q) = %v, %v", text, again, err)
		}
	}
	good := HashSession("gala", "a-session-of-16+").String()
	for _, bad := range []string{
		"", "A", good[1:], good + "A", good + "=", good + "==", good + "\n", "\n" + good, good[:5] + "\r" + good[5:], " " + good,
		good[:21] + "B", // the last character has four bits that mean nothing
		strings.Repeat("*", 22), strings.Repeat("+", 22), strings.Repeat("/", 22), strings.Repeat("A", 24),
	} {
		h, err := ParseSessionHash(bad)
		if KindOf(err) != Invalid || h != (SessionHash{}) {
			t.Errorf("ParseSessionHash(%q) = %v, %v; want Invalid", bad, h, err)
		}
		if err := h.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("UnmarshalText takes %q", bad)
		}
	}
}
