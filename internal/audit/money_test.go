package audit

import (
	"slices"
	"testing"
	"time"

	"onsale/internal/sale"
)

func spoiledPayments() []spoiling {
	all := []spoiling{
		{"money was taken for no order", func(w *world) { w.pay("pi_x", id("nobody"), sale.IntentSucceeded, 4200, "eur") }, []string{"2 captured_without_order pi_x"}},
		{"money was taken for a rejected order", func(w *world) { w.intent("rejected", sale.IntentSucceeded) },
			[]string{"2 captured_without_order pi_rejected", "2 money_differs eur"}},
		{"most of it was given back", func(w *world) {
			w.intent("rejected", sale.IntentSucceeded)
			w.paidBack("rejected", 2509, sale.RefundSucceeded)
		}, []string{"2 captured_without_order pi_rejected", "2 money_differs eur"}},
		{"it could not be given back", func(w *world) {
			w.intent("rejected", sale.IntentSucceeded)
			w.paidBack("rejected", 2510, sale.RefundFailed)
		}, []string{"2 captured_without_order pi_rejected", "2 money_differs eur"}},
		{"an order was paid twice", func(w *world) { w.pay("pi_x", id("bought"), sale.IntentSucceeded, 5001, "eur") },
			[]string{"2 captured_twice pi_x", "2 money_differs eur"}},
		{"too little was taken", func(w *world) { w.intentOf("tokyo").Captured-- }, []string{"2 amount_differs pi_tokyo", "2 money_differs jpy"}},
		{"it was taken in another currency", func(w *world) { w.intentOf("bought").Currency = "usd" },
			[]string{"2 amount_differs pi_bought", "2 money_differs eur", "2 money_differs usd"}},
		{"a confirmed order's money was not taken", func(w *world) { w.intent("bought", sale.IntentRequiresCapture) },
			[]string{"2 not_captured pi_bought", "2 confirmed_without_payment " + id("bought").String(), "2 money_differs eur"}},
		{"a confirmed order has money reserved beside", func(w *world) { w.pay("pi_x", id("bought"), sale.IntentRequiresCapture, 5001, "eur") }, []string{"2 not_captured pi_x"}},
		{"a confirmed order's payment was canceled", func(w *world) { w.intent("bought", sale.IntentCanceled) },
			[]string{"2 confirmed_without_payment " + id("bought").String(), "2 money_differs eur"}},
		{"an authorized order is processing", func(w *world) {
			w.intent("waiting", sale.IntentRequiresCapture)
			w.attempt("waiting", sale.Authorized)
			w.status("waiting", sale.Processing)
		}, []string{"2 not_decided pi_waiting", "3 not_decided " + id("waiting").String()}},
		{"a buyer has come back from the bank", func(w *world) { w.intent("waiting", sale.IntentRequiresCapture) }, []string{"2 not_decided pi_waiting"}},
		{"a capture is not recorded", func(w *world) { w.attempt("bought", sale.Authorized) }, []string{"2 capture_not_recorded pi_bought"}},
		{"a paid attempt is declined", func(w *world) { w.attempt("tokyo", sale.Declined) }, []string{"2 capture_not_recorded pi_tokyo"}},
		{"money is reserved for no order", func(w *world) { w.pay("pi_x", id("nobody"), sale.IntentRequiresCapture, 4200, "eur") }, []string{"2 authorization_left pi_x"}},
		{"Stripe does not have a payment", func(w *world) {
			w.intents = slices.DeleteFunc(w.intents, func(i sale.Intent) bool { return i.ID == "pi_rejected" })
		}, []string{"2 intent_missing pi_rejected"}},
		{"Stripe has a payment as another system's", func(w *world) { w.intentOf("rejected").OrderID = "basket 18" }, []string{"2 intent_missing pi_rejected"}},
	}
	for _, name := range []string{"rejected", "voided", "failed", "refunded"} {
		all = append(all, spoiling{"money is still reserved for what is " + name, func(w *world) {
			w.pay("pi_x", id(name), sale.IntentRequiresCapture, 4200, "eur")
		}, []string{"2 authorization_left pi_x"}})
	}
	for _, state := range []sale.AttemptState{sale.Captured, sale.Disputed, sale.ChargedBack} {
		for _, name := range []string{"rejected", "waiting"} {
			all = append(all, spoiling{"the attempt is " + string(state) + " of what is " + name, func(w *world) { w.attempt(name, state) },
				[]string{"2 captured_without_order " + id("attempt "+name).String()}})
		}
		all = append(all, spoiling{"the attempt is " + string(state) + " of what is refunded", func(w *world) { w.attempt("refunded", state) },
			[]string{"2 refunded_otherwise " + id("attempt refunded").String()}})
	}
	return all
}

func spoiledRefunds() []spoiling {
	return []spoiling{
		{"a confirmed order's attempt is refunded", func(w *world) { w.attempt("bought", sale.PaidBack) }, []string{"2 refunded_otherwise " + id("attempt bought").String()}},
		{"an undecided order's attempt is refunded", func(w *world) { w.attempt("waiting", sale.PaidBack) }, []string{"2 refunded_otherwise " + id("attempt waiting").String()}},
		{"a refunded order's attempt is authorized", func(w *world) { w.attempt("refunded", sale.Authorized) }, []string{"2 refunded_otherwise " + id("attempt refunded").String()}},
		{"a refunded order's attempt is declined", func(w *world) { w.attempt("refunded", sale.Declined) }, []string{"2 refunded_otherwise " + id("attempt refunded").String()}},
		{"Stripe does not have a refund", func(w *world) {
			w.repayments = slices.DeleteFunc(w.repayments, func(r sale.Repayment) bool { return r.ID == "re_refunded" })
		}, []string{"2 refund_missing " + id("refund refunded").String(), "2 money_differs eur"}},
		{"Stripe has a refund as undecided", func(w *world) { w.repaymentOf("refunded").State = sale.RefundPending }, []string{"2 refund_missing " + id("refund refunded").String()}},
		{"Stripe has a refund as failed", func(w *world) { w.repaymentOf("kept").State = sale.RefundFailed },
			[]string{"2 refund_missing " + id("refund kept").String(), "2 money_differs eur"}},
		{"a refund was not begun", func(w *world) { w.refundOf("asked").CreatedAt = noon.Add(-outboxLimit - time.Nanosecond) }, []string{"3 refund_not_begun " + id("refund asked").String()}},
		{"some was given back by hand", func(w *world) { w.paidBack("bought", 1, sale.RefundSucceeded) }, []string{"2 money_differs eur"}},
		{"some is about to be given back by hand", func(w *world) { w.paidBack("tokyo", 1, sale.RefundPending) }, []string{"2 money_differs jpy"}},
		{"Stripe has an undecided refund as failed", func(w *world) { w.repaymentOf("undecided").State = sale.RefundFailed }, []string{"2 money_differs eur"}},
		{"Stripe has a failed refund as done", func(w *world) { w.repaymentOf("refused").State = sale.RefundSucceeded }, []string{"2 money_differs eur"}},
		{"Stripe has a refund that was asked for as done", func(w *world) { w.paidBack("asked", 2504, sale.RefundSucceeded) }, []string{"2 money_differs eur"}},
		{"a confirmed order costs more than was taken", func(w *world) {
			w.order("bought", func(o *sale.BookedOrder) { o.Amount++ })
		}, []string{"2 amount_differs pi_bought", "2 money_differs eur"}},
	}
}

// What was taken for a rejected order and given back by hand is no breach, as is what banks refused to give back.
func TestAudit_TakesWhatWasGivenBack(t *testing.T) {
	t.Parallel()
	w := clean()
	w.intent("rejected", sale.IntentSucceeded)
	w.paidBack("rejected", 2510, sale.RefundSucceeded)
	w.paidBack("bought", 5001, sale.RefundFailed)
	if r := w.audit(t); !r.Clean() {
		t.Errorf("got %q", r.Findings)
	}
}
