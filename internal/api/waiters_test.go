package api

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"onsale/events"
	"onsale/internal/sale"
)

// Who waits for an order is woken by every outcome of its payment but those after which it is still to be decided, or was.
func TestPaid_WakesWhereThereIsMoreToRead(t *testing.T) {
	t.Parallel()
	s, _, _ := serving(t, 0, 0)
	for outcome, wakes := range map[events.PaymentOutcome]bool{
		events.PaymentAuthorized: false, events.PaymentCaptured: false,
		events.PaymentDeclined: true, events.PaymentActionRequired: true, events.PaymentCanceled: true,
	} {
		order := uuid.New()
		woken, forget := s.sales.told.add(order)
		s.sales.paid(events.Message{Subject: events.PaymentSubject("gala", outcome),
			Data: events.Encode(events.Payment{V: events.Version, Outcome: outcome, OrderID: order, EventID: "gala"})})
		select {
		case <-woken:
			if !wakes {
				t.Errorf("%s wakes", outcome)
			}
		default:
			if wakes {
				t.Errorf("%s wakes nobody", outcome)
			}
		}
		forget()
	}
}

// away is a catalog whose database can't be asked at first.
type away struct {
	Catalog
	looks, fail int
	status      sale.OrderStatus // of all orders
	hold        uuid.UUID        // likewise
	none        bool             // there are no orders
}

func (a *away) Orders(_ context.Context, ids []uuid.UUID) ([]sale.Order, error) {
	if a.looks++; a.looks <= a.fail {
		return nil, sale.Errorf(sale.Unavailable, "postgres_unavailable", "not now")
	}
	orders := make([]sale.Order, len(ids))
	for i, id := range ids {
		if !a.none {
			orders[i] = sale.Order{ID: id, Status: a.status, HoldID: a.hold}
		}
	}
	return orders, nil
}

// Who waits for an order that was accepted is told of it once it can be looked up, or that it is still being decided: a
// database that is away meanwhile is no refusal.
func TestWait_GoesOnWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	for want, fail := range map[sale.OrderStatus]int{sale.Confirmed: 2, sale.Processing: 100} {
		t.Run(string(want), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				app := fiber.New()
				c := app.AcquireCtx(&fasthttp.RequestCtx{})
				defer app.ReleaseCtx(c)
				s := newServer(t.Context(), Deps{Catalog: &away{fail: fail, status: sale.Confirmed}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
				order := uuid.New()
				wait := s.waitFor(order, "wait=15")
				defer wait.forget()
				began := time.Now()
				o, err := wait.decided(c, sale.Order{ID: order, Status: sale.Processing})
				if err != nil || o.Status != want || o.ID != order {
					t.Errorf("after %v: %+v, %v", time.Since(began), o, err)
				}
			})
		})
	}
}

// A hold is free again where the order that it is bound to has ended without seats or is paid with another hold, and only
// there.
func TestReplaceable(t *testing.T) {
	t.Parallel()
	hold, order := uuid.New(), uuid.NewString()
	is := func(what string, catalog *away, want string) {
		t.Helper()
		s := newServer(t.Context(), Deps{Catalog: catalog, Log: slog.New(slog.DiscardHandler), Now: time.Now})
		if got, err := s.replaceable(t.Context(), order, hold); err != nil || got != want {
			t.Errorf("%s: %q (%v)", what, got, err)
		}
	}
	for _, status := range sale.OrderStatuses() {
		want := ""
		if status == sale.PaymentFailed || status == sale.Rejected {
			want = order
		}
		is(string(status), &away{status: status, hold: hold}, want)
		is(string(status)+", with another hold", &away{status: status, hold: uuid.New()}, order)
	}
	is("not begun", &away{none: true}, "")
}
