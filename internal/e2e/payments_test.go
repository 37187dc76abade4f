package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"onsale/internal/admin"
	"onsale/internal/stripe/double"
	"onsale/internal/up"
)

const decisionLimit = 30 * time.Second // for an order; a passing test waits for far less

// becomes waits until an order has a status.
func becomes(t *testing.T, l *up.Local, order, status string) {
	t.Helper()
	last := ""
	defer func() {
		if t.Failed() {
			t.Logf("order %s is %s", order, last)
		}
	}()
	eventually(t, decisionLimit, status+" order", func() bool {
		last = call(t, "GET", l.BaseURL+"/v1/orders/"+order, nil).text("status")
		return last == status
	})
}

// play makes a control call of the double and returns the id of what it answered with.
func play(t *testing.T, l *up.Local, path, body string) string {
	t.Helper()
	a := call(t, "POST", l.StripeURL+"/_double/"+path, body, "Authorization", "Bearer "+l.StripeKey)
	if a.status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, a.status, a.body)
	}
	return a.text("id")
}

// calls is how many calls of an endpoint the double has had.
func calls(t *testing.T, l *up.Local, endpoint string) int64 {
	t.Helper()
	var stats struct {
		Calls map[string]int64 `json:"calls"`
	}
	a := call(t, "GET", l.StripeURL+"/_double/stats", nil, "Authorization", "Bearer "+l.StripeKey)
	if err := json.Unmarshal(a.body, &stats); err != nil {
		t.Fatal(err)
	}
	return stats.Calls[endpoint]
}

// onsale runs the operator's command.
func onsale(t *testing.T, l *up.Local, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(binaries.path(t, "onsale"), args...)
	cmd.Env = append(os.Environ(), "ONSALE_ADMIN_URL="+l.AdminURL, "ADMIN_TOKEN="+l.AdminToken)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, l *up.Local, args ...string) string {
	t.Helper()
	out, err := onsale(t, l, args...)
	if err != nil {
		t.Fatalf("onsale %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// shown is an order as the operator sees it.
func shown(t *testing.T, l *up.Local, order string) (o admin.Order) {
	t.Helper()
	if err := json.Unmarshal([]byte(mustRun(t, l, "order", "show", order, "--json")), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// begun is a fan with a hold and an order that is being paid.
type begun struct {
	visitor
	held, order string
}

func (v visitor) begin(t *testing.T, method string, seats ...string) begun {
	t.Helper()
	h := v.hold(t, seats...)
	if h.status != http.StatusCreated {
		t.Fatalf("hold: %d %s", h.status, h.body)
	}
	a := v.checkout(t, h.text("hold_id"), method, "k")
	if a.status != http.StatusAccepted {
		t.Fatalf("checkout: %d %s", a.status, a.body)
	}
	return begun{v, h.text("hold_id"), a.text("order_id")}
}

// intent is the intent of an order's attempt, once it has one.
func intent(t *testing.T, l *up.Local, order string) (id string) {
	t.Helper()
	client := admin.Client{URL: l.AdminURL, Token: l.AdminToken}
	eventually(t, decisionLimit, "intent of "+order, func() bool {
		all, err := client.Orders(t.Context(), "", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			if o.ID.String() == order {
				o, err = client.Order(t.Context(), o.ID)
				if err != nil {
					t.Fatal(err)
				}
				id = o.Attempts[0].IntentID
			}
		}
		return id != ""
	})
	return id
}

func seatsLeft(t *testing.T, l *up.Local, event string) string {
	t.Helper()
	a := call(t, "GET", l.BaseURL+"/v1/queue/"+event, nil)
	return fmt.Sprint(a.fields["seats_left"])
}

// A decline leaves the hold with the fan, who pays with another card under another key. The old key answers with the
// order that failed, and Stripe is not asked again.
func TestDeclineThenAnotherCardInOneHold(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	openSmall(t, l, "cards", 2)
	v := letIn(t, l, "cards")
	h := v.hold(t, "A-1")
	first := v.checkout(t, h.text("hold_id"), "pm_card_chargeDeclined", "one", "Prefer", "wait=20")
	if first.text("status") != "payment_failed" {
		t.Fatalf("declined: %d %s", first.status, first.body)
	}
	asked := calls(t, l, "POST /v1/payment_intents")
	for range 3 {
		again := v.checkout(t, h.text("hold_id"), "pm_card_chargeDeclined", "one", "Prefer", "wait=20")
		if again.status != http.StatusAccepted || again.text("order_id") != first.text("order_id") || again.text("status") != "payment_failed" {
			t.Errorf("the key again: %d %s", again.status, again.body)
		}
		other := v.checkout(t, h.text("hold_id"), "pm_card_visa", "one")
		if other.status != http.StatusUnprocessableEntity {
			t.Errorf("the key with another card: %d %s", other.status, other.body)
		}
	}
	if n := calls(t, l, "POST /v1/payment_intents"); n != asked {
		t.Errorf("Stripe was asked %d times more", n-asked)
	}
	second := v.checkout(t, h.text("hold_id"), "pm_card_visa", "two", "Prefer", "wait=20")
	if second.text("status") != "confirmed" || second.text("order_id") == first.text("order_id") {
		t.Errorf("another card: %d %s", second.status, second.body)
	}
	mustBeClean(t, auditOf(t, l, decisionLimit))
}

// The operator refunds an order by the command: the money goes back and the seats go on sale again, once, however
// often it is asked for. Another keeps its seats, and one that the bank refuses stays as it was.
func TestRefundByTheOperator(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	openSmall(t, l, "refunds", 5)
	order, kept := buyOne(t, l, "refunds", "A-1"), buyOne(t, l, "refunds", "A-2")
	held := letIn(t, l, "refunds").begin(t, "pm_card_pendingRefund", "A-3")
	becomes(t, l, held.order, "confirmed")
	mustBeClean(t, auditOf(t, l, decisionLimit)) // which waits for the captures
	eventually(t, decisionLimit, "two seats left", func() bool { return seatsLeft(t, l, "refunds") == "2" })

	if out, err := onsale(t, l, "order", "refund", order); err == nil {
		t.Errorf("a refund for no reason: %s", out)
	}
	for range 3 {
		mustRun(t, l, "order", "refund", order, "--reason", "the artist is ill")
	}
	mustRun(t, l, "order", "refund", kept, "--reason", "goodwill", "--keep-seats")
	mustRun(t, l, "order", "refund", held.order, "--reason", "moved away")
	becomes(t, l, order, "refunded")
	becomes(t, l, kept, "refunded")
	eventually(t, decisionLimit, "three seats left", func() bool { return seatsLeft(t, l, "refunds") == "3" })
	if o := shown(t, l, order); len(o.Refunds) != 1 || o.Refunds[0].State != "succeeded" || o.Refunds[0].Reason != "the artist is ill" || o.Attempts[0].State != "refunded" {
		t.Errorf("refunded: %+v", o)
	}
	if out := mustRun(t, l, "order", "show", order); !strings.Contains(out, "42.00 eur") || !strings.Contains(out, "the artist is ill") {
		t.Errorf("shown as\n%s", out)
	}
	var pending string
	eventually(t, decisionLimit, "refund at the bank", func() bool {
		o := shown(t, l, held.order)
		pending = o.Refunds[0].StripeID
		return o.Refunds[0].State == "pending"
	})
	mustBeClean(t, auditOf(t, l, decisionLimit))
	play(t, l, "refunds/"+pending, `{"status":"failed"}`)
	eventually(t, decisionLimit, "failed refund", func() bool { return shown(t, l, held.order).Refunds[0].State == "failed" })
	if o := shown(t, l, held.order); o.Status != "confirmed" || o.Refunds[0].Failure != "expired_or_canceled_card" {
		t.Errorf("after the failure: %+v", o)
	}
	buyOne(t, l, "refunds", "A-1") // it is on sale again
	v := letIn(t, l, "refunds")
	if h := v.hold(t, "A-2"); h.status != http.StatusConflict {
		t.Errorf("a seat that was kept: %d %s", h.status, h.body)
	}
	if out := mustRun(t, l, "order", "list", "--event", "refunds", "--status", "refunded"); strings.Count(out, "\n") != 3 || !strings.Contains(out, kept) {
		t.Errorf("listed as\n%s", out)
	}
	r := auditOf(t, l, decisionLimit)
	mustBeClean(t, r)
	if r.Refunded != 2 || r.Returned["eur"] != 2*4200 || r.Confirmed != 2 {
		t.Errorf("audited %+v", r)
	}
}

// What an operator must not ask for is refused, with a reason, and changes nothing.
func TestOrderRoutesRefuse(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	openSmall(t, l, "refuse", 2)
	order := buyOne(t, l, "refuse", "A-1")
	token := []string{"Authorization", "Bearer " + l.AdminToken}
	unknown := "7d0ef9a3-94c5-4b8e-8a38-3d9d6b3f5c11"
	for _, c := range []struct {
		method, path string
		body         any
		headers      []string
		status       int
		code         string
	}{
		{"GET", "", nil, nil, 401, "bad_admin_token"},
		{"POST", "/" + order + "/refund", map[string]any{"reason": "x"}, nil, 401, "bad_admin_token"},
		{"POST", "/" + order + "/refund", map[string]any{"reason": " "}, token, 400, "bad_reason"},
		{"POST", "/" + order + "/refund", map[string]any{"reason": strings.Repeat("x", 501)}, token, 400, "bad_reason"},
		{"POST", "/" + order + "/refund", map[string]any{"reason": "x", "amount": 1}, token, 400, ""},
		{"POST", "/" + unknown + "/refund", map[string]any{"reason": "x"}, token, 404, "order_not_found"},
		{"POST", "/none/refund", map[string]any{"reason": "x"}, token, 404, "order_not_found"},
		{"GET", "/" + unknown, nil, token, 404, "order_not_found"},
		{"GET", "/none", nil, token, 404, "order_not_found"},
		{"GET", "?limit=0", nil, token, 400, "bad_limit"},
		{"GET", "?limit=1001", nil, token, 400, "bad_limit"},
		{"GET", "?status=paid", nil, token, 400, "bad_status"},
	} {
		a := call(t, c.method, l.AdminURL+"/v1/orders"+c.path, c.body, c.headers...)
		if a.status != c.status || c.code != "" && a.text("code") != c.code {
			t.Errorf("%s %s %v: %d %s, want %d %s", c.method, c.path, c.body, a.status, a.body, c.status, c.code)
		}
	}
	// The fans' listener has none of it.
	if a := call(t, "POST", l.BaseURL+"/v1/orders/"+order+"/refund", map[string]any{"reason": "x"}, token...); a.status != 404 && a.status != 405 {
		t.Errorf("on the public listener: %d %s", a.status, a.body)
	}
	if o := shown(t, l, order); o.Status != "confirmed" || len(o.Refunds) != 0 {
		t.Errorf("it became %+v", o)
	}
}

// A dispute takes the payment through its states; the ticket stands.
func TestDisputes(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	openSmall(t, l, "disputes", 2)
	for seat, c := range map[string]struct{ outcome, state string }{"A-1": {"won", "captured"}, "A-2": {"lost", "charged_back"}} {
		order := buyOne(t, l, "disputes", seat)
		eventually(t, decisionLimit, "capture", func() bool { return shown(t, l, order).Attempts[0].State == "captured" })
		dispute := play(t, l, "disputes", `{"payment_intent":"`+intent(t, l, order)+`","reason":"fraudulent"}`)
		eventually(t, decisionLimit, "dispute", func() bool { return shown(t, l, order).Attempts[0].State == "disputed" })
		if out, err := onsale(t, l, "order", "refund", order, "--reason", "x"); err == nil || !strings.Contains(out, "disputed") {
			t.Errorf("refund of a disputed order: %v %s", err, out)
		}
		play(t, l, "disputes/"+dispute, `{"status":"under_review"}`)
		play(t, l, "disputes/"+dispute, `{"status":"`+c.outcome+`"}`)
		eventually(t, decisionLimit, c.state+" attempt", func() bool { return string(shown(t, l, order).Attempts[0].State) == c.state })
		if o := shown(t, l, order); o.Status != "confirmed" || len(o.Disputes) != 1 || string(o.Disputes[0].State) != c.outcome || o.Disputes[0].ClosedAt.IsZero() {
			t.Errorf("%s: %+v", c.outcome, o)
		}
	}
	r := auditOf(t, l, decisionLimit)
	mustBeClean(t, r)
	if r.ChargedBack != 1 {
		t.Errorf("audited %+v", r)
	}
}

// The bank's webhook and the fan's return from its page come at the same time, the webhook twice and late: one order,
// paid once.
func TestWebhookAndRedirectRace(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	openSmall(t, l, "race", 4)
	l.Double.SetFaults(double.Faults{WebhookDuplicateShare: 1, WebhookReorder: true})
	for i := range 4 {
		b := letIn(t, l, "race").begin(t, "pm_card_authenticationRequired", fmt.Sprintf("A-%d", i+1))
		becomes(t, l, b.order, "authentication_required")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				a, err := try("POST", b.base+"/v1/holds/"+b.held+"/checkout",
					map[string]any{"payment": map[string]string{"payment_method": "pm_card_authenticationRequired"}, "idempotency_key": "k"}, b.headers()...)
				// A hold that was sold is no more; the order is found all the same.
				if err != nil || a.status != http.StatusAccepted || a.text("order_id") != b.order {
					t.Errorf("the fan's return: %d %s (%v)", a.status, a.body, err)
				}
			})
		}
		play(t, l, "authenticate/"+intent(t, l, b.order), `{"outcome":"success"}`)
		all.Wait()
		becomes(t, l, b.order, "confirmed")
	}
	r := auditOf(t, l, decisionLimit)
	mustBeClean(t, r)
	if r.Captured != 4 || r.Orders != 4 {
		t.Errorf("%d captured for %d orders", r.Captured, r.Orders)
	}
}

// A fan authenticates after the hold has lapsed and the seat is another's: the late webhook takes nothing from the
// buyer, and the money goes back.
func TestLateWebhookTakesNoSeatFromAnother(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	openSmall(t, l, "late", 1)
	late := letIn(t, l, "late").begin(t, "pm_card_authenticationRequired", "A-1")
	becomes(t, l, late.order, "authentication_required")
	id := intent(t, l, late.order)
	forgetHolds(t, l, "late")
	other := letIn(t, l, "late")
	var h answer
	eventually(t, decisionLimit, "seat that came free", func() bool { // a node remembers for a moment that it was held
		h = other.hold(t, "A-1")
		return h.status == http.StatusCreated
	})
	bought := other.checkout(t, h.text("hold_id"), "pm_card_visa", "k", "Prefer", "wait=20")
	if bought.text("status") != "confirmed" {
		t.Fatalf("the other's checkout: %d %s", bought.status, bought.body)
	}
	buyer := bought.text("order_id")
	play(t, l, "authenticate/"+id, `{"outcome":"success"}`)
	becomes(t, l, late.order, "rejected")
	becomes(t, l, buyer, "confirmed")
	r := auditOf(t, l, decisionLimit)
	mustBeClean(t, r)
	if r.Canceled != 1 || r.Captured != 1 {
		t.Errorf("%d canceled, %d captured", r.Canceled, r.Captured)
	}
}

// Abandoned at the bank's page: the order fails soon after its payment window, the intent is canceled at Stripe, and
// the fan pays again in the same hold. Then the payworker and the committer die at each point between payment and
// ticket, and each order ends as it should.
func TestPaymentsOutliveTheirServices(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	f.end("payworker", syscall.SIGTERM)
	f.env = append(f.env, "PAYWORKER_ABANDON_GRACE=1s")
	f.start("payworker")
	client := admin.Client{URL: f.AdminURL, Token: f.AdminToken}
	if err := client.Create(t.Context(), admin.CreateEvent{
		ID: "fleet", Currency: "eur", Rate: 5000, PaymentWindowSeconds: 1, Plan: smallPlan(8), Prices: map[string]int64{"All": 4200},
	}); err != nil {
		t.Fatal(err)
	}
	if err := client.Move(t.Context(), "fleet", "open"); err != nil {
		t.Fatal(err)
	}
	l := f.Local

	b := letIn(t, l, "fleet").begin(t, "pm_card_authenticationRequired", "A-1")
	becomes(t, l, b.order, "payment_failed")
	again := b.checkout(t, b.held, "pm_card_visa", "two", "Prefer", "wait=20")
	if again.text("status") != "confirmed" {
		t.Errorf("again in the same hold: %d %s", again.status, again.body)
	}

	// The webhook is acknowledged while no payworker lives to apply it. The order's window is over by then; what
	// counts is that the fan has paid.
	f.end("payworker", syscall.SIGTERM)
	// What a killed worker had is given to another after its time to acknowledge, which must not take long here.
	f.env = append(f.env, "PAYWORKER_ABANDON_GRACE=1h", "STRIPE_TIMEOUT=2s", "PAYWORKER_ACK_WAIT=12s")
	f.start("payworker")
	b = letIn(t, l, "fleet").begin(t, "pm_card_authenticationRequired", "A-2")
	becomes(t, l, b.order, "authentication_required")
	id := intent(t, l, b.order)
	f.end("payworker", syscall.SIGKILL)
	play(t, l, "authenticate/"+id, `{"outcome":"success"}`)
	eventually(t, decisionLimit, "delivered webhook", func() bool {
		a := call(t, "GET", l.StripeURL+"/_double/stats", nil, "Authorization", "Bearer "+l.StripeKey)
		hooks, _ := a.fields["webhooks"].(map[string]any)
		return hooks["waiting"] == float64(0)
	})
	f.start("payworker")
	becomes(t, l, b.order, "confirmed")

	// The committer is gone when the payment is authorized.
	f.end("committer", syscall.SIGKILL)
	b = letIn(t, l, "fleet").begin(t, "pm_card_visa", "A-3")
	eventually(t, decisionLimit, "authorization", func() bool { return shown(t, l, b.order).Attempts[0].State == "authorized" })
	f.start("committer")
	becomes(t, l, b.order, "confirmed")

	// The payworker dies while Stripe is being asked: for the authorization, and then for the money.
	for seat, endpoint := range map[string]string{"A-4": "POST /v1/payment_intents", "A-5": "POST /v1/payment_intents/{id}/capture"} {
		before := calls(t, l, endpoint)
		l.Double.SetFaults(double.Faults{LatencyMS: 500})
		b = letIn(t, l, "fleet").begin(t, "pm_card_visa", seat)
		eventually(t, decisionLimit, endpoint, func() bool { return calls(t, l, endpoint) > before })
		f.end("payworker", syscall.SIGKILL)
		l.Double.SetFaults(double.Faults{})
		f.start("payworker")
		becomes(t, l, b.order, "confirmed")
	}
	mustBeClean(t, auditOf(t, l, time.Minute))
}
