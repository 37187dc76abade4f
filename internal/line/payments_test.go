package line_test

import (
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// paying is a line of a hundred fans a second whose payments are told as given, a second after the last time; what
// follows must obey.
type paying struct {
	*journal
	control line.Control
	now     time.Time
}

func newPaying(t *testing.T) *paying {
	p := &paying{journal: opened(t, 100), control: want(sale.Open, 100), now: began}
	p.control.PaceByPayments, p.control.PaymentWindow = true, 2*time.Minute
	return p
}

func (p *paying) told(after time.Duration, payments *line.Payments) {
	p.t.Helper()
	p.now = p.now.Add(after)
	s := seen(everyone)
	s.Payments = payments
	last, written := p.last, p.written
	if p.look(p.control, s, p.now) {
		if err := line.Obeys(written, last, *p.last); err != nil {
			p.t.Errorf("%v: %s", err, events.Encode(p.last))
		}
	}
}

func (p *paying) is(what, reason string, rate float64, slowed bool) {
	p.t.Helper()
	if p.last.Reason != reason || p.last.Rate != rate || (p.last.Payments != nil) != slowed || slowed && p.last.Payments.Set != p.control.Rate {
		p.t.Errorf("%s: %s", what, events.Encode(p.last))
	}
}

func (p *paying) fan() line.Standing { return line.NewView(p.last).Stand(at(p.last.Serving + 1000)) }

// TestPaymentsPaceTheLine down and up again, and to a standstill; each change is in the log, and fans see why.
func TestPaymentsPaceTheLine(t *testing.T) {
	t.Parallel()
	p := newPaying(t)
	sec := time.Second
	p.told(sec, &line.Payments{Rate: 12, Wait: line.SlowAt})
	p.is("a wait that may be", "admitted", 100, false)
	before := p.fan().ETA.Expected
	p.told(sec, &line.Payments{Rate: 12, Wait: 11 * sec})
	p.is("a wait that is too long", "payments", 12, true)
	if s := p.fan(); s.State != line.Waiting || s.Reason != "payments" || s.ETA == nil || s.ETA.Expected < 5*before {
		t.Errorf("fans see %+v, and waited %d s before", s, before)
	}
	if p.last.Payments.WaitMS != 11_000 || !p.last.Payments.At.Equal(p.now) {
		t.Errorf("it says %+v", p.last.Payments)
	}
	p.told(6*sec, &line.Payments{Rate: 12.5, Wait: 20 * sec})
	p.is("nearly the same", "admitted", 12, true)
	p.told(sec, &line.Payments{Rate: 6, Wait: 20 * sec})
	p.is("half of it", "payments", 6, true)
	p.told(4*sec, &line.Payments{Rate: 12, Wait: 20 * sec})
	p.is("soon after that", "admitted", 6, true)
	p.told(time.Minute, nil)
	p.is("when nothing is known", "admitted", 6, true)
	p.told(sec, &line.Payments{Rate: 6, Wait: 61 * sec})
	p.is("half of the window", "payments", 0, true)
	if s := p.fan(); s.State != "paused" || s.Reason != "payments" || line.Reason(p.last) != "payments" {
		t.Errorf("fans see %+v, and the page %q", s, line.Reason(p.last))
	}
	n := p.last.N
	p.told(10*sec, &line.Payments{Rate: 6, Wait: 31 * sec})
	if p.last.N != n {
		t.Errorf("a line that stands moved: %s", events.Encode(p.last))
	}
	p.told(sec, &line.Payments{Rate: 5, Wait: 29 * sec})
	p.is("a quarter of the window", "payments", 5, true)
	if s := p.fan(); s.Reason != "payments" || s.ETA == nil {
		t.Errorf("fans see %+v", s)
	}
	p.told(6*sec, &line.Payments{Rate: 5, Wait: 6 * sec})
	p.is("nearly over", "admitted", 5, true)
	p.told(sec, &line.Payments{Rate: 5, Wait: 4 * sec})
	p.is("over", "payments", 100, false)
	p.told(sec, &line.Payments{Rate: 1, Wait: 2 * sec})
	p.is("and on", "admitted", 100, false)
}

// TestOperatorAndPayments: what the operator does is what the log says, whatever payments do.
func TestOperatorAndPayments(t *testing.T) {
	t.Parallel()
	slow := &line.Payments{Rate: 12, Wait: 20 * time.Second}
	p := newPaying(t)
	p.told(time.Second, slow)
	p.control.Rate = 50
	p.told(6*time.Second, slow)
	p.is("lowered", "rate_lowered", 12, true)
	p.control.Rate = 200
	p.told(6*time.Second, slow)
	p.is("raised", "rate_raised", 12, true)
	p.control.Rate = 5
	p.told(6*time.Second, slow)
	p.is("below what payments allow", "rate_lowered", 5, false)
	p.control.Rate = 200
	p.told(6*time.Second, slow)
	p.is("raised again", "rate_raised", 12, true)
	p.control.State = sale.Paused
	p.told(6*time.Second, slow)
	p.is("paused", "paused", 200, false)
	p.control.State = sale.Open
	p.told(6*time.Second, slow)
	p.is("resumed", "resumed", 12, true)
	p.control.Rate = line.MaxRate
	p.told(6*time.Second, slow)
	p.is("released", "released", line.MaxRate, false)
	p.control.Rate = 100
	p.told(6*time.Second, slow)
	p.is("not any more", "rate_lowered", 12, true)
	p.control.PaceByPayments = false
	p.told(6*time.Second, slow)
	p.is("switched off", "payments", 100, false)
	p.told(time.Second, &line.Payments{Wait: time.Hour})
	p.is("while it is off", "admitted", 100, false)
}

// TestObeys_RefusesMadeUpPayments: a record can't blame payments for what they did not do.
func TestObeys_RefusesMadeUpPayments(t *testing.T) {
	t.Parallel()
	p := newPaying(t)
	last, written := *p.last, p.written
	p.told(time.Second, &line.Payments{Rate: 12, Wait: time.Minute})
	for name, alter := range map[string]func(a *events.Admission){
		"faster than was set":   func(a *events.Admission) { a.Payments.Set = 11 },
		"another was set":       func(a *events.Admission) { a.Payments.Set = 500 },
		"a wait of less than 0": func(a *events.Admission) { a.Payments.WaitMS = -1 },
		"without a word":        func(a *events.Admission) { a.Payments = nil },
		"a rate below none":     func(a *events.Admission) { a.Rate = -1 },
	} {
		a, copied := *p.last, *p.last.Payments
		a.Payments = &copied
		alter(&a)
		if line.Obeys(written, &last, a) == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}
