package main

import (
	"testing"

	"onsale/internal/pace"
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
