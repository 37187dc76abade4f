package api

import (
	"io"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/gofiber/fiber/v2"
)

// The address that a join is counted under is the one that our own proxy saw, however it says so, and never one that a
// client claims.
func TestClientOf(t *testing.T) {
	t.Parallel()
	const peer = "0.0.0.0" // of the calls that the test makes
	ours := []netip.Prefix{netip.MustParsePrefix(peer + "/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, c := range map[string]struct {
		proxies []netip.Prefix
		lines   []string
		want    string
	}{
		"no proxy":                 {nil, []string{"203.0.113.7"}, peer},
		"a proxy that says none":   {ours, nil, peer},
		"one line":                 {ours, []string{"9.9.9.9, 203.0.113.7"}, "203.0.113.7"},
		"a line of its own":        {ours, []string{"9.9.9.9", "203.0.113.7"}, "203.0.113.7"},
		"many lines":               {ours, []string{"9.9.9.9, 8.8.8.8", "203.0.113.7", "10.2.2.2,10.3.3.3"}, "203.0.113.7"},
		"a port":                   {ours, []string{"9.9.9.9", "203.0.113.7:40112"}, "203.0.113.7"},
		"a port, behind a proxy's": {ours, []string{"203.0.113.7:40112, 10.4.4.4:80"}, "203.0.113.7"},
		"IPv6":                     {ours, []string{"2001:db8::7"}, "2001:db8::7"},
		"IPv6 in brackets":         {ours, []string{"[2001:db8::7]"}, "2001:db8::7"},
		"IPv6 and a port":          {ours, []string{"[2001:db8::7]:443"}, "2001:db8::7"},
		"IPv4 as IPv6":             {ours, []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		"nonsense":                 {ours, []string{"9.9.9.9, unknown"}, peer},
		"nonsense behind a proxy":  {ours, []string{"9.9.9.9, unknown, 10.4.4.4"}, "10.4.4.4"},
	} {
		d := &door{Entry: Entry{Proxies: c.proxies}}
		app := fiber.New(fiber.Config{Immutable: true})
		app.Get("/", func(c *fiber.Ctx) error { return c.SendString(d.clientOf(c.Context()).String()) })
		req := httptest.NewRequest("GET", "/", nil)
		for _, l := range c.lines {
			req.Header.Add(fiber.HeaderXForwardedFor, l)
		}
		resp, err := app.Test(req, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, want %s (%v)", name, got, c.want, err)
		}
	}
}
