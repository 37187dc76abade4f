package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"onsale/internal/sale"
	"onsale/internal/stripe/double"
	"onsale/internal/testenv"
	"onsale/internal/up"
)

// One seat, 500 fans who hold it at once: one gets it, and 499 are told by name which seat is gone.
func TestOneSeatFiveHundredFans(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	openSmall(t, l, "rush", 2)
	const fans = 500
	visitors := make([]visitor, fans)
	var entering sync.WaitGroup
	slots := make(chan struct{}, 64)
	for i := range visitors {
		entering.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			visitors[i] = letIn(t, l, "rush")
		})
	}
	entering.Wait()
	answers := make([]answer, fans)
	start := make(chan struct{})
	var racing sync.WaitGroup
	for i, v := range visitors {
		racing.Go(func() {
			<-start
			answers[i] = v.hold(t, "A-1")
		})
	}
	close(start)
	racing.Wait()
	counts := map[int]int{}
	for _, a := range answers {
		counts[a.status]++
		if a.status == http.StatusConflict && (a.text("code") != "seats_taken" || fmt.Sprint(a.fields["seats"]) != "[A-1]") {
			t.Errorf("a refusal does not name the seat: %s", a.body)
		}
	}
	if counts[http.StatusCreated] != 1 || counts[http.StatusConflict] != fans-1 {
		t.Errorf("answers by status: %v, want one 201 and %d times 409", counts, fans-1)
	}
	mustBeClean(t, auditOf(t, l, 10*time.Second))
}

// The same checkout 50 times at once, and again after everything was restarted: one order, one authorization.
// The same key with another body is 422, before and after.
func TestSameCheckoutManyTimes(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	l := startDurable(t, dir)
	openSmall(t, l, "retry", 4)
	v := letIn(t, l, "retry")
	h := v.hold(t, "A-1", "A-2")
	if h.status != http.StatusCreated {
		t.Fatalf("hold: %d %s", h.status, h.body)
	}
	hold := h.text("hold_id")
	const times = 50
	answers := make([]answer, times)
	var racing sync.WaitGroup
	start := make(chan struct{})
	for i := range times {
		racing.Go(func() {
			<-start
			answers[i] = v.checkout(t, hold, "pm_card_visa", "once")
		})
	}
	close(start)
	racing.Wait()
	order := answers[0].text("order_id")
	for _, a := range answers {
		if a.status != http.StatusAccepted || a.text("order_id") != order || a.header.Get("Location") != "/v1/orders/"+order {
			t.Errorf("checkout: %d %s", a.status, a.body)
		}
	}
	other := func(v visitor) {
		t.Helper()
		if a := v.checkout(t, hold, "pm_card_mastercard", "once"); a.status != http.StatusUnprocessableEntity || a.text("code") != "idempotency_key_reused" {
			t.Errorf("the same key with another body: %d %s", a.status, a.body)
		}
	}
	other(v)
	if a := v.checkout(t, hold, "pm_card_visa", "once", "Prefer", "wait=20"); a.text("status") != "confirmed" {
		t.Errorf("the order is %s", a.body)
	}
	other(v)
	mustBeClean(t, auditOf(t, l, 10*time.Second))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l = startDurable(t, dir)
	v.base = l.BaseURL
	v.poll(t)
	for range 5 {
		if a := v.checkout(t, hold, "pm_card_visa", "once", "Prefer", "wait=20"); a.status != http.StatusAccepted || a.text("order_id") != order || a.text("status") != "confirmed" {
			t.Errorf("after the restart: %d %s", a.status, a.body)
		}
	}
	other(v)
	r := auditOf(t, l, 20*time.Second)
	mustBeClean(t, r)
	if r.Orders != 1 || r.Confirmed != 1 || r.Captured != 1 || r.Commands != 1 {
		t.Errorf("one checkout made %+v", r)
	}
	if n := intents(t, l); n != 1 {
		t.Errorf("Stripe was asked for %d payments, want 1", n)
	}
}

// Redis has lost everything and no worker has begun the order: that its key was used for another request is found in the
// stream, and only there. The hold that came with the second request is free once the order is paid with its own.
func TestReusedKeyIsFoundInTheStream(t *testing.T) {
	t.Parallel()
	l := start(t, up.Config{Dir: dataDir(t), Services: "none"})
	api := runNode(t, l, "api")
	l.BaseURL, l.AdminURL = api.base, api.ops
	runNode(t, l, "admitter")
	openSmall(t, l, "reused", 2)
	b := letIn(t, l, "reused").begin(t, "pm_card_visa", "A-1")
	forget(t, l)
	h := b.hold(t, "A-2")
	if h.status != http.StatusCreated || h.text("hold_id") == b.held {
		t.Fatalf("another seat: %d %s", h.status, h.body)
	}
	hold := h.text("hold_id")
	for range 2 {
		if a := b.checkout(t, hold, "pm_card_visa", "k"); a.status != http.StatusUnprocessableEntity || a.text("code") != "idempotency_key_reused" {
			t.Errorf("the key for another hold: %d %s", a.status, a.body)
		}
	}
	runNode(t, l, "payworker")
	runNode(t, l, "committer")
	becomes(t, l, b.order, "confirmed")
	a := b.checkout(t, hold, "pm_card_visa", "another")
	if a.status != http.StatusAccepted {
		t.Fatalf("another key for the hold: %d %s", a.status, a.body)
	}
	becomes(t, l, a.text("order_id"), "confirmed")
	r := auditOf(t, l, decisionLimit)
	mustBeClean(t, r)
	if r.Orders != 2 || r.Captured != 2 {
		t.Errorf("%d captured for %d orders", r.Captured, r.Orders)
	}
}

// redisOf is a way into a system's Redis, for what no service does.
func redisOf(t *testing.T, l *up.Local) *goredis.Client {
	t.Helper()
	opt, err := goredis.ParseURL(l.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	c := goredis.NewClient(opt)
	t.Cleanup(func() { c.Close() })
	return c
}

// forget empties Redis.
func forget(t *testing.T, l *up.Local) {
	t.Helper()
	if err := redisOf(t, l).FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

// intents is how many payments Stripe's double knows of.
func intents(t *testing.T, l *up.Local) int {
	t.Helper()
	a := call(t, "GET", l.StripeURL+"/_double/stats", nil, "Authorization", "Bearer "+l.StripeKey)
	n := 0
	for _, v := range a.fields["payment_intents"].(map[string]any) {
		n += int(v.(float64))
	}
	return n
}

// Redis forgets every hold while payments are under way, so that many pay for the same seat: one gets it, all
// others get their authorization back, and nobody is charged for nothing.
func TestLosersGetTheirMoneyBack(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	openSmall(t, l, "losers", 3)
	l.Double.SetFaults(double.Faults{LatencyMS: 1500})
	const fans = 30
	var orders []string
	for range fans {
		v := letIn(t, l, "losers")
		var h answer
		testenv.Eventually(t, "seats to hold, once the node forgets too that they were held, or their sale", func() bool {
			h = v.hold(t, "A-1", "A-2")
			return h.status != http.StatusConflict || confirmed(t, l, orders) == 1
		})
		if h.status == http.StatusConflict {
			break // sold: nobody else can hold it
		}
		if h.status != http.StatusCreated {
			t.Fatalf("hold: %d %s", h.status, h.body)
		}
		a := v.checkout(t, h.text("hold_id"), "pm_card_visa", "k")
		if a.status == http.StatusConflict && confirmed(t, l, orders) == 1 {
			break // sold between the hold and the checkout
		}
		if a.status != http.StatusAccepted {
			t.Fatalf("checkout: %d %s", a.status, a.body)
		}
		orders = append(orders, a.text("order_id"))
		forgetHolds(t, l, "losers")
	}
	if len(orders) < 3 {
		t.Fatalf("only %d could pay for the seat before it was sold", len(orders))
	}
	counts := map[string]int{}
	testenv.Eventually(t, "decision on every order", func() bool {
		clear(counts)
		for _, id := range orders {
			counts[orderStatus(t, l, id)]++
		}
		return counts["processing"]+counts[""] == 0
	})
	if counts["confirmed"] > 1 || counts["confirmed"]+counts["rejected"] != len(orders) {
		t.Errorf("orders by status: %v", counts)
	}
	r := auditOf(t, l, 30*time.Second)
	mustBeClean(t, r)
	if r.Canceled != counts["rejected"] || r.Captured != counts["confirmed"] {
		t.Errorf("%d authorizations were canceled and %d captured, with orders %v", r.Canceled, r.Captured, counts)
	}
	t.Logf("%d paid for the same seats: %v, %d authorizations canceled", len(orders), counts, r.Canceled)
}

func confirmed(t *testing.T, l *up.Local, orders []string) int {
	t.Helper()
	n := 0
	for _, id := range orders {
		if orderStatus(t, l, id) == "confirmed" {
			n++
		}
	}
	return n
}

// forgetHolds removes all holds of an event from Redis, as a failover that loses the last second would.
func forgetHolds(t *testing.T, l *up.Local, event string) {
	t.Helper()
	c := redisOf(t, l)
	keys, err := c.Keys(t.Context(), "{"+event+"}:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if !strings.Contains(k, ":hold:") {
			continue
		}
		if err := c.Del(t.Context(), k).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// An order is its session's to read, with the secret of an intent that wants its buyer. Whoever knows the public hash of
// the session and guesses the key knows the order's id.
func TestOrderIsReadByItsSessionAlone(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	openSmall(t, l, "private", 2)
	b := letIn(t, l, "private").begin(t, "pm_card_authenticationRequired", "A-1")
	order := sale.OrderID("private", sale.HashSession("private", b.session), "k")
	if order.String() != b.order {
		t.Fatalf("the order is %s, and not %s", b.order, order)
	}
	becomes(t, l, b.order, "authentication_required")
	path := b.base + "/v1/orders/" + b.order
	mine := call(t, "GET", path, nil, "Onsale-Session", b.session)
	if mine.status != http.StatusOK || mine.text("status") != "authentication_required" || mine.text("client_secret") == "" {
		t.Errorf("its session: %d %s", mine.status, mine.body)
	}
	stranger := letIn(t, l, "private")
	for who, headers := range map[string][]string{"nobody": nil, "an empty session": {"Onsale-Session", ""}, "another session": stranger.headers()} {
		if a := call(t, "GET", path, nil, headers...); a.status != http.StatusNotFound || a.text("code") != "order_not_found" {
			t.Errorf("%s: %d %s", who, a.status, a.body)
		}
	}
}
