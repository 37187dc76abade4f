package payworker_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/pace"
	"onsale/internal/sale"
	"onsale/internal/testenv"
)

// told are the notices that a worker sent.
type told struct {
	mu  sync.Mutex
	all map[string][][]byte // by subject
}

func (x *told) add(subject string, data []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.all == nil {
		x.all = map[string][][]byte{}
	}
	x.all[subject] = append(x.all[subject], slices.Clone(data))
	return nil
}

func (x *told) of(subject string) [][]byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.all[subject]
}

const (
	seldom   = 0.125            // calls a second: a turn is eight seconds away
	noTime   = 10 * time.Second // of a handler: it may wait for two of them
	patience = 30 * time.Second
)

// bounded gives a checkout to the worker in so much time.
func (r *rig) bounded(c events.CheckoutRequested, n int, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	return r.handler[events.Checkouts](ctx, events.Message{Stream: events.Checkouts, Data: events.Encode(c), Delivered: n})
}

// held is a checkout of seats that are held, and bound to it for so long.
func (r *rig) held(method string, window time.Duration) (events.CheckoutRequested, sale.Hold) {
	r.Helper()
	c := command(method)
	h, err := r.holds.Take(r.Context(), show, c.Session, c.Seats, window)
	if err != nil {
		r.Fatal(err)
	}
	c.HoldID, c.PaymentWindowMS = h.ID, time.Minute.Milliseconds()
	hash := sale.RequestHash(c.HoldID, method)
	c.RequestHash = hash[:]
	if _, err := r.holds.Bind(r.Context(), show, c.Session, h.ID, sale.Binding{Order: c.OrderID, Request: hash, Window: window}); err != nil {
		r.Fatal(err)
	}
	return c, h
}

// left is how long a hold lasts.
func (r *rig) left(h sale.Hold) time.Duration {
	r.Helper()
	now, err := r.holds.Find(r.Context(), show, h.Session, h.ID)
	if errors.Is(err, sale.ErrNoHold) {
		return 0
	}
	if err != nil {
		r.Fatal(err)
	}
	return now.Left
}

// TestHoldOutlivesTheWaitForATurn: a checkout that is put off again and again keeps its seats, is neither ended as
// abandoned nor taken for one that Stripe didn't answer, and is paid when its turn comes.
func TestHoldOutlivesTheWaitForATurn(t *testing.T) {
	t.Parallel()
	r := setupAt(t, pace.Limit{Rate: seldom, Burst: 1})
	if err := r.bounded(command("pm_card_chargeDeclined"), 1, time.Minute); err != nil { // the one turn
		t.Fatal(err)
	}
	c, h := r.held("pm_card_visa", 10*time.Second)
	for n := range 12 { // over the time and the tries after which one that Stripe doesn't answer is looked up and given up
		if err := r.bounded(c, n+1, noTime); sale.KindOf(err) != sale.Unavailable || sale.CodeOf(err) != sale.CodePaced {
			t.Fatalf("delivery %d: %v", n+1, err)
		}
		r.clock.Advance(time.Minute)
	}
	if left := r.left(h); left < time.Minute {
		t.Errorf("the hold lasts %v", left)
	}
	if a := r.attempt(c.OrderID); a.ID == sale.AttemptID(c.OrderID, 1) {
		t.Errorf("before its turn it is recorded: %+v", a)
	}
	notices := r.told.of(events.NoticeSubject(show))
	if len(notices) == 0 {
		t.Fatal("the seat maps were not told")
	}
	if n, err := events.Decode[events.SeatsNotice](notices[0]); err != nil || len(n.Holds) != 1 || n.Holds[0].HoldID != h.ID || n.Holds[0].LeftMS < time.Minute.Milliseconds() {
		t.Errorf("the seat maps were told %+v (%v)", n, err)
	}
	if err := r.bounded(c, 13, patience); err != nil {
		t.Fatal(err)
	}
	r.stands(c.OrderID, sale.Processing, sale.Authorized, sale.IntentRequiresCapture)
	// Once it is decided nothing extends the hold: the message may come again at any time.
	left := r.left(h)
	if err := r.bounded(c, 14, patience); err != nil || r.left(h) > left {
		t.Errorf("again: the hold lasts %v, %v before (%v)", r.left(h), left, err)
	}
}

// TestRefundThatIsPutOffHasNotFailed, however often.
func TestRefundThatIsPutOffHasNotFailed(t *testing.T) {
	t.Parallel()
	r := setupAt(t, pace.Limit{Rate: seldom, Burst: 2})
	o := r.paid("pm_card_visa") // two calls
	_, command := r.refund(o.OrderID)
	for n := range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), noTime)
		if err := r.handler[events.Payments](ctx, events.Message{Stream: events.Payments, Data: command, Delivered: n + 1}); sale.CodeOf(err) != sale.CodePaced {
			t.Fatalf("delivery %d: %v", n+1, err)
		}
		cancel()
		r.clock.Advance(time.Minute)
	}
	if err := r.give(events.Payments, command, 13); err != nil {
		t.Fatal(err)
	}
	r.refunded(o, sale.Refunded, sale.PaidBack, sale.RefundSucceeded, "")
}

// TestHoldThatLapsedIsPaidAllTheSame, and so is one while Redis is away: the committer decides about the seats.
func TestHoldThatLapsedIsPaidAllTheSame(t *testing.T) {
	t.Parallel()
	r := setup(t)
	c := command("pm_card_visa")
	c.PaymentWindowMS = 1000
	if err := r.give(events.Checkouts, events.Encode(c), 1); err != nil {
		t.Fatal(err)
	}
	r.stands(c.OrderID, sale.Processing, sale.Authorized, sale.IntentRequiresCapture)
	if n := r.told.of(events.NoticeSubject(show)); len(n) != 0 {
		t.Errorf("the seat maps were told of no hold: %s", n)
	}
	if err := r.holds.Close(); err != nil {
		t.Fatal(err)
	}
	other := command("pm_card_visa")
	other.PaymentWindowMS = 1000
	if err := r.give(events.Checkouts, events.Encode(other), 1); err != nil {
		t.Fatal(err)
	}
	r.stands(other.OrderID, sale.Processing, sale.Authorized, sale.IntentRequiresCapture)
}

// TestPaymentsAreTold: the backlog as the broker has it, what is allowed, and a rate that is measured while some wait.
func TestPaymentsAreTold(t *testing.T) {
	t.Parallel()
	r := setupAt(t, pace.Limit{Rate: 100, Burst: 100})
	last := func() events.PaymentsNotice {
		all := r.told.of(events.PaymentsNoticeSubject)
		if len(all) == 0 {
			return events.PaymentsNotice{}
		}
		n, err := events.Decode[events.PaymentsNotice](all[len(all)-1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	testenv.Eventually(t, "it is told", func() bool { return last().Node != "" })
	if n := last(); n.Allowed != 100 || n.Rate != 50 || n.Backlog != 0 { // an order takes two calls
		t.Errorf("at first %+v", n)
	}
	r.backlog.Store(1000) // and nothing is done
	testenv.Eventually(t, "it is slower", func() bool { n := last(); return n.Rate < 45 && n.Backlog == 1000 })
	r.backlog.Store(0) // nothing to do says nothing of the rate
	testenv.Eventually(t, "the backlog is gone", func() bool { return last().Backlog == 0 })
	before, told := last().Rate, len(r.told.of(events.PaymentsNoticeSubject))
	testenv.Eventually(t, "it is told again", func() bool { return len(r.told.of(events.PaymentsNoticeSubject)) > told })
	if last().Rate != before {
		t.Errorf("the rate went from %g to %g with nothing to do", before, last().Rate)
	}
}

// TestAllowedRateIsToldAsItIs: a worker that makes no call hears of others' refusals, and that the rate recovers.
func TestAllowedRateIsToldAsItIs(t *testing.T) {
	t.Parallel()
	limit := pace.Limit{Rate: 100, Burst: 100}
	r := setupAt(t, limit)
	last := func() float64 {
		all := r.told.of(events.PaymentsNoticeSubject)
		if len(all) == 0 {
			return 0
		}
		n, err := events.Decode[events.PaymentsNotice](all[len(all)-1])
		if err != nil {
			t.Fatal(err)
		}
		return n.Allowed
	}
	testenv.Eventually(t, "it is whole", func() bool { return last() == 100 })
	if _, err := r.holds.Pace(key, limit).Slow(t.Context(), 0); err != nil { // another worker's call was refused
		t.Fatal(err)
	}
	testenv.Eventually(t, "it is cut", func() bool { return last() < 100 })
	low := last()
	testenv.Eventually(t, "it rises", func() bool { return last() > low })
}
