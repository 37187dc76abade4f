package sale

import (
	"fmt"
	"strings"
)

// decimals of the currencies that don't have two, in the minor units that Stripe counts in:
// https://docs.stripe.com/currencies#minor-units
var decimals = map[string]int{
	"bif": 0, "clp": 0, "djf": 0, "gnf": 0, "jpy": 0, "kmf": 0, "krw": 0, "mga": 0, "pyg": 0, "rwf": 0, "vnd": 0, "vuv": 0, "xaf": 0, "xof": 0, "xpf": 0,
	"bhd": 3, "jod": 3, "kwd": 3, "omr": 3, "tnd": 3,
}

// Money writes an amount of minor units with its currency: 1250 eur is "12.50 eur", 1250 jpy is "1250 jpy".
func Money(minor int64, currency string) string {
	places, listed := decimals[strings.ToLower(currency)]
	if !listed {
		places = 2
	}
	sign := ""
	digits := fmt.Sprintf("%0*d", places+1, minor)
	if minor < 0 {
		sign, digits = "-", fmt.Sprintf("%0*d", places+1, -minor)
	}
	whole, part := digits[:len(digits)-places], digits[len(digits)-places:]
	if places > 0 {
		part = "." + part
	}
	return sign + whole + part + " " + currency
}
