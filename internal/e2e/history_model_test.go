package e2e

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// What a call for a seat was, and what came of it as far as its caller knows.
const (
	callHold    = "hold"
	callRelease = "release"
	callBuy     = "buy"

	becameHeld     = "held"
	becameRefused  = "refused" // someone else has the seat
	becameReleased = "released"
	becameGone     = "gone" // there is no such hold
	becameSold     = "sold"
	becameDeclined = "declined" // not paid, and still held
	becameNothing  = "nothing"
	becameUnknown  = "unknown" // it happened, will happen, or never does
)

// seatCall is a call, of one seat of those that it names. Times are since the start of the history.
type seatCall struct {
	seat, verb  string
	session     int
	hold, order string // "" where nobody knows
	called      time.Duration
	returned    time.Duration
	lapsesFrom  time.Duration // of a hold that this call made or extended: when it may lapse at the earliest
	lapsesUntil time.Duration // and when it must have; never where a checkout was begun with it
}

// seatState is a seat at one moment: free, held, or sold to an order.
type seatState struct {
	held, sold              bool
	session                 int
	hold                    string // "" for one whose answer was lost
	order                   string
	lapsesFrom, lapsesUntil time.Duration
}

const never = time.Duration(math.MaxInt64)

// seatModel is what a seat may do: it belongs to one at a time, a hold frees it by itself when its time is up and
// not before, and what is sold stays sold.
var seatModel = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		bySeat := map[string][]porcupine.Operation{}
		for _, op := range history {
			seat := op.Input.(seatCall).seat
			bySeat[seat] = append(bySeat[seat], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range bySeat {
			parts = append(parts, unsettled(part))
		}
		return parts
	},
	Init: func() []any { return []any{seatState{}} },
	Step: func(state, input, output any) []any {
		var next []any
		call := input.(seatCall)
		for _, now := range state.(seatState).at(call) {
			for _, after := range now.step(call, output.(string)) {
				next = append(next, after)
			}
		}
		return next
	},
}

// at is what a state may have become by itself when a call happens.
func (s seatState) at(c seatCall) []seatState {
	switch {
	case !s.held || c.returned < s.lapsesFrom:
		return []seatState{s}
	case c.called > s.lapsesUntil:
		return []seatState{{}}
	default:
		return []seatState{s, {}}
	}
}

// step is what a state may be after a call that became so; none where that can't have been.
func (s seatState) step(c seatCall, became string) []seatState {
	mine := s.held && s.session == c.session && (s.hold == c.hold || s.hold == "")
	made := seatState{held: true, session: c.session, hold: c.hold, lapsesFrom: c.lapsesFrom, lapsesUntil: c.lapsesUntil}
	bought := seatState{sold: true, order: c.order}
	extended := s
	extended.hold, extended.lapsesFrom, extended.lapsesUntil = c.hold, max(s.lapsesFrom, c.lapsesFrom), never
	free := !s.held && !s.sold
	switch {
	case c.verb == callHold && became == becameHeld && free:
		return []seatState{made}
	case c.verb == callHold && became == becameHeld && mine: // the same again, which is no longer for that
		s.hold = c.hold
		return []seatState{s}
	case c.verb == callHold && became == becameRefused && (s.sold || s.held && s.session != c.session):
		return []seatState{s}
	case c.verb == callHold && became == becameUnknown && free:
		return []seatState{s, made}
	case c.verb == callRelease && became == becameReleased && mine, c.verb == callRelease && became == becameUnknown && mine:
		if became == becameReleased {
			return []seatState{{}}
		}
		return []seatState{s, {}}
	case c.verb == callBuy && became == becameReleased && mine: // its own time was over when it was to be paid with another card
		return []seatState{{}}
	case became == becameGone && !mine:
		return []seatState{s}
	case c.verb == callBuy && became == becameSold && (mine || free):
		return []seatState{bought}
	case c.verb == callBuy && became == becameDeclined && mine:
		return []seatState{extended}
	case c.verb == callBuy && became == becameUnknown && (mine || free):
		return []seatState{s, bought}
	case became == becameUnknown || became == becameNothing:
		return []seatState{s}
	}
	return nil
}

// operation puts a call into a history. One whose outcome is unknown may happen at any time after it was made.
func (c seatCall) operation(became string) porcupine.Operation {
	if became == becameUnknown {
		c.returned = never
	}
	return porcupine.Operation{ClientId: c.session, Input: c, Output: became, Call: int64(c.called), Return: int64(c.returned)}
}

// span is a time in which a seat was surely a session's, or sold.
type span struct {
	session  int
	from, to time.Duration
}

// buyers is the session of a span in which a seat is sold: nobody's.
const buyers = -1

// spansOf are times in which a seat was surely not free, from the history of that seat: between the answer that it is
// held and whatever its holder did next, or the first moment at which it may lapse; and after the answer that it is sold.
func spansOf(history []porcupine.Operation) []span {
	var spans []span
	for _, op := range history {
		c := op.Input.(seatCall)
		if c.verb == callBuy && op.Output == becameSold {
			spans = append(spans, span{buyers, c.returned, never})
		}
		if op.Output != becameHeld {
			continue
		}
		s := span{c.session, c.returned, c.lapsesFrom}
		for _, other := range history {
			switch o := other.Input.(seatCall); {
			case o.verb == callHold && o.session == c.session && o.called < c.called && (other.Output == becameUnknown || o.hold == c.hold):
				s.to = min(s.to, o.lapsesFrom) // it may be that one's hold
			case o.verb != callHold && o.hold == c.hold:
				s.to = min(s.to, o.called)
			}
		}
		spans = append(spans, s)
	}
	return spans
}

// unsettled is a history of one seat without the refusals that are right whatever the order of the other calls was:
// those that met a time in which the seat was surely someone else's. They are nearly all, and as reads that may stand
// anywhere in a long time they would make the search for an order hopeless.
func unsettled(history []porcupine.Operation) []porcupine.Operation {
	var kept []porcupine.Operation
	spans := spansOf(history)
	for _, op := range history {
		c := op.Input.(seatCall)
		if op.Output != becameRefused || !slices.ContainsFunc(spans, func(s span) bool {
			return s.session != c.session && max(s.from, c.called) < min(s.to, c.returned)
		}) {
			kept = append(kept, op)
		}
	}
	return kept
}

// holding is a hold that lives for ten seconds, with a second of doubt.
func holding(session int, hold string, called, returned time.Duration) seatCall {
	return seatCall{seat: "A-1", verb: callHold, session: session, hold: hold, called: called, returned: returned,
		lapsesFrom: called + 9*time.Second, lapsesUntil: returned + 11*time.Second}
}

// on is another call of the hold's session.
func (c seatCall) on(verb, order string, called, returned time.Duration) seatCall {
	c.verb, c.order, c.called, c.returned, c.lapsesFrom = verb, order, called, returned, 0
	return c
}

// TestHistoriesThatCannotBe: the check of histories can fail, and lets pass what is right.
func TestHistoriesThatCannotBe(t *testing.T) {
	t.Parallel()
	const s = time.Second
	a, b := holding(1, "a", 1*s, 2*s), holding(2, "b", 3*s, 4*s)
	late := holding(2, "b", 14*s, 15*s)
	beside := holding(2, "b", 1*s, 2*s)
	stale := b
	stale.called = 1 * s
	for name, c := range map[string]struct {
		history []porcupine.Operation
		want    porcupine.CheckResult
	}{
		"one holds, another is refused":     {[]porcupine.Operation{a.operation(becameHeld), b.operation(becameRefused)}, porcupine.Ok},
		"two hold it at once":               {[]porcupine.Operation{a.operation(becameHeld), b.operation(becameHeld)}, porcupine.Illegal},
		"two who race both get it":          {[]porcupine.Operation{a.operation(becameHeld), beside.operation(becameHeld)}, porcupine.Illegal},
		"refused although it is free":       {[]porcupine.Operation{b.operation(becameRefused)}, porcupine.Illegal},
		"held after the first lapsed":       {[]porcupine.Operation{a.operation(becameHeld), late.operation(becameHeld)}, porcupine.Ok},
		"refused after it must have lapsed": {[]porcupine.Operation{a.operation(becameHeld), late.operation(becameRefused)}, porcupine.Illegal},
		"released and held by another": {[]porcupine.Operation{a.operation(becameHeld),
			a.on(callRelease, "", 2*s, 3*s).operation(becameReleased), b.operation(becameHeld)}, porcupine.Ok},
		"refused after it was released": {[]porcupine.Operation{a.operation(becameHeld),
			a.on(callRelease, "", 2*s, 5*s/2).operation(becameReleased), b.operation(becameRefused)}, porcupine.Illegal},
		"refused by what a node saw before it was released": {[]porcupine.Operation{a.operation(becameHeld),
			a.on(callRelease, "", 2*s, 5*s/2).operation(becameReleased), stale.operation(becameRefused)}, porcupine.Ok},
		"a hold that ends before its time": {[]porcupine.Operation{a.operation(becameHeld),
			a.on(callRelease, "", 5*s, 6*s).operation(becameGone)}, porcupine.Illegal},
		"held by another after it was sold": {[]porcupine.Operation{a.operation(becameHeld),
			a.on(callBuy, "1", 2*s, 3*s).operation(becameSold), late.operation(becameHeld)}, porcupine.Illegal},
		"sold twice": {[]porcupine.Operation{a.operation(becameHeld), a.on(callBuy, "1", 2*s, 3*s).operation(becameSold),
			late.on(callBuy, "2", 15*s, 16*s).operation(becameSold)}, porcupine.Illegal},
		"sold from under another's hold": {[]porcupine.Operation{b.operation(becameHeld), a.on(callBuy, "1", 5*s, 6*s).operation(becameSold)}, porcupine.Illegal},
		"given back when it is paid too late": {[]porcupine.Operation{a.operation(becameHeld), a.on(callBuy, "1", 2*s, 5*s/2).operation(becameDeclined),
			a.on(callBuy, "2", 5*s/2, 3*s).operation(becameReleased), b.operation(becameHeld)}, porcupine.Ok},
		"still held after it was given back": {[]porcupine.Operation{a.operation(becameHeld), a.on(callBuy, "1", 2*s, 9*s/4).operation(becameDeclined),
			a.on(callBuy, "2", 9*s/4, 5*s/2).operation(becameReleased), b.operation(becameRefused)}, porcupine.Illegal},
		"a lost answer that did it":      {[]porcupine.Operation{a.operation(becameUnknown), b.operation(becameRefused)}, porcupine.Ok},
		"a lost answer that did nothing": {[]porcupine.Operation{a.operation(becameUnknown), b.operation(becameHeld)}, porcupine.Ok},
		"a lost answer that did it once": {[]porcupine.Operation{a.operation(becameUnknown), b.operation(becameRefused),
			holding(3, "c", 5*s, 6*s).operation(becameHeld), holding(4, "d", 7*s, 8*s).operation(becameHeld)}, porcupine.Illegal},
	} {
		whole := seatModel
		whole.Partition = nil // with the refusals that are settled
		for _, model := range []porcupine.NondeterministicModel{seatModel, whole} {
			if got := porcupine.CheckOperationsTimeout(model.ToModel(), c.history, time.Minute); got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
	}
}
