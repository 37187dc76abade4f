package draw

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"onsale/internal/sale"
)

// MaxJoins is how many joins a lane can have before its seal.
const MaxJoins = 1 << 40

const (
	// maxShuffle is up to how many joins a lane is shuffled as a list. Below it a keyed permutation of few rounds
	// can be told from chance with few samples; a shuffle can't, at any size.
	maxShuffle = 1024
	// rounds of the keyed permutation. Ten leave any two arrivals within 1e-13 of two drawn places, at every size
	// above maxShuffle (TestNetwork_PairsAreUniform computes it); two more are margin.
	rounds = 12
	// maxTabled is up to how many joins the round functions are kept as tables: 12*8192 values, 192 KiB.
	maxTabled = 1 << 26
	// tagShuffle stands where the number of a round stands, and is none.
	tagShuffle = 0xff
)

// Permutation is the order of one lane's lobby: a bijection between arrival numbers and places, both 0..N-1, in
// which every order is as likely as any other. It doesn't change once made, so goroutines may share it.
//
// Up to 1024 joins it is the shuffle of Fisher and Yates (Knuth, The Art of Computer Programming, volume 2,
// algorithm 3.4.2P), exactly uniform. Above, it is the generalized Feistel network with cycle-walking of Black and
// Rogaway ("Ciphers with Arbitrary Finite Domains", CT-RSA 2002), with the number of rows made even.
type Permutation struct {
	key Hash
	n   uint64

	arrivals, places []uint16 // of a shuffled lane: by place, by arrival

	rows, columns uint64           // of a networked lane; rows*columns >= n
	tables        [rounds][]uint16 // its round functions; nil above maxTabled
}

// NewPermutation makes the order of a lane with n joins before the seal. It takes up to 4 ms for ten million joins
// and keeps at most 192 KiB, so make it once for each lane. More than MaxJoins is Invalid.
func NewPermutation(key Hash, n uint64) (*Permutation, error) {
	if n > MaxJoins {
		return nil, sale.Errorf(sale.Invalid, "too_many_joins", "a lane has at most %d joins, not %d", uint64(MaxJoins), n)
	}
	p := &Permutation{key: key, n: n}
	if n <= maxShuffle {
		w := newWord(key)
		p.arrivals = shuffled(n, func(i uint64) uint64 { return w.below(tagShuffle, i, i+1) })
		p.places = make([]uint16, n)
		for place, arrival := range p.arrivals {
			p.places[arrival] = uint16(place)
		}
		return p, nil
	}
	p.rows, p.columns = grid(n)
	if n <= maxTabled {
		p.tabulate()
	}
	return p, nil
}

// Place is the place of an arrival number. Who joined after the seal keeps the arrival number as place.
func (p *Permutation) Place(arrival uint64) uint64 {
	switch {
	case arrival >= p.n:
		return arrival
	case p.places != nil:
		return uint64(p.places[arrival])
	}
	// The grid has fewer than rows cells too many. A walk that ends in one of them goes on: it follows a cycle of
	// the network's permutation, which holds the arrival itself, so it comes back below n.
	x := p.forward(arrival)
	for x >= p.n {
		x = p.forward(x)
	}
	return x
}

// Arrival is the arrival number that has a place: the inverse of Place.
func (p *Permutation) Arrival(place uint64) uint64 {
	switch {
	case place >= p.n:
		return place
	case p.arrivals != nil:
		return uint64(p.arrivals[place])
	}
	x := p.backward(place)
	for x >= p.n {
		x = p.backward(x)
	}
	return x
}

// shuffled puts the arrivals into a list in order and, from its end, exchanges each entry i with the one that
// upTo(i) draws from 0..i.
func shuffled(n uint64, upTo func(i uint64) uint64) []uint16 {
	list := make([]uint16, n)
	for i := range list {
		list[i] = uint16(i)
	}
	for i := len(list) - 1; i > 0; i-- {
		j := upTo(uint64(i))
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// grid is the smallest even number of rows whose square is n or more, and the columns that n then needs. Rows are
// even because a round that shifts columns of odd length never makes an odd permutation: on an odd by odd grid
// half of all orders would be impossible.
func grid(n uint64) (rows, columns uint64) {
	rows = uint64(math.Sqrt(float64(n))) &^ 1
	for rows*rows < n {
		rows += 2
	}
	return rows, (n + rows - 1) / rows
}

// forward is the network: rounds that in turn shift the row by a function of the column and the other way round.
func (p *Permutation) forward(x uint64) uint64 {
	row, column := x/p.columns, x%p.columns
	w := newWord(p.key)
	for i := 0; i < rounds; i += 2 {
		if row += p.shift(&w, i, column, p.rows); row >= p.rows {
			row -= p.rows
		}
		if column += p.shift(&w, i+1, row, p.columns); column >= p.columns {
			column -= p.columns
		}
	}
	return row*p.columns + column
}

// backward undoes the rounds from the last to the first.
func (p *Permutation) backward(x uint64) uint64 {
	row, column := x/p.columns, x%p.columns
	w := newWord(p.key)
	for i := rounds - 1; i > 0; i -= 2 {
		if column += p.columns - p.shift(&w, i, row, p.columns); column >= p.columns {
			column -= p.columns
		}
		if row += p.rows - p.shift(&w, i-1, column, p.rows); row >= p.rows {
			row -= p.rows
		}
	}
	return row*p.columns + column
}

// shift is round's function of v, below limit.
func (p *Permutation) shift(w *word, round int, v, limit uint64) uint64 {
	if t := p.tables[round]; t != nil {
		return uint64(t[v])
	}
	return w.below(byte(round), v, limit)
}

// tabulate computes every value of every round function: twelve times the square root of n, where a list of
// places would have n.
func (p *Permutation) tabulate() {
	w := newWord(p.key)
	for round := range p.tables {
		of, limit := p.columns, p.rows
		if round%2 == 1 {
			of, limit = p.rows, p.columns
		}
		t := make([]uint16, of)
		for v := range t {
			t[v] = uint16(w.below(byte(round), uint64(v), limit))
		}
		p.tables[round] = t
	}
}

// word is the input of one hash: the key, a tag and a number, 41 bytes, so that SHA-256 runs over one block.
type word [len(Hash{}) + 1 + 8]byte

func newWord(key Hash) (w word) {
	copy(w[:], key[:])
	return w
}

// below is the first 8 bytes of the hash of key, tag and v as a number, modulo limit. With a limit of up to 2^21
// no value is more than 2^-43 of itself likelier than another.
func (w *word) below(tag byte, v, limit uint64) uint64 {
	w[len(Hash{})] = tag
	binary.BigEndian.PutUint64(w[len(Hash{})+1:], v)
	sum := sha256.Sum256(w[:])
	return binary.BigEndian.Uint64(sum[:]) % limit
}
