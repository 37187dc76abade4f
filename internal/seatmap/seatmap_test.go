package seatmap

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

var (
	one, two = uuid.UUID{1}, uuid.UUID{2}
	start    = time.Unix(1000, 0)
)

// house is a map of n seats, "0" to "n-1".
func house(n int) *Map {
	seats, ordinals := make([]Seat, n), map[string]int{}
	for i := range seats {
		seats[i] = Seat{fmt.Sprint(i), int64(i) * 100}
		ordinals[seats[i].ID] = i
	}
	return New("house", seats, ordinals, "eur")
}

// states cuts an edition and writes its states as letters.
func states(m *Map) string {
	m.Cut()
	var b strings.Builder
	for _, s := range m.Current().States {
		b.WriteByte("ahs"[s])
	}
	return b.String()
}

func want(t *testing.T, m *Map, want string) {
	t.Helper()
	if got := states(m); got != want {
		t.Errorf("the seats are %s, want %s", got, want)
	}
}

func TestMap_HoldsEndByThemselvesOrTheirOwner(t *testing.T) {
	t.Parallel()
	m := house(4)
	m.Hold(one, []string{"0", "1", "unknown"}, start.Add(10*time.Second))
	m.Hold(two, []string{"2"}, start.Add(5*time.Second))
	want(t, m, "hhha")
	m.Free(two, []string{"0"})
	want(t, m, "hhha")
	m.Free(one, []string{"0"})
	want(t, m, "ahha")
	if next := m.Lapse(start.Add(5*time.Second - 1)); !next.Equal(start.Add(5 * time.Second)) {
		t.Errorf("the next hold ends %s", next)
	}
	want(t, m, "ahha")
	m.Lapse(start.Add(5 * time.Second))
	want(t, m, "ahaa")
	m.Hold(one, []string{"1"}, start.Add(20*time.Second)) // extended
	m.Lapse(start.Add(10 * time.Second))
	want(t, m, "ahaa")
	if next := m.Lapse(start.Add(20 * time.Second)); !next.IsZero() {
		t.Errorf("there is a next end, %s", next)
	}
	want(t, m, "aaaa")
}

func TestMap_SoldStaysSoldUntilItIsVoided(t *testing.T) {
	t.Parallel()
	m := house(3)
	m.Hold(one, []string{"0", "1"}, start.Add(time.Second))
	m.Sell([]string{"0", "1"})
	m.Lapse(start.Add(time.Minute))
	m.Free(one, []string{"0", "1"})
	mark := m.Mark()
	if n := m.Repair(mark, nil, make([]Seen, 3)); n != 0 {
		t.Errorf("%d seats were taken from their buyers", n)
	}
	want(t, m, "ssa")
	m.Unsell([]string{"0"})
	want(t, m, "asa")
}

func TestMap_RepairsWhatItWasNotTold(t *testing.T) {
	t.Parallel()
	m := house(5)
	m.Hold(one, []string{"0", "1"}, start.Add(time.Hour))
	mark := m.Mark()
	m.Hold(two, []string{"4"}, start.Add(time.Hour)) // after the look began
	seen := []Seen{{Held: true}, {}, {Held: true}, {Sold: true}, {}}
	if got := fmt.Sprint(m.Differing(mark, nil, seen)); got != "[1 2 3]" {
		t.Errorf("seats %s differ", got)
	}
	if n := m.Repair(mark, nil, seen); n != 3 {
		t.Errorf("%d were repaired", n)
	}
	want(t, m, "hahsh")
	m.Lapse(start.Add(time.Minute))
	m.Free(two, []string{"2"}) // whoever had it, it was not known
	want(t, m, "haash")
	mark = m.Mark()
	if n := m.Repair(mark, []string{"3", "unknown"}, []Seen{{}, {Held: true}}); n != 1 {
		t.Errorf("%d were repaired", n)
	}
	want(t, m, "haaah")
}

func TestMap_SettlesWithTheLedger(t *testing.T) {
	t.Parallel()
	m := house(4)
	m.Sell([]string{"0", "1"})
	mark := m.Mark()
	m.Sell([]string{"3"})
	if n := m.Settle(mark, []string{"1", "2", "unknown"}); n != 2 {
		t.Errorf("%d were repaired", n)
	}
	want(t, m, "asss")
}

// However often holds come and go, what is remembered of them is bounded by what is held.
func TestMap_ForgetsHoldsThatEnded(t *testing.T) {
	t.Parallel()
	m := house(2)
	for range 20 * slack {
		m.Hold(one, []string{"0"}, start.Add(time.Hour))
		m.Free(one, []string{"0"})
	}
	if n := len(m.lapses); n > 2*slack {
		t.Errorf("%d ends of holds are remembered", n)
	}
	m.Hold(two, []string{"1"}, start.Add(time.Hour))
	m.Lapse(start.Add(time.Hour))
	want(t, m, "aa")
}

// seatsOf reads a whole map.
func seatsOf(raw []byte) (version string, seats map[string]string, err error) {
	var a struct {
		Version, Currency string
		Seats             []struct {
			ID, Status string
			Price      int64
		}
	}
	err = json.Unmarshal(raw, &a)
	seats = map[string]string{}
	for _, s := range a.Seats {
		seats[s.ID] = s.Status
	}
	return a.Version, seats, err
}

type change struct{ ID, Status string }

type changes struct {
	Version, Since string
	Changes        []change
}

// Whatever happens, what changed since an edition makes of that edition's seats those of the last, and names no seat
// twice.
func TestSince_IsTheDifferenceOfWholeMaps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := house(8)
		now := start
		kept := map[string]map[string]string{}
		keep := func() string {
			raw := m.Current().full()
			version, seats, err := seatsOf(raw)
			if err != nil || version != m.Current().Version {
				t.Fatalf("version %q, %v", version, err)
			}
			kept[version] = seats
			return version
		}
		keep()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			ids := rapid.SliceOfN(rapid.SampledFrom([]string{"0", "1", "2", "3", "4", "5", "6", "7"}), 0, 4).Draw(t, "seats")
			hold := uuid.UUID{rapid.Byte().Draw(t, "hold") % 3}
			switch rapid.IntRange(0, 7).Draw(t, "what") {
			case 0, 1:
				m.Hold(hold, ids, now.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "for"))*time.Second))
			case 2:
				m.Free(hold, ids)
			case 3:
				m.Sell(ids)
			case 4:
				m.Unsell(ids)
			case 5:
				now = now.Add(time.Second)
				m.Lapse(now)
			default:
				m.Cut()
				keep()
			}
		}
		m.Cut()
		last := keep()
		for version, seats := range kept {
			d := m.Current().Since(version)
			if d == nil {
				t.Fatalf("nothing is known since %s", version)
			}
			plain, _ := d.Bytes(Identity)
			var c changes
			if err := json.Unmarshal(plain, &c); err != nil || c.Version != last || c.Since != version || len(c.Changes) != d.Seats {
				t.Fatalf("%s: %v", plain, err)
			}
			if want := "id: " + last + "\nevent: changes\ndata: " + string(plain) + "\n\n"; string(d.Frame) != want {
				t.Fatalf("the frame is %q, want %q", d.Frame, want)
			}
			named := map[string]bool{}
			for _, s := range c.Changes {
				if named[s.ID] {
					t.Fatalf("%s is named twice", s.ID)
				}
				named[s.ID], seats[s.ID] = true, s.Status
			}
			if got, want := fmt.Sprint(seats), fmt.Sprint(kept[last]); got != want {
				t.Fatalf("since %s: %s, want %s", version, got, want)
			}
		}
	})
}

func TestSince_KnowsWhatItDoesNot(t *testing.T) {
	t.Parallel()
	m := house(maxDelta + 2)
	first := m.Current()
	for _, version := range []string{"", "house", "house.0", "house.2", "house.x", "house.01", "house.+1", "house.1.1", "other.1", "1", ".1", "house.99999999999999999999"} {
		if first.Since(version) != nil {
			t.Errorf("something is known since %q", version)
		}
	}
	all := make([]string, len(m.seats))
	for i, s := range m.seats {
		all[i] = s.ID
	}
	m.Sell(all)
	m.Cut()
	if m.Current().Since("house.1") != nil {
		t.Error("a delta names every seat")
	}
	if d := m.Current().Since("house.2"); d == nil || d.Seats != 0 {
		t.Error("nothing has changed since the last version, and that is not said")
	}
	for i := range maxEditions + 10 {
		if i%2 == 0 {
			m.Unsell([]string{"0"})
		} else {
			m.Sell([]string{"0"})
		}
		m.Cut()
	}
	if m.Current().Since("house.3") != nil {
		t.Error("the ring is without bound")
	}
	if m.Current().Since(fmt.Sprintf("house.%d", m.Current().n-maxEditions)) == nil {
		t.Error("the ring is too short")
	}
	if first.Since(m.Current().Version) != nil {
		t.Error("an edition knows a newer one")
	}
}

// While what changed since one version is being made, what changed since another is told.
func TestSince_WaitsForNoOther(t *testing.T) {
	t.Parallel()
	m := house(2)
	for _, seat := range []string{"0", "1"} {
		m.Sell([]string{seat})
		m.Cut()
	}
	e := m.Current()
	e.Since("house.2")
	m.ring.mu.Lock() // what is being made stands still
	var slow sync.WaitGroup
	slow.Go(func() { e.Since("house.1") })
	for begun := false; !begun; runtime.Gosched() {
		if begun = !e.mu.TryLock(); !begun {
			begun = len(e.deltas) == 2
			e.mu.Unlock()
		}
	}
	told := make(chan *Delta)
	go func() { told <- e.Since("house.2") }()
	select {
	case d := <-told:
		if d == nil || d.Seats != 1 {
			t.Errorf("it is %+v", d)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for the other")
	}
	m.ring.mu.Unlock()
	slow.Wait()
}

// However many versions are asked for, each is told, and a bounded number kept.
func TestSince_KeepsFew(t *testing.T) {
	t.Parallel()
	m := house(1)
	for i := range 2 * maxDeltas {
		if i%2 == 0 {
			m.Sell([]string{"0"})
		} else {
			m.Unsell([]string{"0"})
		}
		m.Cut()
	}
	for n := range m.Current().n {
		if m.Current().Since(fmt.Sprintf("house.%d", n+1)) == nil {
			t.Errorf("nothing is known since %d", n+1)
		}
	}
	if kept := len(m.Current().deltas); kept != maxDeltas {
		t.Errorf("%d are kept", kept)
	}
}

func TestCut_OfNothingMakesNoEdition(t *testing.T) {
	t.Parallel()
	m := house(1)
	before := m.Current()
	m.Hold(one, []string{"0"}, start)
	m.Free(one, []string{"0"})
	if m.Cut() || m.Current() != before {
		t.Error("a seat that is what it was makes an edition")
	}
	m.Sell([]string{"0"})
	if !m.Dirty() || !m.Cut() || m.Dirty() {
		t.Error("a change makes none")
	}
	select {
	case <-before.Superseded():
	default:
		t.Error("the edition is not superseded")
	}
}

// Readers and writers at once: each edition is whole, and each waiter is woken.
func TestMap_ManyAtOnce(t *testing.T) {
	t.Parallel()
	m := house(100)
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range 4 {
		writers.Go(func() {
			for i := range 500 {
				seat := []string{fmt.Sprint((i*7 + w) % 100)}
				m.Hold(uuid.UUID{byte(w)}, seat, start.Add(time.Duration(i)))
				m.Free(uuid.UUID{byte(w)}, seat)
				m.Lapse(start.Add(time.Duration(i)))
				m.Repair(m.Mark(), seat, []Seen{{Held: i%2 == 0}})
				m.Cut()
			}
		})
		readers.Go(func() {
			seen := m.Current()
			for {
				select {
				case <-seen.Superseded():
					next := m.Current()
					if d := next.Since(seen.Version); d != nil {
						d.Bytes(Brotli)
					}
					m.Page(start, "").Bytes(Gzip)
					seen = next
				case <-done:
					return
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}
