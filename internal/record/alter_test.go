package record

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"onsale/internal/draw"
	"onsale/internal/line"
)

// fork is a checker that has taken the same page and log, and no message of the line yet.
func (c *Checker) fork() *Checker {
	d := *c
	d.coded = map[string][]uint64{}
	d.breaches, d.heads, d.tree, d.index = nil, slices.Clone(c.heads), draw.NewTree(), line.NewIndex()
	return &d
}

// until gives records to a checker until it finds something.
func (c *Checker) until(take func([]byte), all [][]byte) {
	for _, raw := range all {
		if len(c.breaches) > 0 {
			return
		}
		take(raw)
	}
}

// reading is the check of records of which those of one kind are altered, from the i-th on.
type reading struct {
	records
	kind string
	i    int
	had  *Checker // it has taken all before
}

func (r records) reading(kind string, i int) reading {
	c := NewChecker(event)
	if kind != "draw" {
		c.Page(r.page)
		log := r.log
		if kind == "admission" {
			log = log[:i]
		}
		c.until(c.Admission, log)
	}
	return reading{r, kind, i, c}
}

// first is the first breach that is found where all are the records of the kind.
func (r reading) first(all [][]byte) (Breach, bool) {
	c := r.had.fork()
	log, lines := [][]byte(nil), r.lines
	switch r.kind {
	case "draw":
		c.until(c.Page, all)
		log = r.log
	case "admission":
		log = all[r.i:]
	case "line":
		lines = all
	}
	c.until(c.Admission, log)
	c.until(c.Line, lines)
	found := c.breaches
	if len(found) == 0 {
		found = c.Finish().Breaches
	}
	if len(found) == 0 {
		return Breach{}, false
	}
	return found[0], true
}

// named says whether a breach names the record that was altered. Of the log that is it or the one after, which has its
// hash; the page of the draw and the record that it names vouch for each other. Of the line it is one up to the next that
// the log covers.
func (s *show) named(b Breach, a altered, kind string) bool {
	if kind == "draw" || kind == "admission" && (a.cut || a.n == len(s.log)) {
		if b.Record == "draw" || strings.Contains(b.What, "the page of the draw says") {
			return true
		}
	}
	if kind == "admission" {
		return b.Record == fmt.Sprint("admission ", a.n) || b.Record == fmt.Sprint("admission ", a.n+1)
	}
	if b.Record == "line" {
		return a.cut || a.n == len(s.lines)
	}
	text, ok := strings.CutPrefix(b.Record, "line ")
	at, err := strconv.Atoi(text)
	covered := slices.IndexFunc(s.heads, func(h uint64) bool { return h >= uint64(a.n) })
	return ok && err == nil && (at == a.n || covered >= 0 && at > a.n && uint64(at) <= s.heads[covered])
}

// altered is a list in which the n-th record, from 1, is the first that is not as it was.
type altered struct {
	n    int
	what string
	all  [][]byte
	cut  bool // the end is missing
}

// bytewise is every alteration of one byte of a record: other bits, without it, with one more.
func bytewise(all [][]byte, i int, yield func(altered)) {
	raw := all[i]
	put := func(what string, record []byte) {
		list := slices.Clone(all)
		list[i] = record
		yield(altered{n: i + 1, what: what, all: list})
	}
	for at := range raw {
		for _, by := range []byte{0x01, 0x20} {
			b := bytes.Clone(raw)
			b[at] ^= by
			put(fmt.Sprintf("byte %d ^ %#x", at, by), b)
		}
		put(fmt.Sprintf("byte %d deleted", at), slices.Delete(bytes.Clone(raw), at, at+1))
		put(fmt.Sprintf("byte %d doubled", at), slices.Insert(bytes.Clone(raw), at, raw[at]))
	}
	put("a space at its end", append(bytes.Clone(raw), ' '))
	put("empty", nil)
	put("null", []byte("null"))
}

// recordwise is what can be done to a record as a whole.
func recordwise(all [][]byte, i int, yield func(altered)) {
	yield(altered{n: i + 1, what: "dropped", all: slices.Delete(slices.Clone(all), i, i+1)})
	yield(altered{n: i + 2, what: "twice", all: slices.Insert(slices.Clone(all), i, all[i])})
	yield(altered{n: i + 1, what: "the rest dropped", all: slices.Clone(all[:i]), cut: true})
	if i+1 < len(all) {
		swapped := slices.Clone(all)
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
		yield(altered{n: i + 1, what: "swapped with the next", all: swapped})
		again := slices.Clone(all)
		again[i+1] = all[i]
		yield(altered{n: i + 2, what: "in place of the next", all: again})
	}
}

// No byte of the public records can be altered, and no record dropped, doubled or moved, without a breach that names it.
func TestChecker_FindsEveryAlteration(t *testing.T) {
	t.Parallel()
	s := newShow(t)
	whole := s.play()
	var all sync.WaitGroup
	for kind, list := range map[string][][]byte{"draw": {whole.page}, "admission": whole.log, "line": whole.lines} {
		for i := range list {
			all.Go(func() {
				tried, reading := 0, whole.reading(kind, i)
				try := func(a altered) {
					tried++
					switch b, found := reading.first(a.all); {
					case !found:
						t.Errorf("%s %d: %s is not found", kind, i+1, a.what)
					case !s.named(b, a, kind):
						t.Errorf("%s %d: %s is found as %q", kind, i+1, a.what, b)
					}
				}
				bytewise(list, i, try)
				if kind != "draw" {
					recordwise(list, i, try)
				}
				if tried < 4*len(list[i]) {
					t.Errorf("%s %d: %d alterations were tried", kind, i+1, tried)
				}
				if b, found := reading.first(list); found {
					t.Errorf("%s %d as it is: %v", kind, i+1, b)
				}
			})
		}
	}
	all.Wait()
}
