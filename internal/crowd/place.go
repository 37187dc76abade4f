package crowd

import "fmt"

// place is what a fan remembers of its place in line, to hold the next answer against it.
type place struct {
	position int64
	known    bool
	inLine   bool
	admitted bool
}

// observe takes the next answer of the line and returns what is wrong with it, or "".
// A place may get better, stay, or stop being told, but it never gets worse: guarantee 4.
func (p *place) observe(state string, position *int64) string {
	switch state {
	case stateLobby:
		if p.inLine || p.admitted {
			return "was in line, then told to be in the lobby"
		}
		return ""
	case stateWaiting:
		if p.admitted {
			return "was admitted, then told to wait"
		}
		p.inLine = true
	case stateAdmitted:
		p.inLine, p.admitted = true, true
		return ""
	}
	if position == nil || p.admitted {
		return ""
	}
	before, known := p.position, p.known
	p.position, p.known = *position, true
	switch {
	case *position < 0:
		return fmt.Sprintf("place is negative: %d", *position)
	case known && *position > before:
		return fmt.Sprintf("place got worse: from %d to %d", before, *position)
	}
	return ""
}

// flawOf returns what is wrong with one poll taken by itself, or "".
func flawOf(p position) string {
	switch {
	case p.State == stateWaiting && p.Position == nil:
		return "position is null while waiting"
	case p.State == stateAdmitted && p.Pass == "":
		return "admitted without a pass"
	case p.ETA != nil && p.ETALow != nil && *p.ETALow > *p.ETA,
		p.ETA != nil && p.ETAHigh != nil && *p.ETAHigh < *p.ETA:
		return "eta lies outside its own interval"
	}
	return ""
}
