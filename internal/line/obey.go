package line

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"onsale/events"
	"onsale/internal/sale"
)

// Obeys says what is wrong with a record as the one after last, nil for nothing; prev is last as it was written, and
// both are nil before the first record. It knows the log alone: that it is whole, that nobody was sent back, that
// nothing was called but at the pace that stands in it, that the draw was made at the opening and left as it is, and that
// it vouches for the line. Whether the places that it says were given up had been, and how calls were divided among the
// lanes, it can't know.
func Obeys(prev []byte, last *events.Admission, next events.Admission) error {
	if last == nil {
		return begins(next)
	}
	switch {
	case next.N != last.N+1 || next.EventID != last.EventID:
		return fmt.Errorf("it is record %d of %q, after record %d of %q", next.N, next.EventID, last.N, last.EventID)
	case next.Prev != digest(prev):
		return fmt.Errorf("the record before it is not the one that it names by hash")
	case last.State == sale.Closed:
		return fmt.Errorf("it comes after the sale was closed")
	case next.Commitment != "" || next.Beacon != "":
		return fmt.Errorf("it commits to a secret or a beacon anew")
	case next.Reason == "created":
		return fmt.Errorf("it says that the log begins with it")
	}
	if err := named(next); err != nil {
		return err
	}
	for _, check := range []func(last *events.Admission, next events.Admission) error{goesOn, opens, reads, slows, calls} {
		if err := check(last, next); err != nil {
			return err
		}
	}
	return nil
}

// begins checks the first record: nobody was called, and nothing is drawn that had not been committed to.
func begins(a events.Admission) error {
	switch {
	case a.N != 1 || a.Prev != "" || a.Serving != 0 || a.Skipped != 0:
		return fmt.Errorf("it is not the first of a log")
	case a.Payments != nil:
		return fmt.Errorf("it is slowed down by payments before anyone was called")
	case a.State != sale.Lobby && a.State != sale.Closed || a.Draw != nil || a.Drawn != nil:
		return fmt.Errorf("it does not begin in the lobby")
	case a.Reason != "created":
		return fmt.Errorf("it is the first, and its reason is %q", a.Reason)
	case a.Commitment != "" && !isDigest(a.Commitment):
		return fmt.Errorf("its commitment %q is not 64 hexadecimal digits", a.Commitment)
	case len(a.Beacon) > maxBeacon || strings.ContainsFunc(a.Beacon, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("it names the beacon %q", a.Beacon)
	}
	if err := named(a); err != nil {
		return err
	}
	return lanesFollow(nil, a.Lanes)
}

// maxBeacon bounds the name of a beacon: a chain's hash and a round, with room to spare.
const maxBeacon = 200

// isDigest says whether text is a SHA-256 in hex, as this package writes it.
func isDigest(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == sha256.Size && hex.EncodeToString(raw) == text
}

var (
	states  = []sale.State{sale.Lobby, sale.Open, sale.Paused, sale.SoldOut, sale.Closed}
	reasons = []string{
		"created", "admitted", "no_shows", "opened", "paused", "resumed", "sold_out", "seats_returned", "closed",
		"released", "rate_lowered", "rate_raised", "cap_changed", "lanes_changed", "codes_granted", "payments",
	}
)

// named checks that state and reason are ones that there are: what is shown to people is not for the server to word.
func named(a events.Admission) error {
	if !slices.Contains(states, a.State) || !slices.Contains(reasons, a.Reason) {
		return fmt.Errorf("its state is %q and its reason %q, and there are no such", a.State, a.Reason)
	}
	return nil
}

// slows checks what a record says of payments: a line is slower for them than its operator set it, never faster.
func slows(last *events.Admission, next events.Admission) error {
	switch p := next.Payments; {
	case p != nil && !(p.Set > next.Rate && next.Rate >= 0 && p.WaitMS >= 0):
		return fmt.Errorf("it calls %g a second because of payments, where its operator set %g", next.Rate, p.Set)
	case next.Reason == "payments" && (p == nil && last.Payments == nil || setRate(&next) != setRate(last)):
		return fmt.Errorf("it says that payments changed its rate, and they did not")
	}
	return nil
}

// mostBack is by how much the time of a record may be before the last one's: admitters' clocks differ. It is more than
// mostAhead, so that whatever Next writes is taken.
const mostBack = 10 * time.Second

// goesOn checks the record's times. They go back only where the last record's were far ahead, in a record that an
// operator's change or the last seat made: it calls nobody, and the pace begins anew at its own time.
func goesOn(last *events.Admission, next events.Admission) error {
	switch {
	case !next.PacedTo.Before(last.PacedTo) && !next.At.Before(last.At.Add(-mostBack)):
		return nil
	case !ahead(last, next.At):
		return fmt.Errorf("it takes pace back")
	case next.Reason == "admitted" || next.Reason == "no_shows" || !next.PacedTo.Equal(next.At):
		return fmt.Errorf("it goes back from %s to %s without a change that begins the pace anew", last.At.Format(time.RFC3339), next.At.Format(time.RFC3339))
	}
	return nil
}

// opens checks that the lobby is left once, and with its draw, which stays as it is.
func opens(last *events.Admission, next events.Admission) error {
	opened := last.State == sale.Lobby && next.State != sale.Lobby
	switch {
	case next.State == sale.Lobby && last.State != sale.Lobby:
		return fmt.Errorf("it goes back to the lobby")
	case !opened && (next.Drawn != nil || !reflect.DeepEqual(last.Draw, next.Draw)):
		return fmt.Errorf("it changes the draw")
	case opened && (next.Draw == nil) != (next.Drawn == nil):
		return fmt.Errorf("it has a draw without its evidence, or the other way round")
	case opened && next.Draw == nil && next.State != sale.Closed:
		return fmt.Errorf("it opens the sale without a draw")
	case opened && next.Draw != nil && (next.Line == nil || next.Line.Read < next.Draw.Sealed):
		return fmt.Errorf("it opens the sale and does not vouch for the line up to its seal")
	}
	return nil
}

// reads checks that what had been read of the line stays read.
func reads(last *events.Admission, next events.Admission) error {
	if last.Line == nil {
		return nil
	}
	if next.Line == nil || next.Line.Read < last.Line.Read || next.Line.Read == last.Line.Read && next.Line.Root != last.Line.Root {
		return fmt.Errorf("it has read less of the line than the record before, or something else")
	}
	return nil
}

// calls checks who was called, and when.
func calls(last *events.Admission, next events.Admission) error {
	if err := lanesFollow(last.Lanes, next.Lanes); err != nil {
		return err
	}
	called, skipped, err := calledBetween(last, next)
	switch {
	case err != nil:
		return err
	case next.Reason == "admitted" && next.Line == nil:
		return fmt.Errorf("it calls and does not vouch for the line")
	case next.Reason != "admitted" && called+skipped == 0:
		return nil
	}
	return paced(last, next, called)
}

// lanesFollow checks that lanes stay where they are, that each is there once, that a new one begins at its beginning, and
// that the general lane keeps its part of the release.
func lanesFollow(last, next []events.Lane) error {
	for i, l := range last {
		if i >= len(next) || next[i].Name != l.Name || next[i].Serving < l.Serving {
			return fmt.Errorf("it drops lane %q, or sends it back", l.Name)
		}
	}
	var shares float64
	for _, l := range next {
		if shares += l.Share; !(l.Share >= 0) || !(shares <= MaxShares+1e-9) {
			return fmt.Errorf("lane %q has a share of %g, and the lanes up to it %g; %g is the most", l.Name, l.Share, shares, MaxShares)
		}
	}
	for i := len(last); i < len(next); i++ {
		l := next[i]
		known := slices.ContainsFunc(next[:i], func(o events.Lane) bool { return o.Name == l.Name })
		if known || l.Serving != 0 || sale.CheckLane(l.Name) != nil {
			return fmt.Errorf("lane %q is there already, begins in its middle, or can't have this name", l.Name)
		}
	}
	return nil
}

// calledBetween is how many were called by a record, and how many were passed because they had left. The lanes must
// follow.
func calledBetween(last *events.Admission, next events.Admission) (called, skipped uint64, err error) {
	if next.Serving < last.Serving || next.Skipped < last.Skipped {
		return 0, 0, fmt.Errorf("it sends the general lane back, or takes back who had left")
	}
	passed := next.Serving - last.Serving
	for i, l := range last.Lanes {
		passed += next.Lanes[i].Serving - l.Serving
	}
	if skipped = next.Skipped - last.Skipped; skipped <= passed {
		return passed - skipped, skipped, nil
	}
	return 0, 0, fmt.Errorf("it skips more than it passes")
}

// paced checks that a record calls no faster than the pace that it and the one before state.
func paced(last *events.Admission, next events.Admission, called uint64) error {
	pace := Pace(next)
	takes := span(called, pace)
	switch {
	case next.Reason != "admitted" || next.State != sale.Open || last.State != sale.Open:
		return fmt.Errorf("it calls %d, or passes places, while the reason is %q and the sale %q", called, next.Reason, next.State)
	case next.Rate != last.Rate || pace != Pace(*last):
		return fmt.Errorf("it changes the pace and calls at once")
	case next.Rate <= 0 || pace < next.Rate || pace > next.Rate*MaxMakeUp*1.001:
		return fmt.Errorf("it calls %g a second at a rate of %g", pace, next.Rate)
	case next.PacedTo.Sub(last.PacedTo) < takes:
		return fmt.Errorf("it calls %d, which takes %v at its pace, and uses up %v", called, takes, next.PacedTo.Sub(last.PacedTo))
	case next.PacedTo.Before(forgotten(next.At, pace).Add(takes)):
		return fmt.Errorf("it calls %d at once with pace from long ago", called)
	case next.PacedTo.After(next.At.Add(time.Microsecond)):
		return fmt.Errorf("it uses up pace that is still to come")
	case next.Cap > 0 && uint64(max(next.Inside, 0))+called > uint64(next.Cap) && called > 0:
		return fmt.Errorf("it calls %d with %d inside, of %d", called, next.Inside, next.Cap)
	}
	return nil
}
