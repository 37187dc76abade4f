package payworker

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"onsale/events"
	"onsale/internal/sale"
)

// reading takes what is to be told out of the outbox, and looks at the orders of a sequence.
const reading = `
	WITH told AS (DELETE FROM outbox WHERE stream = ANY ('{ORDERS,PAYMENTS}') RETURNING id, stream, convert_from(payload, 'UTF8') AS payload)
	SELECT json_build_object(
		'told', (SELECT json_agg(json_build_object('stream', stream, 'payload', payload) ORDER BY id) FROM told),
		'orders', (SELECT json_agg(json_build_object('id', order_id, 'status', status, 'amount', amount, 'seats', seats) ORDER BY created_at, order_id)
			FROM orders WHERE order_id = ANY ($1::text[]::uuid[])),
		'attempts', (SELECT json_agg(json_build_object('order', order_id, 'state', state) ORDER BY order_id, n)
			FROM payment_attempts WHERE order_id = ANY ($1::text[]::uuid[])),
		'refunds', (SELECT json_agg(json_build_object('id', refund_id, 'order', order_id, 'state', state, 'keep', keep_seats) ORDER BY order_id, n)
			FROM refunds WHERE order_id = ANY ($1::text[]::uuid[])),
		'sold', (SELECT json_agg(json_build_object('seat', seat_id, 'order', order_id) ORDER BY seat_id) FROM sold_seats WHERE event_id = $2))`

// look reads how everything stands, relays what is to be told, and holds it against the model. Where deaf, webhooks are
// lost, but those of disputes and of money given back by hand: nothing else tells of these.
func (m *machine) look(deaf bool) {
	m.Helper()
	if !m.changed {
		return
	}
	m.changed = false
	var read struct {
		position
		Told []struct{ Stream, Payload string }
	}
	if err := m.read(&read, reading, m.orders, m.event); err != nil {
		m.Fatal(err)
	}
	for _, t := range read.Told {
		m.relay(t.Stream, []byte(t.Payload))
	}
	for _, e := range m.heard {
		if deaf && e.Type != events.WebhookChargeRefunded && !strings.HasPrefix(e.Type, "charge.dispute.") {
			m.Logf("  lost: %s", e.Type)
			continue
		}
		m.post("webhook", e.Type, events.Encode(e))
	}
	m.heard = nil
	now := &read.position
	now.Intents = m.intents()
	for _, a := range now.Attempts {
		m.acted[a.Order] = m.acted[a.Order] || a.State == sale.ActionRequired
	}
	wrong := append(moved(m.at, now), now.sound()...)
	m.at = now
	if len(wrong) > 0 {
		m.fail("this can't be:\n%s", strings.Join(wrong, "\n"))
	}
}

var ids = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(pi|re|du|ch|evt)_[0-9A-Za-z]+`)

// fail ends a sequence. Orders are named as in the log, and other ids left out: rapid shrinks a sequence for as long as
// it fails in the same words.
func (m *machine) fail(format string, args ...any) {
	m.Helper()
	m.Fatal(ids.ReplaceAllStringFunc(fmt.Sprintf(format, args...), func(id string) string {
		if n := slices.Index(m.orders, id); n >= 0 {
			return fmt.Sprint("[", n, "]")
		}
		return "…"
	}))
}

// relay sends what the outbox had to those who read it.
func (m *machine) relay(stream string, data []byte) {
	if stream == events.Orders {
		o, err := events.Decode[events.Order](data)
		if err != nil {
			m.Fatal(err)
		}
		m.post("order", string(o.Outcome)+" "+m.name(o.OrderID.String()), data)
		return
	}
	p, err := events.Decode[events.Payment](data)
	if err != nil {
		m.Fatal(err)
	}
	switch p.Outcome {
	case events.PaymentAuthorized:
		m.post("payment", "of "+m.name(p.OrderID.String()), data)
	case events.PaymentRefundRequested:
		m.post("refund", "of "+m.name(p.OrderID.String()), data)
	}
}

// intents are those at Stripe since the sequence began.
func (m *machine) intents() []intentAt { return listed[intentAt](m, "payment_intents") }

// account is all that Stripe has since the sequence began.
func (m *machine) account() *position {
	p := &position{Intents: m.intents(), Returned: listed[refundAt](m, "refunds"), Disputes: listed[disputeAt](m, "disputes")}
	ours := func(intent string) bool {
		return slices.ContainsFunc(p.Intents, func(i intentAt) bool { return i.ID == intent })
	}
	p.Disputes = slices.DeleteFunc(p.Disputes, func(d disputeAt) bool { return !ours(d.Intent) })
	return p
}

func listed[T any](m *machine, kind string) []T {
	var list struct{ Data []T }
	since := fmt.Sprint("&created[gte]=", m.began)
	if kind == "disputes" {
		since = "" // the double has no such filter for them
	}
	if status := m.ask("GET", "/v1/"+kind+"?limit=100"+since, "", &list); status != 200 {
		m.Fatalf("list %s: %d", kind, status)
	}
	return list.Data
}
