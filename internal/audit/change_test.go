package audit

import (
	"slices"
	"strings"

	"onsale/internal/sale"
)

func split(at string) seat {
	event, id, _ := strings.Cut(at, "/")
	return seat{event, id}
}

// The functions below change one thing, by its name, and panic where there is none.

func (w *world) order(name string, change func(*sale.BookedOrder)) {
	o, known := w.books.Orders[id(name)]
	if !known {
		panic("no order " + name)
	}
	change(&o)
	w.books.Orders[id(name)] = o
}

func (w *world) status(name string, to sale.OrderStatus) {
	w.order(name, func(o *sale.BookedOrder) { o.Status = to })
}

func (w *world) attempt(name string, to sale.AttemptState) {
	a, known := w.books.Attempts[id("attempt "+name)]
	if !known {
		panic("no attempt of " + name)
	}
	a.State = to
	w.books.Attempts[a.ID] = a
}

// intent sets what Stripe says of an order's payment, and what it took.
func (w *world) intent(name string, to sale.IntentStatus) {
	i := w.intentOf(name)
	if i.Status, i.Captured = to, 0; to == sale.IntentSucceeded {
		i.Captured = i.Amount
	}
}

func (w *world) intentOf(name string) *sale.Intent {
	return &w.intents[slices.IndexFunc(w.intents, func(i sale.Intent) bool { return i.ID == "pi_"+name })]
}

func (w *world) refundOf(name string) *sale.Refund {
	return &w.books.Refunds[slices.IndexFunc(w.books.Refunds, func(r sale.Refund) bool { return r.ID == id("refund "+name) })]
}

func (w *world) repaymentOf(name string) *sale.Repayment {
	return &w.repayments[slices.IndexFunc(w.repayments, func(r sale.Repayment) bool { return r.ID == "re_"+name })]
}

func (w *world) sold(at string) *sale.SoldSeat {
	return &w.books.Sold[slices.IndexFunc(w.books.Sold, func(s sale.SoldSeat) bool { return seat{s.EventID, s.SeatID} == split(at) })]
}

func (w *world) mark(at string) *sale.SeatKey {
	s := split(at)
	return &w.seats[s.event][slices.IndexFunc(w.seats[s.event], func(k sale.SeatKey) bool { return k.Seat == s.id })]
}

// paidBack lets Stripe have given back some of an order's money, without Postgres knowing.
func (w *world) paidBack(name string, amount int64, state sale.RefundState) {
	w.repayments = append(w.repayments, sale.Repayment{ID: "re_by_hand", IntentID: "pi_" + name, State: state, Amount: amount, Currency: w.intentOf(name).Currency})
}
