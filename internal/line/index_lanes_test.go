package line_test

import (
	"fmt"
	"maps"
	"math/rand"
	"runtime"
	"strconv"
	"testing"

	"onsale/events"
	"onsale/internal/line"
)

// laneChunk is a message of a line with lanes.
type laneChunk struct {
	lane  string
	joins uint16
}

// However the lanes are mixed, each counts its own joins, over many blocks of chunks.
func TestIndex_LanesCountTheirOwn(t *testing.T) {
	t.Parallel()
	for seed := range int64(20) {
		r := rand.New(rand.NewSource(seed))
		lanes := []string{"", "presale", "vip", "late"}
		x := line.NewIndex()
		var all []laneChunk
		joined := map[string]uint64{"": 0}
		before := []map[string]uint64{} // by sequence - 1
		for i := range 400 {
			lane := lanes[r.Intn(min(len(lanes), 1+i/90))] // one after the other comes up, in the middle of a block
			c := laneChunk{lane, uint16(r.Intn(5))}
			if r.Intn(10) == 0 {
				c = laneChunk{"", 0} // the seal, or what can't be read
			}
			all = append(all, c)
			before = append(before, maps.Clone(joined))
			joined[c.lane] += uint64(c.joins)
			x.Apply(uint64(i+1), c.lane, c.joins)
			if r.Intn(3) == 0 {
				x.Apply(uint64(1+r.Intn(i+1)), "presale", 1000) // read again, and otherwise
			}
		}
		if !maps.Equal(x.Counts(), joined) || x.Read() != 400 {
			t.Fatalf("seed %d: %v joined up to %d, want %v", seed, x.Counts(), x.Read(), joined)
		}
		for i, c := range all {
			lane, arrival, known := x.Arrival(uint64(i+1), 3)
			if !known || lane != c.lane || arrival != before[i][c.lane]+3 {
				t.Fatalf("seed %d: join 3 of chunk %d is %q %d, %v; want %q %d", seed, i+1, lane, arrival, known, c.lane, before[i][c.lane]+3)
			}
			counts, known := x.Before(uint64(i + 1))
			for _, lane := range lanes {
				if !known || counts[lane] != before[i][lane] {
					t.Fatalf("seed %d: before chunk %d %v joined, %v; want %v", seed, i+1, counts, known, before[i])
				}
			}
		}
		for _, unread := range []uint64{0, 401} {
			if counts, known := x.Before(unread); known {
				t.Errorf("before chunk %d %v joined", unread, counts)
			}
		}
		if x.Joined("nobody's") != 0 {
			t.Errorf("%d joined a lane that is not there", x.Joined("nobody's"))
		}
	}
}

// A message says by its subject and headers what it is; one that doesn't counts as empty, and those after it hold.
func TestIndex_Take(t *testing.T) {
	t.Parallel()
	x := line.NewIndex()
	for i, c := range []struct {
		subject, count, lane string
		joins                uint64 // of lane, in all
		bad                  bool
	}{
		{events.JoinedSubject(event), "5", "", 5, false},
		{events.JoinedSubject(event), "7", "presale", 7, false},
		{events.SealedSubject(event), "", "", 5, false},
		{events.JoinedSubject(event), "", "", 5, true},
		{events.JoinedSubject(event), "-1", "presale", 7, true},
		{events.JoinedSubject(event), strconv.Itoa(events.MaxChunk + 1), "", 5, true},
		{events.JoinedSubject(event), "70000", "", 5, true},
		{events.JoinedSubject(event), strconv.Itoa(events.MaxChunk), "", 5 + events.MaxChunk, false},
	} {
		header := map[string]string{}
		if c.count != "" {
			header[events.HeaderJoinCount] = c.count
		}
		if c.lane != "" {
			header[events.HeaderLane] = c.lane
		}
		err := x.Take(events.Message{Sequence: uint64(i + 1), Subject: c.subject, Header: header})
		if (err != nil) != c.bad || x.Joined(c.lane) != c.joins || x.Read() != uint64(i+1) {
			t.Errorf("message %d: %v, %d joined lane %q", i+1, err, x.Joined(c.lane), c.lane)
		}
	}
}

// More lanes than a line can have spoil nothing: those too many count with the general one, and nothing breaks.
func TestIndex_BoundsItsLanes(t *testing.T) {
	t.Parallel()
	x := line.NewIndex()
	for i := range uint64(1000) {
		x.Apply(i+1, fmt.Sprint("lane-", i), 1)
	}
	var sum uint64
	for _, n := range x.Counts() {
		sum += n
	}
	if len(x.Counts()) > 256 || sum != 1000 || x.Joined("lane-0") != 1 {
		t.Errorf("%d lanes have %d joins", len(x.Counts()), sum)
	}
}

// Ten million chunks, each of one join, as when nobody arrives together, are held in a few bytes each. It can't run
// beside other tests: it measures the memory of the process.
func TestIndex_IsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a second or two")
	}
	const chunks, limit = 10_000_000, 64 << 20
	before := heap()
	x := line.NewIndex()
	for s := range uint64(chunks) {
		x.Apply(s+1, []string{"", "presale"}[s%2], 1)
	}
	if got := heap() - before; got > limit {
		t.Errorf("%d chunks cost %d bytes, want %d at most", chunks, got, limit)
	} else {
		t.Logf("%d chunks cost %d bytes", chunks, got)
	}
	if _, n, ok := x.Arrival(chunks, 0); !ok || n != chunks/2-1 {
		t.Errorf("the last arrived as %d, %v", n, ok)
	}
}

// heap is how much is in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
