// Package audit checks the guarantees on live data, across Postgres, Redis, the streams and Stripe, and names
// each breach. It changes nothing. A running sale always has something under way, which no two systems show at
// the same instant; so the books are read several times, and only what stays wrong is a breach.
package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/record"
	"onsale/internal/sale"
)

// Books is what Postgres holds.
type Books interface {
	Books(ctx context.Context) (sale.Books, error)
}

// Seats is what Redis holds.
type Seats interface {
	SeatKeys(ctx context.Context, eventID string) ([]sale.SeatKey, error)
}

// Intents is what Stripe holds: every intent or refund, newest first, until f returns false.
type Intents interface {
	Each(ctx context.Context, f func(sale.Intent) bool) error
	EachRefund(ctx context.Context, f func(sale.Repayment) bool) error
}

// Streams reads a stream in order.
type Streams interface {
	Follow(ctx context.Context, f events.Follow, caughtUp func(), each func(events.Message)) error
}

// Deps are what an audit reads.
type Deps struct {
	Books   Books
	Seats   Seats
	Intents Intents
	Streams Streams
	Settle  time.Duration // for how long something may look wrong before it is
	Now     func() time.Time
}

// Finding is one breach.
type Finding struct {
	Guarantee int    `json:"guarantee"` // by its number in the README
	Code      string `json:"code"`
	Subject   string `json:"subject"` // the order, seat, intent or message
	Detail    string `json:"detail"`
}

func (f Finding) String() string {
	return fmt.Sprintf("guarantee %d: %s: %s: %s", f.Guarantee, f.Code, f.Subject, f.Detail)
}

// Report is what an audit saw.
type Report struct {
	Orders, Confirmed, Sold, Captured, Canceled, Commands, Joins int
	Refunded, Disputed, ChargedBack                              int              // payments
	Revenue                                                      map[string]int64 // captured, by currency, minor units
	Returned                                                     map[string]int64 // of that, refunded
	Findings                                                     []Finding
}

// Clean says that no guarantee is broken.
func (r Report) Clean() bool { return len(r.Findings) == 0 }

// pause is the time between two readings.
const pause = time.Second

// Run audits. It returns as soon as a reading finds nothing wrong; else, after d.Settle, with what every reading found: two
// at least, however long the first took, unless d.Settle is 0.
func Run(ctx context.Context, d Deps) (Report, error) {
	var standing map[string]bool
	deadline := d.Now().Add(d.Settle)
	for {
		f, err := gather(ctx, d)
		if err != nil {
			return Report{}, err
		}
		report := f.check(d.Now())
		now := map[string]bool{}
		report.Findings = slices.DeleteFunc(report.Findings, func(x Finding) bool {
			key := x.Code + " " + x.Subject
			now[key] = standing == nil || standing[key]
			return !now[key]
		})
		if report.Clean() || d.Settle <= 0 || standing != nil && !d.Now().Before(deadline) {
			slices.SortFunc(report.Findings, func(a, b Finding) int {
				return cmp.Or(cmp.Compare(a.Guarantee, b.Guarantee), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Subject, b.Subject))
			})
			return report, nil
		}
		standing = now
		select {
		case <-ctx.Done():
			return Report{}, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// facts are one reading of everything.
type facts struct {
	books      sale.Books
	seats      map[string][]sale.SeatKey
	intents    []sale.Intent
	repayments []sale.Repayment
	commands   []events.CheckoutRequested
	orders     []events.Order
	dead       []events.Message
	admissions []events.Message
	lines      map[string]record.Summary
}

// gather reads causes before their effects' other side is judged: the streams first, Postgres next, then Stripe
// and Redis, which only ever follow.
func gather(ctx context.Context, d Deps) (*facts, error) {
	f := &facts{seats: map[string][]sale.SeatKey{}, lines: map[string]record.Summary{}}
	var bad error
	read := func(stream string, each func(events.Message) error) error {
		err := readAll(ctx, d.Streams, stream, func(m events.Message) {
			if err := each(m); err != nil && bad == nil {
				bad = fmt.Errorf("read %s at %d: %w", stream, m.Sequence, err)
			}
		})
		if err == nil {
			err = bad
		}
		return err
	}
	if err := read(events.Checkouts, func(m events.Message) error { return keep(m, &f.commands) }); err != nil {
		return nil, err
	}
	if err := read(events.Orders, func(m events.Message) error { return keep(m, &f.orders) }); err != nil {
		return nil, err
	}
	if err := read(events.Dead, func(m events.Message) error { f.dead = append(f.dead, m); return nil }); err != nil {
		return nil, err
	}
	if err := read(events.Admissions, func(m events.Message) error { f.admissions = append(f.admissions, m); return nil }); err != nil {
		return nil, err
	}
	var err error
	if f.books, err = d.Books.Books(ctx); err != nil {
		return nil, fmt.Errorf("read postgres: %w", err)
	}
	if err := d.Intents.Each(ctx, func(i sale.Intent) bool { f.intents = append(f.intents, i); return true }); err != nil {
		return nil, fmt.Errorf("read stripe: %w", err)
	}
	if err := d.Intents.EachRefund(ctx, func(r sale.Repayment) bool { f.repayments = append(f.repayments, r); return true }); err != nil {
		return nil, fmt.Errorf("read stripe: %w", err)
	}
	for _, id := range f.books.Events {
		if f.seats[id], err = d.Seats.SeatKeys(ctx, id); err != nil {
			return nil, fmt.Errorf("read redis: %w", err)
		}
		check := record.NewChecker(id)
		check.Now = d.Now
		for _, m := range f.admissions {
			if m.Subject == events.AdmissionSubject(id) {
				check.Admission(m.Data)
			}
		}
		if err := read(events.Line(id), func(m events.Message) error {
			r := record.Message{Sequence: m.Sequence}
			if events.IsSeal(m.Subject) {
				r.Sealed = m.Data
			} else {
				r.Chunk = m.Data
			}
			check.Take(r)
			return headersAgree(m)
		}); err != nil {
			return nil, err
		}
		f.lines[id] = check.Finish()
	}
	return f, nil
}

// headersAgree says whether a chunk's headers, which nodes count by, say what is in it.
func headersAgree(m events.Message) error {
	if events.IsSeal(m.Subject) {
		return nil
	}
	chunk, err := events.DecodeChunk(m.Data)
	if err != nil {
		return err
	}
	if m.Header[events.HeaderJoinCount] != strconv.Itoa(len(chunk.Sessions)) || m.Header[events.HeaderLane] != chunk.Lane {
		return fmt.Errorf("its headers say %s joins of lane %q, its body has %d of %q",
			m.Header[events.HeaderJoinCount], m.Header[events.HeaderLane], len(chunk.Sessions), chunk.Lane)
	}
	return nil
}

// readAll reads what a stream holds now, all of it: a reading that was called off is none.
func readAll(ctx context.Context, s Streams, stream string, each func(events.Message)) error {
	reading, done := context.WithCancel(ctx)
	defer done()
	if err := s.Follow(reading, events.Follow{Stream: stream}, done, each); err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	return ctx.Err()
}

func keep[M any](m events.Message, all *[]M) error {
	v, err := events.Decode[M](m.Data)
	*all = append(*all, v)
	return err
}

// orderID reads an order's id where it may be anything.
func orderID(s string) uuid.UUID {
	id, err := uuid.Parse(s)
	if err != nil {
		return uuid.Nil
	}
	return id
}
