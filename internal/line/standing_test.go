package line_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

func ptr[T any](v T) *T { return &v }

// at is a place that was drawn.
func at(number uint64) line.Place { return line.Place{Number: number, Drawn: true} }

func TestStand(t *testing.T) {
	t.Parallel()
	open := events.Admission{State: sale.Open, Serving: 100, Rate: 10, Reason: "admitted", Lanes: []events.Lane{{Name: "presale", Share: 0.25, Serving: 7}}}
	in := func(state sale.State, reason string) events.Admission {
		a := open
		a.State, a.Reason = state, reason
		return a
	}
	stopped := open
	stopped.Rate = 0
	admitted := line.Standing{State: line.Admitted, Position: ptr[uint64](0), ETA: &line.ETA{}, PollIn: 15 * time.Second}
	lobby := line.Standing{State: "lobby", PollIn: 2 * time.Second}
	left := line.Place{Number: 100, Drawn: true, Left: true}
	for name, c := range map[string]struct {
		place line.Place
		last  events.Admission
		want  line.Standing
	}{
		"before the first record":  {line.Place{Arrival: 3}, events.Admission{}, lobby},
		"lobby":                    {line.Place{Arrival: 3}, events.Admission{State: sale.Lobby, Rate: 10, Reason: "created"}, lobby},
		"open, and not drawn here": {line.Place{Arrival: 3}, open, lobby},
		"the last one in":          {at(99), open, admitted},
		"the last one of a lane":   {line.Place{Lane: "presale", Number: 6, Drawn: true}, open, admitted},
		"in while the line stands": {at(99), in(sale.Paused, "paused"), admitted},
		"in while it is sold out":  {at(99), in(sale.SoldOut, "sold_out"), admitted},
		"paused":                   {at(100), in(sale.Paused, "admitted"), line.Standing{State: "paused", Position: ptr[uint64](1), Reason: "paused", PollIn: 2 * time.Second}},
		"no pace":                  {at(104), stopped, line.Standing{State: "paused", Position: ptr[uint64](5), Reason: "paused", PollIn: 2 * time.Second}},
		"sold out":                 {at(100), in(sale.SoldOut, "sold_out"), line.Standing{State: "sold_out", Reason: "sold_out", PollIn: 15 * time.Second}},
		"closed":                   {at(99), in(sale.Closed, "closed"), line.Standing{State: "closed", Reason: "closed", PollIn: time.Minute}},
		"left":                     {left, open, line.Standing{State: "left", PollIn: time.Minute}},
		"left, in the lobby":       {left, in(sale.Lobby, "created"), line.Standing{State: "left", PollIn: time.Minute}},
		"left, and closed":         {left, in(sale.Closed, "closed"), line.Standing{State: "closed", Reason: "closed", PollIn: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, line.NewView(&c.last).Stand(c.place)); diff != "" {
				t.Errorf("Stand(%+v) (-want +got):\n%s", c.place, diff)
			}
		})
	}
}

// Who waits is told of the flow of the own lane; the general one has the share that the others leave.
func TestStand_WaitsInItsLane(t *testing.T) {
	t.Parallel()
	open := events.Admission{State: sale.Open, Serving: 100, Rate: 10, Lanes: []events.Lane{{Name: "presale", Share: 0.25, Serving: 7}, {Name: "gone", Serving: 3}}}
	calm := open
	calm.Release = 20
	foreseen := open
	foreseen.Outlook = events.Outlook{Flow: 30, Ran: 600, Rose: line.RosePaused}
	for name, c := range map[string]struct {
		place    line.Place
		last     events.Admission
		position uint64
		expected int64 // -1 for none
		reason   string
	}{
		"next":                        {at(100), open, 1, 1, ""},
		"some way back":               {at(174), open, 75, 10, ""},
		"a part of a second":          {at(175), open, 76, 11, ""},
		"with twice the release":      {at(249), calm, 150, 10, ""},
		"in a lane":                   {line.Place{Lane: "presale", Number: 31, Drawn: true}, open, 25, 10, ""},
		"in a lane that has no share": {line.Place{Lane: "gone", Number: 4, Drawn: true}, open, 2, -1, ""},
		"in a lane too new to know":   {line.Place{Lane: "new", Number: 4, Drawn: true}, open, 5, -1, ""},
		"by its outlook":              {at(399), foreseen, 300, 10, "paused"},
	} {
		got := line.NewView(&c.last).Stand(c.place)
		expected := int64(-1)
		if got.ETA != nil {
			expected = got.ETA.Expected
		}
		if got.State != line.Waiting || *got.Position != c.position || expected != c.expected || got.Reason != c.reason {
			t.Errorf("%s: %+v, position %d, expected in %d s", name, got, *got.Position, expected)
		}
	}
}

// Whatever the place and the pace, nobody polls in a storm or never, and an ETA is never negative nor outside its
// interval. Who is further back polls no more often.
func TestStand_Bounds(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{math.SmallestNonzeroFloat64, 1e-12, 1e-4, 0.1, 7.3, 5000, 1e6} {
		var before time.Duration
		for _, number := range []uint64{0, 1, 2, 10, 1000, 1e5, 1e7, 1e12, math.MaxUint64 - 1} {
			got := line.NewView(&events.Admission{State: sale.Open, Rate: rate}).Stand(at(number))
			if got.PollIn < 500*time.Millisecond || got.PollIn > time.Minute || got.PollIn < before {
				t.Errorf("rate %g, place %d: poll in %v, one further ahead in %v", rate, number, got.PollIn, before)
			}
			if e := got.ETA; *got.Position != number+1 || e.Expected < 1 || e.Low < 0 || e.Low > e.Expected || e.High < e.Expected {
				t.Errorf("rate %g, place %d: position %d, ETA %+v", rate, number, *got.Position, *e)
			}
			before = got.PollIn
		}
	}
}

// A place never gets worse while the line moves.
func TestStand_OnlyImproves(t *testing.T) {
	t.Parallel()
	before := uint64(math.MaxUint64)
	for serving := range uint64(60) {
		got := line.NewView(&events.Admission{State: sale.Open, Rate: 3, Serving: serving}).Stand(at(49))
		if *got.Position > before || (*got.Position == 0) != (got.State == line.Admitted) || (serving > 49) != (got.State == line.Admitted) {
			t.Fatalf("serving %d: %s at %d, before it was %d", serving, got.State, *got.Position, before)
		}
		before = *got.Position
	}
}

// What the public page says of the line's movement is what those who wait are told.
func TestReason(t *testing.T) {
	t.Parallel()
	for state, want := range map[sale.State]string{sale.Lobby: "", sale.Open: "slower", sale.Paused: "paused", sale.SoldOut: "sold_out", sale.Closed: "closed"} {
		if got := line.Reason(&events.Admission{State: state, Outlook: events.Outlook{Rose: line.RoseSlower}}); got != want {
			t.Errorf("%s: %q, want %q", state, got, want)
		}
	}
}
