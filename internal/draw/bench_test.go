package draw

import "testing"

// The two ways to a place, beside each other: with the round functions as tables, and with twelve hashes.
func BenchmarkPlace(b *testing.B) {
	const n = 10_000_000
	p, err := NewPermutation(Hash{1}, n)
	if err != nil {
		b.Fatal(err)
	}
	for name, p := range map[string]*Permutation{"tables": p, "hashes": untabled(Hash{1}, n)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			arrival := uint64(0)
			for b.Loop() {
				arrival = (p.Place(arrival) + 1) % n
			}
		})
	}
}

func BenchmarkNewPermutation(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewPermutation(Hash{1}, 10_000_000); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTreeAppend(b *testing.B) {
	body := make([]byte, 1+256*16)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	t := NewTree()
	for b.Loop() {
		t.Append(body)
	}
}
