package api

import (
	"slices"
	"testing"
	"time"

	"onsale/internal/sale"
)

func TestGoneSeats(t *testing.T) {
	t.Parallel()
	mine, other := sale.HashSession("show", "session-of-one-fan"), sale.HashSession("show", "session-of-another")
	start := time.Unix(1e9, 0)
	for name, c := range map[string]struct {
		do    func(g *goneSeats)
		after time.Duration
		want  []int // places among the seats 1, 2 and 3, as mine is told
	}{
		"nothing is known":                   {func(*goneSeats) {}, 0, nil},
		"another's seat":                     {func(g *goneSeats) { g.saw(2, other, 5, time.Minute, start) }, goneAge - 1, []int{1}},
		"one's own seat is not refused":      {func(g *goneSeats) { g.saw(2, mine, 5, time.Minute, start) }, 0, nil},
		"a sold seat is nobody's own":        {func(g *goneSeats) { g.saw(2, sale.SessionHash{}, 0, -1, start) }, goneAge - 1, []int{1}},
		"no longer than a moment":            {func(g *goneSeats) { g.saw(2, other, 5, time.Hour, start) }, goneAge, nil},
		"no longer than the hold":            {func(g *goneSeats) { g.saw(2, other, 5, time.Millisecond, start) }, time.Millisecond, nil},
		"forgotten when it is released":      {func(g *goneSeats) { g.saw(2, other, 5, time.Minute, start); g.forget([]int{2}, 5) }, 0, nil},
		"a release of an older hold is late": {func(g *goneSeats) { g.saw(2, other, 6, time.Minute, start); g.forget([]int{2}, 5) }, 0, []int{1}},
		"so is news of an older hold": {func(g *goneSeats) {
			g.saw(2, other, 6, time.Minute, start)
			g.saw(2, mine, 5, time.Minute, start)
		}, 0, []int{1}},
		"a fence that begins again is believed in a moment": {func(g *goneSeats) {
			g.saw(2, mine, 60, time.Minute, start)
			g.saw(2, other, 1, time.Minute, start.Add(goneAge))
		}, goneAge, []int{1}},
		"several": {func(g *goneSeats) {
			g.saw(1, other, 5, time.Minute, start)
			g.saw(3, other, 6, time.Minute, start)
		}, 0, []int{0, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &goneSeats{seats: make([]goneSeat, 5)}
			c.do(g)
			now := start.Add(c.after)
			if got := g.among([]int{1, 2, 3}, mine, now); !slices.Equal(got, c.want) {
				t.Errorf("refused %v, want %v", got, c.want)
			}
			free := []bool{true, true, true, true, false}
			g.exclude(free, now)
			for i, seat := range []int{1, 2, 3} {
				if slices.Contains(c.want, i) && free[seat] {
					t.Errorf("seat %d is offered", seat)
				}
			}
			if !free[0] || free[4] {
				t.Error("the others changed")
			}
		})
	}
}

func TestPlainHoldReadsNoMoreThanItKnows(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]*holdRequest{
		`{"seat_ids":["A-1"],"session":"s"}`:               {SeatIDs: []string{"A-1"}, Session: "s"},
		`{"seat_ids":["A-1","A-2","B:3"],"session":"s-2"}`: {SeatIDs: []string{"A-1", "A-2", "B:3"}, Session: "s-2"},
		`{"seat_ids":[""],"session":""}`:                   {SeatIDs: []string{""}},
		`{"seat_ids":[],"session":"s"}`:                    nil,
		`{"seat_ids":["A-1"],"session":"s","x":"y"}`:       nil,
		`{"seat_ids":["A-1"],"session":"s"}}`:              nil,
		`{"seat_ids":["A-1"], "session":"s"}`:              nil,
		`{"seat_ids":["A-1"],"session":"s\u0041"}`:         nil,
		`{"seat_ids":["A-\u0031"],"session":"s"}`:          nil,
		`{"seat_ids":["A-1","session":"s"}`:                nil,
		`{"seat_ids":["A-1",null],"session":"s"}`:          nil,
		`{"seat_ids":["`:                                   nil,
		`{"seat_ids":["A-1"],"session":"`:                  nil,
		`{"seat_ids":["A-1"],"session":"}`:                 nil,
		`{"seat_ids":["A-1"],"session":"s","session":"t"}`: nil,
		`{"session":"s","seat_ids":["A-1"]}`:               nil,
		"{\"seat_ids\":[\"A\n1\"],\"session\":\"s\"}":      nil,
		`{"seat_ids":["é"],"session":"s"}`:                 nil,
		``:                                                 nil,
	} {
		got, ok := plainHold([]byte(body))
		if ok != (want != nil) {
			t.Errorf("%s: read %v", body, ok)
		}
		if ok && (!slices.Equal(got.SeatIDs, want.SeatIDs) || got.Session != want.Session || got.Best != nil) {
			t.Errorf("%s: got %+v", body, got)
		}
	}
}

func TestHoldIsAnsweredAsJSON(t *testing.T) {
	t.Parallel()
	h := sale.Hold{Seats: []string{"A-1", "A-2"}, ExpiresAt: time.UnixMilli(1_700_000_000_120).UTC()}
	want := `{"hold_id":"00000000-0000-0000-0000-000000000000","expires_at":"2023-11-14T22:13:20.12Z","seats":["A-1","A-2"],"amount":8400,"currency":"eur"}`
	if got := string(holdJSON(h, 8400, "eur")); got != want {
		t.Errorf("got %s", got)
	}
}
