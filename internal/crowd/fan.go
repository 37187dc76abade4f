package crowd

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Outcome is how a fan's visit ended.
type Outcome string

const (
	// Bought means that an order of the fan was confirmed.
	Bought Outcome = "bought"
	// SoldOut and Closed mean that the sale told the fan so.
	SoldOut Outcome = "sold_out"
	Closed  Outcome = "closed"
	// LeftLine means that the fan stopped polling before its turn.
	LeftLine Outcome = "left_line"
	// LeftHold means that the fan walked away from seats it held.
	LeftHold Outcome = "left_hold"
	// NoSeats means that the fan found no seat it could get and gave up.
	NoSeats Outcome = "no_seats"
	// NotPaid means that the fan's card was declined and the fan gave up.
	NotPaid Outcome = "not_paid"
	// WalkedAway means that the fan did not answer its bank's challenge.
	WalkedAway Outcome = "walked_away"
	// Undone means that the order was voided or refunded.
	Undone Outcome = "undone"
	// Unsettled means that the sale accepted a checkout, or may have, and never told its outcome.
	Unsettled Outcome = "unsettled"
	// OutOfTime means that the run's limit passed first, with nothing accepted being open.
	OutOfTime Outcome = "out_of_time"
	// Refused means that the sale gave an answer the contract does not provide for.
	Refused Outcome = "refused"
)

// outcomes lists them in the order in which they are reported.
func outcomes() []Outcome {
	return []Outcome{Bought, SoldOut, Closed, LeftLine, LeftHold, NoSeats, NotPaid,
		WalkedAway, Undone, Unsettled, OutOfTime, Refused}
}

// stop ends a fan's visit from wherever it is; it is an error so that it passes through every call.
type stop struct{ outcome Outcome }

func (s stop) Error() string { return "fan is done: " + string(s.outcome) }

// fan is one visitor. Its fields belong to the goroutine that runs it, and to the recheck afterwards.
type fan struct {
	crowd     *crowd
	behaviour Behaviour
	rng       *rand.Rand
	session   string
	ticket    string
	pass      string
	place     place
	stage     stage
	wants     int
	avoid     map[string]struct{} // seats that others were seen to take
	released  string              // the hold that was last given back
	owed      *record             // the order that was accepted and has no outcome yet
	mayOwe    bool                // a checkout's answer was lost and could not be asked for again
	outcome   Outcome

	// Set while joining again may lawfully give another ticket: the answer to an earlier join was lost,
	// and of two places of one session the lowest counts.
	ticketMayChange bool
}

func newFan(c *crowd, index int) *fan {
	rng := rand.New(rand.NewPCG(c.cfg.Seed, uint64(index)+1))
	return &fan{
		crowd:     c,
		behaviour: c.cfg.Mix.draw(rng),
		rng:       rng,
		session:   c.newID(),
		wants:     drawQuantity(rng),
	}
}

// run is the whole visit. It leaves the outcome in f.outcome.
func (f *fan) run(ctx context.Context) {
	f.enter(stageJoining)
	outcome, err := f.visit(ctx)
	var end stop
	switch {
	case errors.As(err, &end):
		outcome = end.outcome
	case err != nil:
		outcome = OutOfTime
	}
	if (f.owed != nil || f.mayOwe) && outcome != Bought {
		outcome = Unsettled
	}
	f.outcome = outcome
	f.crowd.meter.ended(f.stage, outcome)
}

func (f *fan) visit(ctx context.Context) (Outcome, error) {
	if err := f.join(ctx); err != nil {
		return "", err
	}
	if err := f.waitInLine(ctx); err != nil {
		return "", err
	}
	return f.shop(ctx)
}

// enter moves the fan to a stage in the counts.
func (f *fan) enter(to stage) {
	f.crowd.meter.moved(f.stage, to)
	f.stage = to
}

// think waits as a person does before the next click: from least to three times as long.
func (f *fan) think(ctx context.Context, least time.Duration) error {
	return sleep(ctx, least+time.Duration(f.rng.Int64N(int64(2*least))))
}

// unexpected ends the visit because of an answer that the contract does not provide for.
func (f *fan) unexpected(c call, a answer) error {
	if outcome, over := a.problem.over(); over {
		return stop{outcome}
	}
	f.crowd.meter.failed(c, a.what())
	return stop{Refused}
}

func (f *fan) violate(format string, args ...any) {
	f.crowd.ledger.violate(format, args...)
}

// sendWithPass carries out a call with the fan's pass and proof of session, and fetches a fresh pass
// when the one it has is no longer accepted. The answer is unsure if any sending was.
func sendWithPass[T any](ctx context.Context, f *fan, r request) (T, answer, error) {
	const passes = 4
	r.session = f.session
	unsure := false
	for tries := 1; ; tries++ {
		r.bearer = f.pass
		got, a, err := send[T](ctx, f.crowd.client, r)
		unsure = unsure || a.unsure
		a.unsure = unsure
		if err != nil || !a.passRefused() || tries == passes {
			return got, a, err
		}
		f.crowd.meter.note(r.call, a.what())
		if err := f.renewPass(ctx); err != nil {
			return got, a, err
		}
	}
}
