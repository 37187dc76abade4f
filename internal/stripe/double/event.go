package double

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
)

// event is something that happened to an object, and the object as it was then.
type event struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Created int64  `json:"created"`
	Request string `json:"request,omitempty"` // id of the API request that caused it
	Key     string `json:"idempotency_key,omitempty"`

	object json.RawMessage
}

// body renders the event as Stripe sends it.
func (e *event) body() []byte {
	type data struct {
		Object json.RawMessage `json:"object"`
	}
	type request struct {
		ID             *string `json:"id"`
		IdempotencyKey *string `json:"idempotency_key"`
	}
	optional := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	return mustJSON(struct {
		ID              string  `json:"id"`
		Object          string  `json:"object"`
		APIVersion      string  `json:"api_version"`
		Created         int64   `json:"created"`
		Data            data    `json:"data"`
		Livemode        bool    `json:"livemode"`
		PendingWebhooks int     `json:"pending_webhooks"`
		Request         request `json:"request"`
		Type            string  `json:"type"`
	}{
		ID: e.ID, Object: "event", APIVersion: apiVersion, Created: e.Created, Data: data{e.object},
		PendingWebhooks: 1, Request: request{optional(e.Request), optional(e.Key)}, Type: e.Type,
	})
}

// signature is the Stripe-Signature header: https://docs.stripe.com/webhooks#verify-manually
func signature(secret string, at time.Time, body []byte) string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	return "t=" + stamp + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
