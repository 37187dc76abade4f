package line_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
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

func FuzzTicket_Verify(f *testing.F) {
	signed := tickets.Sign("gala", ticket)
	f.Add("gala", signed)
	f.Add("gala", signed[:40])
	f.Add("", "")
	f.Add("other", signed+"\n")
	f.Fuzz(func(t *testing.T, event, text string) {
		got, err := tickets.Verify(event, text)
		switch {
		case err != nil && !errors.Is(err, line.ErrBadTicket):
			t.Errorf("Verify = %v", err)
		case err == nil && tickets.Sign(event, got) != text:
			t.Errorf("%q verifies as %+v, which is written otherwise", text, got)
		case err == nil && (event != "gala" || text != signed):
			t.Errorf("%q was never given out for %q", text, event)
		}
	})
}
