package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/sale"
)

// spoiling is one thing that is wrong, and all that must be found because of it: "GUARANTEE CODE SUBJECT".
type spoiling struct {
	what  string
	spoil func(w *world)
	want  []string
}

// spoilings are those of every guarantee.
func spoilings() []spoiling {
	return slices.Concat(spoiledSeats(), spoiledPayments(), spoiledRefunds(), spoiledStreams(), spoiledMarks())
}

func spoiledSeats() []spoiling {
	return []spoiling{
		{"a sold seat is not the event's", func(w *world) { w.sold("play/A-1").Known = false }, []string{"1 sold_seat_unknown play/A-1"}},
		{"a seat is sold to nobody", func(w *world) { w.sell("play/Z-1", "nobody") }, []string{"1 sold_without_order play/Z-1"}},
		{"a rejected order has a seat", func(w *world) { w.sell("play/B-4", "rejected, by hand") }, []string{"1 sold_without_order play/B-4"}},
		{"a voided order has a seat", func(w *world) { w.sell("play/B-1", "voided") }, []string{"1 sold_without_order play/B-1"}},
		{"an unpaid order has a seat", func(w *world) { w.sell("play/B-2", "waiting") }, []string{"1 sold_without_order play/B-2"}},
		{"a refunded order has a seat that it gave back", func(w *world) { w.refundOf("kept").KeepSeats = false }, []string{"1 sold_without_order play/A-9"}},
		{"an order has a seat that it did not ask for", func(w *world) { w.sell("play/Z-1", "bought") }, []string{"1 sold_to_another play/Z-1"}},
		{"a refunded order has such a seat", func(w *world) { w.sell("play/Z-1", "kept") }, []string{"1 sold_to_another play/Z-1"}},
		{"an order has that seat of another event", func(w *world) { w.sell("play/N-1", "tokyo") }, []string{"1 sold_to_another play/N-1"}},
		{"two confirmed orders ask for a seat", func(w *world) {
			w.order("disputed", func(o *sale.BookedOrder) { o.Seats = append(o.Seats, "A-1") })
		}, []string{"1 sold_twice play/A-1", "1 seat_missing play/A-1"}},
		{"a confirmed order has lost a seat", func(w *world) { w.free("play/A-2") }, []string{"1 seat_missing play/A-2"}},
		{"a confirmed order's seat is another's", func(w *world) {
			w.free("play/A-8")
			w.sell("play/A-8", "refunded")
		}, []string{"1 seat_missing play/A-8", "1 sold_without_order play/A-8"}},
	}
}

func spoiledStreams() []spoiling {
	lost := events.Encode(events.CheckoutRequested{V: events.Version, OrderID: id("lost"), EventID: "play"})
	bury := func(w *world, stream string, data []byte) {
		w.store(events.Dead, events.DeadSubject(stream), events.Encode(events.DeadLetter{V: events.Version, Stream: stream, Sequence: 7, Consumer: "worker", Data: data}))
	}
	all := []spoiling{
		{"the server gave up on a message", func(w *world) {
			w.store(events.Dead, "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ORDERS.capture", []byte("{}"))
		}, []string{"3 max_deliveries DEAD/1"}},
		{"a worker gave up on a message", func(w *world) { bury(w, events.Payments, []byte("{}")) }, []string{"3 dead_letter PAYMENTS/7"}},
		{"a dead letter can't be read", func(w *world) { w.store(events.Dead, events.DeadSubject(events.Payments), []byte("{")) }, []string{"3 dead_letter DEAD/1"}},
		{"a worker gave up on a checkout", func(w *world) {
			w.store(events.Checkouts, "checkout.play", lost)
			bury(w, events.Checkouts, lost)
		}, []string{"3 dead_letter CHECKOUTS/7"}},
		{"a checkout is lost", func(w *world) { w.store(events.Checkouts, "checkout.play", lost) }, []string{"3 command_lost " + id("lost").String()}},
		{"a checkout is lost, and what only looks like it is a dead letter", func(w *world) {
			w.store(events.Checkouts, "checkout.play", lost)
			bury(w, events.Payments, lost)
		}, []string{"3 command_lost " + id("lost").String(), "3 dead_letter PAYMENTS/7"}},
		{"an outbox row is too old", func(w *world) {
			w.books.Outbox[0].Created = noon.Add(-outboxLimit - time.Nanosecond)
		}, []string{"3 outbox_stuck row"}},
		{"ORDERS tells of no order", func(w *world) { w.tell("lost", events.OrderRejected) }, []string{"8 order_missing " + id("lost").String()}},
		{"an order is processing", func(w *world) { w.status("waiting", sale.Processing) }, []string{"3 not_decided " + id("waiting").String()}},
		{"a record of the log can't be read", func(w *world) {
			w.store(events.Admissions, events.AdmissionSubject("noh"), []byte("{"))
		}, []string{"5 public_records noh/admission 2"}},
		{"a record of the log is from the future", func(w *world) {
			w.store(events.Admissions, events.AdmissionSubject("empty"), events.Encode(began("empty", noon.Add(time.Hour))))
		}, []string{"5 public_records empty/admission 1"}},
		{"a message of the line is missing", func(w *world) { w.join("play", "", 1).Sequence++ }, []string{"5 public_records play/line 3"}},
		{"the log has a draw of no line", func(w *world) {
			w.store(events.Line("noh"), "line.noh.sealed", []byte("{"))
		}, []string{"5 public_records noh/line 2"}},
	}
	for _, name := range []string{"bought", "refunded", "rejected", "voided", "waiting", "failed"} {
		all = append(all, spoiling{"ORDERS tells otherwise of what is " + name, func(w *world) {
			told := events.OrderVoided
			if name == "voided" {
				told = events.OrderConfirmed
			}
			w.tell(name, told)
		}, []string{"8 told_otherwise " + id(name).String()}})
	}
	for _, name := range []string{"bought", "rejected"} {
		all = append(all, spoiling{"ORDERS tells nothing of what is " + name, func(w *world) {
			w.streams[events.Orders] = slices.DeleteFunc(w.streams[events.Orders], func(m events.Message) bool { return strings.Contains(string(m.Data), id(name).String()) })
		}, []string{"8 told_otherwise " + id(name).String()}})
	}
	return all
}

func spoiledMarks() []spoiling {
	return []spoiling{
		{"a hold never ends", func(w *world) { w.mark("play/H-1").Expires = false }, []string{"7 hold_without_ttl play/H-1"}},
		{"Redis does not know of a sale", func(w *world) { w.unmark("play/A-1") }, []string{"8 sale_without_mark play/A-1"}},
		{"Redis has a sold seat as held", func(w *world) {
			*w.mark("play/A-1") = sale.SeatKey{Seat: "A-1", Hold: "hold", Expires: true}
		}, []string{"8 sale_without_mark play/A-1"}},
		{"Redis has it as sold in another event", func(w *world) {
			w.seats["empty"] = []sale.SeatKey{{Seat: "A-1", Sold: id("bought").String()}}
		}, []string{"8 mark_without_sale empty/A-1"}},
		{"Redis has a free seat as sold", func(w *world) { w.mark("play/H-1").Sold = id("bought").String() }, []string{"8 mark_without_sale play/H-1"}},
		{"Redis has a seat as another's", func(w *world) { w.mark("play/A-1").Sold = id("resold").String() },
			[]string{"8 mark_without_sale play/A-1", "8 sale_without_mark play/A-1"}},
		{"too many sold seats are counted", func(w *world) { w.books.Counted["play"]++ }, []string{"8 sold_miscounted play"}},
		{"too few sold seats are counted", func(w *world) { w.books.Counted["noh"]-- }, []string{"8 sold_miscounted noh"}},
		{"seats are counted where none is sold", func(w *world) { w.books.Counted["empty"] = 1 }, []string{"8 sold_miscounted empty"}},
	}
}

// Whatever is wrong is found under its guarantee, code and subject, and nothing else is.
func TestAudit_FindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, s := range spoilings() {
		t.Run(s.what, func(t *testing.T) {
			t.Parallel()
			w := clean()
			s.spoil(w)
			r := w.audit(t)
			var got []string
			for _, f := range r.Findings {
				got = append(got, fmt.Sprintf("%d %s %s", f.Guarantee, f.Code, f.Subject))
				if f.Detail == "" || strings.Contains(f.Detail, "%!") {
					t.Errorf("%s has the detail %q", f.Code, f.Detail)
				}
			}
			slices.Sort(s.want)
			if !slices.Equal(got, s.want) {
				t.Errorf("got %q, want %q", r.Findings, s.want)
			}
			if r.Clean() {
				t.Error("it is clean")
			}
		})
	}
}

// A sale in which all is right has no findings, and is summed up.
func TestAudit_FindsNothingInACleanSale(t *testing.T) {
	t.Parallel()
	r := clean().audit(t)
	if !r.Clean() || len(r.Findings) > 0 {
		t.Errorf("got %q", r.Findings)
	}
	got := fmt.Sprint(r.Orders, r.Confirmed, r.Sold, r.Captured, r.Canceled, r.Commands, r.Joins, r.Refunded, r.Disputed, r.ChargedBack)
	if want := "18 8 11 14 2 18 6 5 1 1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if want := (map[string]int64{"eur": 5001 + 2502 + 2503 + 2504 + 2505 + 2506 + 2507 + 2508 + 2509 + 2514 + 2515 + 2516 + 2517, "jpy": 30000}); !maps.Equal(r.Revenue, want) {
		t.Errorf("%v were taken, want %v", r.Revenue, want)
	}
	if want := (map[string]int64{"eur": 2505 + 2507 + 2509 + 2514 + 2515 + 2516 + 2517}); !maps.Equal(r.Returned, want) {
		t.Errorf("%v were given back, want %v", r.Returned, want)
	}
}
