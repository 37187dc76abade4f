package double_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"

	"onsale/internal/stripe/double"
)

// receiver is a webhook endpoint that checks every event as an integration does.
type receiver struct {
	url string

	mu     sync.Mutex
	events []stripe.Event
	calls  int
	answer func(call int) int // status of the nth call, from 1; nil: 200
}

func receive(t *testing.T) *receiver {
	t.Helper()
	rc := &receiver{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read event: %v", err)
		}
		ev, err := webhook.ConstructEvent(body, r.Header.Get("Stripe-Signature"), testSecret)
		if err != nil {
			t.Errorf("verify event %s: %v", body, err)
		}
		if _, err := webhook.ConstructEvent(body, r.Header.Get("Stripe-Signature"), "whsec_other"); err == nil {
			t.Error("the event passes under any secret")
		}
		rc.mu.Lock()
		defer rc.mu.Unlock()
		rc.calls++
		status := http.StatusOK
		if rc.answer != nil {
			status = rc.answer(rc.calls)
		}
		if status == http.StatusOK {
			rc.events = append(rc.events, ev)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	rc.url = srv.URL
	return rc
}

func (rc *receiver) got() []stripe.Event {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return slices.Clone(rc.events)
}

func (rc *receiver) answering(f func(call int) int) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.answer = f
}

// ids of the events in the order of their arrival.
func (rc *receiver) ids() (ids []string) {
	for _, ev := range rc.got() {
		ids = append(ids, ev.ID)
	}
	return ids
}

// typesFor lists the kinds of event that arrived about an intent or its charge, sorted.
func (rc *receiver) typesFor(in string) (types []string) {
	for _, ev := range rc.got() {
		if ev.GetObjectValue("id") == in || (ev.Data.Object["object"] == "charge" && ev.GetObjectValue("payment_intent") == in) {
			types = append(types, string(ev.Type))
		}
	}
	slices.Sort(types)
	return types
}

func TestWebhookEvents(t *testing.T) {
	t.Parallel()
	rc := receive(t)
	r := start(t, double.Config{WebhookURL: rc.url})
	expect := map[string][]string{}
	captured := r.pay("pm_card_visa")
	capture := &stripe.PaymentIntentCaptureParams{}
	capture.SetIdempotencyKey("capture-1")
	if _, err := r.intents.Capture(captured.ID, capture); err != nil {
		t.Fatal(err)
	}
	if _, err := r.refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(captured.ID), Amount: stripe.Int64(1)}); err != nil {
		t.Fatal(err)
	}
	expect[captured.ID] = []string{
		"charge.refunded", "payment_intent.amount_capturable_updated", "payment_intent.created", "payment_intent.succeeded",
	}
	canceled := r.pay("pm_card_visa")
	if _, err := r.intents.Cancel(canceled.ID, nil); err != nil {
		t.Fatal(err)
	}
	expect[canceled.ID] = []string{
		"charge.refunded", "payment_intent.amount_capturable_updated", "payment_intent.canceled", "payment_intent.created",
	}
	_, err := r.intents.New(params("pm_card_chargeDeclined"))
	declined := stripeError(t, err, 402, stripe.ErrorCodeCardDeclined).PaymentIntent
	expect[declined.ID] = []string{"payment_intent.created", "payment_intent.payment_failed"}
	asked := r.pay("pm_card_authenticationRequired")
	r.raw("POST", "/_double/authenticate/"+asked.ID, testKey, "", `{"outcome":"failure"}`)
	expect[asked.ID] = []string{"payment_intent.created", "payment_intent.payment_failed", "payment_intent.requires_action"}
	for id, types := range expect {
		eventually(t, "all events of an intent", func() bool { return len(rc.typesFor(id)) >= len(types) })
		if diff := cmp.Diff(types, rc.typesFor(id)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	}
	for _, ev := range rc.got() {
		if ev.APIVersion != stripe.APIVersion || ev.Object != "event" || ev.Livemode || ev.PendingWebhooks != 1 || ev.Request == nil {
			t.Errorf("envelope: %+v", ev)
		}
		id := ev.GetObjectValue("id")
		switch {
		case id == captured.ID && ev.Type == "payment_intent.created" && ev.GetObjectValue("status") != "requires_confirmation",
			id == captured.ID && ev.Type == "payment_intent.succeeded" && ev.GetObjectValue("status") != "succeeded":
			t.Errorf("%s is not a snapshot: %v", ev.Type, ev.Data.Object)
		case id == captured.ID && ev.Type == "payment_intent.succeeded" && (ev.Request.IdempotencyKey != "capture-1" || ev.Request.ID == ""):
			t.Errorf("request: %+v", ev.Request)
		case ev.Type == "charge.refunded" && ev.GetObjectValue("payment_intent") == captured.ID && (ev.GetObjectValue("refunded") != "false" ||
			ev.GetObjectValue("amount_refunded") != "1" || ev.GetObjectValue("captured") != "true"):
			t.Errorf("partial refund: %v", ev.Data.Object)
		case ev.Type == "charge.refunded" && ev.GetObjectValue("payment_intent") == canceled.ID && (ev.GetObjectValue("refunded") != "true" ||
			ev.GetObjectValue("captured") != "false"):
			t.Errorf("released authorization: %v", ev.Data.Object)
		}
	}
}

func TestWebhookRetries(t *testing.T) {
	t.Parallel()
	rc := receive(t)
	answers := []int{500, 302, 200}
	rc.answer = func(call int) int { return answers[min(call, len(answers))-1] }
	r := start(t, double.Config{WebhookURL: rc.url})
	if _, err := r.intents.New(&stripe.PaymentIntentParams{Amount: stripe.Int64(1), Currency: stripe.String("usd")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the event gets through", func() bool { return len(rc.got()) == 1 })
	eventually(t, "the delivery is counted", func() bool { return r.stats().Webhooks["delivered"] == 1 })
	if got := r.stats().Webhooks; got["failed"] != 2 || got["gave_up"] != 0 || got["waiting"] != 0 {
		t.Errorf("stats: %v", got)
	}
}

func TestWebhookDuplicates(t *testing.T) {
	t.Parallel()
	rc := receive(t)
	r := start(t, double.Config{WebhookURL: rc.url})
	r.d.SetFaults(double.Faults{WebhookDuplicateShare: 1})
	r.pay("pm_card_visa")
	eventually(t, "two copies of two events", func() bool { return len(rc.got()) == 4 })
	ids := rc.ids()
	slices.Sort(ids)
	if ids[0] != ids[1] || ids[2] != ids[3] || ids[1] == ids[2] {
		t.Errorf("got events %v", ids)
	}
}

func TestWebhookReorder(t *testing.T) {
	t.Parallel()
	rc := receive(t)
	r := start(t, double.Config{WebhookURL: rc.url, Seed: 7})
	r.d.SetFaults(double.Faults{WebhookReorder: true})
	var intents []string
	for range 20 {
		in, err := r.intents.New(&stripe.PaymentIntentParams{Amount: stripe.Int64(1), Currency: stripe.String("usd")})
		if err != nil {
			t.Fatal(err)
		}
		intents = append(intents, in.ID)
	}
	eventually(t, "all events arrive", func() bool { return len(rc.got()) == len(intents) })
	var arrived []string
	for _, ev := range rc.got() {
		arrived = append(arrived, ev.GetObjectValue("id"))
	}
	if slices.Equal(arrived, intents) {
		t.Error("twenty events arrived in order")
	}
	slices.Sort(arrived)
	slices.Sort(intents)
	if diff := cmp.Diff(intents, arrived); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestWebhookDelay(t *testing.T) {
	t.Parallel()
	rc := receive(t)
	r := start(t, double.Config{WebhookURL: rc.url})
	r.d.SetFaults(double.Faults{WebhookDelayMS: 600_000})
	r.pay("pm_card_visa")
	if got := r.stats().Webhooks["waiting"]; got != 2 {
		t.Errorf("%d events wait, want 2", got)
	}
	r.stop() // drains: what was not tried yet is tried at once
	if got := len(rc.got()); got != 2 {
		t.Errorf("%d events after the drain, want 2", got)
	}
}

func TestUndeliveredWebhooksSurviveRestart(t *testing.T) {
	t.Parallel()
	rc := receive(t)
	rc.answering(func(int) int { return 503 })
	cfg := double.Config{WebhookURL: rc.url, JournalPath: t.TempDir() + "/stripe.jsonl"}
	r := start(t, cfg)
	in := r.pay("pm_card_visa")
	eventually(t, "both events were tried", func() bool { return r.stats().Webhooks["failed"] >= 2 })
	r.stop()
	if len(rc.got()) != 0 {
		t.Fatal("an event got through")
	}
	rc.answering(nil)
	r = start(t, cfg)
	eventually(t, "both events arrive", func() bool { return r.stats().Webhooks["delivered"] == 2 })
	want := []string{"payment_intent.amount_capturable_updated", "payment_intent.created"}
	if diff := cmp.Diff(want, rc.typesFor(in.ID)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	r.stop()
	r = start(t, cfg)
	r.stop() // a drain would deliver whatever is left
	if got := len(rc.got()); got != 2 {
		t.Errorf("%d deliveries, want none after the second", got)
	}
}

// TestManyWebhooks keeps all workers busy while calls come in.
func TestManyWebhooks(t *testing.T) {
	t.Parallel()
	rc := receive(t)
	r := start(t, double.Config{WebhookURL: rc.url, JournalPath: t.TempDir() + "/stripe.jsonl"})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				if _, err := r.intents.New(params("pm_card_visa")); err != nil {
					t.Errorf("pay: %v", err)
				}
			}
		})
	}
	wg.Wait()
	begin := time.Now()
	eventually(t, "all events arrive", func() bool { return len(rc.got()) == 400 })
	t.Logf("drained in %v", time.Since(begin))
	ids := rc.ids()
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n != 400 {
		t.Errorf("%d distinct events, want 400", n)
	}
}

// A function is given every event as it happens, signed, and the double need not run.
func TestWebhookFunc(t *testing.T) {
	t.Parallel()
	var types []string
	r := start(t, double.Config{WebhookSecret: testSecret, WebhookEvents: []string{"payment_intent.amount_capturable_updated", "payment_intent.canceled"},
		WebhookFunc: func(body []byte, signature string) {
			ev, err := webhook.ConstructEvent(body, signature, testSecret)
			if err != nil {
				t.Errorf("verify event %s: %v", body, err)
			}
			types = append(types, string(ev.Type))
		}})
	in := r.pay("pm_card_visa")
	if _, err := r.intents.Cancel(in.ID, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"payment_intent.amount_capturable_updated", "payment_intent.canceled"}, types); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for _, cfg := range []double.Config{{WebhookURL: "http://127.0.0.1:1"}, {JournalPath: "journal"}} {
		cfg.SecretKey, cfg.WebhookSecret, cfg.WebhookFunc = testKey, testSecret, func([]byte, string) {}
		if _, err := double.New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}
