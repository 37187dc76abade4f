// Package stripe is the adapter to Stripe's API, and the only importer of stripe-go. The same code speaks to
// Stripe and to the local double. It promises one of three answers to every call that moves money: what Stripe
// decided, a definite refusal, or that the outcome is unknown (sale.Unavailable), after which the caller asks
// again under the same idempotency key.
package stripe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/dispute"
	"github.com/stripe/stripe-go/v76/paymentintent"
	"github.com/stripe/stripe-go/v76/refund"
	"github.com/stripe/stripe-go/v76/webhook"

	"onsale/events"
	"onsale/internal/pace"
	"onsale/internal/sale"
)

// Config tells how to reach Stripe.
type Config struct {
	SecretKey      string
	WebhookSecrets []string      // the first that verifies counts; two during a rotation
	APIURL         string        // "" for Stripe's own
	Timeout        time.Duration // of one call, which begins when it has its turn; after it the outcome is unknown
	Pacer          *pace.Pacer   // gives calls their turns; nil, or one without a limit, for none
}

// Client calls Stripe. Safe for concurrent use.
type Client struct {
	backend  stripe.Backend
	key      string
	intents  paymentintent.Client // for lists and searches
	refunds  refund.Client
	disputes dispute.Client
	secrets  []string
}

// New makes a client. It opens no connection.
func New(cfg Config) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 1024, 1024 // more than a worker calls at once: none is closed to be opened again
	pacer := cfg.Pacer
	if pacer != nil && pacer.Limit.Rate <= 0 {
		pacer = nil
	}
	bc := &stripe.BackendConfig{
		HTTPClient:        &http.Client{Transport: &paced{base: transport, pacer: pacer, timeout: cfg.Timeout}},
		MaxNetworkRetries: stripe.Int64(0), // retries are the stream's, so that each one is seen and bounded
		EnableTelemetry:   stripe.Bool(false),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
	}
	if cfg.APIURL != "" {
		bc.URL = stripe.String(cfg.APIURL)
	}
	backend := stripe.GetBackendWithConfig(stripe.APIBackend, bc)
	return &Client{
		backend: backend, key: cfg.SecretKey,
		intents:  paymentintent.Client{B: backend, Key: cfg.SecretKey},
		refunds:  refund.Client{B: backend, Key: cfg.SecretKey},
		disputes: dispute.Client{B: backend, Key: cfg.SecretKey},
		secrets:  cfg.WebhookSecrets,
	}
}

// Authorize asks for the money of an attempt without taking it. The attempt's id is the idempotency key, so
// asking again finds the first answer. A declined card is an intent in requires_payment_method, not an error;
// what Stripe refuses to look at is sale.Invalid.
func (c *Client) Authorize(ctx context.Context, a sale.Attempt) (sale.Intent, error) {
	params := &stripe.PaymentIntentParams{
		Amount: stripe.Int64(a.Amount), Currency: stripe.String(a.Currency),
		PaymentMethod: stripe.String(a.PaymentMethod), PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
		CaptureMethod: stripe.String(string(stripe.PaymentIntentCaptureMethodManual)), Confirm: stripe.Bool(true),
	}
	params.AddMetadata("attempt_id", a.ID.String())
	params.AddMetadata("order_id", a.OrderID.String())
	params.AddMetadata("event_id", a.EventID)
	params.Context = ctx
	params.SetIdempotencyKey(a.ID.String())
	return c.call("authorize", http.MethodPost, "/v1/payment_intents", params)
}

// Retrieve asks how an intent stands now.
func (c *Client) Retrieve(ctx context.Context, intentID string) (sale.Intent, error) {
	params := &stripe.PaymentIntentParams{}
	params.Context = ctx
	return c.call("retrieve intent", http.MethodGet, stripe.FormatURLPath("/v1/payment_intents/%s", intentID), params)
}

// Capture takes the money of an authorized intent. An intent that can't be captured is sale.Conflict. An intent
// is captured once whatever the key, so try makes a key of its own for each: under an old one Stripe would repeat
// a stored failure for a day.
func (c *Client) Capture(ctx context.Context, attempt uuid.UUID, intentID string, try int) (sale.Intent, error) {
	params := &stripe.PaymentIntentCaptureParams{}
	params.Context = ctx
	params.SetIdempotencyKey(fmt.Sprintf("%s:capture:%d", attempt, try))
	return c.call("capture", http.MethodPost, stripe.FormatURLPath("/v1/payment_intents/%s/capture", intentID), params)
}

// Cancel gives an authorization back. An intent that can't be canceled is sale.Conflict. try is as for Capture; the
// intent is in the key too, since it may be another than the attempt's own.
func (c *Client) Cancel(ctx context.Context, attempt uuid.UUID, intentID string, try int) (sale.Intent, error) {
	params := &stripe.PaymentIntentCancelParams{}
	params.Context = ctx
	params.SetIdempotencyKey(fmt.Sprintf("%s:cancel:%s:%d", attempt, intentID, try))
	return c.call("cancel", http.MethodPost, stripe.FormatURLPath("/v1/payment_intents/%s/cancel", intentID), params)
}

// Each calls f for every intent, newest first, until f returns false. It is for the audit: after a big sale it reads for
// minutes.
func (c *Client) Each(ctx context.Context, f func(sale.Intent) bool) error {
	params := &stripe.PaymentIntentListParams{}
	params.Limit = stripe.Int64(100)
	params.Context = ctx
	it := c.intents.List(params)
	for it.Next() {
		if !f(listed(it.PaymentIntent()).intent()) {
			return nil
		}
	}
	if err := it.Err(); err != nil {
		_, err = failed("list intents", err)
		return err
	}
	return nil
}

// Find searches for the intent of an attempt, for when its idempotency key is of no more use. Of several it is one that
// has money, where any does. false: Stripe has none, as far as it knows yet.
//
// Stripe's index is behind: by less than a minute as a rule, by up to an hour during an outage of theirs
// (https://docs.stripe.com/api/payment_intents/search). So it only tells which intents there are, and each is asked for as it stands. One that is
// missed costs nobody money: Stripe tells of its authorization by webhook, and an attempt that is undecided by then takes
// it, while one that was given up meanwhile gives it back.
func (c *Client) Find(ctx context.Context, attempt uuid.UUID) (sale.Intent, bool, error) {
	params := &stripe.PaymentIntentSearchParams{SearchParams: stripe.SearchParams{
		Context: ctx, Query: fmt.Sprintf("metadata['attempt_id']:'%s'", attempt), Limit: stripe.Int64(100), Single: true,
	}}
	var found sale.Intent
	it := c.intents.Search(params)
	for it.Next() {
		i, err := c.Retrieve(ctx, it.PaymentIntent().ID)
		if err != nil {
			return sale.Intent{}, false, err
		}
		if found.ID == "" || i.Status == sale.IntentRequiresCapture || i.Status == sale.IntentSucceeded {
			found = i
		}
	}
	if err := it.Err(); err != nil {
		_, err = failed("search intents", err)
		return sale.Intent{}, false, err
	}
	return found, found.ID != "", nil
}

// Verify checks a webhook's signature over the raw body and its age (five minutes), and reads what it is about.
func (c *Client) Verify(body []byte, signature string) (events.StripeEvent, error) {
	bad := sale.Errorf(sale.Invalid, "bad_signature", "the webhook's signature is missing, wrong or too old")
	for _, secret := range c.secrets {
		if bad.Err = webhook.ValidatePayload(body, signature, secret); bad.Err == nil {
			return readEvent(body)
		}
	}
	return events.StripeEvent{}, bad
}

// readEvent reads an event. stripe-go's own reading of it takes the whole object apart.
func readEvent(body []byte) (events.StripeEvent, error) {
	var e struct {
		ID      string `json:"id"`
		Type    string `json:"type"`
		Created int64  `json:"created"`
		Data    *struct {
			Object struct {
				Object        string            `json:"object"`
				ID            string            `json:"id"`
				PaymentIntent string            `json:"payment_intent"`
				Metadata      map[string]string `json:"metadata"`
			} `json:"object"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return events.StripeEvent{}, sale.Errorf(sale.Invalid, "bad_webhook", "the webhook can't be read").Because(err)
	}
	if e.Data == nil {
		return events.StripeEvent{}, sale.Errorf(sale.Invalid, "bad_webhook", "the webhook has no object")
	}
	out := events.StripeEvent{V: events.Version, ID: e.ID, Type: e.Type, Created: time.Unix(e.Created, 0).UTC()}
	switch object := e.Data.Object; object.Object {
	case "payment_intent":
		out.IntentID, out.AttemptID = object.ID, object.Metadata["attempt_id"]
	case "charge":
		out.IntentID = object.PaymentIntent
	case "refund", "dispute":
		out.IntentID, out.ObjectID = object.PaymentIntent, object.ID
	}
	return out, nil
}

// paymentIntent is what we read of an intent. stripe-go's own type has ten times as much, and reads every answer three
// times over.
type paymentIntent struct {
	stripe.APIResource
	ID                 string            `json:"id"`
	Status             string            `json:"status"`
	Amount             int64             `json:"amount"`
	AmountReceived     int64             `json:"amount_received"`
	Currency           string            `json:"currency"`
	ClientSecret       string            `json:"client_secret"`
	Metadata           map[string]string `json:"metadata"`
	CancellationReason string            `json:"cancellation_reason"`
	LastPaymentError   *stripe.Error     `json:"last_payment_error"`
}

// listed is the same of an intent that stripe-go has read: one of a list, or of a refusal.
func listed(pi *stripe.PaymentIntent) *paymentIntent {
	return &paymentIntent{
		ID: pi.ID, Status: string(pi.Status), Amount: pi.Amount, AmountReceived: pi.AmountReceived, Currency: string(pi.Currency),
		ClientSecret: pi.ClientSecret, Metadata: pi.Metadata, CancellationReason: string(pi.CancellationReason), LastPaymentError: pi.LastPaymentError,
	}
}

func (pi *paymentIntent) intent() sale.Intent {
	i := sale.Intent{
		ID: pi.ID, Status: sale.IntentStatus(pi.Status), Amount: pi.Amount, Captured: pi.AmountReceived, Currency: pi.Currency,
		ClientSecret: pi.ClientSecret, AttemptID: pi.Metadata["attempt_id"], OrderID: pi.Metadata["order_id"], EventID: pi.Metadata["event_id"],
		Reason: pi.CancellationReason,
	}
	if pi.LastPaymentError != nil {
		i.Reason = reason(pi.LastPaymentError)
	}
	return i
}

func reason(e *stripe.Error) string {
	if e.DeclineCode != "" {
		return string(e.DeclineCode)
	}
	return string(e.Code)
}

// call makes a call that is answered with an intent, and sorts what Stripe said: a decision, a definite refusal, or an
// unknown outcome.
func (c *Client) call(verb, method, path string, params stripe.ParamsContainer) (sale.Intent, error) {
	var pi paymentIntent
	if err := c.backend.Call(method, path, c.key, params, &pi); err != nil {
		return failed(verb, err)
	}
	return pi.intent(), nil
}

// failed sorts what Stripe said that was not an intent: a declined card is a decision.
func failed(verb string, err error) (sale.Intent, error) {
	e, err := sorted(verb, err)
	if e != nil && e.Type == stripe.ErrorTypeCard && e.PaymentIntent != nil {
		declined := listed(e.PaymentIntent).intent()
		declined.Status, declined.Reason = sale.IntentRequiresPaymentMethod, reason(e)
		return declined, nil
	}
	return sale.Intent{}, err
}

// sorted gives a failed call the kind of what is known by it: a definite refusal, or an unknown outcome. Stripe's own
// error is beside it, where there was one.
func sorted(verb string, err error) (*stripe.Error, error) {
	var e *stripe.Error
	switch {
	case errors.Is(err, pace.ErrNoTurn):
		return nil, notNow(verb, pace.ErrNoTurn)
	case !errors.As(err, &e):
		return nil, unknown(verb, transport(err))
	}
	// The request's own error text may hold what was sent; only Stripe's codes go on.
	cause := fmt.Errorf("stripe answered %d %s %s (request %s)", e.HTTPStatusCode, e.Type, e.Code, e.RequestID)
	switch {
	case e.HTTPStatusCode == http.StatusTooManyRequests:
		return e, notNow(verb, cause)
	case e.HTTPStatusCode >= 500, e.HTTPStatusCode == http.StatusConflict,
		e.HTTPStatusCode == http.StatusUnauthorized, e.HTTPStatusCode == http.StatusForbidden:
		// A wrong API key is the operator's to mend, and no fan's order should die of it.
		return e, unknown(verb, cause)
	case e.Type == stripe.ErrorTypeIdempotency:
		// The key was used with other parameters, by another build: what it did then must be looked up.
		return e, unknown(verb, cause)
	case e.Code == stripe.ErrorCodePaymentIntentUnexpectedState:
		return e, sale.Errorf(sale.Conflict, "unexpected_state", "%s: the payment is in another state", verb).Because(cause)
	default:
		return e, sale.Errorf(sale.Invalid, string(e.Code), "%s: Stripe refused the request", verb).Because(cause)
	}
}

// transport keeps what the network says. Of an answer that can't be read, stripe-go quotes the beginning: a
// proxy's page with our headers in it, or an intent with its client secret.
func transport(err error) error {
	var call *url.Error
	var network net.Error
	if errors.As(err, &call) || errors.As(err, &network) {
		return err
	}
	return errors.New("the answer can't be read")
}

func unknown(verb string, err error) error {
	return sale.Errorf(sale.Unavailable, "payment_unknown", "%s: Stripe's answer is not known", verb).Because(err)
}

// notNow is a call that had no effect: it was not made, or Stripe refused it for the account's rate.
func notNow(verb string, err error) error {
	return sale.Errorf(sale.Unavailable, sale.CodePaced, "%s: Stripe takes no more calls at the moment", verb).Because(err)
}
