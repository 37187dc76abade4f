package e2e

import (
	"errors"
	"net/http"
	"os/exec"
	"testing"

	"github.com/jackc/pgx/v5"

	"onsale/internal/audit"
	"onsale/internal/up"
)

// buyOne buys a seat and waits for the confirmation.
func buyOne(t *testing.T, l *up.Local, event, seat string) (order string) {
	t.Helper()
	v := letIn(t, l, event)
	h := v.hold(t, seat)
	if h.status != http.StatusCreated {
		t.Fatalf("hold: %d %s", h.status, h.body)
	}
	a := v.checkout(t, h.text("hold_id"), "pm_card_visa", "k", "Prefer", "wait=20")
	if a.text("status") != "confirmed" {
		t.Fatalf("checkout: %d %s", a.status, a.body)
	}
	return a.text("order_id")
}

func sql(t *testing.T, l *up.Local, statement string, args ...any) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), l.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	tag, err := c.Exec(t.Context(), statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	if tag.RowsAffected() == 0 {
		t.Fatalf("%s changed nothing", statement)
	}
}

// The audit names what was tampered with: a sold seat whose row is gone, money taken without an order, an order
// that was canceled after its money was taken, a count of sold seats that is not theirs.
func TestAuditNamesTampering(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	openSmall(t, l, "books", 10)
	lost, canceled := buyOne(t, l, "books", "A-1"), buyOne(t, l, "books", "A-2")
	buyOne(t, l, "books", "A-3")
	mustBeClean(t, auditOf(t, l, 20e9))

	sql(t, l, `DELETE FROM sold_seats WHERE event_id = 'books' AND seat_id = 'A-1'`)
	sql(t, l, `UPDATE sold_counts SET seats = seats + 1 WHERE event_id = 'books'`)
	sql(t, l, `UPDATE orders SET status = 'rejected' WHERE order_id = $1`, canceled)
	stranger := chargeWithoutOrder(t, l)

	r := auditOf(t, l, 0)
	for _, want := range []audit.Finding{
		{Guarantee: 1, Code: "seat_missing", Subject: "books/A-1"},
		{Guarantee: 8, Code: "mark_without_sale", Subject: "books/A-1"},
		{Guarantee: 2, Code: "captured_without_order", Subject: stranger},
		{Guarantee: 1, Code: "sold_without_order", Subject: "books/A-2"},
		{Guarantee: 8, Code: "told_otherwise", Subject: canceled},
		{Guarantee: 8, Code: "sold_miscounted", Subject: "books"},
	} {
		if !found(r, want) {
			t.Errorf("the audit does not name %s of %s (order %s)", want.Code, want.Subject, lost)
		}
	}
	for _, f := range r.Findings {
		t.Log(f)
	}

	// The command says so too, and exits 1.
	var ended *exec.ExitError
	if out, err := onsale(t, l, "audit", "--settle", "0s"); !errors.As(err, &ended) || ended.ExitCode() != 1 {
		t.Errorf("onsale audit: %v, want exit code 1\n%s", err, out)
	}
}

func found(r audit.Report, want audit.Finding) bool {
	for _, f := range r.Findings {
		if f.Guarantee == want.Guarantee && f.Code == want.Code && f.Subject == want.Subject {
			return true
		}
	}
	return false
}

// chargeWithoutOrder takes money for an order that is not there, and returns the payment's id.
func chargeWithoutOrder(t *testing.T, l *up.Local) string {
	t.Helper()
	a := call(t, "POST", l.StripeURL+"/v1/payment_intents",
		"amount=4200&currency=eur&payment_method=pm_card_visa&payment_method_types[]=card&confirm=true&metadata[order_id]=7d0ef9a3-94c5-4b8e-8a38-3d9d6b3f5c11",
		"Authorization", "Bearer "+l.StripeKey, "Content-Type", "application/x-www-form-urlencoded")
	if a.text("status") != "succeeded" {
		t.Fatalf("charge: %d %s", a.status, a.body)
	}
	return a.text("id")
}
