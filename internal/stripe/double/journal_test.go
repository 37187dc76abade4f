package double_test

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stripe/stripe-go/v76"

	"onsale/internal/stripe/double"
)

// history makes a bit of everything and returns what its calls can be checked against.
func history(t *testing.T, r *rig) (bodies map[string]string) {
	t.Helper()
	open := r.pay("pm_card_visa")
	captured := r.pay("pm_card_amex")
	if _, err := r.intents.Capture(captured.ID, nil); err != nil {
		t.Fatal(err)
	}
	re, err := r.refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(captured.ID), Amount: stripe.Int64(500)})
	if err != nil {
		t.Fatal(err)
	}
	canceled := r.pay("pm_card_visa")
	if _, err := r.intents.Cancel(canceled.ID, nil); err != nil {
		t.Fatal(err)
	}
	asked := r.pay("pm_card_authenticationRequired")
	_, err = r.intents.New(params("pm_card_chargeDeclined"))
	declined := stripeError(t, err, 402, stripe.ErrorCodeCardDeclined).PaymentIntent
	bodies = map[string]string{}
	for _, path := range []string{
		"/v1/payment_intents?limit=100", "/v1/refunds?payment_intent=" + captured.ID, "/v1/refunds/" + re.ID,
		"/v1/payment_intents/" + open.ID, "/v1/payment_intents/" + captured.ID, "/v1/payment_intents/" + canceled.ID,
		"/v1/payment_intents/" + asked.ID, "/v1/payment_intents/" + declined.ID,
	} {
		_, bodies[path] = r.raw("GET", path, testKey, "", "")
	}
	return bodies
}

func TestJournalRestoresEverything(t *testing.T) {
	t.Parallel()
	cfg := double.Config{JournalPath: t.TempDir() + "/new/stripe.jsonl"}
	r := start(t, cfg)
	bodies := history(t, r)
	keys := map[string]string{form + "pm_card_visa": "ok", form + "pm_card_chargeDeclined": "declined"}
	answers := map[string]string{}
	for body, key := range keys {
		_, answers[key] = r.raw("POST", "/v1/payment_intents", testKey, key, body)
	}
	r.d.SetFaults(double.Faults{ErrorShare: 1})
	_, answers["failed"] = r.raw("POST", "/v1/payment_intents", testKey, "failed", form+"pm_card_visa")
	keys[form+"pm_card_visa"+"&description=x"] = "other"
	r.d.SetFaults(double.Faults{})
	_, answers["other"] = r.raw("POST", "/v1/payment_intents", testKey, "other", form+"pm_card_visa&description=x")
	_, bodies["/v1/payment_intents?limit=100"] = r.raw("GET", "/v1/payment_intents?limit=100", testKey, "", "")
	before := r.stats()

	for round := range 2 { // once from the lines of calls, once from the compacted ones
		// Not stopped: what a killed process leaves behind.
		copied := t.TempDir() + "/stripe.jsonl"
		content, err := os.ReadFile(cfg.JournalPath)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, content, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.JournalPath = copied
		r = start(t, cfg)
		for path, want := range bodies {
			if _, got := r.raw("GET", path, testKey, "", ""); got != want {
				t.Errorf("round %d: GET %s differs:\n%s", round, path, cmp.Diff(want, got))
			}
		}
		for body, key := range keys {
			resp, got := r.raw("POST", "/v1/payment_intents", testKey, key, body)
			if got != answers[key] || resp.Header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("round %d: key %s: got %s, want %s", round, key, got, answers[key])
			}
		}
		resp, got := r.raw("POST", "/v1/payment_intents", testKey, "failed", form+"pm_card_visa")
		if resp.StatusCode != 500 || got != answers["failed"] {
			t.Errorf("round %d: the stored 500: %d %s", round, resp.StatusCode, got)
		}
		if diff := cmp.Diff(before.PaymentIntents, r.stats().PaymentIntents); diff != "" {
			t.Errorf("round %d: counts (-want +got):\n%s", round, diff)
		}
	}
}

// What a caller sends can have any character: the journal and the events are written without a JSON writer.
func TestJournalQuotes(t *testing.T) {
	t.Parallel()
	rc := receive(t)
	rc.answering(func(int) int { return 503 })
	cfg := double.Config{WebhookURL: rc.url, JournalPath: t.TempDir() + "/stripe.jsonl"}
	r := start(t, cfg)
	odd := []string{`a "key"`, `back\slash`, "<é>", "tab\there"}
	pay := func(text string) string {
		t.Helper()
		p := params("pm_card_visa")
		p.SetIdempotencyKey(text)
		p.AddMetadata("odd", text)
		in, err := r.intents.New(p)
		if err != nil || in.Metadata["odd"] != text {
			t.Fatalf("pay with %q: %+v, %v", text, in, err)
		}
		return in.ID
	}
	made := map[string]string{}
	for _, text := range odd {
		made[text] = pay(text)
	}
	r.stop()
	rc.answering(nil)
	r = start(t, cfg)
	for _, text := range odd {
		if again := pay(text); again != made[text] {
			t.Errorf("the key %q is forgotten", text)
		}
	}
	eventually(t, "all events arrive", func() bool { return len(rc.got()) == 2*len(odd) })
	for _, ev := range rc.got() {
		if id := ev.GetObjectValue("id"); made[ev.Request.IdempotencyKey] != id {
			t.Errorf("the event of %s has the key %q", id, ev.Request.IdempotencyKey)
		}
	}
}

// TestJournalSurvivesKillAtAnyByte restores from every prefix of a journal: each whole line counts, the
// rest is gone, and the account goes on from there.
func TestJournalSurvivesKillAtAnyByte(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/stripe.jsonl"
	r := start(t, double.Config{JournalPath: path})
	history(t, r)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	if len(lines) < 8 {
		t.Fatalf("%d lines, want one for each call", len(lines))
	}
	cut := t.TempDir() + "/cut.jsonl"
	for size := 0; size <= len(content); size += 41 {
		if err := os.WriteFile(cut, content[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		d, err := double.New(double.Config{
			SecretKey: testKey, JournalPath: cut, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatalf("cut at byte %d: %v", size, err)
		}
		torn := size > 0 && content[size-1] != '\n'
		if logged := strings.Contains(log.String(), "torn last line"); logged != torn {
			t.Errorf("cut at byte %d: torn %v, logged %v", size, torn, logged)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// The torn end is gone from the file, and what is written after it can be read.
	if err := os.WriteFile(cut, content[:len(content)-7], 0o600); err != nil {
		t.Fatal(err)
	}
	r = start(t, double.Config{JournalPath: cut})
	had := r.count()
	r.pay("pm_card_visa")
	r.stop()
	r = start(t, double.Config{JournalPath: cut})
	if got := r.count(); got != had+1 {
		t.Errorf("%d intents, want %d", got, had+1)
	}
}

func TestDamagedJournalIsFatal(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/stripe.jsonl"
	r := start(t, double.Config{JournalPath: path})
	r.pay("pm_card_visa")
	r.stop()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append([]byte("{\"pi\":[{]\n"), content...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := double.New(double.Config{SecretKey: testKey, JournalPath: path}); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("got error %v, want one that names line 1", err)
	}
}

func TestJournalDoesNotGrowOverRestarts(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/stripe.jsonl"
	cfg := double.Config{JournalPath: path}
	size := func() int64 {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	var sizes []int64
	for round := range 4 {
		r := start(t, cfg)
		if round == 0 {
			history(t, r)
		}
		sizes = append(sizes, size())
		r.stop()
	}
	if sizes[1] != sizes[2] || sizes[2] != sizes[3] {
		t.Errorf("sizes over restarts: %v", sizes)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: the file holds client secrets", info.Mode(), err)
	}
}

func TestClosedJournalRefusesEffects(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{JournalPath: t.TempDir() + "/stripe.jsonl"})
	r.pay("pm_card_visa")
	if err := r.d.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := r.intents.New(params("pm_card_visa"))
	stripeError(t, err, 500, "")
	if got := r.count(); got != 1 {
		t.Errorf("%d intents, want 1: an effect that can't be journaled doesn't happen", got)
	}
}
