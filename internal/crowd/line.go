package crowd

import (
	"context"
	"time"
)

const (
	pollDefault = 2 * time.Second // when the sale does not say
	pollMin     = 50 * time.Millisecond
	pollMax     = time.Minute

	// rejoinsMost bounds how often a ticket that was refused is asked for again.
	rejoinsMost = 3
)

// join takes a place in line, or asks again for the one the session already has.
func (f *fan) join(ctx context.Context) error {
	got, a, err := send[joined](ctx, f.crowd.client, f.crowd.joinRequest(f.session))
	switch {
	case err != nil:
		return err
	case !a.ok():
		return f.unexpected(callJoin, a)
	case got.Ticket == "":
		f.violate("join was accepted without a ticket")
		return stop{Refused}
	}
	if a.unsure {
		f.ticketMayChange = true
	}
	first := f.ticket == ""
	if !first && got.Ticket != f.ticket && !f.ticketMayChange {
		f.violate("joining again with the same session gave another ticket")
	}
	f.ticket = got.Ticket
	if flaw := f.place.observe(got.State, got.Position); flaw != "" {
		f.violate("join: %s", flaw)
	}
	if first {
		f.crowd.meter.total.joined.Add(1)
		f.enter(stageWaiting)
		return sleep(ctx, f.pollPause(got.PollAfterMS))
	}
	return nil
}

// waitInLine polls until the fan's turn, and returns with a pass or with the stop that ended the visit.
func (f *fan) waitInLine(ctx context.Context) error {
	pollsBeforeLeaving, rejoins := 1+f.rng.IntN(5), 2+f.rng.IntN(4)
	for polls := 0; ; polls++ {
		if f.behaviour == LeavesLine && polls == pollsBeforeLeaving {
			return stop{LeftLine} // the page is closed, and the sale is not told
		}
		if f.behaviour == Refresher && rejoins > 0 && f.rng.IntN(2) == 0 {
			rejoins--
			if err := f.join(ctx); err != nil {
				return err
			}
		}
		got, err := f.poll(ctx)
		if err != nil {
			return err
		}
		if got.State == stateAdmitted && got.Pass != "" {
			if f.behaviour == LeavesLine {
				return stop{LeftLine} // the page is closed, and the sale is not told
			}
			f.pass = got.Pass
			f.enter(stageChoosing)
			return nil
		}
		if err := sleep(ctx, f.pollPause(got.PollAfterMS)); err != nil {
			return err
		}
	}
}

// poll asks for the fan's position once and holds the answer against what was told before. States that
// end the wait come back as a stop.
func (f *fan) poll(ctx context.Context) (position, error) {
	for refused := 0; ; refused++ {
		got, a, err := send[position](ctx, f.crowd.client, f.crowd.positionRequest(f.ticket))
		if err != nil {
			return position{}, err
		}
		if a.ok() {
			return got, f.judge(got)
		}
		if outcome, over := a.problem.over(); over {
			return position{}, stop{outcome}
		}
		f.violate("a ticket that a join was answered with is refused: %s", a.what())
		if refused == rejoinsMost {
			return position{}, f.unexpected(callPosition, a)
		}
		if err := sleep(ctx, backoff(refused)); err != nil {
			return position{}, err
		}
		if err := f.join(ctx); err != nil {
			return position{}, err
		}
	}
}

func (f *fan) judge(p position) error {
	if flaw := flawOf(p); flaw != "" {
		f.violate("position: %s", flaw)
	}
	if flaw := f.place.observe(p.State, p.Position); flaw != "" {
		f.violate("position: %s", flaw)
	}
	switch p.State {
	case stateSoldOut:
		return stop{SoldOut}
	case stateClosed:
		return stop{Closed}
	case stateLeft:
		f.violate("position: told to have left the line without leaving")
		return stop{Refused}
	case stateLobby, stateWaiting, stateAdmitted, statePaused:
	default:
		f.violate("position: unknown state %q", p.State)
	}
	return nil
}

// renewPass polls until the fan, whose turn has come, is given a fresh pass.
func (f *fan) renewPass(ctx context.Context) error {
	for {
		got, err := f.poll(ctx)
		if err != nil {
			return err
		}
		if got.State == stateAdmitted && got.Pass != "" {
			f.pass = got.Pass
			return nil
		}
		if err := sleep(ctx, f.pollPause(got.PollAfterMS)); err != nil {
			return err
		}
	}
}

// pollPause is how long to wait before the next poll: what the sale asks for, and up to a fifth more,
// since fans who were told the same number must not come back at the same moment.
func (f *fan) pollPause(afterMS int64) time.Duration {
	d := time.Duration(afterMS) * time.Millisecond
	if afterMS <= 0 {
		d = pollDefault
	}
	d = min(max(d, pollMin), pollMax)
	return d + time.Duration(f.rng.Int64N(int64(d)/5))
}
