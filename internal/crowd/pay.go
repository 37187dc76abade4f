package crowd

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// pay checks out as the fan's behaviour has it. An empty outcome means that the seats are gone without
// the fan having been charged, and that it may look for others.
func (f *fan) pay(ctx context.Context, h hold) (Outcome, error) {
	switch f.behaviour {
	case DeclinedFirst:
		rec, err := f.checkout(ctx, h, cardDeclined)
		if err != nil || rec == nil || rec.status != orderPaymentFailed {
			return f.outcomeOf(rec), err
		}
		if err := f.think(ctx, decide); err != nil {
			return "", err
		}
	case OutOfFunds:
		rec, err := f.checkout(ctx, h, cardNoFunds)
		if err != nil || rec == nil || rec.status != orderPaymentFailed {
			return f.outcomeOf(rec), err
		}
		return NotPaid, f.release(ctx, h)
	case Authenticator:
		rec, err := f.checkout(ctx, h, cardAuthenticate)
		return f.outcomeOf(rec), err
	}
	rec, err := f.checkout(ctx, h, cardGood)
	return f.outcomeOf(rec), err
}

func (f *fan) outcomeOf(rec *record) Outcome {
	if rec == nil {
		return ""
	}
	switch rec.status {
	case orderConfirmed:
		return Bought
	case orderPaymentFailed:
		return NotPaid
	case orderAuthenticate:
		return WalkedAway
	case orderVoided, orderRefunded:
		return Undone
	}
	return ""
}

// checkout pays for the hold with one payment method, under one new key however often it has to be
// sent, and returns the order with its outcome; nil when the hold was gone.
func (f *fan) checkout(ctx context.Context, h hold, method string) (*record, error) {
	r := checkoutRequest(h.ID, method, f.crowd.newID())
	var early []string
	if f.behaviour == Retrier {
		var err error
		if early, err = f.sendAtOnce(ctx, r); err != nil {
			return nil, err
		}
	}
	got, a, err := sendWithPass[order](ctx, f, r)
	switch {
	case err != nil:
		f.mayOwe = a.unsure
		if len(early) > 0 {
			f.owed, _ = f.crowd.ledger.accept(f, h, method, early[0])
		}
		return nil, err
	case a.ok() && got.ID == "":
		f.violate("checkout was accepted without an order id")
		return nil, stop{Refused}
	case !a.ok() && len(early) > 0:
		f.violate("order %s was accepted, and its checkout sent again is refused: %s", early[0], a.what())
		got = order{ID: early[0], Status: orderProcessing}
	case a.status == http.StatusNotFound, a.status == http.StatusConflict, a.status == http.StatusGone:
		if outcome, over := a.problem.over(); over {
			return nil, stop{outcome}
		}
		f.crowd.meter.note(callCheckout, a.what())
		return nil, nil
	case !a.ok():
		return nil, f.unexpected(callCheckout, a)
	}
	for _, id := range early {
		if id != got.ID {
			f.violate("one idempotency key gave orders %s and %s", id, got.ID)
			break
		}
	}
	rec, fresh := f.crowd.ledger.accept(f, h, method, got.ID)
	if !fresh {
		f.violate("a new idempotency key gave order %s, which is older", got.ID)
	}
	f.owed = rec
	f.crowd.meter.total.ordered.Add(1)
	if err := f.await(ctx, rec, got); err != nil {
		return rec, err
	}
	f.owed = nil
	if f.behaviour == Retrier {
		return rec, f.repeat(ctx, r, rec)
	}
	return rec, nil
}

// sendAtOnce sends one checkout three times together, as an impatient page does, and returns the ids of
// the orders it was answered with; none when none was accepted.
func (f *fan) sendAtOnce(ctx context.Context, r request) ([]string, error) {
	const copies, passes = 3, 2
	r.session = f.session
	for pass := 1; ; pass++ {
		r.bearer = f.pass
		var ids, refused [copies]string
		var sending sync.WaitGroup
		for i := range copies {
			sending.Go(func() {
				got, a, err := send[order](ctx, f.crowd.client, r)
				switch {
				case err != nil:
				case a.ok():
					ids[i] = got.ID
				case a.passRefused():
					refused[i] = a.what()
				}
			})
		}
		sending.Wait()
		answered := slices.DeleteFunc(ids[:], func(id string) bool { return id == "" })
		if len(answered) > 0 || slices.Contains(refused[:], "") || pass == passes {
			return answered, nil
		}
		f.crowd.meter.note(callCheckout, refused[0])
		if err := f.renewPass(ctx); err != nil {
			return nil, err
		}
	}
}

// repeat sends a checkout whose order is decided once more: it must be answered with that order.
func (f *fan) repeat(ctx context.Context, r request, rec *record) error {
	got, a, err := sendWithPass[order](ctx, f, r)
	switch {
	case err != nil:
		return nil // the visit is over, and the order is known
	case !a.ok():
		f.violate("order %s is %s, and its checkout sent again is refused: %s", rec.id, rec.status, a.what())
	case got.ID != rec.id:
		f.violate("one idempotency key gave orders %s and %s", rec.id, got.ID)
	default:
		f.crowd.ledger.observe(rec, got, false)
	}
	return nil
}

// await follows an order until it has an outcome, or asks for an authentication that nobody will give.
// The answer to the checkout has no more than the order's id and status, so that an order is read at
// least once before it counts as confirmed.
func (f *fan) await(ctx context.Context, rec *record, got order) error {
	const missesMost = 5
	challenged, misses, pause := false, 0, 250*time.Millisecond
	for read := false; ; {
		f.crowd.ledger.observe(rec, got, read)
		if decided(got.Status) && (read || got.Status != orderConfirmed) {
			return nil
		}
		if got.Status == orderAuthenticate && f.crowd.cfg.Authenticate == nil {
			return nil
		}
		if got.Status == orderAuthenticate && read && !challenged {
			challenged = true
			if err := f.authenticate(ctx, got); err != nil {
				return err
			}
		}
		asked := time.Now()
		r := orderRequest(rec.id)
		r.wait = got.Status == orderProcessing || got.Status == ""
		next, a, err := sendWithPass[order](ctx, f, r)
		switch {
		case err != nil:
			return err
		case a.ok():
			got, read = next, true
		case a.status == http.StatusNotFound:
			f.violate("order %s was accepted and is not found", rec.id)
			if misses++; misses == missesMost {
				return stop{Unsettled}
			}
		default:
			return f.unexpected(callOrder, a)
		}
		if time.Since(asked) < waitAtMost/2 && !decided(got.Status) && (challenged || got.Status != orderAuthenticate) {
			if err := sleep(ctx, pause+time.Duration(f.rng.Int64N(int64(pause)))); err != nil {
				return err
			}
			pause = min(2*pause, 3*time.Second)
		}
	}
}

// decided says whether a status is an outcome, as far as the fan is concerned.
func decided(status string) bool {
	return status != orderProcessing && status != orderAuthenticate && status != ""
}

// authenticate answers the bank's challenge once. Stripe's client secret starts with the id of the
// payment intent that it belongs to.
func (f *fan) authenticate(ctx context.Context, o order) error {
	intent, _, found := strings.Cut(o.ClientSecret, "_secret_")
	if !found {
		f.violate("order %s asks for authentication without a client secret", o.ID)
		f.owed = nil
		return stop{WalkedAway}
	}
	if err := f.crowd.cfg.Authenticate(ctx, intent); err != nil {
		f.crowd.meter.failed(callCheckout, "authentication")
		f.owed = nil
		return stop{WalkedAway}
	}
	return nil
}
