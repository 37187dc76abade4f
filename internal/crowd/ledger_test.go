package crowd

import (
	"strings"
	"testing"
)

func TestPlaceNeverGetsWorse(t *testing.T) {
	t.Parallel()
	at := func(n int64) *int64 { return &n }
	type told struct {
		state    string
		position *int64
	}
	for name, tc := range map[string]struct {
		told []told
		want string // of the last
	}{
		"gets better":        {[]told{{stateLobby, nil}, {stateWaiting, at(9)}, {stateWaiting, at(9)}, {stateWaiting, at(1)}, {stateAdmitted, nil}}, ""},
		"gets worse":         {[]told{{stateWaiting, at(3)}, {stateWaiting, at(4)}}, "place got worse: from 3 to 4"},
		"worse while paused": {[]told{{stateWaiting, at(3)}, {statePaused, at(5)}}, "place got worse: from 3 to 5"},
		"paused, not told":   {[]told{{stateWaiting, at(3)}, {statePaused, nil}, {stateWaiting, at(3)}}, ""},
		"worse after a gap":  {[]told{{stateWaiting, at(3)}, {statePaused, nil}, {stateWaiting, at(4)}}, "place got worse: from 3 to 4"},
		"sent back":          {[]told{{stateAdmitted, nil}, {stateWaiting, at(1)}}, "was admitted, then told to wait"},
		"back to the lobby":  {[]told{{stateWaiting, at(3)}, {stateLobby, nil}}, "was in line, then told to be in the lobby"},
		"admitted, paused":   {[]told{{stateAdmitted, nil}, {statePaused, at(3)}, {stateAdmitted, nil}}, ""},
		"negative":           {[]told{{stateWaiting, at(-1)}}, "place is negative: -1"},
		"sold out":           {[]told{{stateWaiting, at(3)}, {stateSoldOut, nil}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p place
			for i, told := range tc.told {
				want := ""
				if i == len(tc.told)-1 {
					want = tc.want
				}
				if got := p.observe(told.state, told.position); got != want {
					t.Fatalf("answer %d: %q, want %q", i, got, want)
				}
			}
		})
	}
}

func TestFlawOfPoll(t *testing.T) {
	t.Parallel()
	n, low, eta, high := int64(1), 1.0, 2.0, 3.0
	for want, p := range map[string]position{
		"position is null while waiting":    {State: stateWaiting},
		"admitted without a pass":           {State: stateAdmitted},
		"eta lies outside its own interval": {State: stateWaiting, Position: &n, ETA: &low, ETALow: &eta, ETAHigh: &high},
		"":                                  {State: stateWaiting, Position: &n, ETA: &eta, ETALow: &low, ETAHigh: &high},
	} {
		if got := flawOf(p); got != want {
			t.Errorf("flawOf(%+v) = %q, want %q", p, got, want)
		}
	}
}

// bought puts a confirmed order of one new fan into the ledger.
func bought(l *ledger, id string, seats ...string) *record {
	rec, _ := l.accept(&fan{}, hold{ID: "h-" + id, Seats: seats}, cardGood, id)
	l.observe(rec, order{ID: id, Status: orderConfirmed, Seats: seats}, true)
	return rec
}

func wantViolations(t *testing.T, l *ledger, want ...string) {
	t.Helper()
	got := l.report()
	if got.Count != len(want) {
		t.Fatalf("%d violations, want %d: %q", got.Count, len(want), got.Texts)
	}
	for i := range want {
		if !strings.Contains(got.Texts[i], want[i]) {
			t.Errorf("violation %d is %q, want %q", i, got.Texts[i], want[i])
		}
	}
}

func TestLedgerFindsSeatSoldTwice(t *testing.T) {
	t.Parallel()
	l := newLedger()
	first := bought(l, "o-1", "A-1", "A-2")
	second := bought(l, "o-2", "A-2", "A-3")
	// Looking again makes no second dispute of it.
	l.observe(first, order{ID: "o-1", Status: orderConfirmed, Seats: []string{"A-2", "A-1"}}, true)
	l.observe(second, order{ID: "o-2", Status: orderConfirmed, Seats: []string{"A-2", "A-3"}}, true)
	if c := l.counts(); c.Disputes != 1 || c.Confirmed != 2 || c.Sold != 3 {
		t.Errorf("counts = %+v", c)
	}
	l.settle()
	l.settle()
	wantViolations(t, l, "seat A-2 is sold twice: orders o-1 and o-2")
}

func TestLedgerLetsVoidedSeatsBeSoldAgain(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		l := newLedger()
		first := bought(l, "o-1", "A-1")
		void := func() { l.observe(first, order{ID: "o-1", Status: orderVoided, Seats: []string{"A-1"}}, true) }
		if !late {
			void()
		}
		bought(l, "o-2", "A-1")
		if late { // its fan hears of it after the seat was sold again
			void()
		}
		l.settle()
		wantViolations(t, l)
		if c := l.counts(); c.Sold != 1 || c.Confirmed != 1 {
			t.Errorf("counts = %+v", c)
		}
	}
}

func TestLedgerFindsWhatOrdersMustNotDo(t *testing.T) {
	t.Parallel()
	for want, breach := range map[string]func(*ledger){
		"was confirmed and became processing": func(l *ledger) {
			l.observe(bought(l, "o", "A-1"), order{Status: orderProcessing}, true)
		},
		"was rejected and became confirmed": func(l *ledger) {
			rec, _ := l.accept(&fan{}, hold{Seats: []string{"A-1"}}, cardGood, "o")
			l.observe(rec, order{Status: orderRejected}, true)
			l.observe(rec, order{Status: orderConfirmed, Seats: []string{"A-1"}}, true)
		},
		"is confirmed without seats": func(l *ledger) { bought(l, "o") },
		"and its hold was on [A-1]": func(l *ledger) {
			rec, _ := l.accept(&fan{}, hold{Seats: []string{"A-1"}}, cardGood, "o")
			l.observe(rec, order{Status: orderConfirmed, Seats: []string{"A-2"}}, true)
		},
		"and was for [A-1]": func(l *ledger) {
			rec, _ := l.accept(&fan{}, hold{}, cardGood, "o")
			l.observe(rec, order{Status: orderConfirmed, Seats: []string{"A-1"}}, true)
			l.observe(rec, order{Status: orderConfirmed, Seats: []string{"A-2"}}, true)
		},
		"is shown as order other": func(l *ledger) {
			l.observe(bought(l, "o", "A-1"), order{ID: "other", Status: orderConfirmed}, true)
		},
		"order o was given to two sessions": func(l *ledger) {
			bought(l, "o", "A-1")
			l.accept(&fan{}, hold{}, cardGood, "o")
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			l := newLedger()
			breach(l)
			wantViolations(t, l, want)
		})
	}
}

func TestLedgerBoundsItsTexts(t *testing.T) {
	t.Parallel()
	l := newLedger()
	for i := range 3 * violationTexts {
		l.violate("number %d", i)
	}
	if got := l.report(); got.Count != 3*violationTexts || len(got.Texts) != violationTexts || got.Texts[0] != "number 0" {
		t.Errorf("%d violations, %d texts", got.Count, len(got.Texts))
	}
}
