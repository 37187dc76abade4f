package double_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/paymentintent"
	stripeRefund "github.com/stripe/stripe-go/v76/refund"

	"onsale/internal/stripe/double"
)

const (
	testKey    = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
	testSecret = "whsec_test"
	patience   = 20 * time.Second // for conditions; a passing test waits for far less
)

// rig is a double that serves a real listener, and the official client pointed at it.
type rig struct {
	t       *testing.T
	d       *double.Double
	url     string
	intents paymentintent.Client
	refunds stripeRefund.Client
	stop    func() // ends Run and closes the journal; may be called again
}

func start(t *testing.T, cfg double.Config) *rig {
	t.Helper()
	if cfg.SecretKey == "" {
		cfg.SecretKey = testKey
	}
	if cfg.WebhookURL != "" && cfg.WebhookSecret == "" {
		cfg.WebhookSecret = testSecret
	}
	d, err := double.New(cfg)
	if err != nil {
		t.Fatalf("new double: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx, ln) }()
	r := &rig{t: t, d: d, url: "http://" + ln.Addr().String()}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			transport.CloseIdleConnections()
			cancel()
			if err := errors.Join(<-ran, d.Close()); err != nil {
				t.Errorf("stop double: %v", err)
			}
		})
	}
	t.Cleanup(r.stop)
	backend := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL:               stripe.String(r.url),
		MaxNetworkRetries: stripe.Int64(0),
		EnableTelemetry:   stripe.Bool(false),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
		HTTPClient:        &http.Client{Transport: transport, Timeout: patience},
	})
	r.intents = paymentintent.Client{B: backend, Key: testKey}
	r.refunds = stripeRefund.Client{B: backend, Key: testKey}
	return r
}

// params is a confirmed, manually captured payment of 2500 cents.
func params(method string) *stripe.PaymentIntentParams {
	return &stripe.PaymentIntentParams{
		Amount:        stripe.Int64(2500),
		Currency:      stripe.String("usd"),
		PaymentMethod: stripe.String(method),
		Confirm:       stripe.Bool(true),
		CaptureMethod: stripe.String("manual"),
		AutomaticPaymentMethods: &stripe.PaymentIntentAutomaticPaymentMethodsParams{
			Enabled: stripe.Bool(true), AllowRedirects: stripe.String("never"),
		},
	}
}

func (r *rig) pay(method string) *stripe.PaymentIntent {
	r.t.Helper()
	in, err := r.intents.New(params(method))
	if err != nil {
		r.t.Fatalf("pay with %s: %v", method, err)
	}
	return in
}

// count is how many intents the account has.
func (r *rig) count() int {
	r.t.Helper()
	n, it := 0, r.intents.List(&stripe.PaymentIntentListParams{})
	for it.Next() {
		n++
	}
	if it.Err() != nil {
		r.t.Fatalf("list intents: %v", it.Err())
	}
	return n
}

// raw makes a call without the client, for what that can't send.
func (r *rig) raw(method, path, key, idempotencyKey, body string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, string(answer)
}

// stats decodes GET /_double/stats.
func (r *rig) stats() (s struct {
	PaymentIntents map[string]int   `json:"payment_intents"`
	Refunds        map[string]int   `json:"refunds"`
	Calls          map[string]int64 `json:"calls"`
	Keys           int              `json:"idempotency_keys"`
	KeysInUse      int              `json:"idempotency_keys_in_use"`
	Webhooks       map[string]int64 `json:"webhooks"`
}) {
	r.t.Helper()
	_, body := r.raw("GET", "/_double/stats", testKey, "", "")
	if err := json.NewDecoder(bytes.NewBufferString(body)).Decode(&s); err != nil {
		r.t.Fatalf("decode stats %q: %v", body, err)
	}
	return s
}

// stripeError expects err to be the client's, with the status and code.
func stripeError(t *testing.T, err error, status int, code stripe.ErrorCode) *stripe.Error {
	t.Helper()
	var e *stripe.Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want a stripe error %d %s", err, status, code)
	}
	if e.HTTPStatusCode != status || e.Code != code {
		t.Fatalf("got error %d %q (%s), want %d %q", e.HTTPStatusCode, e.Code, e.Msg, status, code)
	}
	return e
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("gave up waiting: %s", what)
		case <-tick.C:
		}
	}
}

func TestNewRefusesConfig(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]double.Config{
		"no key":                     {},
		"webhook without a secret":   {SecretKey: testKey, WebhookURL: "http://127.0.0.1:1/"},
		"webhook that is not a URL":  {SecretKey: testKey, WebhookURL: "nowhere", WebhookSecret: testSecret},
		"journal that is not a file": {SecretKey: testKey, JournalPath: t.TempDir()},
	} {
		if _, err := double.New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRunRunsOnce(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	r.pay("pm_card_visa")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.d.Run(context.Background(), ln); err == nil {
		t.Error("a second Run returned no error")
	}
	if _, err := ln.Accept(); err == nil {
		t.Error("a second Run left its listener open")
	}
}

// Clients open connections that they never use: the end does not wait for one.
func TestSilentConnectionsDelayNoEnd(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	silent, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	r.pay("pm_card_visa") // on a connection that was accepted later
	r.stop()              // fails where a connection outlasts the drain
	if n, err := silent.Read(make([]byte, 1)); err == nil {
		t.Errorf("the silent connection got %d bytes", n)
	}
}

func TestUnauthorized(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	wrong := r.intents
	wrong.Key = "sk_test_somebody_else"
	_, err := wrong.New(params("pm_card_visa"))
	if e := stripeError(t, err, 401, ""); e.Type != stripe.ErrorTypeInvalidRequest || e.RequestID == "" {
		t.Errorf("got type %q and request id %q", e.Type, e.RequestID)
	}
	for _, path := range []string{"/v1/payment_intents", "/_double/faults", "/_double/stats", "/nowhere"} {
		if resp, _ := r.raw("GET", path, "", "", ""); resp.StatusCode != 401 {
			t.Errorf("GET %s without a key: %d", path, resp.StatusCode)
		}
	}
	if resp, body := r.raw("GET", "/v1/customers", testKey, "", ""); resp.StatusCode != 404 ||
		!strings.Contains(body, "Unrecognized request URL") {
		t.Errorf("unknown URL: %d %s", resp.StatusCode, body)
	}
}
