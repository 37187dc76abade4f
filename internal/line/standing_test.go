package line_test

import (
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

func ptr[T any](v T) *T { return &v }

func same[T comparable](a, b *T) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func TestStand(t *testing.T) {
	t.Parallel()
	open := events.Admission{State: sale.Open, Serving: 100, Rate: 10, Reason: "admitted"}
	in := func(state sale.State, reason string) events.Admission {
		a := open
		a.State, a.Reason = state, reason
		return a
	}
	stopped := open
	stopped.Rate = 0
	for name, c := range map[string]struct {
		arrival uint64
		last    events.Admission
		want    line.Standing
	}{
		"before the first record":  {3, events.Admission{}, line.Standing{State: "lobby", PollIn: 2 * time.Second}},
		"lobby":                    {3, events.Admission{State: sale.Lobby, Rate: 10, Reason: "created"}, line.Standing{State: "lobby", PollIn: 2 * time.Second}},
		"the last one in":          {99, open, line.Standing{State: line.Admitted, Position: ptr[uint64](0), ETA: ptr[int64](0), PollIn: 15 * time.Second}},
		"in while the line stands": {99, in(sale.Paused, "paused"), line.Standing{State: line.Admitted, Position: ptr[uint64](0), ETA: ptr[int64](0), PollIn: 15 * time.Second}},
		"next":                     {100, open, line.Standing{State: line.Waiting, Position: ptr[uint64](1), ETA: ptr[int64](1), PollIn: 500 * time.Millisecond}},
		"some way back":            {189, open, line.Standing{State: line.Waiting, Position: ptr[uint64](90), ETA: ptr[int64](9), PollIn: 3 * time.Second}},
		"a part of a second":       {190, open, line.Standing{State: line.Waiting, Position: ptr[uint64](91), ETA: ptr[int64](10), PollIn: 3033333333}},
		"far back":                 {100_099, open, line.Standing{State: line.Waiting, Position: ptr[uint64](100_000), ETA: ptr[int64](10_000), PollIn: 15 * time.Second}},
		"paused":                   {100, in(sale.Paused, "admitted"), line.Standing{State: "paused", Position: ptr[uint64](1), Reason: "paused", PollIn: 2 * time.Second}},
		"no pace":                  {104, stopped, line.Standing{State: "paused", Position: ptr[uint64](5), Reason: "paused", PollIn: 2 * time.Second}},
		"sold out":                 {100, in(sale.SoldOut, "sold_out"), line.Standing{State: "sold_out", Reason: "sold_out", PollIn: 15 * time.Second}},
		"closed":                   {100, in(sale.Closed, "closed"), line.Standing{State: "closed", Reason: "closed", PollIn: 15 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := line.Stand(c.arrival, c.last)
			if got.State != c.want.State || !same(got.Position, c.want.Position) || !same(got.ETA, c.want.ETA) || got.Reason != c.want.Reason || got.PollIn != c.want.PollIn {
				t.Errorf("Stand(%d) = %s, want %s", c.arrival, show(got), show(c.want))
			}
		})
	}
}

// Whatever the place and the pace, nobody polls in a storm or never, and an ETA is never negative.
func TestStand_Bounds(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{math.SmallestNonzeroFloat64, 1e-12, 1e-4, 0.1, 7.3, 5000, 1e6} {
		var before time.Duration
		for _, arrival := range []uint64{0, 1, 2, 10, 1000, 1e5, 1e7, 1e12, math.MaxUint64 - 1} {
			got := line.Stand(arrival, events.Admission{State: sale.Open, Rate: rate})
			if got.PollIn < 500*time.Millisecond || got.PollIn > 15*time.Second || got.PollIn < before {
				t.Errorf("rate %g, arrival %d: poll in %v, one further ahead in %v", rate, arrival, got.PollIn, before)
			}
			if *got.Position != arrival+1 || *got.ETA < 1 {
				t.Errorf("rate %g, arrival %d: %s", rate, arrival, show(got))
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
		got := line.Stand(49, events.Admission{State: sale.Open, Rate: 3, Serving: serving})
		if *got.Position > before || (*got.Position == 0) != (got.State == line.Admitted) || (serving > 49) != (got.State == line.Admitted) {
			t.Fatalf("serving %d: %s, before it was %d", serving, show(got), before)
		}
		before = *got.Position
	}
}

func show(s line.Standing) string {
	position, eta := "none", "none"
	if s.Position != nil {
		position = strconv.FormatUint(*s.Position, 10)
	}
	if s.ETA != nil {
		eta = strconv.FormatInt(*s.ETA, 10)
	}
	return fmt.Sprintf("{%s position %s, eta %s, reason %q, poll in %v}", s.State, position, eta, s.Reason, s.PollIn)
}
