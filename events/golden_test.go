package events_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
)

var update = flag.Bool("update", false, "write the golden files anew: only for a message that is new")

var (
	order   = uuid.MustParse("0b1e7a52-4f5c-5d3e-8a61-3f0a9d2c7e10")
	attempt = uuid.MustParse("6c2f8b63-5a6d-5e4f-9b72-4a1bae3d8f21")
	refund  = uuid.MustParse("8e41ad85-7c8f-4a61-bd94-6c3cc05fa143")
	hold    = uuid.MustParse("7d309c74-6b7e-4f50-ac83-5b2cbf4e9032")
	at      = time.Date(2026, 3, 14, 18, 30, 0, 123456789, time.UTC)
	session = sale.SessionHash{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff}
)

// golden is one message with the function that reads it.
type golden struct {
	file   string
	value  any
	decode func([]byte) (any, error)
}

func message[M any](file string, m M) golden {
	return golden{file, m, func(b []byte) (any, error) { return events.Decode[M](b) }}
}

// goldens has every message of the package with all fields set, and again with the optional ones empty.
func goldens() []golden {
	seats := []string{"A-1-1", "A-1-2"}
	requestHash := bytes.Repeat([]byte{0xab}, 32)
	return []golden{
		message("checkout_requested.json", events.CheckoutRequested{
			V: 1, OrderID: order, EventID: "gala-2026", Session: session, HoldID: hold, Seats: seats, Amount: 12_500,
			Currency: "eur", PaymentMethod: "pm_card_visa", RequestHash: requestHash, RequestedAt: at,
		}),
		message("payment_authorized.json", events.Payment{
			V: 1, Outcome: events.PaymentAuthorized, AttemptID: attempt, OrderID: order, EventID: "gala-2026", HoldID: hold,
			Seats: seats, IntentID: "pi_1", Amount: 12_500, Currency: "eur", At: at,
		}),
		message("payment_declined.json", events.Payment{
			V: 1, Outcome: events.PaymentDeclined, AttemptID: attempt, OrderID: order, EventID: "gala-2026", HoldID: hold,
			Seats: seats, Amount: 12_500, Currency: "eur", Reason: "insufficient_funds", At: at,
		}),
		message("order_confirmed.json", events.Order{
			V: 1, Outcome: events.OrderConfirmed, OrderID: order, EventID: "gala-2026", HoldID: hold, Seats: seats,
			AttemptID: attempt, IntentID: "pi_1", Amount: 12_500, Currency: "eur", At: at,
		}),
		message("order_rejected.json", events.Order{
			V: 1, Outcome: events.OrderRejected, OrderID: order, EventID: "gala-2026", HoldID: hold, Seats: seats,
			AttemptID: attempt, IntentID: "pi_1", Amount: 12_500, Currency: "eur", Reason: "seats_taken", At: at,
		}),
		message("payment_refund_requested.json", events.Payment{
			V: 1, Outcome: events.PaymentRefundRequested, AttemptID: attempt, OrderID: order, EventID: "gala-2026", HoldID: hold,
			Seats: seats, IntentID: "pi_1", Amount: 12_500, Currency: "eur", RefundID: refund, At: at,
		}),
		message("payment_disputed.json", events.Payment{
			V: 1, Outcome: events.PaymentDisputed, AttemptID: attempt, OrderID: order, EventID: "gala-2026", HoldID: hold,
			Seats: seats, IntentID: "pi_1", Amount: 12_500, Currency: "eur", Reason: "fraudulent", DisputeID: "du_1", At: at,
		}),
		message("order_refunded.json", events.Order{
			V: 1, Outcome: events.OrderRefunded, OrderID: order, EventID: "gala-2026", Session: session, HoldID: hold, Seats: seats,
			AttemptID: attempt, IntentID: "pi_1", Amount: 12_500, Currency: "eur", KeepSeats: true, At: at,
		}),
		message("stripe_event_dispute.json", events.StripeEvent{
			V: 1, ID: "evt_3", Type: events.WebhookDisputeOpened, Created: at.Truncate(time.Second), IntentID: "pi_1", ObjectID: "du_1",
		}),
		message("stripe_event.json", events.StripeEvent{
			V: 1, ID: "evt_1", Type: "payment_intent.succeeded", Created: at.Truncate(time.Second), IntentID: "pi_1", AttemptID: attempt.String(),
		}),
		message("stripe_event_bare.json", events.StripeEvent{V: 1, ID: "evt_2", Type: "balance.available", Created: at.Truncate(time.Second)}),
		message("admission_first.json", events.Admission{
			V: 1, EventID: "gala-2026", N: 1, State: sale.Lobby, Rate: 7.3, Reason: "created", PacedTo: at, At: at,
		}),
		message("admission.json", events.Admission{
			V: 1, EventID: "gala-2026", N: 42, State: sale.Open, Serving: 1 << 40, Rate: 100, Reason: "admitted", PacedTo: at, At: at.Add(time.Second),
			Prev: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		}),
		message("admission_payments.json", events.Admission{
			V: 1, EventID: "gala-2026", N: 43, State: sale.Open, Serving: 1 << 40, Rate: 12.5, Reason: "payments", PacedTo: at, At: at.Add(time.Second),
			Payments: &events.PaymentPace{Set: 100, WaitMS: 41_200, At: at}, Prev: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		}),
		message("dead_letter.json", events.DeadLetter{
			V: 1, Stream: "CHECKOUTS", Sequence: 7, Subject: "checkout.gala-2026.requested", Consumer: "payworker",
			Reason: "bad_message", Data: []byte("\x00not json\xff"), At: at,
		}),
		message("dead_letter_record.json", events.DeadLetter{
			V: 1, Stream: "PAYMENTS", Sequence: 9, Record: 3, Subject: "payment.gala-2026.authorized", Consumer: "committer-payments",
			Reason: "bad_message", Data: []byte("{}"), At: at,
		}),
		{"chunk_one.bin", events.Chunk{Sessions: []sale.SessionHash{session}}, func(b []byte) (any, error) { return events.DecodeChunk(b) }},
		{"chunk_three.bin", events.Chunk{Sessions: []sale.SessionHash{session, {}, {15: 1}}}, func(b []byte) (any, error) { return events.DecodeChunk(b) }},
		{"chunk_lane.bin", events.Chunk{
			Lane: "presale", Sessions: []sale.SessionHash{session, {15: 1}}, Codes: []events.CodeID{{1, 2, 3, 4, 5, 6, 7, 8}, {0xff}},
		}, func(b []byte) (any, error) { return events.DecodeChunk(b) }},
		message("admission_drawn.json", events.Admission{
			V: 1, EventID: "gala-2026", N: 2, State: sale.Open, Rate: 100, Release: 125, Cap: 900, Inside: 20, Skipped: 3, Reason: "opened", PacedTo: at, At: at,
			Prev: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Line: &events.LineHead{Read: 8, Root: "ab"},
			Lanes:   []events.Lane{{Name: "presale", Share: 0.25, Serving: 7, Granted: 500, Credit: -0.5, Outlook: events.Outlook{Flow: 25}}},
			Outlook: events.Outlook{Flow: 75, Yield: 0.99, Ran: 12.5, Swing: 0.1, Pauses: 1, Paused: 60, Rose: "paused", RoseAt: at},
			Draw:    &events.Draw{Sealed: 7, Seed: "0a"},
			Drawn:   &events.Drawn{Root: "cd", Chunks: 6, Secret: "ef", Beacon: "01", Lobby: map[string]uint64{"": 1000, "presale": 20}},
		}),
		message("admission_created.json", events.Admission{
			V: 1, EventID: "gala-2026", N: 1, State: sale.Lobby, Rate: 100, Reason: "created", PacedTo: at, At: at, Commitment: "ab", Beacon: "cd/9",
		}),
		message("sealed.json", events.Sealed{V: 1, EventID: "gala-2026", Secret: "ef", At: at}),
		message("turn_claimed.json", events.TurnReport{
			V: 1, EventID: "gala-2026", Outcome: events.TurnClaimed, Lane: "presale", Fans: []events.Turn{{Arrival: 7, Session: session}}, At: at, Until: at.Add(time.Hour),
		}),
		message("turn_left.json", events.TurnReport{V: 1, EventID: "gala-2026", Outcome: events.TurnLeft, Fans: []events.Turn{{Arrival: 7, Session: session}}, At: at}),
		message("seats_notice.json", events.SeatsNotice{V: 1, EventID: "gala-2026", Holds: []events.HoldNotice{
			{HoldID: hold, Seats: seats, LeftMS: 299_980}, {HoldID: order, Seats: []string{"B-1-1"}},
		}}),
		message("checkout_window.json", events.CheckoutRequested{
			V: 1, OrderID: order, EventID: "gala-2026", Session: session, HoldID: hold, Seats: seats, Amount: 12_500,
			Currency: "eur", PaymentMethod: "pm_card_visa", RequestHash: requestHash, RequestedAt: at, PaymentWindowMS: 480_000,
		}),
		message("payments_notice.json", events.PaymentsNotice{V: 1, Node: "k3x9", Allowed: 25, Rate: 11.5, Backlog: 140}),
		message("payments_notice_unpaced.json", events.PaymentsNotice{V: 1, Node: "k3x9"}),
		message("order_session.json", events.Order{
			V: 1, Outcome: events.OrderConfirmed, OrderID: order, EventID: "gala-2026", Session: session, HoldID: hold, Seats: seats,
			AttemptID: attempt, IntentID: "pi_1", Amount: 12_500, Currency: "eur", At: at,
		}),
	}
}

func (g golden) encode() []byte {
	if chunk, ok := g.value.(events.Chunk); ok {
		return chunk.Encode()
	}
	return events.Encode(g.value)
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, g := range goldens() {
		t.Run(g.file, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join("testdata", g.file)
			if *update {
				if err := os.WriteFile(path, g.encode(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			written, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := g.encode(); !bytes.Equal(got, written) {
				t.Errorf("it is written as\n%q, once it was\n%q", got, written)
			}
			got, err := g.decode(written)
			if err != nil || !reflect.DeepEqual(got, g.value) {
				t.Errorf("it reads as\n%+v, %v; it was\n%+v", got, err, g.value)
			}
		})
	}
}

// Every field of every message is set in some golden file, so that none can be renamed unseen.
func TestGolden_SetsEveryField(t *testing.T) {
	t.Parallel()
	set := map[string]bool{}
	for _, g := range goldens() {
		setFields(reflect.ValueOf(g.value), set)
	}
	for name, ok := range set {
		if !ok {
			t.Errorf("no golden file sets %s", name)
		}
	}
	for _, deep := range []string{"Lane.Credit", "LineHead.Root", "Outlook.Rose", "Drawn.Lobby", "Draw.Seed", "Turn.Session"} {
		if !set[deep] {
			t.Errorf("%s was not looked at", deep)
		}
	}
}

// setFields notes which fields of the package's structs are set, those within fields too.
func setFields(v reflect.Value, set map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			setFields(v.Elem(), set)
		}
	case reflect.Slice:
		for i := range v.Len() {
			setFields(v.Index(i), set)
		}
	case reflect.Struct:
		if v.Type().PkgPath() != reflect.TypeFor[events.Admission]().PkgPath() {
			return
		}
		for i := range v.NumField() {
			name := v.Type().Name() + "." + v.Type().Field(i).Name
			set[name] = set[name] || !v.Field(i).IsZero()
			setFields(v.Field(i), set)
		}
	}
}

// No file is left over from a message that isn't checked any more.
func TestGolden_EveryFileIsChecked(t *testing.T) {
	t.Parallel()
	checked := map[string]bool{}
	for _, g := range goldens() {
		checked[g.file] = true
	}
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !f.IsDir() && !checked[f.Name()] {
			t.Errorf("testdata/%s is not checked: messages of its form are still on disks", f.Name())
		}
	}
}
