package main

import (
	"bytes"
	"strings"
	"testing"

	"onsale/internal/pace"
	"onsale/internal/up"
)

// The audit names the account's limit as the payworkers do, or they would be given other turns than it.
func TestStripeLimit(t *testing.T) {
	e := &env{cli: &cli{Data: t.TempDir()}}
	for _, c := range []struct {
		rate, burst string
		want        pace.Limit
		ok          bool
	}{
		{"", "", pace.Limit{Rate: 25, Burst: 2}, true},
		{"100", "", pace.Limit{Rate: 100, Burst: 10}, true},
		{"0.5", "3", pace.Limit{Rate: 0.5, Burst: 3}, true},
		{"x", "", pace.Limit{}, false},
		{"-1", "", pace.Limit{}, false},
		{"NaN", "", pace.Limit{}, false},
		{"Inf", "", pace.Limit{}, false},
		{"25", "10001", pace.Limit{}, false},
	} {
		t.Setenv("STRIPE_RATE", c.rate)
		t.Setenv("STRIPE_BURST", c.burst)
		if got, err := e.stripeLimit(); (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("%q and %q are %+v (%v), want %+v", c.rate, c.burst, got, err, c.want)
		}
	}
}

// Without the services nothing serves, and the command that starts them names them where make puts them.
func TestUp_SaysWhatRuns(t *testing.T) {
	t.Parallel()
	l := &up.Local{BaseURL: "http://127.0.0.1:8080", AdminURL: "http://127.0.0.1:8081", EnvFile: "/data/onsale.env"}
	for services, says := range map[string]string{"all": "Serving on http://127.0.0.1:8080 until Ctrl-C.", "none": "None of them runs yet"} {
		c := upCmd{Services: services}
		if got := c.running(l); !strings.Contains(got, says) || strings.Contains(got, "Serving") != (services == "all") {
			t.Errorf("%s: it says %q", services, got)
		}
		var out bytes.Buffer
		c.banner(&env{out: &out}, l)
		const start = ". /data/onsale.env; set +a; OPS_LISTEN=127.0.0.1:8081 bin/api & bin/admitter & bin/payworker & bin/committer &\n"
		if strings.Contains(out.String(), start) != (services == "none") {
			t.Errorf("%s: the banner is\n%s", services, &out)
		}
	}
}
