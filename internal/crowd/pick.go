package crowd

import (
	"cmp"
	"math/rand/v2"
	"strconv"
	"strings"
)

// fightOver is how many seats, the first of the hall, all fighters want.
const fightOver = 4

// pick chooses up to want available seats that are not in avoid: side by side where the hall has them,
// from a random place on, so that a crowd spreads over the hall; otherwise any, and fewer if there are
// fewer. It returns nil when there are none.
func (l *seatList) pick(rng *rand.Rand, want int, avoid map[string]struct{}) []string {
	n := len(l.ids)
	if l.free == 0 || n == 0 {
		return nil
	}
	usable := func(i int) bool {
		if !l.available[i] {
			return false
		}
		_, avoided := avoid[l.ids[i]]
		return !avoided
	}
	start := rng.IntN(n)
	for _, part := range [2][2]int{{start, n}, {0, min(n, start+want-1)}} {
		run := 0
		for i := part[0]; i < part[1]; i++ {
			switch {
			case !usable(i):
				run = 0
			case run > 0 && l.beside[i-1]:
				run++
			default:
				run = 1
			}
			if run == want {
				return append([]string(nil), l.ids[i-want+1:i+1]...)
			}
		}
	}
	var scattered []string
	for k := range n {
		if i := (start + k) % n; usable(i) {
			if scattered = append(scattered, l.ids[i]); len(scattered) == want {
				break
			}
		}
	}
	return scattered
}

// fought returns the seats that every fighter asks for, held or not, or nil once one of them is sold.
func (l *seatList) fought(want int) []string {
	n := min(want, fightOver, len(l.ids))
	for i := range n {
		if l.gone[i] {
			return nil
		}
	}
	return append([]string(nil), l.ids[:n]...)
}

// inARow says whether b is the seat after a: the same name up to a number that is one higher.
func inARow(a, b string) bool {
	rowA, numberA, okA := splitNumber(a)
	rowB, numberB, okB := splitNumber(b)
	return okA && okB && rowA == rowB && numberB == numberA+1
}

func splitNumber(id string) (row string, number int, ok bool) {
	row = strings.TrimRight(id, "0123456789")
	number, err := strconv.Atoi(id[len(row):])
	return row, number, err == nil
}

// compareNatural orders ids by their runs of digits as numbers and the rest as text.
func compareNatural(a, b string) int {
	for a != "" && b != "" {
		if digit(a[0]) && digit(b[0]) {
			numberA, restA := leadingDigits(a)
			numberB, restB := leadingDigits(b)
			if c := cmp.Or(cmp.Compare(len(numberA), len(numberB)), cmp.Compare(numberA, numberB)); c != 0 {
				return c
			}
			a, b = restA, restB
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// leadingDigits returns the number that s starts with, without leading zeros, and what follows it.
func leadingDigits(s string) (number, rest string) {
	rest = strings.TrimLeft(s, "0123456789")
	return strings.TrimLeft(s[:len(s)-len(rest)], "0"), rest
}
