package double

import (
	"crypto/rand"
	"encoding/json"
)

// apiVersion is the version that every object and event is rendered in: that of stripe-go v76, whose
// webhook verification refuses events of any other.
const apiVersion = "2023-10-16"

// Statuses of a PaymentIntent: https://docs.stripe.com/payments/paymentintents/lifecycle
const (
	statusNeedsMethod       = "requires_payment_method"
	statusNeedsConfirmation = "requires_confirmation"
	statusNeedsAction       = "requires_action"
	statusNeedsCapture      = "requires_capture"
	statusSucceeded         = "succeeded"
	statusCanceled          = "canceled"
)

const (
	captureAutomatic = "automatic"
	captureManual    = "manual"
)

// intent is a PaymentIntent in Stripe's own shape, which is also how the journal keeps it. A stored object
// is never changed: a transition works on a copy.
type intent struct {
	ID                      string            `json:"id"`
	Object                  string            `json:"object"`
	Amount                  int64             `json:"amount"` // minor units, like all amounts here
	AmountCapturable        int64             `json:"amount_capturable"`
	AmountReceived          int64             `json:"amount_received"`
	AutomaticPaymentMethods *automaticMethods `json:"automatic_payment_methods"`
	CanceledAt              *int64            `json:"canceled_at"` // unix seconds, like all times here
	CancellationReason      *string           `json:"cancellation_reason"`
	CaptureMethod           string            `json:"capture_method"`
	ClientSecret            string            `json:"client_secret"`
	ConfirmationMethod      string            `json:"confirmation_method"`
	Created                 int64             `json:"created"`
	Currency                string            `json:"currency"`
	Customer                *string           `json:"customer"`
	Description             *string           `json:"description"`
	LastPaymentError        *failure          `json:"last_payment_error"`
	LatestCharge            *string           `json:"latest_charge"`
	Livemode                bool              `json:"livemode"`
	Metadata                metadata          `json:"metadata"`
	NextAction              *nextAction       `json:"next_action"`
	PaymentMethod           *string           `json:"payment_method"`
	PaymentMethodTypes      []string          `json:"payment_method_types"`
	Status                  string            `json:"status"`
}

func (in *intent) key() string    { return in.ID }
func (in *intent) born() int64    { return in.Created }
func (in *intent) status() string { return in.Status }

// automaticMethods says whether payment methods that redirect the customer are allowed.
type automaticMethods struct {
	AllowRedirects string `json:"allow_redirects"`
	Enabled        bool   `json:"enabled"`
}

// nextAction is what the customer has to do to authenticate.
type nextAction struct {
	Type          string          `json:"type"`
	RedirectToURL *redirectAction `json:"redirect_to_url,omitempty"`
	UseStripeSDK  *sdkAction      `json:"use_stripe_sdk,omitempty"`
}

type redirectAction struct {
	ReturnURL string `json:"return_url"`
	URL       string `json:"url"`
}

type sdkAction struct {
	Type   string `json:"type"`
	Source string `json:"three_d_secure_2_source"`
}

// charge is an authorized payment; events about refunds carry it.
type charge struct {
	ID                   string        `json:"id"`
	Object               string        `json:"object"`
	Amount               int64         `json:"amount"`
	AmountCaptured       int64         `json:"amount_captured"`
	AmountRefunded       int64         `json:"amount_refunded"`
	BalanceTransaction   *string       `json:"balance_transaction"`
	Captured             bool          `json:"captured"`
	Created              int64         `json:"created"`
	Currency             string        `json:"currency"`
	Description          *string       `json:"description"`
	Disputed             bool          `json:"disputed"`
	FailureCode          *string       `json:"failure_code"`
	FailureMessage       *string       `json:"failure_message"`
	Livemode             bool          `json:"livemode"`
	Metadata             metadata      `json:"metadata"`
	Paid                 bool          `json:"paid"`
	PaymentIntent        string        `json:"payment_intent"`
	PaymentMethod        string        `json:"payment_method"`
	PaymentMethodDetails methodDetails `json:"payment_method_details"`
	Refunded             bool          `json:"refunded"`
	Status               string        `json:"status"`
}

func (c *charge) key() string    { return c.ID }
func (c *charge) born() int64    { return c.Created }
func (c *charge) status() string { return c.Status }

type methodDetails struct {
	Card card   `json:"card"`
	Type string `json:"type"`
}

type card struct {
	Brand string `json:"brand"`
	Last4 string `json:"last4"`
}

// paymentMethod is embedded in errors, where Stripe gives the object rather than its id.
type paymentMethod struct {
	ID       string `json:"id"`
	Object   string `json:"object"`
	Card     card   `json:"card"`
	Livemode bool   `json:"livemode"`
	Type     string `json:"type"`
}

// refund gives captured money back.
type refund struct {
	ID                 string   `json:"id"`
	Object             string   `json:"object"`
	Amount             int64    `json:"amount"`
	BalanceTransaction *string  `json:"balance_transaction"`
	Charge             string   `json:"charge"`
	Created            int64    `json:"created"`
	Currency           string   `json:"currency"`
	Metadata           metadata `json:"metadata"`
	PaymentIntent      string   `json:"payment_intent"`
	FailureReason      string   `json:"failure_reason,omitempty"`
	Reason             *string  `json:"reason"`
	ReceiptNumber      *string  `json:"receipt_number"`
	Status             string   `json:"status"`
}

func (r *refund) key() string    { return r.ID }
func (r *refund) born() int64    { return r.Created }
func (r *refund) status() string { return r.Status }

// dispute is what the buyer's bank demands back.
type dispute struct {
	ID            string   `json:"id"`
	Object        string   `json:"object"`
	Amount        int64    `json:"amount"`
	Charge        string   `json:"charge"`
	Created       int64    `json:"created"`
	Currency      string   `json:"currency"`
	Livemode      bool     `json:"livemode"`
	Metadata      metadata `json:"metadata"`
	PaymentIntent string   `json:"payment_intent"`
	Reason        string   `json:"reason"`
	Status        string   `json:"status"`
}

func (d *dispute) key() string    { return d.ID }
func (d *dispute) born() int64    { return d.Created }
func (d *dispute) status() string { return d.Status }

// list is a page of objects.
type list[T object] struct {
	Object  string `json:"object"`
	Data    []T    `json:"data"`
	HasMore bool   `json:"has_more"`
	URL     string `json:"url"`
}

// searchResult is the one page of a search.
type searchResult struct {
	Object   string    `json:"object"`
	Data     []*intent `json:"data"`
	HasMore  bool      `json:"has_more"`
	NextPage *string   `json:"next_page"`
	URL      string    `json:"url"`
}

// newID makes an id in Stripe's form: the prefix and 24 letters and digits, 142 bits from the system's
// random source, so ids never repeat across restarts and a client secret can't be guessed.
func newID(prefix string) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var random [24]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the process instead
	id := append(make([]byte, 0, 64), prefix...)
	for _, b := range random {
		id = append(id, alphabet[int(b)%len(alphabet)])
	}
	return string(id)
}

// mustJSON encodes this package's own structs, none of which can fail to encode.
func mustJSON(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("encode a stripe object: " + err.Error())
	}
	return raw
}
