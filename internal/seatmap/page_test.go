package seatmap

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"

	"onsale/internal/plan"
	"onsale/plans"
)

func decoded(t *testing.T, raw []byte, as Encoding) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(raw)
	switch as {
	case Brotli:
		r = brotli.NewReader(r)
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// The whole map of the largest plan has less than 400 KB on the wire, a third of its seats in each state at random,
// and reads the same in every encoding.
func TestPage_OfTheStadium(t *testing.T) {
	t.Parallel()
	f, err := plans.Open("stadium")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := plan.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	seats, ordinals := make([]Seat, 0, 60_000), map[string]int{}
	for i, s := range p.Seats() {
		seats, ordinals[s.ID] = append(seats, Seat{s.ID, 5000}), i
	}
	m := New("stadium", seats, ordinals, "eur")
	random := uint32(1)
	for _, s := range seats {
		random = random*1664525 + 1013904223
		switch random >> 16 % 3 {
		case 0:
			m.Hold(one, []string{s.ID}, start)
		case 1:
			m.Sell([]string{s.ID})
		}
	}
	m.Cut()
	page := m.Page(start, "")
	plain, _ := page.Bytes(Identity)
	if version, read, err := seatsOf(plain); err != nil || version != page.Version || len(read) != len(seats) {
		t.Fatalf("version %q of %d seats, %v", version, len(read), err)
	}
	for _, as := range []Encoding{Gzip, Brotli} {
		raw, is := page.Bytes(as)
		if is != as || !bytes.Equal(decoded(t, raw, as), plain) {
			t.Errorf("%s does not read the same", as)
		}
		t.Logf("%d seats: %d KB as %s, of %d", len(seats), len(raw)/1000, as, len(plain)/1000)
		if len(raw) >= 400_000 {
			t.Errorf("%s has %d bytes", as, len(raw))
		}
		if again, _ := page.Bytes(as); &again[0] != &raw[0] {
			t.Errorf("%s is made twice", as)
		}
	}
}

func TestPage_WritesAnyIDs(t *testing.T) {
	t.Parallel()
	ids := []string{`a"b`, `a\b`, "a\nb", "ä", "<b>", ""}
	seats, ordinals := []Seat{}, map[string]int{}
	for i, id := range ids {
		seats, ordinals[id] = append(seats, Seat{ID: id}), i
	}
	m := New("odd", seats, ordinals, "eur")
	m.Sell(ids)
	m.Cut()
	plain, as := m.Page(start, "").Bytes(Brotli)
	_, read, err := seatsOf(plain)
	if err != nil || as != Identity || len(read) != len(ids) || read[ids[2]] != "sold" {
		t.Errorf("%s %s: %v", as, plain, err)
	}
	if d := m.Current().Since("odd.1"); bytes.Count(d.Frame, []byte("\n")) != 4 {
		t.Errorf("a frame with line breaks of its own: %q", d.Frame)
	}
}

// In a storm of changes the whole map is made once in a while, and is no older than that; without one it is current.
func TestPage_IsMadeOnceInAWhile(t *testing.T) {
	t.Parallel()
	m := house(10)
	first := m.Page(start, "")
	m.Sell([]string{"1"})
	m.Cut()
	if m.Page(start.Add(PageAge-1), "") != first {
		t.Error("a page is made too early")
	}
	second := m.Page(start.Add(PageAge-1), m.Current().Version)
	if second.Edition != m.Current() {
		t.Error("a page is older than asked for")
	}
	if m.Page(start.Add(time.Hour), "") != second {
		t.Error("the same edition is made again")
	}
	m.Sell([]string{"2"})
	m.Cut()
	if m.Page(start.Add(time.Hour), "").Edition != m.Current() {
		t.Error("a page is too old")
	}
	tags := map[string]bool{}
	for as := range encodings {
		tags[string(first.Tag(as))], tags[string(second.Tag(as))] = true, true
	}
	if len(tags) != 6 {
		t.Errorf("two editions in three encodings have the tags %v", tags)
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	const none = "none"
	for header, want := range map[string]string{
		"": "identity", "gzip, deflate, br, zstd": "br", "gzip": "gzip", "br;q=0.5, gzip;q=0.9": "gzip", "br;q=0, gzip": "gzip",
		"identity": "identity", "identity, br;q=0.9": "identity", "*": "br", "*;q=0.1, br;q=0": "gzip", "deflate": "identity",
		"identity;q=0": none, "*;q=0": none, "identity;q=0, gzip;q=0.001": "gzip", "*;q=0, identity;q=0.5": "identity", "GZIP;Q=1.000": "gzip",
		"x-gzip": "gzip", "br;q=2, gzip;q=0.1": "gzip", "br;q=0.1234": "identity", " br ; q=0.8 ,gzip;q=0.7": "br", "br;x=1": "identity", ",,br": "br",
		"gzip;q=1.0, br;q=1": "br", "br;q=0.": "identity", "br;q=": "identity",
	} {
		as, ok := Accepted([]byte(header))
		got := none
		if ok {
			got = as.String()
		}
		if got != want {
			t.Errorf("%q takes %s, want %s", header, got, want)
		}
	}
}
