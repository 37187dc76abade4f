package line_test

import (
	"encoding/base64"
	"errors"
	"testing"

	"onsale/internal/line"
)

func FuzzTicketVerify(f *testing.F) {
	signed := tickets.Sign("gala", ticket)
	raw, err := base64.RawURLEncoding.DecodeString(signed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("gala", signed)
	f.Add("gala", base64.RawURLEncoding.EncodeToString(raw[:37]))
	f.Add("gala", base64.StdEncoding.EncodeToString(raw))
	f.Add("gala", signed[:len(signed)-1]+"\n")
	f.Add("gala\x00", signed)
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
