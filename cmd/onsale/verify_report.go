package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"onsale/internal/record"
)

// visible is text that came from elsewhere, as it is where a terminal shows all of it, else quoted: it can't move the
// cursor, begin a line of its own or hide.
func visible(s string) string {
	hidden := func(r rune) bool { return !strconv.IsPrint(r) }
	if utf8.ValidString(s) && strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	return strconv.Quote(s)
}

// report writes what was checked and found. What the server said is shown so that it can't pass for anything else.
func (v *verification) report() {
	s := v.summary
	var joined uint64
	for _, n := range s.Joined {
		joined += n
	}
	fmt.Fprintf(v.out, "%s: checked %d records of the admission log and %d messages of the line, with %d joins\n", v.eventID, s.Admissions, s.Messages, joined)
	if s.Uncovered > 0 {
		fmt.Fprintf(v.out, "  %d messages came after what the log's last record covers: a later check can hold them against the log\n", s.Uncovered)
	}
	if v.first.Commitment != "" {
		fmt.Fprintln(v.out, "  commitment  "+visible(v.first.Commitment)+": compare it with what was published before anyone joined")
	}
	if s.Drawn {
		fmt.Fprintf(v.out, "  draw        seed %s, sealed at message %d\n", visible(v.drawn.Draw.Seed), v.drawn.Draw.Sealed)
	} else if len(v.breaches) == 0 {
		fmt.Fprintln(v.out, "  draw        not yet")
	}
	if s.Skipped > 0 {
		fmt.Fprintf(v.out, "  skipped     %d places were passed because their fans had left: that they had is the operator's word, and pace does not bound it\n", s.Skipped)
	}
	if s.SetBack > 0 {
		fmt.Fprintf(v.out, "  set back    %s of the log's time, after a clock that was ahead: by so much more than the pace may have been called\n", s.SetBack)
	}
	if v.beaconSaid != "" {
		fmt.Fprintln(v.out, "  beacon      "+v.beaconSaid)
	}
	if v.last.N > 0 {
		fmt.Fprintf(v.out, "  log's end   record %d, %s: who sees another record %[1]d was shown another log\n", v.last.N, record.HeadOf(v.last.N, v.written).Hash)
	}
	if v.ticketSaid != "" {
		fmt.Fprintln(v.out, "  ticket      "+visible(v.ticketSaid))
	}
	if len(v.breaches) == 0 {
		fmt.Fprintln(v.out, "  nothing is wrong with them")
	}
	for _, b := range v.breaches {
		fmt.Fprintf(v.out, "  BREACH %s: %s\n", visible(b.Record), visible(b.What))
	}
}
