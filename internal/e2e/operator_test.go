package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"onsale/internal/admin"
	"onsale/internal/testenv"
	"onsale/internal/up"
)

// onsale runs the operator's command on a system, whatever the environment of the tests names.
func onsale(t *testing.T, l *up.Local, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(binaries.path(t, "onsale"), args...)
	cmd.Env = environment(t, l)
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

func seatsLeft(t *testing.T, l *up.Local, event string) string {
	t.Helper()
	a := call(t, "GET", l.BaseURL+"/v1/queue/"+event, nil)
	return fmt.Sprint(a.fields["seats_left"])
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
	testenv.Eventually(t, "two seats left", func() bool { return seatsLeft(t, l, "refunds") == "2" })

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
	testenv.Eventually(t, "three seats left", func() bool { return seatsLeft(t, l, "refunds") == "3" })
	if o := shown(t, l, order); len(o.Refunds) != 1 || o.Refunds[0].State != "succeeded" || o.Refunds[0].Reason != "the artist is ill" || o.Attempts[0].State != "refunded" {
		t.Errorf("refunded: %+v", o)
	}
	if out := mustRun(t, l, "order", "show", order); !strings.Contains(out, "42.00 eur") || !strings.Contains(out, "the artist is ill") {
		t.Errorf("shown as\n%s", out)
	}
	var pending string
	testenv.Eventually(t, "refund at the bank", func() bool {
		o := shown(t, l, held.order)
		pending = o.Refunds[0].StripeID
		return o.Refunds[0].State == "pending"
	})
	mustBeClean(t, auditOf(t, l, decisionLimit))
	play(t, l, "refunds/"+pending, `{"status":"failed"}`)
	testenv.Eventually(t, "failed refund", func() bool { return shown(t, l, held.order).Refunds[0].State == "failed" })
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
		testenv.Eventually(t, "capture", func() bool { return shown(t, l, order).Attempts[0].State == "captured" })
		dispute := play(t, l, "disputes", `{"payment_intent":"`+intent(t, l, order)+`","reason":"fraudulent"}`)
		testenv.Eventually(t, "dispute", func() bool { return shown(t, l, order).Attempts[0].State == "disputed" })
		if out, err := onsale(t, l, "order", "refund", order, "--reason", "x"); err == nil || !strings.Contains(out, "disputed") {
			t.Errorf("refund of a disputed order: %v %s", err, out)
		}
		play(t, l, "disputes/"+dispute, `{"status":"under_review"}`)
		play(t, l, "disputes/"+dispute, `{"status":"`+c.outcome+`"}`)
		testenv.Eventually(t, c.state+" attempt", func() bool { return string(shown(t, l, order).Attempts[0].State) == c.state })
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
