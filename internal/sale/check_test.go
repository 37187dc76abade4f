package sale_test

import (
	"strings"
	"testing"

	"onsale/internal/sale"
)

func TestCheckSession(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		strings.Repeat("a", 16), strings.Repeat("~", 128), "0b1e7a52-4f5c-5d3e-8a61-3f0a9d2c7e10", `!"#$%&'()*+,-./0`, `:;<=>?@[\]^_{|}~` + "`",
	} {
		if err := sale.CheckSession(good); err != nil {
			t.Errorf("CheckSession(%q) = %v", good, err)
		}
	}
	long := strings.Repeat("a", 15)
	for _, bad := range []string{
		"", long, strings.Repeat("a", 129), strings.Repeat("a", 100_000), long + " ", " " + long, long + "\t", long + "\n", long + "\x00", long + "\x1f",
		long + "\x7f", long + "\x80", long + "\xff", long + "é", "ééééééééééééééé", long + "\u00a0",
	} {
		if err := sale.CheckSession(bad); sale.KindOf(err) != sale.Invalid || sale.CodeOf(err) != "bad_session" {
			t.Errorf("CheckSession(%q) = %v, want Invalid", bad, err)
		} else if strings.Contains(err.Error(), "aaaa") {
			t.Errorf("the error tells the session: %v", err)
		}
	}
	for c := range 256 {
		ok := sale.CheckSession(long+string([]byte{byte(c)})) == nil
		if want := c > ' ' && c < 0x7f; ok != want {
			t.Errorf("a session with byte %#x is acceptable: %v", c, ok)
		}
	}
}

func TestCheckEventID(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "0", "gala-2026", "a-", "a--b", strings.Repeat("z", 40), "0-0"} {
		if err := sale.CheckEventID(good); err != nil {
			t.Errorf("CheckEventID(%q) = %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "-", "-a", "A", "Gala", "a_b", "a.b", "a b", " a", "a ", "a\n", "\na", "a\nb", "a*", "*", ">", "a>", "a/b", "a{b}", "a:b", "é", "a\x00", strings.Repeat("z", 41),
	} {
		if err := sale.CheckEventID(bad); sale.KindOf(err) != sale.Invalid || sale.CodeOf(err) != "bad_event_id" {
			t.Errorf("CheckEventID(%q) = %v, want Invalid", bad, err)
		}
	}
}
