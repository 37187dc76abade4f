package audit

import (
	"maps"
	"slices"

	"onsale/internal/sale"
)

// returned is how much of an intent's money Stripe has given back, or is about to, in minor units.
func (c *checker) returned(intent string) int64 {
	if c.back == nil {
		c.back = map[string]int64{}
		for _, r := range c.repayments {
			if r.State != sale.RefundFailed {
				c.back[r.IntentID] += r.Amount
			}
		}
	}
	return c.back[intent]
}

// attemptFitsOrder compares an attempt with its order: money was taken for confirmed orders, given back for refunded
// ones, and let go for all others, or given back where it was taken all the same.
func (c *checker) attemptFitsOrder(a sale.Attempt, o sale.BookedOrder) {
	wanted, code := sale.Confirmed, "captured_without_order"
	switch a.State {
	case sale.Disputed:
		c.r.Disputed++
	case sale.ChargedBack:
		c.r.ChargedBack++
	case sale.PaidBack:
		c.r.Refunded++
		if o.Status == sale.Rejected || o.Status == sale.Voided || o.Status == sale.PaymentFailed {
			return
		}
		wanted, code = sale.Refunded, "refunded_otherwise"
	case sale.Captured:
	default:
		return // an earlier try, or one whose intent is looked at
	}
	if o.Status == sale.Refunded {
		code = "refunded_otherwise"
	}
	if o.Status != wanted {
		c.find(2, code, a.ID.String(), "the attempt is %s, but order %s is %s", a.State, a.OrderID, o.Status)
	}
}

// moneyBalances is the rest of guarantee 2: what was given back is what Postgres says, and what was taken less that is
// what the confirmed orders cost, in each currency. Money that banks took back is told of, and still counts as taken.
func (c *checker) moneyBalances() {
	byRefund := map[string]sale.Repayment{}
	back := map[string]int64{}
	ours := map[string]bool{}
	for _, i := range c.intents {
		if _, known := c.books.Orders[orderID(i.OrderID)]; known {
			ours[i.ID] = true
		}
	}
	for _, r := range c.repayments {
		byRefund[r.ID] = r
		if r.State != sale.RefundFailed && ours[r.IntentID] {
			back[r.Currency] += r.Amount
			c.r.Returned[r.Currency] += r.Amount
		}
	}
	pending := map[string]int64{}
	for _, r := range c.books.Refunds {
		at := byRefund[r.StripeID]
		switch {
		case r.State == sale.RefundSucceeded && at.State != sale.RefundSucceeded:
			c.find(2, "refund_missing", r.ID.String(), "order %s is refunded, but Stripe's refund %q is %q", r.OrderID, r.StripeID, at.State)
		case r.State == sale.RefundRequested && c.now.Sub(r.CreatedAt) > outboxLimit:
			c.find(3, "refund_not_begun", r.ID.String(), "the refund of order %s was asked for a while ago, and Stripe has not answered", r.OrderID)
		case r.State == sale.RefundPending && c.books.Orders[r.OrderID].Status == sale.Confirmed:
			pending[r.Currency] += r.Amount
		}
	}
	cost := map[string]int64{}
	for _, o := range c.books.Orders {
		if o.Status == sale.Confirmed {
			cost[o.Currency] += o.Amount
		}
	}
	taken := map[string]int64{}
	for _, i := range c.intents {
		if ours[i.ID] {
			taken[i.Currency] += i.Captured
		}
	}
	for _, currency := range slices.Sorted(maps.Keys(taken)) {
		// A refund that the bank has not decided is out at Stripe, and its order still confirmed.
		if net := taken[currency] - back[currency]; net+pending[currency] != cost[currency] {
			c.find(2, "money_differs", currency, "%s were taken and %s given back, %s of that undecided; the confirmed orders cost %s", sale.Money(taken[currency], currency),
				sale.Money(back[currency], currency), sale.Money(pending[currency], currency), sale.Money(cost[currency], currency))
		}
	}
}
