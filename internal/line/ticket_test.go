package line_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"onsale/internal/line"
	"onsale/internal/sale"
)

var (
	secret  = bytes.Repeat([]byte{7}, 32)
	tickets = line.NewTickets(secret)
	ticket  = line.Ticket{Epoch: 1_789_000_000_123_456_789, Sequence: 42, Index: 255, Session: sale.HashSession("gala", "a-session-of-16+")}
)

func TestTicket_RoundTrip(t *testing.T) {
	t.Parallel()
	for _, want := range []line.Ticket{
		ticket, {}, {Epoch: math.MaxUint64, Sequence: math.MaxUint64, Index: math.MaxUint32, Session: sale.SessionHash(bytes.Repeat([]byte{255}, 16))},
	} {
		signed := tickets.Sign("gala", want)
		got, err := line.NewTickets(secret).Verify("gala", signed)
		if err != nil || got != want {
			t.Errorf("Verify(%s) = %+v, %v; want %+v", signed, got, err, want)
		}
	}
}

// A ticket that was given out is good for as long as its line: this one was written by the first version.
func TestTicket_FirstVersionStillVerifies(t *testing.T) {
	t.Parallel()
	const given = "ARjTzgWGiE0VAAAAAAAAACoAAAD_MCYqBUwYzMZCo_nm1saUybFjRSjeN0qfD53G-Ji97G8"
	if got := tickets.Sign("gala", ticket); got != given {
		t.Errorf("Sign = %s, want %s", got, given)
	}
	if got, err := tickets.Verify("gala", given); err != nil || got != ticket {
		t.Errorf("Verify = %+v, %v", got, err)
	}
}

func refused(t *testing.T, event, altered, how string) {
	t.Helper()
	if got, err := tickets.Verify(event, altered); !errors.Is(err, line.ErrBadTicket) || got != (line.Ticket{}) {
		t.Errorf("%s: Verify(%q) = %+v, %v; want ErrBadTicket", how, altered, got, err)
	}
}

func TestTicket_RefusesAlterations(t *testing.T) {
	t.Parallel()
	signed := tickets.Sign("gala", ticket)
	for i := range len(signed) {
		for bit := range 8 {
			b := []byte(signed)
			b[i] ^= 1 << bit
			refused(t, "gala", string(b), "a bit of the text flipped")
		}
	}
	raw, err := base64.RawURLEncoding.DecodeString(signed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			b := bytes.Clone(raw)
			b[i] ^= 1 << bit
			refused(t, "gala", base64.RawURLEncoding.EncodeToString(b), "a bit flipped")
		}
	}
	for n := range len(raw) {
		refused(t, "gala", base64.RawURLEncoding.EncodeToString(raw[:n]), "cut")
		refused(t, "gala", base64.RawURLEncoding.EncodeToString(raw[n+1:]), "cut in front")
	}
	for n := range len(signed) {
		refused(t, "gala", signed[:n], "text cut")
		refused(t, "gala", signed[:n]+"\n"+signed[n:], "a line break within")
	}
	for _, more := range []string{"A", "=", "\n", "\r\n", " ", "AAAA", signed} {
		refused(t, "gala", signed+more, "extended")
		refused(t, "gala", more+signed, "extended in front")
	}
	refused(t, "gala", base64.RawURLEncoding.EncodeToString(append(bytes.Clone(raw), 0)), "a byte more")
	refused(t, "gala", base64.StdEncoding.EncodeToString(raw), "padded")
}

func TestTicket_IsOfOneEventAndOneSecret(t *testing.T) {
	t.Parallel()
	signed := tickets.Sign("gala", ticket)
	for _, event := range []string{"", "gal", "gala2", "Gala", "gala\x00", "other"} {
		refused(t, event, signed, "another event")
	}
	for i := range secret {
		other := bytes.Clone(secret)
		other[i] ^= 1
		refused(t, "gala", line.NewTickets(other).Sign("gala", ticket), "another secret")
	}
	refused(t, "gala", line.NewTickets(nil).Sign("gala", ticket), "no secret")
}

// What moves between event and ticket doesn't verify: the border between them is signed too.
func TestTicket_EventAndBodyAreApart(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, event := range []string{"g", "ga", "gal", "gala", "gala\x00", "gala\x00\x01"} {
		raw, err := base64.RawURLEncoding.DecodeString(tickets.Sign(event, line.Ticket{}))
		if err != nil {
			t.Fatal(err)
		}
		mac := string(raw[len(raw)-16:])
		if other, twice := seen[mac]; twice {
			t.Errorf("%q and %q sign alike", event, other)
		}
		seen[mac] = event
	}
}

func TestTicket_Before(t *testing.T) {
	t.Parallel()
	inOrder := []line.Ticket{
		{Sequence: 0, Index: 0}, {Sequence: 1, Index: 0}, {Sequence: 1, Index: 1}, {Sequence: 1, Index: math.MaxUint32},
		{Sequence: 2, Index: 0}, {Sequence: math.MaxUint64, Index: 0}, {Sequence: math.MaxUint64, Index: 1},
	}
	for i, a := range inOrder {
		for j, b := range inOrder {
			a.Session, b.Session, a.Epoch = sale.SessionHash{byte(j)}, sale.SessionHash{byte(i)}, uint64(j) // of no matter
			if got := a.Before(b); got != (i < j) {
				t.Errorf("%+v before %+v: %v", a, b, got)
			}
		}
	}
}

// victim is a good ticket and all that an attacker may have.
type victim struct {
	r      *rand.Rand
	ticket string
	raw    []byte // of ticket
	other  []byte // another fan's, of the same line
}

func (v *victim) encoded(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// changed is the ticket with its bytes changed and its signature kept.
func (v *victim) changed(how func(body []byte)) string {
	b := bytes.Clone(v.raw)
	how(b[:len(b)-16])
	return v.encoded(b)
}

func (v *victim) pick(of ...string) string { return of[v.r.IntN(len(of))] }

// part overwrites a part of body with the other's.
func (v *victim) part(from, to int) string {
	return v.changed(func(body []byte) {
		if copy(body[from:to], v.other[from:to]); bytes.Equal(body, v.raw[:len(body)]) {
			body[from] ^= 1
		}
	})
}

func (v *victim) random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(v.r.Uint32())
	}
	return b
}

var ticketAttacks = []struct {
	name string
	do   func(v *victim) string
}{
	{"a bit of the text", func(v *victim) string {
		b := []byte(v.ticket)
		b[v.r.IntN(len(b))] ^= 1 << v.r.IntN(8)
		return string(b)
	}},
	{"a bit", func(v *victim) string {
		b := bytes.Clone(v.raw)
		b[v.r.IntN(len(b))] ^= 1 << v.r.IntN(8)
		return v.encoded(b)
	}},
	{"several bits", func(v *victim) string {
		b := bytes.Clone(v.raw)
		for i := range 2 + v.r.IntN(8) {
			b[(v.r.IntN(2)+i*5)%len(b)] ^= 1 << v.r.IntN(8) // another byte each
		}
		return v.encoded(b)
	}},
	{"cut", func(v *victim) string { return v.ticket[:v.r.IntN(len(v.ticket))] }},
	{"cut in front", func(v *victim) string { return v.ticket[1+v.r.IntN(len(v.ticket)):] }},
	{"extended", func(v *victim) string {
		return v.ticket + v.pick("A", "=", "==", "\n", "\r\n", " ", ".", "\x00", v.ticket)
	}},
	{"extended in front", func(v *victim) string { return v.pick("A", "=", "\n", " ", "\x00", "Bearer ") + v.ticket }},
	{"as long, with something within", func(v *victim) string {
		i := 1 + v.r.IntN(len(v.ticket)-1)
		return v.ticket[:i] + v.pick("\n", "\r", "=", " ", "\x00", ".", "+", "/") + v.ticket[i:len(v.ticket)-1]
	}},
	{"bytes more, signed or not", func(v *victim) string { return v.encoded(append(bytes.Clone(v.raw), v.random(1+v.r.IntN(64))...)) }},
	{"a better number", func(v *victim) string {
		return v.changed(func(body []byte) {
			binary.BigEndian.PutUint64(body[9:], binary.BigEndian.Uint64(body[9:])-1-v.r.Uint64N(40))
		})
	}},
	{"a better index", func(v *victim) string {
		return v.changed(func(body []byte) {
			binary.BigEndian.PutUint32(body[17:], binary.BigEndian.Uint32(body[17:])-1-v.r.Uint32N(99))
		})
	}},
	{"another's place", func(v *victim) string { return v.part(9, 21) }},
	{"another's session", func(v *victim) string { return v.part(21, 37) }},
	{"of another stream", func(v *victim) string {
		return v.changed(func(body []byte) { body[1+v.r.IntN(8)] ^= byte(1 + v.r.IntN(255)) })
	}},
	{"of another version", func(v *victim) string { return v.changed(func(body []byte) { body[0] ^= byte(1 + v.r.IntN(255)) }) }},
	{"another's signature", func(v *victim) string { return v.encoded(append(bytes.Clone(v.raw[:37]), v.other[37:]...)) }},
	{"no signature", func(v *victim) string { return v.encoded(v.raw[:37]) }},
	{"a signature of zeros", func(v *victim) string { return v.encoded(append(bytes.Clone(v.raw[:37]), make([]byte, 16)...)) }},
	{"a guessed signature", func(v *victim) string { return v.encoded(append(bytes.Clone(v.raw[:37]), v.random(16)...)) }},
	{"of another event", func(v *victim) string {
		return tickets.Sign(v.pick("other", "gala2", "gal", "Gala", "", "gala\x00"), line.Ticket{Epoch: ticket.Epoch, Sequence: v.r.Uint64()})
	}},
	{"of another secret", func(v *victim) string {
		return line.NewTickets(v.random(32)).Sign("gala", line.Ticket{Epoch: ticket.Epoch, Sequence: v.r.Uint64()})
	}},
	{"padded", func(v *victim) string { return base64.URLEncoding.EncodeToString(v.raw) }},
	{"in the other alphabet", func(v *victim) string { // as long, where there is a character that differs
		return strings.Replace(base64.RawStdEncoding.EncodeToString(v.raw), v.ticket[1:2], "+", 1)
	}},
	{"bits that stand for nothing", func(v *victim) string {
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := len(v.ticket) - 1
		n := strings.IndexByte(alphabet, v.ticket[last])
		return v.ticket[:last] + string(alphabet[n|1+v.r.IntN(3)]) // of 53 bytes' last six bits, two are free
	}},
	{"noise", func(v *victim) string {
		return v.pick(v.encoded(v.random(len(v.raw))), string(v.random(v.r.IntN(300))))
	}},
}

// alterations is how many altered tickets are tried: full of them, a twentieth under the race detector, or as many
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

// The greater part of a million; internal/pass tries the passes.
func TestTicket_NineHundredThousandAlterations(t *testing.T) {
	t.Parallel()
	const seed = 20260314
	n := alterations(t, 900_000)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			source := rand.NewPCG(0, 0)
			r := rand.New(source)
			for i := int(next.Add(1)) - 1; i < n && !t.Failed(); i = int(next.Add(1)) - 1 {
				source.Seed(seed, uint64(i)) // by its number: who tries it is of no matter
				attack := ticketAttacks[i%len(ticketAttacks)]
				v := newVictim(t, r)
				altered := attack.do(v)
				if altered == v.ticket {
					t.Errorf("%d, %s: nothing is altered", i, attack.name)
				}
				refused(t, "gala", altered, attack.name)
			}
		})
	}
	workers.Wait()
	t.Logf("%d altered tickets of %d kinds, none accepted", n, len(ticketAttacks))
}

// newVictim is a fan with a ticket that verifies.
func newVictim(t *testing.T, r *rand.Rand) *victim {
	both := [2][]byte{}
	for i := range both {
		want := line.Ticket{Epoch: ticket.Epoch, Sequence: 100 + r.Uint64N(1<<20), Index: r.Uint32N(256), Session: sale.SessionHash{byte(i), byte(r.Uint32())}}
		signed := tickets.Sign("gala", want)
		if i == 0 {
			if got, err := tickets.Verify("gala", signed); err != nil || got != want {
				t.Errorf("not even a good ticket is accepted: %+v, %v", got, err)
			}
		}
		both[i], _ = base64.RawURLEncoding.DecodeString(signed)
	}
	return &victim{r: r, ticket: base64.RawURLEncoding.EncodeToString(both[0]), raw: both[0], other: both[1]}
}
