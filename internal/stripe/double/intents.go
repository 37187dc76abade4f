package double

import "net/url"

// Types of events: https://docs.stripe.com/api/events/types
const (
	eventCreated    = "payment_intent.created"
	eventAction     = "payment_intent.requires_action"
	eventCapturable = "payment_intent.amount_capturable_updated"
	eventSucceeded  = "payment_intent.succeeded"
	eventFailed     = "payment_intent.payment_failed"
	eventCanceled   = "payment_intent.canceled"
	eventRefunded   = "charge.refunded"
	eventRefund     = "refund.updated"
	eventRefundFail = "refund.failed"
	eventDisputed   = "charge.dispute.created"
	eventDispute    = "charge.dispute.updated"
	eventDisputeEnd = "charge.dispute.closed"
)

// confirmation is what a call that confirms says about the attempt.
type confirmation struct {
	returnURL     string
	offSession    bool // the customer isn't there to authenticate
	errorOnAction bool // the caller takes a decline rather than an authentication
}

// intent returns the intent of the path, as a copy to change.
func (t *tx) intent(id string) (*intent, *apiError) {
	stored, ok := t.state.intents.get(id)
	if !ok {
		return nil, missing("payment_intent", "intent", id)
	}
	in := *stored
	return &in, nil
}

// create stores a new intent, and confirms it when attempt isn't nil. A declined attempt leaves the
// intent behind, as at Stripe.
func (t *tx) create(in intent, attempt *confirmation) (*intent, *apiError) {
	in.ID, in.Object = newID("pi_"), "payment_intent"
	in.ClientSecret = in.ID + newID("_secret_")
	in.ConfirmationMethod = "automatic"
	in.Created = t.now
	in.Status = statusNeedsMethod
	if in.PaymentMethod != nil {
		if _, err := lookUpCard(*in.PaymentMethod); err != nil {
			return nil, err
		}
		in.Status = statusNeedsConfirmation
	}
	t.saveIntent(&in)
	t.emit(eventCreated, &in)
	if attempt == nil {
		return &in, nil
	}
	return &in, t.attempt(&in, *attempt)
}

// confirm attempts a payment, with the given method and way to capture, or those the intent has. A method may be tried
// again after a decline, and another one instead of an authentication.
func (t *tx) confirm(in *intent, method, capture string, c confirmation) *apiError {
	switch in.Status {
	case statusNeedsMethod, statusNeedsConfirmation, statusNeedsAction:
	case statusSucceeded:
		return unexpectedState(in, "You cannot confirm this PaymentIntent because it has already succeeded after "+
			"being previously confirmed.")
	default:
		return unexpectedState(in, "You cannot confirm this PaymentIntent because it has a status of %s.", in.Status)
	}
	if method != "" {
		in.PaymentMethod = &method
	}
	if in.PaymentMethod == nil {
		return unexpectedState(in, "You cannot confirm this PaymentIntent because it's missing a payment method. "+
			"Update the PaymentIntent with a payment method and try again, or pass one to confirm.")
	}
	if err := returnURLNeeded(in.AutomaticPaymentMethods, c.returnURL); err != nil {
		return err
	}
	if capture != "" {
		in.CaptureMethod = capture
	}
	return t.attempt(in, c)
}

// attempt charges the intent's payment method, which is set.
func (t *tx) attempt(in *intent, c confirmation) *apiError {
	method, err := lookUpCard(*in.PaymentMethod)
	if err != nil {
		return err
	}
	in.NextAction = nil
	if method.outcome == authenticates && (c.offSession || c.errorOnAction) {
		method = method.unattended()
	}
	switch method.outcome {
	case declines:
		return t.decline(in, method)
	case authenticates:
		in.Status, in.LastPaymentError = statusNeedsAction, nil
		in.NextAction = authentication(in, c.returnURL)
		t.saveIntent(in)
		t.emit(eventAction, in)
	default:
		t.authorize(in, method)
	}
	return nil
}

// decline fails the attempt and asks for another payment method.
func (t *tx) decline(in *intent, method testCard) *apiError {
	failedCharge := newID("ch_")
	e := method.decline(failedCharge)
	in.Status, in.PaymentMethod = statusNeedsMethod, nil
	in.LatestCharge, in.LastPaymentError = &failedCharge, &e.failure
	t.saveIntent(in)
	t.emit(eventFailed, in)
	e.PaymentIntent = t.encoded(in)
	return e
}

// authorize puts the money aside, and takes it at once unless the capture is manual.
func (t *tx) authorize(in *intent, method testCard) {
	ch := &charge{
		ID: newID("ch_"), Object: "charge", Amount: in.Amount, Created: t.now, Currency: in.Currency,
		Description: in.Description, Metadata: in.Metadata, Paid: true, PaymentIntent: in.ID,
		PaymentMethod: method.id, PaymentMethodDetails: methodDetails{Card: method.card, Type: "card"},
		Status: "succeeded",
	}
	latest := ch.ID // of its own: it outlives this state of the charge
	in.LatestCharge, in.LastPaymentError, in.NextAction = &latest, nil, nil
	if in.CaptureMethod == captureManual {
		in.Status, in.AmountCapturable = statusNeedsCapture, in.Amount
		t.saveCharge(ch)
		t.saveIntent(in)
		t.emit(eventCapturable, in)
		return
	}
	in.Status, in.AmountReceived = statusSucceeded, in.Amount
	ch.Captured, ch.AmountCaptured = true, in.Amount
	t.saveCharge(ch)
	t.saveIntent(in)
	t.emit(eventSucceeded, in)
}

// authentication is what the customer of in has to do: follow a link when there is a way back, else what
// Stripe's own script shows.
func authentication(in *intent, returnURL string) *nextAction {
	if returnURL == "" {
		return &nextAction{Type: "use_stripe_sdk", UseStripeSDK: &sdkAction{
			Type: "stripe_3ds2_fingerprint", Source: newID("src_"),
		}}
	}
	link := url.URL{Scheme: "https", Host: "hooks.stripe.com", Path: "/redirect/authenticate/" + in.ID}
	link.RawQuery = url.Values{"client_secret": {in.ClientSecret}}.Encode()
	return &nextAction{Type: "redirect_to_url", RedirectToURL: &redirectAction{ReturnURL: returnURL, URL: link.String()}}
}

// authenticate ends the wait for the customer, with success or without.
func (t *tx) authenticate(in *intent, success bool) *apiError {
	if in.Status != statusNeedsAction {
		return unexpectedState(in, "This PaymentIntent could not be authenticated because it has a status of %s. "+
			"Only a PaymentIntent with one of the following statuses may be authenticated: requires_action.", in.Status)
	}
	method, err := lookUpCard(*in.PaymentMethod)
	if err != nil {
		return err
	}
	if success {
		t.authorize(in, method)
		return nil
	}
	const code = "payment_intent_authentication_failure"
	in.Status, in.PaymentMethod, in.NextAction = statusNeedsMethod, nil, nil
	in.LastPaymentError = &failure{
		Type: typeInvalid, Code: code, DocURL: docURL(code), PaymentMethod: method.method(),
		Message: "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a " +
			"new PaymentMethod to attempt to fulfill this PaymentIntent again.",
	}
	t.saveIntent(in)
	t.emit(eventFailed, in)
	return nil
}

// capture takes amount of the authorized money, or all of it for 0, and releases the rest.
func (t *tx) capture(in *intent, amount int64, pairs []param) *apiError {
	if in.Status != statusNeedsCapture {
		return unexpectedState(in, "This PaymentIntent could not be captured because it has a status of %s. Only a "+
			"PaymentIntent with one of the following statuses may be captured: requires_capture.", in.Status)
	}
	if amount == 0 {
		amount = in.AmountCapturable
	}
	if amount > in.AmountCapturable {
		return invalid("amount_too_large", "amount_to_capture", "The payment could not be captured because the "+
			"requested capture amount is greater than the amount you can capture for this charge.")
	}
	in.Status, in.AmountCapturable, in.AmountReceived = statusSucceeded, 0, amount
	in.Metadata = in.Metadata.with(pairs)
	ch := t.chargeOf(in)
	ch.Captured, ch.AmountCaptured = true, amount
	t.saveCharge(ch)
	t.saveIntent(in)
	t.emit(eventSucceeded, in)
	return nil
}

// cancel ends an intent that took no money. An authorization is released, which Stripe reports as the
// refund of a charge that was never captured.
func (t *tx) cancel(in *intent, reason string) *apiError {
	authorized := in.Status == statusNeedsCapture
	switch in.Status {
	case statusNeedsMethod, statusNeedsConfirmation, statusNeedsAction, statusNeedsCapture:
	default:
		return unexpectedState(in, "You cannot cancel this PaymentIntent because it has a status of %s. Only a "+
			"PaymentIntent with one of the following statuses may be canceled: requires_payment_method, "+
			"requires_capture, requires_confirmation, requires_action, processing.", in.Status)
	}
	now := t.now
	in.Status, in.AmountCapturable, in.NextAction, in.CanceledAt = statusCanceled, 0, nil, &now
	if reason != "" {
		in.CancellationReason = &reason
	}
	t.saveIntent(in)
	t.emit(eventCanceled, in)
	if authorized {
		ch := t.chargeOf(in)
		ch.Refunded, ch.AmountRefunded = true, ch.Amount
		t.saveCharge(ch)
		t.emit(eventRefunded, ch)
	}
	return nil
}

// chargeOf returns the charge of an authorized intent, as a copy to change.
func (t *tx) chargeOf(in *intent) *charge {
	stored, ok := t.state.charges.get(*in.LatestCharge)
	if !ok {
		panic("authorized intent " + in.ID + " has no charge")
	}
	ch := *stored
	return &ch
}
