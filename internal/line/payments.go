package line

import (
	"math"
	"time"

	"onsale/events"
	"onsale/internal/sale"
)

// Payments is how payments go, over all payworkers.
type Payments struct {
	Rate float64       // checkouts a second that they deal with
	Wait time.Duration // of a checkout that is made now, at most half an hour
}

// How a line that is paced by payments follows them. Below SlowAt a wait is what a fan takes for a slow page, and the
// backlog may be over before those who are called now check out; it must be half of that before the line is as fast as
// its operator set it, so that it doesn't change its mind with every backlog. A line that would make fans wait for half of
// the time that their seats are kept stands, until it is a quarter.
const (
	SlowAt        = 10 * time.Second
	easeAt        = SlowAt / 2
	stopPart      = 2 // of the payment window
	goOnPart      = 4
	paymentChange = 0.1             // relative: a rate that is off by less is not changed
	paymentEvery  = 5 * time.Second // and no more often
)

// byPayments is the rate of an open line, and why it is not the operator's. Each fan makes one checkout at a time, so a
// line that calls no faster than payments are dealt with adds nothing to their backlog. What is not known changes nothing.
func byPayments(last *events.Admission, state sale.State, want Control, seen Seen, now time.Time) (float64, *events.PaymentPace) {
	if !want.PaceByPayments || state != sale.Open || want.Rate <= 0 || want.Rate >= MaxRate {
		return want.Rate, nil
	}
	rate, was := want.Rate, last.Payments
	switch p := seen.Payments; {
	case p == nil:
		if was != nil {
			rate = min(rate, last.Rate)
		}
	case stands(was, last, want, p.Wait):
		rate = 0
	case p.Wait > SlowAt || was != nil && p.Wait > easeAt:
		rate = min(rate, digits(p.Rate, 3))
		if near := math.Abs(rate-last.Rate) <= paymentChange*last.Rate; was != nil && (near || now.Sub(was.At) < paymentEvery && last.Rate > 0) {
			rate = min(want.Rate, last.Rate)
		} else if near && was == nil {
			rate = want.Rate
		}
	}
	if rate >= want.Rate {
		return want.Rate, nil
	}
	if was != nil && rate == last.Rate && was.Set == want.Rate {
		return rate, was
	}
	next := &events.PaymentPace{Set: want.Rate, At: now}
	if seen.Payments != nil {
		next.WaitMS = seen.Payments.Wait.Milliseconds()
	}
	return rate, next
}

// stands says whether nobody is to be called.
func stands(was *events.PaymentPace, last *events.Admission, want Control, wait time.Duration) bool {
	if was != nil && last.Rate <= 0 {
		return wait > max(want.PaymentWindow/goOnPart, easeAt)
	}
	return wait > max(want.PaymentWindow/stopPart, SlowAt)
}

// setRate is the rate that the operator of a record's line set.
func setRate(a *events.Admission) float64 {
	if a.Payments != nil {
		return a.Payments.Set
	}
	return a.Rate
}

// StandsForPayments says whether an open line stands because payments take long.
func StandsForPayments(a *events.Admission) bool {
	return a.State == sale.Open && a.Payments != nil && a.Rate <= 0
}
