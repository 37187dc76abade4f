package double

import "slices"

// Statuses of a refund: https://docs.stripe.com/api/refunds/object
const (
	refundPending   = "pending"
	refundSucceeded = "succeeded"
	refundFailed    = "failed"
)

// Statuses of a dispute: https://docs.stripe.com/api/disputes/object
const (
	disputeOpen   = "needs_response"
	disputeReview = "under_review"
	disputeWon    = "won"
	disputeLost   = "lost"
)

// refund gives amount back of a captured intent, or all that is left for 0. Some test cards leave it pending, until
// the control endpoint says what the bank did, or fail it.
func (t *tx) refund(id string, amount int64, reason string, pairs []param) (*refund, *apiError) {
	in, ok := t.state.intents.get(id)
	if !ok {
		return nil, missing("payment_intent", "payment_intent", id)
	}
	if in.Status != statusSucceeded {
		return nil, unexpectedState(in, "This PaymentIntent (%s) does not have a successful charge to refund.", id)
	}
	ch := t.chargeOf(in)
	if t.state.inDispute(id) {
		e := invalid("charge_disputed", "", "Charge %s has been charged back; cannot issue a refund.", ch.ID)
		e.Charge = ch.ID
		return nil, e
	}
	left := ch.AmountCaptured - ch.AmountRefunded
	if left == 0 {
		e := invalid("charge_already_refunded", "", "Charge %s has already been refunded.", ch.ID)
		e.Charge = ch.ID
		return nil, e
	}
	if amount == 0 {
		amount = left
	}
	if amount > left {
		return nil, invalid("", "amount", "Refund amount (%d) is greater than unrefunded amount on charge (%d)", amount, left)
	}
	method, err := lookUpCard(ch.PaymentMethod)
	if err != nil {
		return nil, err
	}
	re := &refund{
		ID: newID("re_"), Object: "refund", Amount: amount, Charge: ch.ID, Created: t.now, Currency: in.Currency,
		Metadata: metadata{}.with(pairs), PaymentIntent: id, Status: refundSucceeded,
	}
	if reason != "" {
		re.Reason = &reason
	}
	if method.refund != "" {
		re.Status = method.refund
	}
	if re.Status == refundFailed {
		t.failRefund(re)
		return re, nil
	}
	ch.AmountRefunded += amount
	ch.Refunded = ch.AmountRefunded == ch.AmountCaptured
	t.saveRefund(re)
	t.saveCharge(ch)
	t.emit(eventRefunded, ch)
	return re, nil
}

func (t *tx) failRefund(re *refund) {
	re.Status, re.FailureReason = refundFailed, "expired_or_canceled_card"
	t.saveRefund(re)
	t.emit(eventRefundFail, re)
}

// settleRefund ends a refund as its bank does. One that failed leaves its money with the charge.
func (t *tx) settleRefund(id, status string) (*refund, *apiError) {
	stored, ok := t.state.refunds.get(id)
	if !ok {
		return nil, missing("refund", "refund", id)
	}
	re := *stored
	if re.Status == refundFailed || re.Status == status {
		return nil, invalid("", "status", "Refund %s is %s", id, re.Status)
	}
	if status == refundSucceeded {
		re.Status = refundSucceeded
		t.saveRefund(&re)
		t.emit(eventRefund, &re)
		return &re, nil
	}
	in, _ := t.state.intents.get(re.PaymentIntent)
	ch := t.chargeOf(in)
	ch.AmountRefunded -= re.Amount
	ch.Refunded = false
	t.saveCharge(ch)
	t.failRefund(&re)
	return &re, nil
}

// inDispute says whether money of an intent is demanded back, or gone.
func (s *state) inDispute(intent string) bool {
	return slices.ContainsFunc(s.disputes.items, func(d *dispute) bool { return d.PaymentIntent == intent && d.Status != disputeWon })
}

// openDispute has the buyer's bank demand the money of a captured intent back.
func (t *tx) openDispute(id, reason string) (*dispute, *apiError) {
	in, ok := t.state.intents.get(id)
	if !ok {
		return nil, missing("payment_intent", "payment_intent", id)
	}
	if in.Status != statusSucceeded || t.state.inDispute(id) {
		return nil, unexpectedState(in, "This PaymentIntent (%s) has nothing that could be disputed.", id)
	}
	ch := t.chargeOf(in)
	ch.Disputed = true
	d := &dispute{
		ID: newID("du_"), Object: "dispute", Amount: ch.AmountCaptured - ch.AmountRefunded, Charge: ch.ID, Created: t.now, Currency: in.Currency,
		PaymentIntent: id, Reason: reason, Status: disputeOpen,
	}
	t.saveCharge(ch)
	t.saveDispute(d)
	t.emit(eventDisputed, d)
	return d, nil
}

// moveDispute lets a dispute go on, or end.
func (t *tx) moveDispute(id, status string) (*dispute, *apiError) {
	stored, ok := t.state.disputes.get(id)
	if !ok {
		return nil, missing("dispute", "dispute", id)
	}
	d := *stored
	if d.Status == disputeWon || d.Status == disputeLost || d.Status == status {
		return nil, invalid("", "status", "Dispute %s is %s", id, d.Status)
	}
	d.Status = status
	t.saveDispute(&d)
	if status == disputeReview {
		t.emit(eventDispute, &d)
	} else {
		t.emit(eventDisputeEnd, &d)
	}
	return &d, nil
}

// expire lets the authorization of an intent end, as banks do after some days.
func (t *tx) expire(in *intent) *apiError {
	if in.Status != statusNeedsCapture {
		return unexpectedState(in, "This PaymentIntent has a status of %s: there is no authorization that could expire.", in.Status)
	}
	if err := t.cancel(in, "automatic"); err != nil {
		return err
	}
	return nil
}
