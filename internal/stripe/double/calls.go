package double

import (
	"slices"
	"strings"
)

// maxAmount is Stripe's limit of eight digits, in minor units.
const maxAmount = 99_999_999

// parser reads the parameters of a POST, and returns what remains to be done once they are found valid.
// id is that of the path.
type parser func(id string, f *form) command

// amount returns a parameter in minor units, 0 when it was not given.
func (f *form) amount(name string) int64 {
	n, given := f.integer(name, 1)
	if given && n > maxAmount {
		f.fail(invalid("amount_too_large", name, "Amount must be no more than %d", maxAmount))
	}
	return n
}

// currency returns a required currency in lower case.
func (f *form) currency() string {
	code := strings.ToLower(f.required("currency"))
	if code == "" {
		return ""
	}
	if len(code) != 3 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz") != "" {
		f.fail(invalid("", "currency", "Invalid currency: %s. Stripe uses three-letter ISO codes.", code))
	}
	return code
}

// methods returns which payment methods an intent takes. Stripe decides by itself unless types are named.
func (f *form) methods() ([]string, *automaticMethods) {
	types := f.texts("payment_method_types")
	enabled, given := f.flag("automatic_payment_methods[enabled]")
	redirects := f.choice("automatic_payment_methods[allow_redirects]", "always", "never")
	switch {
	case redirects != "" && !given:
		f.fail(invalid("parameter_missing", "automatic_payment_methods[enabled]",
			"Missing required param: automatic_payment_methods[enabled]."))
	case types != nil && enabled:
		f.fail(invalid("parameters_exclusive", "payment_method_types", "You may only specify one of these parameters: "+
			"automatic_payment_methods, payment_method_types."))
	case types != nil && !slices.Contains(types, "card"):
		f.fail(invalid("", "payment_method_types", "Only test cards exist here: payment_method_types must include card."))
	}
	if types != nil || (given && !enabled) {
		if types == nil {
			types = []string{"card"}
		}
		return types, nil
	}
	if redirects == "" {
		redirects = "always"
	}
	return []string{"card"}, &automaticMethods{AllowRedirects: redirects, Enabled: true}
}

// confirmation returns what the call says about the attempt, and whether it says anything.
func (f *form) confirmation() (c confirmation, given bool) {
	off, onAction := f.has("off_session"), f.has("error_on_requires_action")
	c.returnURL = f.text("return_url")
	c.offSession, _ = f.flag("off_session")
	c.errorOnAction, _ = f.flag("error_on_requires_action")
	return c, off || onAction || c.returnURL != ""
}

// returnURLNeeded refuses to confirm where a customer may be redirected with no way back.
func returnURLNeeded(automatic *automaticMethods, returnURL string) *apiError {
	if automatic == nil || automatic.AllowRedirects == "never" || returnURL != "" {
		return nil
	}
	return invalid("", "return_url", "This PaymentIntent is configured to accept payment methods enabled in your "+
		"Dashboard. Because some of these payment methods might redirect your customer off of your page, you must "+
		"provide a `return_url`. If you don't want to accept redirect-based payment methods, set "+
		"`automatic_payment_methods[enabled]` to `true` and `automatic_payment_methods[allow_redirects]` to `never` "+
		"when creating Setup Intents and Payment Intents.")
}

func parseCreate(_ string, f *form) command {
	in := intent{Metadata: metadata{}.with(f.metadata())}
	if !f.has("amount") {
		f.required("amount")
	}
	in.Amount = f.amount("amount")
	in.Currency = f.currency()
	in.CaptureMethod = f.choice("capture_method", captureAutomatic, captureManual)
	if in.CaptureMethod == "" {
		in.CaptureMethod = captureAutomatic
	}
	if text := f.text("description"); text != "" {
		in.Description = &text
	}
	if method := f.text("payment_method"); method != "" {
		in.PaymentMethod = &method
	}
	in.PaymentMethodTypes, in.AutomaticPaymentMethods = f.methods()
	confirm, _ := f.flag("confirm")
	c, given := f.confirmation()
	var attempt *confirmation
	switch {
	case confirm && in.PaymentMethod == nil:
		f.fail(invalid("parameter_missing", "payment_method", "You cannot confirm this PaymentIntent because it's "+
			"missing a payment method."))
	case confirm:
		attempt = &c
		if err := returnURLNeeded(in.AutomaticPaymentMethods, c.returnURL); err != nil {
			f.fail(err)
		}
	case given:
		f.fail(invalid("", "confirm", "The parameters return_url, off_session and error_on_requires_action cannot be "+
			"passed when creating a PaymentIntent unless confirm is set to true."))
	}
	return func(t *tx) (object, *apiError) {
		made, err := t.create(in, attempt)
		if err != nil {
			return nil, t.dropUnlessDeclined(err)
		}
		return made, nil
	}
}

// dropUnlessDeclined forgets what a call gathered before it failed. A decline is the exception: the failed
// attempt is part of the account's history.
func (t *tx) dropUnlessDeclined(e *apiError) *apiError {
	if e.Type != typeCard {
		t.change = change{}
	}
	return e
}

// onIntent makes a command of a transition of the intent in the path.
func onIntent(id string, transition func(t *tx, in *intent) *apiError) command {
	return func(t *tx) (object, *apiError) {
		in, err := t.intent(id)
		if err != nil {
			return nil, err
		}
		if err := transition(t, in); err != nil {
			return nil, t.dropUnlessDeclined(err)
		}
		return in, nil
	}
}

func parseConfirm(id string, f *form) command {
	method := f.text("payment_method")
	capture := f.choice("capture_method", captureAutomatic, captureManual)
	f.flag("use_stripe_sdk") // says how the client would like to authenticate; there is one way here
	c, _ := f.confirmation()
	return onIntent(id, func(t *tx, in *intent) *apiError { return t.confirm(in, method, capture, c) })
}

func parseCapture(id string, f *form) command {
	amount, pairs := f.amount("amount_to_capture"), f.metadata()
	return onIntent(id, func(t *tx, in *intent) *apiError { return t.capture(in, amount, pairs) })
}

func parseCancel(id string, f *form) command {
	reason := f.choice("cancellation_reason", "duplicate", "fraudulent", "requested_by_customer", "abandoned")
	return onIntent(id, func(t *tx, in *intent) *apiError { return t.cancel(in, reason) })
}

func parseRefund(_ string, f *form) command {
	id, amount := f.required("payment_intent"), f.amount("amount")
	reason := f.choice("reason", "duplicate", "fraudulent", "requested_by_customer")
	pairs := f.metadata()
	return func(t *tx) (object, *apiError) {
		re, err := t.refund(id, amount, reason, pairs)
		if err != nil {
			return nil, err
		}
		return re, nil
	}
}
