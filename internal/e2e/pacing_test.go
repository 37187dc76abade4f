package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/admin"
	"onsale/internal/redis"
	"onsale/internal/sale"
	"onsale/internal/stripe/double"
	"onsale/internal/testenv"
	"onsale/internal/up"
	"onsale/nats"
)

// everyoneBegins lets so many fans in, who all check out at once, and returns their orders.
func everyoneBegins(t *testing.T, l *up.Local, event string, fans int) []begun {
	t.Helper()
	all := make([]begun, fans)
	visitors := make([]visitor, fans)
	var entering, buying sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range visitors {
		entering.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			visitors[i] = letIn(t, l, event)
		})
	}
	entering.Wait()
	for i, v := range visitors {
		buying.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			all[i] = v.begin(t, "pm_card_visa", fmt.Sprintf("A-%d", i+1))
		})
	}
	buying.Wait()
	return all
}

// Stripe takes fewer calls than the setting says, and two payworkers share the account. Everyone is paid once, and what
// Stripe refuses are a few calls, not all that wait.
func TestManyCheckoutsUnderARateLimit(t *testing.T) {
	t.Parallel()
	rate := 40.0
	l := start(t, up.Config{Dir: dataDir(t), StripeRate: &rate})
	runNode(t, l, "payworker")
	const fans = 200
	create(t, l, "limited", func(e *admin.CreateEvent) {
		e.Rate, e.Plan, e.HoldTTLSeconds, e.PaymentWindowSeconds = 5000, smallPlan(fans), 60, 10
	})
	move(t, l, "limited", "open", "open")
	l.Double.SetFaults(double.Faults{RateLimit: 30})
	orders := everyoneBegins(t, l, "limited", fans)
	ids := make([]string, fans)
	for i, o := range orders {
		ids[i] = o.order
	}
	testenv.Within(t, 90*time.Second, "confirmed orders", func() bool { return confirmed(t, l, ids) == fans })
	r := auditOf(t, l, 60*time.Second)
	refused := l.Double.RateLimited()
	t.Logf("%d calls were refused of some %d", refused, 2*fans)
	l.Double.SetFaults(double.Faults{})
	mustBeClean(t, r)
	if r.Confirmed != fans || r.Captured != fans || r.Sold != fans || intents(t, l) != fans {
		t.Errorf("%+v", r)
	}
	if refused > fans {
		t.Errorf("%d calls were refused: it is not paced", refused)
	}
}

// An audit asks Stripe at the account's rate, in turn with the payworkers.
func TestAuditTakesItsTurns(t *testing.T) {
	t.Parallel()
	rate := 0.5
	l := start(t, up.Config{Dir: dataDir(t), StripeRate: &rate})
	l.Double.SetFaults(double.Faults{RateLimit: 1}) // it makes two: for intents, and for refunds
	mustRun(t, l, "audit")
	if refused := l.Double.RateLimited(); refused > 0 {
		t.Errorf("%d calls were refused: it is not paced", refused)
	}
}

// Checkouts come faster than the account takes them: the line slows down and says why, the seats of those who wait are
// kept for longer than a hold and a payment window, and once they are paid the line is as fast as before.
func TestLinePacedByPayments(t *testing.T) {
	t.Parallel()
	rate := 2.0
	l := start(t, up.Config{Dir: dataDir(t), StripeRate: &rate})
	const fans, set = 30, 1000.0
	create(t, l, "slow", func(e *admin.CreateEvent) {
		e.Rate, e.Plan, e.HoldTTLSeconds, e.PaymentWindowSeconds = set, smallPlan(fans+1), 5, 5
	})
	if out := mustRun(t, l, "line", "payments", "slow", "on"); out == "" {
		t.Error("nothing is said")
	}
	move(t, l, "slow", "open", "open")
	orders := everyoneBegins(t, l, "slow", fans)
	last := func() events.Admission {
		a, err := operator(l).Line(t.Context(), "slow")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	testenv.Eventually(t, "slower line", func() bool { a := last(); return a.Payments != nil && a.Payments.Set == set && a.Rate < 10 })
	late := visitor{base: l.BaseURL, event: "slow", session: "a-fan-who-comes-late"}
	j := call(t, "POST", late.base+"/v1/queue/slow/join", map[string]string{"session": late.session})
	if j.status != http.StatusCreated {
		t.Fatalf("join: %d %s", j.status, j.body)
	}
	p := call(t, "GET", late.base+"/v1/queue/slow/position", nil, "Authorization", "Bearer "+j.text("ticket"))
	if p.text("pass") != "" || p.text("reason") != "payments" {
		t.Errorf("a fan is told %s", p.body)
	}
	ids := make([]string, fans)
	for i, o := range orders {
		ids[i] = o.order
	}
	testenv.Within(t, 90*time.Second, "confirmed orders", func() bool { return confirmed(t, l, ids) == fans })
	testenv.Within(t, 60*time.Second, "line at its own rate", func() bool { a := last(); return a.Payments == nil && a.Rate == set })
	changes := 0
	for _, a := range admissions(t, l.BaseURL, "slow") {
		if a.Reason == "payments" {
			changes++
		}
	}
	if changes < 2 {
		t.Errorf("the public log has %d changes for payments", changes)
	}
	mustRun(t, l, "verify", l.BaseURL+"/v1/queue/slow")
	mustBeClean(t, auditOf(t, l, 60*time.Second))
}

// A checkout that will wait for ten minutes keeps its seats for as long.
func TestSeatsAreKeptForTheExpectedWait(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	openSmall(t, l, "patient", 100)
	bus, err := nats.Connect(nats.Config{URL: l.NATSURL, Name: "another payworker", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	holds, err := redis.Open(l.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	defer holds.Close()
	l.Double.SetFaults(double.Faults{LatencyMS: 3000}) // so that the seats are still held, and not sold, when they are looked at
	defer l.Double.SetFaults(double.Faults{})
	seat := 0
	testenv.Eventually(t, "hold that lasts", func() bool {
		if err := bus.Notify(events.PaymentsNoticeSubject, events.Encode(events.PaymentsNotice{V: 1, Node: "other", Rate: 1, Backlog: 600})); err != nil {
			t.Fatal(err)
		}
		seat++
		b := letIn(t, l, "patient").begin(t, "pm_card_visa", fmt.Sprintf("A-%d", seat))
		h, err := holds.Find(t.Context(), "patient", sale.HashSession("patient", b.session), uuid.MustParse(b.held))
		return err == nil && h.Left > admin.DefaultPaymentWindow+5*time.Minute && h.Left < admin.DefaultPaymentWindow+11*time.Minute
	})
}
