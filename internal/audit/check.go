package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/record"
	"onsale/internal/sale"
)

// check compares the facts with each other.
func (f *facts) check(now time.Time) Report {
	c := &checker{facts: f, now: now, r: Report{Revenue: map[string]int64{}, Returned: map[string]int64{}}}
	c.seatsSoldOnce()
	c.chargedWithTicket()
	c.moneyBalances()
	c.nothingLost()
	c.redisFollows()
	c.soldCounted()
	c.admissionsChain()
	c.r.Orders, c.r.Sold, c.r.Commands, c.r.Joins = len(f.books.Orders), len(f.books.Sold), len(f.commands), joins(f.lines)
	return c.r
}

type checker struct {
	*facts
	now  time.Time
	r    Report
	back map[string]int64 // by intent, once it is asked for
}

func (c *checker) find(guarantee int, code, subject, format string, args ...any) {
	c.r.Findings = append(c.r.Findings, Finding{Guarantee: guarantee, Code: code, Subject: subject, Detail: fmt.Sprintf(format, args...)})
}

type seat struct{ event, id string }

func (s seat) String() string { return s.event + "/" + s.id }

// seatsSoldOnce is guarantee 1: the sold seats are just those of the confirmed orders, each of one.
func (c *checker) seatsSoldOnce() {
	sold := make(map[seat]uuid.UUID, len(c.books.Sold))
	kept := map[uuid.UUID]bool{} // orders that were refunded and have their seats
	for _, r := range c.books.Refunds {
		kept[r.OrderID] = kept[r.OrderID] || r.State == sale.RefundSucceeded && r.KeepSeats
	}
	for _, s := range c.books.Sold {
		at := seat{s.EventID, s.SeatID}
		sold[at] = s.Order
		o, known := c.books.Orders[s.Order]
		switch {
		case !s.Known:
			c.find(1, "sold_seat_unknown", at.String(), "it is sold, but the event has no such seat")
		case !known:
			c.find(1, "sold_without_order", at.String(), "it is sold to order %s, which does not exist", s.Order)
		case o.Status != sale.Confirmed && o.Status != sale.Refunded:
			c.find(1, "sold_without_order", at.String(), "it is sold to order %s, which is %s", s.Order, o.Status)
		case o.Status == sale.Refunded && !kept[s.Order]:
			c.find(1, "sold_without_order", at.String(), "it is sold to order %s, which was refunded and does not keep its seats", s.Order)
		case !slices.Contains(o.Seats, s.SeatID) || o.EventID != s.EventID:
			c.find(1, "sold_to_another", at.String(), "it is sold to order %s, which did not ask for it", s.Order)
		}
	}
	owner := map[seat]uuid.UUID{}
	for id, o := range c.books.Orders {
		if o.Status != sale.Confirmed {
			continue
		}
		c.r.Confirmed++
		for _, s := range o.Seats {
			at := seat{o.EventID, s}
			if other, twice := owner[at]; twice {
				c.find(1, "sold_twice", at.String(), "orders %s and %s are both confirmed for it", other, id)
			}
			owner[at] = id
			if sold[at] != id {
				c.find(1, "seat_missing", at.String(), "order %s is confirmed for it, but it is not sold to that order", id)
			}
		}
	}
}

// chargedWithTicket is guarantee 2: money was taken for confirmed orders and for nothing else, in the right
// amount and once; what did not lead to seats holds no money.
func (c *checker) chargedWithTicket() {
	paid := map[uuid.UUID]string{}
	seen := map[string]bool{}
	attempts := map[string]sale.Attempt{} // by intent
	for _, a := range c.books.Attempts {
		attempts[a.IntentID] = a
	}
	for _, i := range c.intents {
		id := orderID(i.OrderID)
		if id == uuid.Nil {
			continue // another system's, on the same account
		}
		seen[i.ID] = true
		o, known := c.books.Orders[id]
		status := sale.OrderStatus("unknown")
		if known {
			status = o.Status
		}
		switch i.Status {
		case sale.IntentSucceeded:
			c.r.Captured++
			c.r.Revenue[i.Currency] += i.Captured
			if status != sale.Confirmed && status != sale.Refunded && c.returned(i.ID) < i.Captured {
				c.find(2, "captured_without_order", i.ID, "it took %d %s, but order %s is %s", i.Captured, i.Currency, id, status)
			}
			if other, twice := paid[id]; twice {
				c.find(2, "captured_twice", i.ID, "order %s was also paid with %s", id, other)
			}
			paid[id] = i.ID
			switch a, ours := attempts[i.ID]; {
			case !ours || a.State.Taken():
			case status == sale.Confirmed:
				c.find(2, "capture_not_recorded", i.ID, "it was captured for order %s, which is confirmed, but its attempt is %q", id, a.State)
			case status == sale.Refunded:
				c.find(2, "refunded_otherwise", a.ID.String(), "order %s is refunded, but its attempt is %s", id, a.State)
			}
			if known && (i.Captured != o.Amount || i.Currency != o.Currency) {
				c.find(2, "amount_differs", i.ID, "it took %d %s, order %s costs %d %s", i.Captured, i.Currency, id, o.Amount, o.Currency)
			}
		case sale.IntentRequiresCapture:
			switch status {
			case sale.Confirmed:
				c.find(2, "not_captured", i.ID, "order %s is confirmed, but its money was not taken", id)
			case sale.Processing, sale.AuthenticationRequired: // the second where its buyer has just come back from the bank
				c.find(2, "not_decided", i.ID, "the payment of order %s is authorized, but the order is still %s", id, status)
			default:
				c.find(2, "authorization_left", i.ID, "it still reserves money for order %s, which is %s", id, status)
			}
		case sale.IntentCanceled:
			c.r.Canceled++
		}
	}
	for id, o := range c.books.Orders {
		if o.Status == sale.Confirmed && paid[id] == "" {
			c.find(2, "confirmed_without_payment", id.String(), "the order is confirmed, but nothing was captured for it")
		}
	}
	for _, a := range c.books.Attempts {
		if a.IntentID != "" && !seen[a.IntentID] {
			c.find(2, "intent_missing", a.IntentID, "attempt %s names it, but Stripe does not have it", a.ID)
		}
		c.attemptFitsOrder(a, c.books.Orders[a.OrderID])
	}
}

// outboxLimit is how old an outbox row may become.
const outboxLimit = time.Minute

// nothingLost is guarantee 3, and 8 as far as the streams and Postgres agree: every command became an order,
// every decision was told, nothing was given up.
func (c *checker) nothingLost() {
	buried := map[string]bool{}
	for _, m := range c.dead {
		if !strings.HasPrefix(m.Subject, "dead.") {
			c.find(3, "max_deliveries", fmt.Sprint("DEAD/", m.Sequence), "the server gave up on a message: %s", m.Data)
			continue
		}
		d, err := events.Decode[events.DeadLetter](m.Data)
		if err != nil {
			c.find(3, "dead_letter", fmt.Sprint("DEAD/", m.Sequence), "it can't be read: %v", err)
			continue
		}
		if cmd, err := events.Decode[events.CheckoutRequested](d.Data); err == nil && d.Stream == events.Checkouts {
			buried[cmd.OrderID.String()] = true
		}
		c.find(3, "dead_letter", fmt.Sprintf("%s/%d", d.Stream, d.Sequence), "%s gave it up: %s", d.Consumer, d.Reason)
	}
	for _, cmd := range c.commands {
		if _, ok := c.books.Orders[cmd.OrderID]; !ok && !buried[cmd.OrderID.String()] {
			c.find(3, "command_lost", cmd.OrderID.String(), "its checkout was accepted, but there is no order")
		}
	}
	told := map[uuid.UUID]events.OrderOutcome{}
	for _, o := range c.orders {
		told[o.OrderID] = o.Outcome // the last one counts
		if _, ok := c.books.Orders[o.OrderID]; !ok {
			c.find(8, "order_missing", o.OrderID.String(), "ORDERS says it was %s, but Postgres does not have it", o.Outcome)
		}
	}
	wanted := map[sale.OrderStatus]events.OrderOutcome{
		sale.Confirmed: events.OrderConfirmed, sale.Refunded: events.OrderRefunded, sale.Rejected: events.OrderRejected, sale.Voided: events.OrderVoided,
	}
	for id, o := range c.books.Orders {
		if told[id] != wanted[o.Status] {
			c.find(8, "told_otherwise", id.String(), "Postgres has it as %s, the last that ORDERS tells is %q", o.Status, told[id])
		}
		if o.Status == sale.Processing {
			c.find(3, "not_decided", id.String(), "the order is processing since %s", o.UpdatedAt.UTC().Format(time.RFC3339))
		}
	}
	for _, row := range c.books.Outbox {
		if c.now.Sub(row.Created) > outboxLimit {
			c.find(3, "outbox_stuck", row.ID, "it waits to be told to %s since %s", row.Stream, row.Created.UTC().Format(time.RFC3339))
		}
	}
}

// soldCounted is guarantee 8 for the count of sold seats, by which admitters know that nothing is left.
func (c *checker) soldCounted() {
	sold := map[string]int{}
	for _, s := range c.books.Sold {
		sold[s.EventID]++
	}
	for _, id := range c.books.Events {
		if counted := c.books.Counted[id]; counted != sold[id] {
			c.find(8, "sold_miscounted", id, "%d seats are sold, and %d are counted", sold[id], counted)
		}
	}
}

// redisFollows is guarantees 7 and 8 for Redis: what is sold is marked, what is marked is sold, and every hold
// ends by itself.
func (c *checker) redisFollows() {
	sold := map[seat]uuid.UUID{}
	for _, s := range c.books.Sold {
		sold[seat{s.EventID, s.SeatID}] = s.Order
	}
	for event, keys := range c.seats {
		for _, k := range keys {
			at := seat{event, k.Seat}
			if k.Hold != "" && !k.Expires {
				c.find(7, "hold_without_ttl", at.String(), "hold %s never ends", k.Hold)
			}
			if k.Sold == "" {
				continue
			}
			if sold[at].String() != k.Sold {
				c.find(8, "mark_without_sale", at.String(), "Redis has it as sold to %s, Postgres does not", k.Sold)
				continue
			}
			delete(sold, at)
		}
	}
	for at, id := range sold {
		c.find(8, "sale_without_mark", at.String(), "it is sold to order %s, but Redis does not know", id)
	}
}

// admissionsChain is guarantee 5: the public records of each event are whole, and follow from each other.
func (c *checker) admissionsChain() {
	for id, l := range c.lines {
		for _, b := range l.Breaches {
			c.find(5, "public_records", id+"/"+b.Record, "%s", b.What)
		}
	}
}

func joins(lines map[string]record.Summary) int {
	n := 0
	for _, l := range lines {
		for _, joined := range l.Joined {
			n += int(joined)
		}
	}
	return n
}
