package seatmap

import "bytes"

// Accepted is the encoding to answer in, of those that an Accept-Encoding header takes (RFC 9110, section 12.5.3): that
// of the highest weight, and among equals Brotli before Gzip before Identity. An empty header takes Identity. It is
// false where the header takes none of them.
func Accepted(header []byte) (Encoding, bool) {
	const unsaid = -1
	weights, any := [encodings]int{unsaid, unsaid, unsaid}, unsaid
	for len(header) > 0 {
		var part []byte
		part, header, _ = bytes.Cut(header, []byte{','})
		name, parameters, _ := bytes.Cut(part, []byte{';'})
		weight := weightOf(parameters)
		switch name = bytes.TrimSpace(name); {
		case bytes.EqualFold(name, []byte("br")):
			weights[Brotli] = weight
		case bytes.EqualFold(name, []byte("gzip")), bytes.EqualFold(name, []byte("x-gzip")):
			weights[Gzip] = weight
		case bytes.EqualFold(name, []byte("identity")):
			weights[Identity] = weight
		case bytes.Equal(name, []byte{'*'}):
			any = weight
		}
	}
	best, found := Identity, weights[Identity] != 0 && (weights[Identity] != unsaid || any != 0)
	most := max(weights[Identity], 0)
	for _, as := range []Encoding{Gzip, Brotli} {
		w := weights[as]
		if w == unsaid {
			w = any
		}
		if w > 0 && w >= most {
			best, found, most = as, true, w
		}
	}
	return best, found
}

// weightOf reads ";q=" in thousandths; 1000 where there is none, 0 for what is no weight.
func weightOf(parameters []byte) int {
	q := bytes.TrimSpace(parameters)
	if len(q) == 0 {
		return 1000
	}
	if len(q) < 3 || q[0]|0x20 != 'q' || q[1] != '=' || q[2] != '0' && q[2] != '1' || len(q) > len("q=0.123") || len(q) > 3 && q[3] != '.' {
		return 0
	}
	w, unit := int(q[2]-'0')*1000, 100
	for _, c := range q[min(4, len(q)):] {
		if c < '0' || c > '9' {
			return 0
		}
		w += int(c-'0') * unit
		unit /= 10
	}
	return min(w, 1000)
}
