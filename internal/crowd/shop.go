package crowd

import (
	"context"
	"net/http"
	"time"
)

const (
	// roundsMost bounds how often a fan starts over with other seats after it lost some.
	roundsMost = 5
	// holdTriesMost bounds how often a fan is beaten to its seats before it gives up.
	holdTriesMost = 25
	// patience is how long a fan looks at a hall in which every seat is held by others.
	patience = time.Minute

	glance = 300 * time.Millisecond // least time to look at the hall
	decide = 500 * time.Millisecond // least time between holding seats and paying
)

// shop takes seats and pays for them, with a pass in hand.
func (f *fan) shop(ctx context.Context) (Outcome, error) {
	for round := range roundsMost {
		f.enter(stageChoosing)
		if err := f.think(ctx, glance); err != nil {
			return "", err
		}
		h, err := f.takeSeats(ctx)
		if err != nil {
			return "", err
		}
		f.enter(stageHolding)
		f.crowd.meter.total.held.Add(1)
		if err := f.think(ctx, decide); err != nil {
			return "", err
		}
		switch {
		case f.behaviour == LeavesHold:
			return LeftHold, nil
		case f.behaviour == Releaser && round == 0:
			if err := f.release(ctx, h); err != nil {
				return "", err
			}
			f.shun(h.Seats)
			continue
		}
		f.enter(stagePaying)
		outcome, err := f.pay(ctx, h)
		if err != nil || outcome != "" {
			return outcome, err
		}
		f.shun(h.Seats)
	}
	return NoSeats, nil
}

// takeSeats looks for seats and holds them, trying others each time somebody was faster.
func (f *fan) takeSeats(ctx context.Context) (hold, error) {
	for try := range holdTriesMost {
		seats, err := f.findSeats(ctx, try)
		if err != nil {
			return hold{}, err
		}
		h, err := f.hold(ctx, seats)
		if err != nil || h.ID != "" {
			return h, err
		}
		if err := sleep(ctx, backoff(min(try, 3))); err != nil {
			return hold{}, err
		}
	}
	return hold{}, stop{NoSeats}
}

// findSeats returns the seats to ask for, and waits a bounded time for some to come free.
func (f *fan) findSeats(ctx context.Context, try int) ([]string, error) {
	since := time.Now()
	for {
		l, err := f.lookAtSeats(ctx)
		if err != nil {
			return nil, err
		}
		if f.behaviour == Fighter && try == 0 {
			if seats := l.fought(f.wants); len(seats) > 0 {
				return seats, nil
			}
		}
		if seats := l.pick(f.rng, f.wants, f.avoid); len(seats) > 0 {
			return seats, nil
		}
		f.avoid = nil // what was taken may have been given back
		switch {
		case len(l.ids) > 0 && l.sold == len(l.ids):
			return nil, stop{SoldOut}
		case time.Since(since) > patience:
			return nil, stop{NoSeats}
		}
		if err := f.think(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}

func (f *fan) lookAtSeats(ctx context.Context) (*seatList, error) {
	const passes = 4
	for tries := 1; ; tries++ {
		l, a, err := f.crowd.seats.get(ctx, f.crowd.eventPath()+"/seats", f.pass, f.session)
		switch {
		case err != nil || l != nil:
			return l, err
		case !a.passRefused() || tries == passes:
			return nil, f.unexpected(callSeats, a)
		}
		f.crowd.meter.note(callSeats, a.what())
		if err := f.renewPass(ctx); err != nil {
			return nil, err
		}
	}
}

// hold asks for the seats. A hold without an id means that they are taken and others should be tried.
func (f *fan) hold(ctx context.Context, seats []string) (hold, error) {
	h, a, err := sendWithPass[hold](ctx, f, f.crowd.holdRequest(f.session, seats))
	switch {
	case err != nil:
		return hold{}, err
	case a.ok():
		if h.ID == "" || !sameSeats(h.Seats, seats) {
			f.violate("hold %s is on %v, asked for %v", h.ID, h.Seats, seats)
			return hold{}, stop{Refused}
		}
		return h, nil
	case a.problem.Code == "session_has_hold":
		return f.adopt(ctx, a)
	case a.status == http.StatusConflict:
		if outcome, over := a.problem.over(); over {
			return hold{}, stop{outcome}
		}
		f.crowd.meter.note(callHold, a.what())
		if len(a.problem.Seats) > 0 {
			seats = a.problem.Seats
		}
		f.shun(seats)
		return hold{}, nil
	}
	return hold{}, f.unexpected(callHold, a)
}

// adopt takes a hold that the fan has without having been told: the answer to an earlier sending was
// lost, and only the order will name the seats. A hold that the sale has confirmed to be released is no
// such hold.
func (f *fan) adopt(ctx context.Context, a answer) (hold, error) {
	h := hold{ID: a.problem.HoldID}
	switch h.ID {
	case "":
		return hold{}, f.unexpected(callHold, a)
	case f.released:
		f.violate("hold %s was released and is still there", h.ID)
		return hold{}, f.release(ctx, h)
	}
	f.crowd.meter.note(callHold, a.what())
	return h, nil
}

// release gives seats back. A hold that is no longer there has lapsed, or was released by an earlier
// sending of this call.
func (f *fan) release(ctx context.Context, h hold) error {
	_, a, err := sendWithPass[struct{}](ctx, f, releaseRequest(h.ID))
	switch {
	case err != nil:
		return err
	case a.ok():
		f.released = h.ID
		return nil
	case a.status == http.StatusNotFound, a.status == http.StatusGone:
		return nil
	case a.status == http.StatusConflict: // an order still has it, and will let go of it
		f.crowd.meter.note(callRelease, a.what())
		return nil
	}
	return f.unexpected(callRelease, a)
}

// shun keeps the fan from asking for these seats until it has no others to ask for.
func (f *fan) shun(seats []string) {
	if f.avoid == nil {
		f.avoid = make(map[string]struct{}, len(seats))
	}
	for _, s := range seats {
		f.avoid[s] = struct{}{}
	}
}
