package line_test

import (
	"errors"
	"strings"
	"testing"

	"onsale/internal/line"
	"onsale/internal/sale"
)

func TestReadTicket_ReadsWhatSignWrote(t *testing.T) {
	t.Parallel()
	want := line.Ticket{Epoch: 1 << 60, Sequence: 12, Index: 4095, Session: sale.HashSession("gala", "a-session-of-16+")}
	text := line.NewTickets(make([]byte, 32)).Sign("gala", want)
	if got, err := line.ReadTicket(text); err != nil || got != want {
		t.Errorf("ReadTicket = %+v, %v; want %+v", got, err, want)
	}
	for name, bad := range map[string]string{
		"nothing": "", "cut off": text[:len(text)-1], "longer": text + "A", "another version": "B" + text[1:], "a line break": text[:9] + "\n" + text[10:], "stars": strings.Repeat("*", len(text)),
	} {
		if got, err := line.ReadTicket(bad); !errors.Is(err, line.ErrBadTicket) {
			t.Errorf("%s: ReadTicket = %+v, %v; want ErrBadTicket", name, got, err)
		}
	}
}
