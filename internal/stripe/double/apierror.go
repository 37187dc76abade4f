package double

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Types of errors: https://docs.stripe.com/api/errors
const (
	typeAPI         = "api_error"
	typeCard        = "card_error"
	typeIdempotency = "idempotency_error"
	typeInvalid     = "invalid_request_error"
)

// failure is what an API error and a PaymentIntent's last_payment_error have in common.
type failure struct {
	Charge        string         `json:"charge,omitempty"`
	Code          string         `json:"code,omitempty"`
	DeclineCode   string         `json:"decline_code,omitempty"`
	DocURL        string         `json:"doc_url,omitempty"`
	Message       string         `json:"message"`
	Param         string         `json:"param,omitempty"`
	PaymentMethod *paymentMethod `json:"payment_method,omitempty"`
	Type          string         `json:"type"`
}

// apiError is an error answer in Stripe's format.
type apiError struct {
	failure
	PaymentIntent json.RawMessage `json:"payment_intent,omitempty"`

	status int
}

// body renders the answer.
func (e *apiError) body() json.RawMessage {
	return mustJSON(struct {
		Error *apiError `json:"error"`
	}{e})
}

// docURL is where Stripe explains a code.
func docURL(code string) string {
	if code == "" {
		return ""
	}
	return "https://stripe.com/docs/error-codes/" + strings.ReplaceAll(code, "_", "-")
}

// invalid is a 400 about one parameter; code and param may be empty.
func invalid(code, param, format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, failure: failure{
		Type: typeInvalid, Code: code, Param: param, DocURL: docURL(code), Message: fmt.Sprintf(format, args...),
	}}
}

// missing is the 404 for an object in the path that doesn't exist.
func missing(object, param, id string) *apiError {
	e := invalid("resource_missing", param, "No such %s: '%s'", object, id)
	e.status = http.StatusNotFound
	return e
}

// unexpectedState refuses a call that the intent's status doesn't allow, with the intent embedded.
func unexpectedState(in *intent, format string, args ...any) *apiError {
	e := invalid("payment_intent_unexpected_state", "", format, args...)
	e.PaymentIntent = mustJSON(in)
	return e
}

func unauthorized(key string) *apiError {
	message := "You did not provide an API key. You need to provide your API key in the Authorization " +
		"header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
	if key != "" {
		message = "Invalid API Key provided: " + redact(key)
	}
	return &apiError{status: http.StatusUnauthorized, failure: failure{Type: typeInvalid, Message: message}}
}

// redact keeps of a key what helps to recognize it: its kind and its last four characters.
func redact(key string) string {
	const kind, tail = 8, 4 // len("sk_test_")
	if len(key) < kind+2*tail {
		return strings.Repeat("*", min(len(key), kind))
	}
	return key[:kind] + strings.Repeat("*", 8) + key[len(key)-tail:]
}

func rateLimited() *apiError {
	e := invalid("rate_limit", "", "Request rate limit exceeded. Learn more about rate limits here "+
		"https://stripe.com/docs/rate-limits.")
	e.status = http.StatusTooManyRequests
	return e
}

func serverError() *apiError {
	return &apiError{status: http.StatusInternalServerError, failure: failure{
		Type: typeAPI, Message: "An unknown error occurred while processing the request.",
	}}
}

// expired refuses a capture whose authorization the bank has let go.
func expired() *apiError {
	const code = "charge_expired_for_capture"
	return &apiError{status: http.StatusPaymentRequired, failure: failure{
		Type: typeCard, Code: code, DocURL: docURL(code), Message: "The charge cannot be captured as the authorization has expired.",
	}}
}

func unknownURL(c *call) *apiError {
	return &apiError{status: http.StatusNotFound, failure: failure{
		Type:    typeInvalid,
		Message: fmt.Sprintf("Unrecognized request URL (%s: %s).", c.method, c.path),
	}}
}

func keyInUse(key string) *apiError {
	e := invalid("idempotency_key_in_use", "", "There is currently another in-progress request using this "+
		"Idempotency-Key (that probably means you submitted twice, and the other request is still going "+
		"through): %s. Please try again later.", key)
	e.status = http.StatusConflict
	return e
}

func keyReused(key string) *apiError {
	return &apiError{status: http.StatusBadRequest, failure: failure{
		Type: typeIdempotency,
		Message: fmt.Sprintf("Keys for idempotent requests can only be used with the same endpoint and "+
			"parameters they were first used with. Try using a key other than '%s' if you meant to execute "+
			"a different request.", key),
	}}
}
