package line

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"onsale/events"
	"onsale/internal/sale"
)

// Obeys says what is wrong with a record as the one after last, nil for nothing; prev is last as it was written, and
// both are nil before the first record. It knows the log alone: that it is whole, that nobody was sent back, that
// nothing was called but at the pace that stands in it, and that the draw was made at the opening and left as it is.
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
	case next.PacedTo.Before(last.PacedTo):
		return fmt.Errorf("it takes pace back")
	}
	for _, check := range []func(last *events.Admission, next events.Admission) error{opens, reads, calls} {
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
	case a.State != sale.Lobby && a.State != sale.Closed || a.Draw != nil || a.Drawn != nil:
		return fmt.Errorf("it does not begin in the lobby")
	}
	return lanesFollow(nil, a.Lanes)
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
	called, err := calledBetween(last, next)
	if err != nil || called == 0 && next.Reason != "admitted" {
		return err
	}
	return paced(last, next, called)
}

// lanesFollow checks that lanes stay where they are, that each is there once, and that a new one begins at its
// beginning.
func lanesFollow(last, next []events.Lane) error {
	for i, l := range last {
		if i >= len(next) || next[i].Name != l.Name || next[i].Serving < l.Serving {
			return fmt.Errorf("it drops lane %s, or sends it back", l.Name)
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

// calledBetween is how many were called by a record, those who had left not counted. The lanes must follow.
func calledBetween(last *events.Admission, next events.Admission) (uint64, error) {
	if next.Serving < last.Serving || next.Skipped < last.Skipped {
		return 0, fmt.Errorf("it sends the general lane back, or takes back who had left")
	}
	passed := next.Serving - last.Serving
	for i, l := range last.Lanes {
		passed += next.Lanes[i].Serving - l.Serving
	}
	if skipped := next.Skipped - last.Skipped; skipped <= passed {
		return passed - skipped, nil
	}
	return 0, fmt.Errorf("it skips more than it passes")
}

// paced checks that a record calls no faster than the pace that it and the one before state.
func paced(last *events.Admission, next events.Admission, called uint64) error {
	pace := Pace(next)
	takes := span(called, pace)
	switch {
	case next.Reason != "admitted" || next.State != sale.Open || last.State != sale.Open:
		return fmt.Errorf("it calls %d while the reason is %q and the sale %s", called, next.Reason, next.State)
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
