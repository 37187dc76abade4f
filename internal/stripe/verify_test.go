package stripe

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stripe/stripe-go/v76/webhook"

	"onsale/events"
	"onsale/internal/sale"
	"onsale/internal/stripe/double"
)

const (
	hookSecret  = "whsec_current"
	priorSecret = "whsec_prior"
)

func verifier(secrets ...string) *Client { return New(Config{WebhookSecrets: secrets}) }

// sign makes a Stripe-Signature header.
func sign(body, secret string, at time.Time) string {
	return webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(body), Secret: secret, Timestamp: at}).Header
}

func hook(object string) string {
	return `{"id":"evt_1","object":"event","api_version":"2020-01-01","created":1700000000,"type":"payment_intent.succeeded","data":{"object":` + object + `}}`
}

const paid = `{"id":"pi_1","object":"payment_intent","metadata":{"attempt_id":"a-1","order_id":"o-1"},"payment_method":{"card":{"last4":"4242"}}}`

func TestVerifyReadsWhatItIsAbout(t *testing.T) {
	t.Parallel()
	want := events.StripeEvent{V: events.Version, ID: "evt_1", Type: "payment_intent.succeeded", Created: time.Unix(1700000000, 0).UTC()}
	intent := func(id, attempt string) events.StripeEvent {
		w := want
		w.IntentID, w.AttemptID = id, attempt
		return w
	}
	object := func(id, object string) events.StripeEvent {
		w := want
		w.IntentID, w.ObjectID = id, object
		return w
	}
	for object, want := range map[string]events.StripeEvent{
		paid: intent("pi_1", "a-1"),
		`{"id":"pi_2","object":"payment_intent","metadata":null}`:                                 intent("pi_2", ""),
		`{"id":"pi_3","object":"payment_intent","metadata":{}}`:                                   intent("pi_3", ""),
		`{"id":"pi_4","object":"payment_intent"}`:                                                 intent("pi_4", ""),
		`{"id":"ch_1","object":"charge","payment_intent":"pi_1","metadata":{"attempt_id":"a-1"}}`: intent("pi_1", ""),
		`{"id":"ch_1","object":"charge","payment_intent":null}`:                                   want,
		`{"id":"du_1","object":"dispute","payment_intent":"pi_1"}`:                                object("pi_1", "du_1"),
		`{"id":"re_1","object":"refund","payment_intent":"pi_1"}`:                                 object("pi_1", "re_1"),
		`{"object":"balance","livemode":false}`:                                                   want,
	} {
		body := hook(object)
		got, err := verifier(hookSecret).Verify([]byte(body), sign(body, hookSecret, time.Now()))
		if err != nil {
			t.Errorf("%s: %v", object, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", object, diff)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	body, now := hook(paid), time.Now()
	good := sign(body, hookSecret, now)
	for name, c := range map[string]struct{ body, signature string }{
		"no signature":        {body, ""},
		"not a signature":     {body, "t=1,v1=zz"},
		"another secret":      {body, sign(body, "whsec_other", now)},
		"an old signature":    {body, sign(body, hookSecret, now.Add(-6*time.Minute))},
		"an altered body":     {strings.Replace(body, "a-1", "a-2", 1), good},
		"a longer body":       {body + " ", good},
		"an empty body":       {"", good},
		"an altered time":     {body, strings.Replace(sign(body, hookSecret, now.Add(-6*time.Minute)), "t=", "t=9", 1)},
		"another's signature": {body, sign(hook(`{}`), hookSecret, now)},
	} {
		for _, v := range []*Client{verifier(hookSecret), verifier(hookSecret, priorSecret), verifier()} {
			got, err := v.Verify([]byte(c.body), c.signature)
			if sale.KindOf(err) != sale.Invalid || sale.CodeOf(err) != "bad_signature" || got != (events.StripeEvent{}) {
				t.Errorf("%s: %+v (%v)", name, got, err)
			}
			discreet(t, err)
		}
	}
	if _, err := verifier().Verify([]byte(body), good); sale.CodeOf(err) != "bad_signature" {
		t.Errorf("without secrets: %v", err)
	}
}

func TestVerifyDuringARotation(t *testing.T) {
	t.Parallel()
	body, now := hook(paid), time.Now()
	both := verifier(hookSecret, priorSecret)
	for _, secret := range []string{hookSecret, priorSecret} {
		if e, err := both.Verify([]byte(body), sign(body, secret, now)); err != nil || e.IntentID != "pi_1" {
			t.Errorf("%s: %+v (%v)", secret, e, err)
		}
	}
	if _, err := verifier(hookSecret).Verify([]byte(body), sign(body, priorSecret, now)); sale.CodeOf(err) != "bad_signature" {
		t.Errorf("after it: %v", err)
	}
}

// TestVerifySurvivesOddBodies: signed, but not what Stripe sends.
func TestVerifySurvivesOddBodies(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `null`, `[]`, `{`, `{}`, `{"id":"evt_1","type":"x"}`, `{"id":"evt_1","type":"x","data":null}`,
		`{"id":"evt_1","type":"x","data":{}}`, hook(`null`), hook(`[]`), hook(`"pi_1"`), hook(`{"object":7}`), hook(`{"object":"payment_intent","metadata":{"attempt_id":7}}`)} {
		got, err := verifier(hookSecret).Verify([]byte(body), sign(body, hookSecret, time.Now()))
		if err == nil && (got.IntentID != "" || got.AttemptID != "") || err != nil && sale.KindOf(err) != sale.Invalid {
			t.Errorf("%s: %+v (%v)", body, got, err)
		}
	}
}

// TestVerifyTakesTheDoublesWebhooks, which are signed and shaped as Stripe's are.
func TestVerifyTakesTheDoublesWebhooks(t *testing.T) {
	t.Parallel()
	type delivery struct {
		event events.StripeEvent
		err   error
	}
	got := make(chan delivery, 16)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		e, err := verifier(priorSecret, hookSecret).Verify(body, r.Header.Get("Stripe-Signature"))
		got <- delivery{e, err}
	}))
	t.Cleanup(receiver.Close)
	r := serve(t, double.Config{SecretKey: testKey, WebhookURL: receiver.URL, WebhookSecret: hookSecret}, testKey)
	a := attempt(visa)
	i := r.authorized(a)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		select {
		case d := <-got:
			if d.err != nil {
				t.Fatal(d.err)
			}
			if d.event.Type != "payment_intent.amount_capturable_updated" {
				continue
			}
			if d.event.IntentID != i.ID || d.event.AttemptID != a.ID.String() || time.Since(d.event.Created) > time.Minute {
				t.Errorf("got %+v", d.event)
			}
			return
		case <-ctx.Done():
			t.Fatal("no webhook came")
		}
	}
}
