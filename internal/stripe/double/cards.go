package double

import "net/http"

// outcome is what happens when a test card is charged.
type outcome int

const (
	approves outcome = iota
	declines
	authenticates
)

// testCard is one of Stripe's test payment methods: https://docs.stripe.com/testing
type testCard struct {
	id          string
	card        card
	outcome     outcome
	refund      string // what a refund of it is at first; "" for succeeded
	code        string // of a decline
	declineCode string
	message     string
}

// lookUpCard knows the test cards; there are no others.
func lookUpCard(id string) (testCard, *apiError) {
	c := testCard{id: id}
	switch id {
	case "pm_card_visa":
		c.card = card{"visa", "4242"}
	case "pm_card_mastercard":
		c.card = card{"mastercard", "4444"}
	case "pm_card_amex":
		c.card = card{"amex", "8431"}
	case "pm_card_pendingRefund":
		c.card, c.refund = card{"visa", "7726"}, refundPending
	case "pm_card_refundFail":
		c.card, c.refund = card{"visa", "5126"}, refundFailed
	case "pm_card_visa_chargeDeclined", "pm_card_chargeDeclined":
		c = c.declining("0002", "card_declined", "generic_decline", "Your card was declined.")
	case "pm_card_visa_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedInsufficientFunds":
		c = c.declining("9995", "card_declined", "insufficient_funds", "Your card has insufficient funds.")
	case "pm_card_visa_chargeDeclinedExpiredCard", "pm_card_chargeDeclinedExpiredCard":
		c = c.declining("0069", "expired_card", "expired_card", "Your card has expired.")
	case "pm_card_authenticationRequired":
		c.card, c.outcome = card{"visa", "3184"}, authenticates
	case "pm_card_threeDSecure2Required":
		c.card, c.outcome = card{"visa", "3220"}, authenticates
	default:
		return c, invalid("resource_missing", "payment_method", "No such PaymentMethod: '%s'", id)
	}
	return c, nil
}

func (c testCard) declining(last4, code, declineCode, message string) testCard {
	c.card, c.outcome = card{"visa", last4}, declines
	c.code, c.declineCode, c.message = code, declineCode, message
	return c
}

// unattended is c when nobody is there to authenticate: the issuer declines.
func (c testCard) unattended() testCard {
	return c.declining(c.card.Last4, "authentication_required", "authentication_required",
		"Your card was declined. This transaction requires authentication.")
}

func (c testCard) method() *paymentMethod {
	return &paymentMethod{ID: c.id, Object: "payment_method", Card: c.card, Type: "card"}
}

// decline is the 402 that a declined attempt is answered with; chargeID names the failed attempt.
func (c testCard) decline(chargeID string) *apiError {
	return &apiError{status: http.StatusPaymentRequired, failure: failure{
		Type: typeCard, Code: c.code, DeclineCode: c.declineCode, DocURL: docURL(c.code),
		Message: c.message, Charge: chargeID, PaymentMethod: c.method(),
	}}
}
