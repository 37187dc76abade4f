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

// body appends the event as Stripe sends it.
func (e *event) body(b []byte) []byte {
	b = appendString(append(b, `{"id":`...), e.ID)
	b = append(b, `,"object":"event","api_version":"`+apiVersion+`","created":`...)
	b = strconv.AppendInt(b, e.Created, 10)
	b = append(append(b, `,"data":{"object":`...), e.object...)
	b = append(b, `},"livemode":false,"pending_webhooks":1,"request":{"id":`...)
	b = appendOptional(b, e.Request)
	b = appendOptional(append(b, `,"idempotency_key":`...), e.Key)
	b = appendString(append(b, `},"type":`...), e.Type)
	return append(b, '}')
}

func appendOptional(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendString(b, s)
}

// signature is the Stripe-Signature header: https://docs.stripe.com/webhooks#verify-manually
func signature(secret string, at time.Time, body []byte) string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	return "t=" + stamp + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
