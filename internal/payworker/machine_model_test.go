package payworker

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
)

// The machine as docs/payments.md draws it, written down again by hand: from each state, those that may be next.
var (
	attemptMoves = map[sale.AttemptState][]sale.AttemptState{
		sale.Started:        {sale.Authorized, sale.ActionRequired, sale.Declined, sale.Canceled},
		sale.ActionRequired: {sale.Authorized, sale.Declined, sale.Canceled},
		sale.Authorized:     {sale.Captured, sale.Canceled},
		sale.Captured:       {sale.Disputed, sale.ChargedBack, sale.PaidBack},
		sale.Disputed:       {sale.Captured, sale.ChargedBack, sale.PaidBack},
		sale.ChargedBack:    {sale.PaidBack},
		sale.Declined:       {},
		sale.Canceled:       {},
		sale.PaidBack:       {},
	}
	orderMoves = map[sale.OrderStatus][]sale.OrderStatus{
		sale.Processing:             {sale.AuthenticationRequired, sale.Confirmed, sale.Rejected, sale.PaymentFailed},
		sale.AuthenticationRequired: {sale.Processing, sale.PaymentFailed},
		sale.Confirmed:              {sale.Voided, sale.Refunded},
		sale.PaymentFailed:          {},
		sale.Rejected:               {},
		sale.Voided:                 {},
		sale.Refunded:               {},
	}
	refundMoves = map[sale.RefundState][]sale.RefundState{
		sale.RefundRequested: {sale.RefundPending, sale.RefundSucceeded, sale.RefundFailed},
		sale.RefundPending:   {sale.RefundSucceeded, sale.RefundFailed},
		sale.RefundFailed:    {sale.RefundSucceeded},
		sale.RefundSucceeded: {},
	}

	// What an order's attempt may be while the order is so.
	together = map[sale.OrderStatus][]sale.AttemptState{
		sale.Processing:             {sale.Started, sale.Authorized},
		sale.AuthenticationRequired: {sale.ActionRequired},
		sale.PaymentFailed:          {sale.Declined, sale.Canceled},
		sale.Confirmed:              {sale.Authorized, sale.Captured, sale.Disputed, sale.ChargedBack},
		sale.Rejected:               {sale.Authorized, sale.Canceled},
		sale.Voided:                 {sale.Canceled},
		sale.Refunded:               {sale.PaidBack},
	}
)

// position is how all orders of a sequence stand in Postgres, and their money at Stripe.
type position struct {
	Orders   []orderAt
	Attempts []attemptAt
	Refunds  []recordAt
	Sold     []soldAt

	Intents  []intentAt
	Returned []refundAt  // only where the account was read whole
	Disputes []disputeAt // the same
}

type orderAt struct {
	ID     uuid.UUID
	Status sale.OrderStatus
	Amount int64
	Seats  []string
}

type attemptAt struct {
	Order uuid.UUID
	State sale.AttemptState
}

type recordAt struct {
	ID, Order uuid.UUID
	State     sale.RefundState
	Keep      bool
}

type soldAt struct {
	Seat  string
	Order uuid.UUID
}

// intentAt, refundAt and disputeAt are what is at Stripe, in its own words.
type intentAt struct {
	ID       string
	Status   sale.IntentStatus
	Received int64 `json:"amount_received"`
	Metadata map[string]string
	Created  int64
}

type refundAt struct {
	ID     string
	Intent string `json:"payment_intent"`
	Status string
	Amount int64
}

type disputeAt struct {
	ID     string
	Intent string `json:"payment_intent"`
	Status sale.DisputeState
}

func (p *position) status(order uuid.UUID) sale.OrderStatus {
	for _, o := range p.Orders {
		if o.ID == order {
			return o.Status
		}
	}
	return ""
}

func (p *position) attempt(order uuid.UUID) sale.AttemptState {
	for _, a := range p.Attempts {
		if a.Order == order {
			return a.State
		}
	}
	return ""
}

func (p *position) intentOf(order uuid.UUID) (intentAt, bool) {
	for _, i := range p.Intents {
		if i.Metadata["order_id"] == order.String() {
			return i, true
		}
	}
	return intentAt{}, false
}

// moved says what is wrong with how one position became the next.
func moved(before, now *position) (wrong []string) {
	find := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	states := map[uuid.UUID]string{}
	for _, o := range now.Orders {
		states[o.ID] = string(o.Status)
		if was := before.status(o.ID); was != "" && was != o.Status && !slices.Contains(orderMoves[was], o.Status) {
			find("order %s went from %s to %s", o.ID, was, o.Status)
		}
	}
	for _, a := range now.Attempts {
		if was := before.attempt(a.Order); was != "" && was != a.State && !slices.Contains(attemptMoves[was], a.State) {
			find("attempt of order %s went from %s to %s", a.Order, was, a.State)
		}
	}
	was := map[uuid.UUID]sale.RefundState{}
	for _, r := range before.Refunds {
		was[r.ID] = r.State
	}
	for _, r := range now.Refunds {
		states[r.ID] = string(r.State)
		if from := was[r.ID]; from != "" && from != r.State && !slices.Contains(refundMoves[from], r.State) {
			find("refund %s of order %s went from %s to %s", r.ID, r.Order, from, r.State)
		}
	}
	for _, o := range before.Orders {
		if states[o.ID] == "" {
			find("order %s is gone", o.ID)
		}
	}
	for _, r := range before.Refunds {
		if states[r.ID] == "" {
			find("refund %s is gone", r.ID)
		}
	}
	return wrong
}

// sound says what is wrong with a position, whatever is still under way.
func (p *position) sound() (wrong []string) {
	find := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	attempts, intents, live := map[uuid.UUID]int{}, map[string]int{}, map[uuid.UUID]int{}
	for _, a := range p.Attempts {
		attempts[a.Order]++
	}
	for _, i := range p.Intents {
		intents[i.Metadata["order_id"]]++
	}
	for _, r := range p.Refunds {
		if r.State != sale.RefundFailed {
			live[r.Order]++
		}
	}
	sold, keeps := map[string]uuid.UUID{}, map[uuid.UUID]bool{}
	for _, s := range p.Sold {
		sold[s.Seat] = s.Order
	}
	for _, r := range p.Refunds {
		if r.State == sale.RefundSucceeded {
			keeps[r.Order] = r.Keep
			if s := p.status(r.Order); s != sale.Refunded {
				find("refund %s succeeded, and its order %s is %s", r.ID, r.Order, s)
			}
		}
	}
	for _, o := range p.Orders {
		state := p.attempt(o.ID)
		if !slices.Contains(together[o.Status], state) {
			find("order %s is %s, its attempt %s", o.ID, o.Status, state)
		}
		if attempts[o.ID] != 1 {
			find("order %s has %d attempts", o.ID, attempts[o.ID])
		}
		if n := intents[o.ID.String()]; n > 1 {
			find("order %s was authorized %d times", o.ID, n)
		}
		if live[o.ID] > 1 {
			find("order %s has %d refunds that live", o.ID, live[o.ID])
		}
		_, refunded := keeps[o.ID]
		has := o.Status == sale.Confirmed || o.Status == sale.Refunded && refunded && keeps[o.ID]
		for _, seat := range o.Seats {
			if (sold[seat] == o.ID) != has {
				find("order %s is %s, and seat %s is sold to %s", o.ID, o.Status, seat, sold[seat])
			}
		}
		i, made := p.intentOf(o.ID)
		paid := made && i.Status == sale.IntentSucceeded
		if paid && (o.Status != sale.Confirmed && o.Status != sale.Refunded || i.Received != o.Amount) {
			find("order %s of %d is %s, and intent %s took %d", o.ID, o.Amount, o.Status, i.ID, i.Received)
		}
		if took := state.Taken(); took && !paid {
			find("attempt of order %s is %s, and its intent is %q", o.ID, state, i.Status)
		}
	}
	return wrong
}

// settled says what is wrong with a position in which nothing is under way.
func (p *position) settled() (wrong []string) {
	find := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	var cost, net int64
	orders, owner := map[string]bool{}, map[string]uuid.UUID{}
	for _, o := range p.Orders {
		orders[o.ID.String()] = true
		switch o.Status {
		case sale.Processing, sale.AuthenticationRequired:
			find("order %s is %s for ever", o.ID, o.Status)
		case sale.Confirmed:
			cost += o.Amount
			for _, seat := range o.Seats {
				if other, twice := owner[seat]; twice {
					find("seat %s is sold to %s and to %s", seat, other, o.ID)
				}
				owner[seat] = o.ID
			}
		}
		if state := p.attempt(o.ID); state == sale.Authorized {
			find("attempt of order %s is authorized for ever, and the order %s", o.ID, o.Status)
		}
		i, _ := p.intentOf(o.ID)
		back, demanded := p.returned(i.ID), p.demanded(i.ID)
		net += i.Received - back
		switch {
		case (o.Status == sale.Refunded) != (back > 0):
			find("order %s of %d is %s, and %d were given back", o.ID, o.Amount, o.Status, back)
		case o.Status == sale.Confirmed && p.attempt(o.ID) != demanded:
			find("attempt of order %s is %s; by its disputes it is %s", o.ID, p.attempt(o.ID), demanded)
		}
	}
	for _, i := range p.Intents {
		if !orders[i.Metadata["order_id"]] {
			find("intent %s is of no order", i.ID)
		}
		if i.Status != sale.IntentSucceeded && i.Status != sale.IntentCanceled && i.Status != sale.IntentRequiresPaymentMethod {
			find("intent %s of order %s is %s for ever", i.ID, i.Metadata["order_id"], i.Status)
		}
	}
	for _, r := range p.Refunds {
		if r.State == sale.RefundRequested || r.State == sale.RefundPending {
			find("refund %s of order %s is %s for ever", r.ID, r.Order, r.State)
		}
	}
	if net != cost {
		find("%d were taken and kept, and the confirmed orders cost %d", net, cost)
	}
	return wrong
}

// returned is what an intent's money was given back of, or is about to be.
func (p *position) returned(intent string) (sum int64) {
	for _, r := range p.Returned {
		if r.Intent == intent && r.Status != "failed" {
			sum += r.Amount
		}
	}
	return sum
}

// demanded is what the disputes of an intent make of its attempt.
func (p *position) demanded(intent string) sale.AttemptState {
	state := sale.Captured
	for _, d := range p.Disputes {
		switch {
		case d.Intent != intent || d.Status == sale.DisputeWon:
		case d.Status == sale.DisputeLost:
			return sale.ChargedBack
		default:
			state = sale.Disputed
		}
	}
	return state
}

// verdicts are how orders are to stand after their payments were committed together: who comes first has the seats.
func (p *position) verdicts(all []events.Payment, blocked [][]string) []sale.OrderStatus {
	gone, now := map[string]bool{}, map[uuid.UUID]sale.OrderStatus{}
	for _, s := range p.Sold {
		gone[s.Seat] = true
	}
	verdicts := make([]sale.OrderStatus, len(all))
	for i, x := range all {
		v := cmp.Or(now[x.OrderID], p.status(x.OrderID))
		switch {
		case v != sale.Processing || p.attempt(x.OrderID) != sale.Authorized:
		case len(blocked[i]) > 0 || slices.ContainsFunc(x.Seats, func(seat string) bool { return gone[seat] }):
			v = sale.Rejected
		default:
			v = sale.Confirmed
			for _, seat := range x.Seats {
				gone[seat] = true
			}
		}
		verdicts[i], now[x.OrderID] = v, v
	}
	return verdicts
}

// refundable says whether an operator may ask for a refund, or has asked for the same before.
func (p *position) refundable(order uuid.UUID, keep bool) bool {
	for _, r := range slices.Backward(p.Refunds) {
		if r.Order == order && r.State != sale.RefundFailed {
			return r.Keep == keep
		}
	}
	return p.status(order) == sale.Confirmed && p.attempt(order) == sale.Captured
}
