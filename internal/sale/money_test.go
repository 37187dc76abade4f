package sale_test

import (
	"math"
	"testing"

	"onsale/internal/sale"
)

func TestMoneyHasItsCurrencysDecimals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		minor    int64
		currency string
		want     string
	}{
		{1250, "eur", "12.50 eur"}, {5, "usd", "0.05 usd"}, {0, "eur", "0.00 eur"}, {-5, "eur", "-0.05 eur"}, {-1250, "eur", "-12.50 eur"},
		{1250, "jpy", "1250 jpy"}, {0, "jpy", "0 jpy"}, {-7, "krw", "-7 krw"},
		{1250, "kwd", "1.250 kwd"}, {1, "bhd", "0.001 bhd"}, {1250, "KWD", "1.250 KWD"},
		{100, "isk", "1.00 isk"}, {math.MaxInt64, "eur", "92233720368547758.07 eur"},
	} {
		if got := sale.Money(c.minor, c.currency); got != c.want {
			t.Errorf("Money(%d, %s) = %q, want %q", c.minor, c.currency, got, c.want)
		}
	}
}
