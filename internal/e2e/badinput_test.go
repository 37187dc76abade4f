package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/internal/line"
	"onsale/internal/pass"
	"onsale/internal/redis"
	"onsale/internal/sale"
	"onsale/internal/up"
)

// badCase is one bad request and the refusal it must get.
type badCase struct {
	name, method, path string
	body               any
	headers            []string
	status             int
	code               string
}

// Bad input, at every endpoint: the right problem, and nothing has changed.
func TestBadInputIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	openSmall(t, l, "show", 30)
	openSmall(t, l, "other", 5)
	createSmall(t, l, "soon", 5) // in its lobby
	me, stranger, elsewhere := letIn(t, l, "show"), letIn(t, l, "show"), letIn(t, l, "other")
	held := me.hold(t, "A-1", "A-2")
	theirs := stranger.hold(t, "A-3")
	if held.status != 201 || theirs.status != 201 {
		t.Fatalf("holds: %s %s", held.body, theirs.body)
	}
	w := world{me: me, stranger: stranger, elsewhere: elsewhere, hold: held.text("hold_id"), theirs: theirs.text("hold_id"), expired: expiredPass(t, l, me)}
	cases := slices.Concat(w.line(), w.seats(), w.holds(), w.checkouts(), w.rest(), w.admin(l))
	before := picture(t, l)
	for _, c := range cases {
		base := l.BaseURL
		if strings.HasPrefix(c.path, "/admin") {
			base = l.AdminURL
		}
		a := call(t, c.method, base+c.path, c.body, c.headers...)
		if a.status != c.status || a.text("code") != c.code {
			t.Errorf("%s: %d %q, want %d %q\n%s", c.name, a.status, a.text("code"), c.status, c.code, a.body)
			continue
		}
		if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
			t.Errorf("%s: Content-Type %q", c.name, ct)
		}
		if a.fields["status"] != float64(c.status) || a.text("type") != "urn:onsale:problem:"+c.code || a.text("title") == "" || a.text("detail") == "" ||
			a.text("request_id") == "" || a.text("request_id") != a.header.Get("X-Request-Id") {
			t.Errorf("%s: not a whole problem: %s", c.name, a.body)
		}
	}
	t.Logf("%d bad requests", len(cases))
	if after := picture(t, l); !reflect.DeepEqual(before, after) {
		t.Errorf("something changed:\nbefore %v\nafter  %v", before, after)
	}
	// What was there is still good.
	if a := me.checkout(t, w.hold, "pm_card_visa", "fine", "Prefer", "wait=20"); a.text("status") != "confirmed" {
		t.Errorf("the hold was harmed: %d %s", a.status, a.body)
	}
}

type world struct {
	me, stranger, elsewhere visitor
	hold, theirs, expired   string
}

// picture is all state that a request could change.
func picture(t *testing.T, l *up.Local) map[string]string {
	t.Helper()
	r := auditOf(t, l, 5*time.Second)
	mustBeClean(t, r)
	p := map[string]string{"counts": fmt.Sprint(r.Joins, r.Commands, r.Orders, r.Sold, r.Captured, r.Canceled, intents(t, l))}
	c, err := redis.Open(l.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, e := range []string{"show", "other", "soon"} {
		keys, err := c.SeatKeys(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(keys, func(a, b sale.SeatKey) int { return strings.Compare(a.Seat, b.Seat) })
		p["seats of "+e] = fmt.Sprint(keys)
	}
	events := call(t, "GET", l.AdminURL+"/admin/events", nil, "Authorization", "Bearer "+l.AdminToken)
	p["events"] = string(events.body)
	return p
}

// expiredPass is a pass of this system for a visitor, signed with its key, out of date.
func expiredPass(t *testing.T, l *up.Local, v visitor) string {
	t.Helper()
	keys, err := pass.ParseKeys(l.API.PassKeys, time.Minute, func() time.Time { return time.Now().Add(-time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := keys.Issue(v.event, sale.HashSession(v.event, v.session))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// flip alters one character of a token.
func flip(token string, at int) string {
	b := []byte(token)
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

var tenMB = `{"session":"` + strings.Repeat("x", 10<<20) + `"}`

func (w world) line() []badCase {
	join := "/v1/queue/show/join"
	position := "/v1/queue/show/position"
	foreign := line.NewTickets([]byte(strings.Repeat("other secret ", 4))).Sign("show", line.Ticket{Epoch: 1, Sequence: 1})
	return []badCase{
		{"join: unknown event", "POST", "/v1/queue/nope/join", `{"session":"0123456789abcdef"}`, nil, 404, "event_not_found"},
		{"join: impossible event", "POST", "/v1/queue/No%20such/join", `{"session":"0123456789abcdef"}`, nil, 404, "event_not_found"},
		{"join: empty body", "POST", join, "", nil, 400, "bad_json"},
		{"join: not JSON", "POST", join, "session=1", nil, 400, "bad_json"},
		{"join: another media type", "POST", join, `{"session":"0123456789abcdef"}`, []string{"Content-Type", "text/plain"}, 400, "not_json"},
		{"join: a number", "POST", join, `{"session":12}`, nil, 400, "bad_json"},
		{"join: an array", "POST", join, `["session"]`, nil, 400, "bad_json"},
		{"join: null", "POST", join, `null`, nil, 400, "bad_json"},
		{"join: missing session", "POST", join, `{}`, nil, 400, "bad_session"},
		{"join: short session", "POST", join, `{"session":"short"}`, nil, 400, "bad_session"},
		{"join: long session", "POST", join, `{"session":"` + strings.Repeat("x", 129) + `"}`, nil, 400, "bad_session"},
		{"join: session with a space", "POST", join, `{"session":"0123456789 abcdef"}`, nil, 400, "bad_session"},
		{"join: unknown field", "POST", join, `{"session":"0123456789abcdef","vip":true}`, nil, 400, "bad_json"},
		{"join: field twice", "POST", join, `{"session":"0123456789abcdef","session":"0123456789abcdeg"}`, nil, 400, "bad_json"},
		{"join: two values", "POST", join, `{"session":"0123456789abcdef"}{}`, nil, 400, "bad_json"},
		{"join: 10 MB", "POST", join, tenMB, nil, 413, "request_entity_too_large"},
		{"join: wrong method", "GET", join, nil, nil, 405, "method_not_allowed"},
		{"position: no ticket", "GET", position, nil, nil, 401, "bad_ticket"},
		{"position: not a ticket", "GET", position, nil, bearer("nonsense"), 401, "bad_ticket"},
		{"position: altered ticket", "GET", position, nil, bearer(flip(w.me.ticket, 30)), 401, "bad_ticket"},
		{"position: cut ticket", "GET", position, nil, bearer(w.me.ticket[:40]), 401, "bad_ticket"},
		{"position: ticket of another event", "GET", position, nil, bearer(w.elsewhere.ticket), 401, "bad_ticket"},
		{"position: ticket signed elsewhere", "GET", position, nil, bearer(foreign), 401, "bad_ticket"},
		{"position: a pass is no ticket", "GET", position, nil, bearer(w.me.pass), 401, "bad_ticket"},
		{"position: unknown event", "GET", "/v1/queue/nope/position", nil, bearer(w.me.ticket), 404, "event_not_found"},
		{"queue: unknown event", "GET", "/v1/queue/nope", nil, nil, 404, "event_not_found"},
	}
}

// passCases are the ways in which a pass can be wrong, for one call.
func (w world) passCases(name, method, path string, body any) []badCase {
	with := func(token, session string) []string { return append(bearer(token), "Onsale-Session", session) }
	parts := strings.Split(w.me.pass, ".")
	none := "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + parts[1] + "."
	return []badCase{
		{name + ": no pass", method, path, body, []string{"Onsale-Session", w.me.session}, 401, "bad_pass"},
		{name + ": altered pass", method, path, body, with(flip(w.me.pass, len(parts[0])+10), w.me.session), 401, "bad_pass"},
		{name + ": altered signature", method, path, body, with(flip(w.me.pass, len(w.me.pass)-20), w.me.session), 401, "bad_pass"},
		{name + ": alg none", method, path, body, with(none, w.me.session), 401, "bad_pass"},
		{name + ": expired pass", method, path, body, with(w.expired, w.me.session), 401, "pass_expired"},
		{name + ": a ticket is no pass", method, path, body, with(w.me.ticket, w.me.session), 401, "bad_pass"},
	}
}

func (w world) seats() []badCase {
	path := "/v1/events/show/seats"
	return append(w.passCases("seats", "GET", path, nil), []badCase{
		{"seats: pass of another event", "GET", path, nil, w.elsewhere.headers(), 403, "foreign_pass"},
		{"seats: pass of another session", "GET", path, nil, append(bearer(w.me.pass), "Onsale-Session", w.stranger.session), 403, "foreign_pass"},
		{"seats: no session", "GET", path, nil, bearer(w.me.pass), 403, "foreign_pass"},
		{"seats: unknown event", "GET", "/v1/events/nope/seats", nil, w.me.headers(), 404, "event_not_found"},
		{"event: unknown", "GET", "/v1/events/nope", nil, nil, 404, "event_not_found"},
	}...)
}

func (w world) holds() []badCase {
	path := "/v1/events/show/holds"
	body := func(seats ...string) map[string]any {
		return map[string]any{"seat_ids": seats, "session": w.me.session}
	}
	in := w.me.headers()
	nine := []string{"A-11", "A-12", "A-13", "A-14", "A-15", "A-16", "A-17", "A-18", "A-19"}
	del := "/v1/holds/" + w.hold
	return slices.Concat(w.passCases("hold", "POST", path, body("A-9")), w.passCases("release", "DELETE", del, nil), []badCase{
		{"hold: pass of another event", "POST", path, map[string]any{"seat_ids": []string{"A-9"}, "session": w.elsewhere.session}, w.elsewhere.headers(), 403, "foreign_pass"},
		{"hold: another's session in the body", "POST", path, map[string]any{"seat_ids": []string{"A-9"}, "session": w.stranger.session}, in, 403, "foreign_pass"},
		{"hold: no session", "POST", path, map[string]any{"seat_ids": []string{"A-9"}}, in, 403, "foreign_pass"},
		{"hold: no seats", "POST", path, body(), in, 400, "no_seats"},
		{"hold: seats missing", "POST", path, map[string]any{"session": w.me.session}, in, 400, "no_seats"},
		{"hold: unknown seat", "POST", path, body("Z-99"), in, 400, "unknown_seat"},
		{"hold: same seat twice", "POST", path, body("A-9", "A-9"), in, 400, "duplicate_seats"},
		{"hold: too many", "POST", path, body(nine...), in, 400, "too_many_seats"},
		{"hold: seats as text", "POST", path, map[string]any{"seat_ids": "A-9", "session": w.me.session}, in, 400, "bad_json"},
		{"hold: seats as numbers", "POST", path, map[string]any{"seat_ids": []int{9}, "session": w.me.session}, in, 400, "bad_json"},
		{"hold: unknown field", "POST", path, map[string]any{"seat_ids": []string{"A-9"}, "session": w.me.session, "price": 1}, in, 400, "bad_json"},
		{"hold: 10 MB", "POST", path, tenMB, in, 413, "request_entity_too_large"},
		{"hold: another's seat", "POST", path, map[string]any{"seat_ids": []string{"A-3"}, "session": w.elsewhere.session}, in, 403, "foreign_pass"},
		{"hold: a second one", "POST", path, body("A-9"), in, 409, "session_has_hold"},
		{"hold: unknown event", "POST", "/v1/events/nope/holds", body("A-9"), in, 404, "event_not_found"},
		{"release: unknown", "DELETE", "/v1/holds/" + uuid.NewString(), nil, in, 404, "hold_not_found"},
		{"release: not an id", "DELETE", "/v1/holds/nonsense", nil, in, 404, "hold_not_found"},
		{"release: another's", "DELETE", "/v1/holds/" + w.theirs, nil, in, 404, "hold_not_found"},
		{"release: with another's pass and session", "DELETE", del, nil, w.stranger.headers(), 404, "hold_not_found"},
		{"release: with another event's pass", "DELETE", del, nil, w.elsewhere.headers(), 404, "hold_not_found"},
	})
}

func (w world) checkouts() []badCase {
	path := "/v1/holds/" + w.hold + "/checkout"
	body := func(method, key any) map[string]any {
		return map[string]any{"payment": map[string]any{"payment_method": method}, "idempotency_key": key}
	}
	good, in := body("pm_card_visa", "k"), w.me.headers()
	return slices.Concat(w.passCases("checkout", "POST", path, good), []badCase{
		{"checkout: another's hold", "POST", "/v1/holds/" + w.theirs + "/checkout", good, in, 404, "hold_not_found"},
		{"checkout: unknown hold", "POST", "/v1/holds/" + uuid.NewString() + "/checkout", good, in, 404, "hold_not_found"},
		{"checkout: not an id", "POST", "/v1/holds/nonsense/checkout", good, in, 404, "hold_not_found"},
		{"checkout: with another session", "POST", path, good, append(bearer(w.me.pass), "Onsale-Session", w.stranger.session), 403, "foreign_pass"},
		{"checkout: no session", "POST", path, good, bearer(w.me.pass), 403, "foreign_pass"},
		{"checkout: no payment method", "POST", path, map[string]any{"idempotency_key": "k"}, in, 400, "bad_payment_method"},
		{"checkout: a card number", "POST", path, body("4242424242424242", "k"), in, 400, "bad_payment_method"},
		{"checkout: method as number", "POST", path, body(1, "k"), in, 400, "bad_json"},
		{"checkout: no key", "POST", path, map[string]any{"payment": map[string]any{"payment_method": "pm_card_visa"}}, in, 400, "bad_idempotency_key"},
		{"checkout: long key", "POST", path, body("pm_card_visa", strings.Repeat("k", 256)), in, 400, "bad_idempotency_key"},
		{"checkout: key with a newline", "POST", path, body("pm_card_visa", "a\nb"), in, 400, "bad_idempotency_key"},
		{"checkout: unknown field", "POST", path, map[string]any{"payment": map[string]any{"payment_method": "pm_card_visa", "amount": 1}, "idempotency_key": "k"}, in, 400, "bad_json"},
		{"checkout: 10 MB", "POST", path, tenMB, in, 413, "request_entity_too_large"},
	})
}

func (w world) rest() []badCase {
	return []badCase{
		{"order: unknown", "GET", "/v1/orders/" + uuid.NewString(), nil, nil, 404, "order_not_found"},
		{"order: not an id", "GET", "/v1/orders/nonsense", nil, nil, 404, "order_not_found"},
		{"webhook: unsigned", "POST", "/v1/webhooks/stripe", `{"id":"evt_1","type":"payment_intent.succeeded"}`, nil, 400, "bad_signature"},
		{"webhook: wrong signature", "POST", "/v1/webhooks/stripe", `{"id":"evt_1"}`, []string{"Stripe-Signature", fmt.Sprintf("t=%d,v1=%064d", time.Now().Unix(), 1)}, 400, "bad_signature"},
		{"webhook: 10 MB", "POST", "/v1/webhooks/stripe", tenMB, nil, 413, "request_entity_too_large"},
		{"no such route", "GET", "/v1/nothing", nil, nil, 404, "not_found"},
		{"wrong method", "PATCH", "/v1/events", nil, nil, 405, "method_not_allowed"},
	}
}

func (w world) admin(l *up.Local) []badCase {
	in := bearer(l.AdminToken)
	event := func(change map[string]any) map[string]any {
		e := map[string]any{"id": "new", "name": "N", "currency": "eur", "rate": 5, "plan": smallPlan(2), "prices": map[string]int{"All": 100}}
		for k, v := range change {
			e[k] = v
		}
		return e
	}
	return []badCase{
		{"admin: no token", "GET", "/admin/events", nil, nil, 401, "bad_admin_token"},
		{"admin: wrong token", "POST", "/admin/events/show/close", nil, bearer("wrong"), 401, "bad_admin_token"},
		{"admin: unknown event", "POST", "/admin/events/nope/open", nil, in, 404, "event_not_found"},
		{"admin: pause a lobby", "POST", "/admin/events/soon/pause", nil, in, 409, "wrong_state"},
		{"admin: rate of zero", "PUT", "/admin/events/show/rate", `{"rate":0}`, in, 400, "bad_rate"},
		{"admin: rate as text", "PUT", "/admin/events/show/rate", `{"rate":"5"}`, in, 400, "bad_json"},
		{"admin: no rate", "PUT", "/admin/events/show/rate", `{}`, in, 400, "bad_rate"},
		{"admin: no cap", "PUT", "/admin/events/show/cap", `{}`, in, 400, "bad_cap"},
		{"admin: cap of null", "PUT", "/admin/events/show/cap", `{"cap":null}`, in, 400, "bad_cap"},
		{"admin: no pace", "PUT", "/admin/events/show/payments", `{}`, in, 400, "bad_pace"},
		{"admin: no share", "PUT", "/admin/events/show/lanes/members", `{}`, in, 400, "bad_share"},
		{"admin: share of null", "PUT", "/admin/events/show/lanes/members", `{"share":null}`, in, 400, "bad_share"},
		{"admin: codes without a count", "POST", "/admin/events/show/lanes/members/codes", `{}`, in, 400, "bad_batch"},
		{"admin: event exists", "POST", "/admin/events", event(map[string]any{"id": "show"}), in, 409, "event_exists"},
		{"admin: bad id", "POST", "/admin/events", event(map[string]any{"id": "No Spaces"}), in, 400, "bad_event"},
		{"admin: bad currency", "POST", "/admin/events", event(map[string]any{"currency": "euro"}), in, 400, "bad_event"},
		{"admin: missing price", "POST", "/admin/events", event(map[string]any{"prices": map[string]int{}}), in, 400, "bad_event"},
		{"admin: price of zero", "POST", "/admin/events", event(map[string]any{"prices": map[string]int{"All": 0}}), in, 400, "bad_event"},
		{"admin: no plan", "POST", "/admin/events", event(map[string]any{"plan": json.RawMessage(`{}`)}), in, 400, "bad_event"},
		{"admin: unknown field", "POST", "/admin/events", event(map[string]any{"free": true}), in, 400, "bad_json"},
	}
}

// In the lobby nobody has a pass; and nobody can hold a seat that is not on sale yet, even with one.
func TestLobbyLetsNobodyIn(t *testing.T) {
	t.Parallel()
	l := startLocal(t, dataDir(t))
	createSmall(t, l, "lobby", 5)
	session := uuid.NewString()
	a := call(t, "POST", l.BaseURL+"/v1/queue/lobby/join", map[string]string{"session": session})
	if a.status != http.StatusCreated || a.text("state") != "lobby" || a.fields["position"] != nil || a.fields["eta"] != nil {
		t.Errorf("join: %d %s", a.status, a.body)
	}
	if p := call(t, "GET", l.BaseURL+"/v1/queue/lobby/position", nil, bearer(a.text("ticket"))...); p.text("state") != "lobby" || p.text("pass") != "" {
		t.Errorf("position: %d %s", p.status, p.body)
	}
	keys, err := pass.ParseKeys(l.API.PassKeys, time.Minute, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	forged, _, err := keys.Issue("lobby", sale.HashSession("lobby", session))
	if err != nil {
		t.Fatal(err)
	}
	v := visitor{base: l.BaseURL, event: "lobby", session: session, pass: forged}
	if h := v.hold(t, "A-1"); h.status != http.StatusConflict || h.text("code") != "sale_not_open" {
		t.Errorf("hold: %d %s", h.status, h.body)
	}
}
