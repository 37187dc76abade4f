package line

import (
	"math"
	"strconv"
	"time"

	"onsale/events"
	"onsale/internal/sale"
)

// Outlook is what the record of a line says of the times to come. Every line has its own, made from its last one and
// what was seen since, by Next; so it survives a restart, and whoever reads the records can make it again.
type Outlook events.Outlook

// The reasons for which an ETA rises.
const (
	RosePaused       = "paused"        // the line stood still
	RoseRateLowered  = "rate_lowered"  // the operator lowered the rate
	RoseShareChanged = "share_changed" // this line's part of the rate fell
	RoseMoreCame     = "more_came"     // more of those called come, so fewer are called
	RosePayments     = "payments"      // payments take long, and the line was slowed down for them
	RoseSlower       = "slower"        // the line moves slower than it should
)

// Observation is a line as one record shows it.
type Observation struct {
	At      time.Time
	State   sale.State
	Serving uint64
	Joined  uint64
	Rate    float64 // fans a second who should come, by the operator's wish or, ByPayments, fewer
	Part    float64 // this line's part of it, 0 to 1
	Release float64 // turns called a second, on this line

	ByPayments bool
}

const (
	roseFor   = 3 * time.Minute // thrice the longest time between two polls, also of a hidden page, which browsers let poll once a minute
	flowUp    = 0.05            // the told flow stays while the line is faster by no more than this
	flowDown  = 0.07            // or slower by this: an ETA that rises had better be right
	yieldOver = 60.0            // seconds over which the yield is measured, and at least
	yieldOf   = 100.0           // this many turns
	fullYield = 0.05            // a yield this near to 1 counts as 1
	mostYield = 1e3             // a line that moves by itself, because those in front leave, is believed this far
	leastFlow = 1e-6            // of the release: what is told of a line that hardly moves
	warmUp    = 60.0            // seconds after which a change of flow is no longer the first finding of the share
)

// Next is the outlook after a record, from the one before and what the records say. The zero Outlook starts.
func (o Outlook) Next(was, is Observation) Outlook {
	elapsed := max(0, is.At.Sub(was.At).Seconds())
	if was.State == sale.Open && o.Flow > 0 {
		o.Ran = round6(o.Ran + elapsed)
		o.Yield = o.measure(was, is, elapsed)
	}
	if was.State == sale.Paused {
		o.Paused = round6(o.Paused + elapsed)
	}
	if was.State == sale.Open && is.State == sale.Paused {
		o.Pauses++
	}
	if o.Rose != "" && is.At.Sub(o.RoseAt) >= roseFor {
		o.Rose, o.RoseAt = "", time.Time{}
	}
	if was.State == sale.Paused && is.State == sale.Open {
		o.Rose, o.RoseAt = RosePaused, is.At
		if was.ByPayments {
			o.Rose = RosePayments
		}
	}
	if is.Release <= 0 {
		return o
	}
	return o.tell(was, is)
}

// measure is the yield after a stretch in which the line was open. Where it ran dry nothing is learned.
func (o Outlook) measure(was, is Observation, elapsed float64) float64 {
	due := was.Release * elapsed
	if due <= 0 || is.Serving >= is.Joined || is.Serving < was.Serving {
		return o.Yield
	}
	over := max(min(yieldOver, o.Ran), yieldOf/was.Release, elapsed)
	keep := math.Exp(-elapsed / over)
	return digits(min(keep*o.Yield+(1-keep)*float64(is.Serving-was.Serving)/due, mostYield), 6)
}

// tell sets the flow, and the reason where it falls.
func (o Outlook) tell(was, is Observation) Outlook {
	if o.Yield == 0 {
		o.Yield = 1
	}
	flow := is.Release
	if math.Abs(o.Yield-1) > fullYield {
		flow *= max(o.Yield, leastFlow)
	}
	if o.Flow == 0 {
		o.Flow = flow
		return o
	}
	wanted := is.Rate != was.Rate || is.Part != was.Part
	if off := flow/o.Flow - 1; off == 0 || (!wanted && off > -flowDown && off < flowUp) {
		return o
	}
	if wanted || o.Ran > warmUp {
		change := math.Log(flow / o.Flow)
		o.Swing = round6(o.Swing + change*change)
	}
	if flow < o.Flow {
		o.Rose, o.RoseAt = o.cause(was, is), is.At
	}
	o.Flow = flow
	return o
}

// cause is why the flow falls.
func (o Outlook) cause(was, is Observation) string {
	switch {
	case is.ByPayments && is.Rate != was.Rate:
		return RosePayments
	case is.Rate < was.Rate:
		return RoseRateLowered
	case is.Part < was.Part:
		return RoseShareChanged
	case is.Release < o.Flow && is.Part < 1:
		return RoseShareChanged
	case is.Release < o.Flow:
		return RoseMoreCame
	}
	return RoseSlower
}

// round6 keeps a sum readable in a record.
func round6(x float64) float64 { return math.Round(x*1e6) / 1e6 }

// digits rounds to so many significant digits: what is public need not show the noise of a measurement.
func digits(x float64, n int) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', n, 64), 64)
	if err != nil {
		return x // beyond what a float can hold
	}
	return short
}

// The prior of what disturbs a line, worth priorFor seconds of experience with it. It stands for an operator who may
// change the rate by half or double and may pause for some minutes, each some times in an hour. It was chosen on
// simulated sales, so that the interval holds for nine fans in ten over calm and restless operators together (onsale bench
// eta says what it comes to on others); a line's own experience soon outweighs it.
const (
	priorFor    = 450.0
	priorSwing  = 0.02 // sum of squared logarithms, as in Outlook.Swing
	priorPauses = 0.2  // as in Outlook.Pauses
	priorPause  = 120.0
)

const (
	tail       = 0.05 // the part of turns that come before the interval, and the part after it
	tailZ      = 1.8  // where it begins, in standard deviations: 1.645 in a normal distribution, but changes come in jumps
	noise      = 0.03 // relative: what the release may be off without being changed
	mostWander = 3.0
	firstShare = 0.45 // before the share of those who come is known, one as low as this must be reckoned with
	firstFor   = 30.0 // seconds until it is known
	farthest   = 100 * 365 * 86400
)

// ETA is in how many seconds so many turns are called, 1 being the next, rounded up, and an interval that is to hold
// nine times in ten whatever happens to the line. It is the wider the farther ahead, and the more often the line's
// flow changed and was paused so far: both count as happening at random as often as they did, by the prior at first.
func (o Outlook) ETA(turns uint64) (eta, low, high int64) {
	if o.Flow <= 0 {
		return farthest, 0, farthest
	}
	wait := min(float64(turns)/o.Flow, farthest)
	// Where the logarithm of the flow wanders with variance v in a second, its mean over a wait wanders with a third
	// of v * wait.
	wander := min(tailZ*math.Sqrt((priorSwing+o.Swing)/(priorFor+o.Ran)*wait/3), mostWander)
	unknown := 1 - (1-firstShare)*max(0, 1-o.Ran/firstFor)
	early := wait * math.Exp(-wander) * unknown * (1 - noise)
	late := (wait*math.Exp(wander) + o.standstill(wait)) * (1 + noise)
	return int64(math.Ceil(wait)), int64(math.Floor(early)), int64(math.Ceil(min(late, farthest)))
}

// standstill is by how many seconds pauses prolong a wait, at most, but once in twenty times. Pauses begin at random
// and last exponentially: of few, the tail of one counts; the sum of many is near a normal distribution.
func (o Outlook) standstill(wait float64) float64 {
	expected := (priorPauses + o.Pauses) / (priorFor + o.Ran) * wait
	length := (priorPauses*priorPause + o.Paused) / (priorPauses + o.Pauses)
	some := -math.Expm1(-expected)
	if some <= tail {
		return 0
	}
	return length * max(math.Log(some/tail), expected+tailZ*math.Sqrt(2*expected))
}
