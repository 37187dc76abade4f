package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"onsale/internal/admin"
	"onsale/internal/stripe/double"
	"onsale/internal/testenv"
	"onsale/internal/up"
)

const decisionLimit = 30 * time.Second // for the orders that an audit waits for; a passing test waits for far less

// becomes waits until an order has a status.
func becomes(t *testing.T, l *up.Local, order, status string) {
	t.Helper()
	last := ""
	defer func() {
		if t.Failed() {
			t.Logf("order %s is %s", order, last)
		}
	}()
	testenv.Eventually(t, status+" order", func() bool {
		last = orderStatus(t, l, order)
		return last == status
	})
}

// orderStatus is an order's status as its operator sees it, "" before a worker has begun it.
func orderStatus(t *testing.T, l *up.Local, order string) string {
	t.Helper()
	return call(t, "GET", l.AdminURL+"/v1/orders/"+order, nil, "Authorization", "Bearer "+l.AdminToken).text("status")
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
	testenv.Eventually(t, "intent of "+order, func() bool {
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

// An order that is being paid, or waits for its buyer's bank, has its hold to itself: another checkout does not replace it,
// nor is the hold given back.
func TestLiveOrderKeepsItsHold(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	openSmall(t, l, "live", 2)
	b := letIn(t, l, "live").begin(t, "pm_card_authenticationRequired", "A-1", "A-2")
	keeps := func() {
		t.Helper()
		for what, a := range map[string]answer{
			"another checkout": b.checkout(t, b.held, "pm_card_visa", "another"),
			"a release":        call(t, "DELETE", b.base+"/v1/holds/"+b.held, nil, b.headers()...),
		} {
			if a.status != http.StatusConflict || a.text("code") != "checkout_in_progress" || a.text("order_id") != b.order {
				t.Errorf("%s while the order is %q: %d %s", what, orderStatus(t, l, b.order), a.status, a.body)
			}
		}
	}
	keeps()
	becomes(t, l, b.order, "authentication_required")
	keeps()
	if other := letIn(t, l, "live").hold(t, "A-1"); other.status != http.StatusConflict || other.text("code") != "seats_taken" {
		t.Errorf("another's hold: %d %s", other.status, other.body)
	}
	play(t, l, "authenticate/"+intent(t, l, b.order), `{"outcome":"success"}`)
	becomes(t, l, b.order, "confirmed")
	r := auditOf(t, l, decisionLimit)
	mustBeClean(t, r)
	if r.Orders != 1 || r.Captured != 1 {
		t.Errorf("%d captured for %d orders", r.Captured, r.Orders)
	}
}

// Cards that are declined keep seats for no longer than the hold's own time: the try after it gives them back.
func TestDeclineAfterTheHoldsOwnTime(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	client := admin.Client{URL: l.AdminURL, Token: l.AdminToken}
	err := client.Create(t.Context(), admin.CreateEvent{ID: "over", Currency: "eur", Rate: 5000, Plan: smallPlan(2), Prices: map[string]int64{"All": 4200},
		HoldTTLSeconds: 3, PaymentWindowSeconds: 600})
	if err == nil {
		err = client.Move(t.Context(), "over", "open")
	}
	if err != nil {
		t.Fatal(err)
	}
	v := letIn(t, l, "over")
	h := v.hold(t, "A-1")
	taken := time.Now() // or before
	if first := v.checkout(t, h.text("hold_id"), "pm_card_chargeDeclined", "one", "Prefer", "wait=20"); first.text("status") != "payment_failed" {
		t.Fatalf("declined: %d %s", first.status, first.body)
	}
	w := letIn(t, l, "over")
	time.Sleep(time.Until(taken.Add(3100 * time.Millisecond)))
	if other := w.hold(t, "A-1"); other.status != http.StatusConflict {
		t.Fatalf("someone else holds a seat that is being paid: %d %s", other.status, other.body)
	}
	if over := v.checkout(t, h.text("hold_id"), "pm_card_visa", "two"); over.status != http.StatusConflict || over.text("code") != "hold_over" {
		t.Errorf("another card, too late: %d %s", over.status, over.body)
	}
	if other := w.hold(t, "A-1"); other.status != http.StatusCreated {
		t.Errorf("the seat is not free: %d %s", other.status, other.body)
	}
	mustBeClean(t, auditOf(t, l, decisionLimit))
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
	testenv.Eventually(t, "seat that came free", func() bool { // a node remembers for a moment that it was held
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
