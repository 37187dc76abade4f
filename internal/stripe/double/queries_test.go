package double_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stripe/stripe-go/v76"

	"onsale/internal/stripe/double"
)

// A search knows one form of query and refuses every other, as Stripe does what it can't parse.
func TestSearch(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	find := func(query string) (int, string) {
		resp, body := r.raw("GET", "/v1/payment_intents/search?"+url.Values{"query": {query}, "limit": {"100"}}.Encode(), testKey, "", "")
		return resp.StatusCode, body
	}
	for _, attempt := range []string{"a-1", "a-2", "a-1"} {
		params := &stripe.PaymentIntentParams{Amount: stripe.Int64(100), Currency: stripe.String("eur"), PaymentMethodTypes: stripe.StringSlice([]string{"card"})}
		params.AddMetadata("attempt_id", attempt)
		if _, err := r.intents.New(params); err != nil {
			t.Fatal(err)
		}
	}
	for attempt, want := range map[string]int{"a-1": 2, "a-2": 1, "a-3": 0} {
		status, body := find("metadata['attempt_id']:'" + attempt + "'")
		if n := strings.Count(body, `"payment_intent"`); status != http.StatusOK || n != want || !strings.Contains(body, `"object":"search_result"`) {
			t.Errorf("%s: %d, %d intents, want %d: %s", attempt, status, n, want, body)
		}
	}
	for _, query := range []string{"", "status:'succeeded'", "metadata['order_id']:'a-1'", "metadata['attempt_id']:'a-1' OR status:'canceled'", "-metadata['attempt_id']:'a-1'",
		`metadata["attempt_id"]:"a-1"`, "metadata['attempt_id']~'a-1'", "metadata['attempt_id']:''"} {
		if status, body := find(query); status != http.StatusBadRequest || !strings.Contains(body, "invalid_request_error") {
			t.Errorf("%q: %d %s", query, status, body)
		}
	}
}
