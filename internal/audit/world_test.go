package audit

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
)

// noon is the time of every audit here.
var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// id is an order's by its name here. Attempts and refunds have theirs by "attempt NAME" and "refund NAME".
func id(name string) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)) }

// world is what an audit reads: it stands for Postgres, Redis, Stripe and the streams.
type world struct {
	books      sale.Books
	seats      map[string][]sale.SeatKey
	intents    []sale.Intent
	repayments []sale.Repayment
	streams    map[string][]events.Message
}

// bought is an order with its only attempt, and what ORDERS told of it.
type bought struct {
	name    string
	status  sale.OrderStatus
	attempt sale.AttemptState
	intent  sale.IntentStatus
	amount  int64
	seats   []string
	told    []events.OrderOutcome
}

// clean is a sale of two events in which each thing that may be right is there once.
func clean() *world {
	w := &world{
		books: sale.Books{
			Orders: map[uuid.UUID]sale.BookedOrder{}, Attempts: map[uuid.UUID]sale.Attempt{}, Counted: map[string]int{}, Events: []string{"play", "noh", "empty"},
		},
		seats: map[string][]sale.SeatKey{}, streams: map[string][]events.Message{},
	}
	yes, no, void := []events.OrderOutcome{events.OrderConfirmed}, []events.OrderOutcome{events.OrderRejected}, []events.OrderOutcome{events.OrderConfirmed, events.OrderVoided}
	back := []events.OrderOutcome{events.OrderConfirmed, events.OrderRefunded}
	for _, b := range []bought{
		{"bought", sale.Confirmed, sale.Captured, sale.IntentSucceeded, 5001, []string{"A-1", "A-2"}, yes},
		{"disputed", sale.Confirmed, sale.Disputed, sale.IntentSucceeded, 2502, []string{"A-3"}, yes},
		{"charged back", sale.Confirmed, sale.ChargedBack, sale.IntentSucceeded, 2503, []string{"A-4"}, yes},
		{"asked", sale.Confirmed, sale.Captured, sale.IntentSucceeded, 2504, []string{"A-5"}, yes},
		{"undecided", sale.Confirmed, sale.Captured, sale.IntentSucceeded, 2505, []string{"A-6"}, yes},
		{"refused", sale.Confirmed, sale.Captured, sale.IntentSucceeded, 2506, []string{"A-7"}, yes},
		{"refunded", sale.Refunded, sale.PaidBack, sale.IntentSucceeded, 2507, []string{"A-8"}, back},
		{"resold", sale.Confirmed, sale.Captured, sale.IntentSucceeded, 2508, []string{"A-8"}, yes},
		{"kept", sale.Refunded, sale.PaidBack, sale.IntentSucceeded, 2509, []string{"A-9"}, back},
		{"rejected", sale.Rejected, sale.Canceled, sale.IntentCanceled, 2510, []string{"A-1"}, no},
		{"voided", sale.Voided, sale.Canceled, sale.IntentCanceled, 2511, []string{"B-1"}, void},
		{"waiting", sale.AuthenticationRequired, sale.ActionRequired, sale.IntentRequiresAction, 2512, []string{"B-2"}, nil},
		{"failed", sale.PaymentFailed, sale.Declined, sale.IntentRequiresPaymentMethod, 2513, []string{"B-3"}, nil},
		{"rejected, by hand", sale.Rejected, sale.PaidBack, sale.IntentSucceeded, 2514, []string{"B-4"}, no},
		{"voided, by hand", sale.Voided, sale.PaidBack, sale.IntentSucceeded, 2515, []string{"B-5"}, void},
		{"failed, by hand", sale.PaymentFailed, sale.PaidBack, sale.IntentSucceeded, 2516, []string{"B-6"}, nil},
		{"rejected, on its way", sale.Rejected, sale.Authorized, sale.IntentSucceeded, 2517, []string{"B-7"}, no},
	} {
		w.buy("play", "eur", b)
	}
	w.buy("noh", "jpy", bought{"tokyo", sale.Confirmed, sale.Captured, sale.IntentSucceeded, 30000, []string{"A-1", "N-1"}, yes})
	w.sell("play/A-9", "kept")

	w.refund("asked", sale.RefundRequested, "")
	w.refund("undecided", sale.RefundPending, sale.RefundPending)
	w.refund("refused", sale.RefundFailed, sale.RefundFailed)
	w.refund("rejected, on its way", sale.RefundPending, sale.RefundPending)
	for _, name := range []string{"refunded", "kept", "rejected, by hand", "voided, by hand", "failed, by hand"} {
		w.refund(name, sale.RefundSucceeded, sale.RefundSucceeded)
	}
	w.refundOf("kept").KeepSeats = true
	// An earlier try, which Stripe was never asked for, and another system's money on the same account.
	w.books.Attempts[id("earlier")] = sale.Attempt{ID: id("earlier"), OrderID: id("bought"), State: sale.Declined, Amount: 5001, Currency: "eur"}
	w.intents = append(w.intents,
		sale.Intent{ID: "pi_shop_1", Status: sale.IntentSucceeded, Amount: 900, Captured: 900, Currency: "eur", OrderID: "basket 17"},
		sale.Intent{ID: "pi_shop_2", Status: sale.IntentRequiresCapture, Amount: 900, Currency: "usd"})
	w.repayments = append(w.repayments, sale.Repayment{ID: "re_shop", IntentID: "pi_shop_1", State: sale.RefundSucceeded, Amount: 900, Currency: "eur"})

	w.books.Outbox = []sale.OutboxRow{{Stream: events.Orders, ID: "row", Created: noon.Add(-outboxLimit)}}
	w.seats["play"] = append(w.seats["play"], sale.SeatKey{Seat: "H-1", Hold: "hold", Expires: true})
	for _, event := range []string{"play", "noh"} {
		w.store(events.Admissions, events.AdmissionSubject(event), events.Encode(began(event, noon.Add(-time.Hour))))
	}
	w.join("play", "", 3)
	w.join("play", "presale", 2)
	w.join("noh", "", 1)
	return w
}

func (w *world) buy(event, currency string, b bought) {
	order, attempt, intent := id(b.name), id("attempt "+b.name), "pi_"+b.name
	w.books.Orders[order] = sale.BookedOrder{UpdatedAt: noon.Add(-time.Hour), Order: sale.Order{
		ID: order, EventID: event, HoldID: id("hold " + b.name), Seats: b.seats, Amount: b.amount, Currency: currency, Status: b.status,
	}}
	w.books.Attempts[attempt] = sale.Attempt{ID: attempt, OrderID: order, State: b.attempt, IntentID: intent, Amount: b.amount, Currency: currency}
	w.pay(intent, order, b.intent, b.amount, currency)
	w.store(events.Checkouts, "checkout."+event, events.Encode(events.CheckoutRequested{V: events.Version, OrderID: order, EventID: event, Seats: b.seats}))
	for _, o := range b.told {
		w.tell(b.name, o)
	}
	if b.status == sale.Confirmed {
		for _, s := range b.seats {
			w.sell(event+"/"+s, b.name)
		}
	}
}

// pay lets Stripe have an intent.
func (w *world) pay(intent string, order uuid.UUID, status sale.IntentStatus, amount int64, currency string) {
	i := sale.Intent{ID: intent, Status: status, Amount: amount, Currency: currency, OrderID: order.String()}
	if status == sale.IntentSucceeded {
		i.Captured = amount
	}
	w.intents = append(w.intents, i)
}

func (w *world) tell(name string, o events.OrderOutcome) {
	w.store(events.Orders, events.OrderSubject("play", o), events.Encode(events.Order{V: events.Version, Outcome: o, OrderID: id(name), EventID: "play"}))
}

// refund adds a refund of the whole of an order; with no state at Stripe, Stripe does not have it.
func (w *world) refund(name string, state, atStripe sale.RefundState) {
	o := w.books.Orders[id(name)]
	r := sale.Refund{ID: id("refund " + name), OrderID: o.ID, AttemptID: id("attempt " + name), IntentID: "pi_" + name, State: state,
		Amount: o.Amount, Currency: o.Currency, CreatedAt: noon.Add(-outboxLimit)}
	if atStripe != "" {
		r.StripeID = "re_" + name
		w.repayments = append(w.repayments, sale.Repayment{ID: r.StripeID, IntentID: r.IntentID, State: atStripe, Amount: o.Amount, Currency: o.Currency})
	}
	w.books.Refunds = append(w.books.Refunds, r)
}

// sell sells a seat, EVENT/SEAT, and marks and counts it.
func (w *world) sell(at, name string) {
	s := split(at)
	w.books.Sold = append(w.books.Sold, sale.SoldSeat{EventID: s.event, SeatID: s.id, Order: id(name), Known: true})
	w.books.Counted[s.event]++
	w.seats[s.event] = append(w.seats[s.event], sale.SeatKey{Seat: s.id, Sold: id(name).String()})
}

// free is the other direction of sell.
func (w *world) free(at string) {
	s := split(at)
	w.books.Sold = slices.DeleteFunc(w.books.Sold, func(x sale.SoldSeat) bool { return seat{x.EventID, x.SeatID} == s })
	w.books.Counted[s.event]--
	w.unmark(at)
}

// unmark lets Redis forget a seat.
func (w *world) unmark(at string) {
	s := split(at)
	w.seats[s.event] = slices.DeleteFunc(w.seats[s.event], func(k sale.SeatKey) bool { return k.Seat == s.id })
}

func (w *world) store(stream, subject string, data []byte) *events.Message {
	w.streams[stream] = append(w.streams[stream], events.Message{Stream: stream, Subject: subject, Sequence: uint64(len(w.streams[stream]) + 1), Data: data})
	return &w.streams[stream][len(w.streams[stream])-1]
}

// join stores a chunk of joins.
func (w *world) join(event, lane string, fans int) *events.Message {
	c := events.Chunk{Lane: lane, Sessions: make([]sale.SessionHash, fans)}
	m := map[string]string{events.HeaderJoinCount: strconv.Itoa(fans)}
	if lane != "" {
		c.Codes, m[events.HeaderLane] = make([]events.CodeID, fans), lane
	}
	stored := w.store(events.Line(event), "line."+event+".joined", c.Encode())
	stored.Header = m
	return stored
}

// began is the first record of an event's log.
func began(event string, at time.Time) events.Admission {
	return events.Admission{V: events.Version, EventID: event, N: 1, State: sale.Lobby, Rate: 10, Reason: "created", PacedTo: at, At: at}
}

func (w *world) Books(context.Context) (sale.Books, error) { return w.books, nil }

func (w *world) SeatKeys(_ context.Context, event string) ([]sale.SeatKey, error) {
	return w.seats[event], nil
}

func (w *world) Each(_ context.Context, f func(sale.Intent) bool) error {
	for i := 0; i < len(w.intents) && f(w.intents[i]); i++ {
	}
	return nil
}

func (w *world) EachRefund(_ context.Context, f func(sale.Repayment) bool) error {
	for i := 0; i < len(w.repayments) && f(w.repayments[i]); i++ {
	}
	return nil
}

// Follow gives what a stream holds and then waits, as a stream does that nobody writes to.
func (w *world) Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error {
	for _, m := range w.streams[f.Stream] {
		each(m)
	}
	caughtUp()
	<-ctx.Done()
	return nil
}

func (w *world) deps() Deps {
	return Deps{Books: w, Seats: w, Intents: w, Streams: w, Now: func() time.Time { return noon }}
}

// audit is what one reading finds.
func (w *world) audit(t *testing.T) Report {
	t.Helper()
	r, err := Run(t.Context(), w.deps())
	if err != nil {
		t.Fatal(err)
	}
	return r
}
