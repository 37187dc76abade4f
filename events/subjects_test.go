package events_test

import (
	"strings"
	"testing"

	"onsale/events"
	"onsale/internal/sale"
)

func TestSubjects(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		events.Line("gala"):                                         "LINE_gala",
		events.LineSubjects("gala"):                                 "line.gala.>",
		events.JoinedSubject("gala"):                                "line.gala.joined",
		events.SealedSubject("gala"):                                "line.gala.sealed",
		events.TurnSubject("gala", events.TurnClaimed):              "turn.gala.claimed",
		events.TurnsOf(events.TurnLeft):                             "turn.*.left",
		events.AdmissionSubject("gala"):                             "admission.gala",
		events.CheckoutSubject("gala"):                              "checkout.gala.requested",
		events.PaymentSubject("gala", events.PaymentAuthorized):     "payment.gala.authorized",
		events.PaymentSubject("gala", events.PaymentActionRequired): "payment.gala.action_required",
		events.PaymentsOf(events.PaymentCaptured):                   "payment.*.captured",
		events.OrderSubject("gala", events.OrderVoided):             "order.gala.voided",
		events.StripeSubject("payment_intent.succeeded"):            "stripe.payment_intent.succeeded",
		events.NoticeSubject("gala"):                                "notices.gala.seats",
		events.DeadSubject(events.Checkouts):                        "dead.CHECKOUTS",
		events.DeadSubject(events.Line("gala")):                     "dead.LINE_gala",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// matches says whether a subject is selected by a filter, as NATS defines it.
func matches(filter, subject string) bool {
	f, s := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, token := range f {
		if token == ">" {
			return len(s) > i
		}
		if i >= len(s) || token != "*" && token != s[i] {
			return false
		}
	}
	return len(f) == len(s)
}

// subjects is all that an event's messages are published on.
func subjects(event string) []string {
	all := []string{events.JoinedSubject(event), events.SealedSubject(event), events.AdmissionSubject(event), events.CheckoutSubject(event)}
	for _, o := range []events.TurnOutcome{events.TurnClaimed, events.TurnLeft} {
		all = append(all, events.TurnSubject(event, o))
	}
	for _, o := range []events.PaymentOutcome{events.PaymentAuthorized, events.PaymentDeclined, events.PaymentActionRequired, events.PaymentCanceled, events.PaymentCaptured,
		events.PaymentRefundRequested, events.PaymentRefunded, events.PaymentRefundFailed, events.PaymentDisputed, events.PaymentDisputeWon, events.PaymentChargedBack} {
		all = append(all, events.PaymentSubject(event, o))
	}
	for _, o := range []events.OrderOutcome{events.OrderConfirmed, events.OrderRejected, events.OrderVoided, events.OrderRefunded} {
		all = append(all, events.OrderSubject(event, o))
	}
	return all
}

// Events whose ids are as alike as they may be share no subject and no stream, and one event's line takes none
// of another's messages.
func TestSubjects_EventsDoNotCollide(t *testing.T) {
	t.Parallel()
	ids := []string{"a", "a-", "a--", "a-b", "ab", "b", "0", "00", "joined", "requested", "authorized", "sealed", "turn", "claimed", "left", "line", "line-a", "admission", "payment", "order", "stripe", "dead", strings.Repeat("z", 40), strings.Repeat("z", 39)}
	owner := map[string]string{}
	own := func(name, by string) {
		if was, taken := owner[name]; taken {
			t.Errorf("%s is of both %s and %s", name, was, by)
		}
		owner[name] = by
	}
	for _, s := range []string{events.Admissions, events.Turns, events.Checkouts, events.Payments, events.Orders, events.Stripe, events.Dead} {
		own(s, "everyone")
		own(events.DeadSubject(s), "the dead of "+s)
	}
	for _, id := range ids {
		if err := sale.CheckEventID(id); err != nil {
			t.Fatal(err)
		}
		own(events.Line(id), id)
		own(events.DeadSubject(events.Line(id)), id)
		for _, s := range subjects(id) {
			own(s, id)
			if got := events.IsSeal(s); strings.HasPrefix(s, "line.") && got != (s == events.SealedSubject(id)) {
				t.Errorf("%s is a seal: %v", s, got)
			}
			for _, other := range ids {
				line := s == events.JoinedSubject(id) || s == events.SealedSubject(id)
				if got, want := matches(events.LineSubjects(other), s), line && other == id; got != want {
					t.Errorf("the line of %q takes %s: %v", other, s, got)
				}
			}
		}
	}
}

// An outcome over all events selects each event's, and no other outcome.
func TestOutcomesOverAllEvents(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"gala", "authorized", "claimed", "0-0"} {
		for _, s := range subjects(id) {
			for filter, one := range map[string]string{
				events.PaymentsOf(events.PaymentAuthorized): events.PaymentSubject(id, events.PaymentAuthorized),
				events.TurnsOf(events.TurnClaimed):          events.TurnSubject(id, events.TurnClaimed),
			} {
				if got := matches(filter, s); got != (s == one) {
					t.Errorf("%s takes %s: %v", filter, s, got)
				}
			}
		}
	}
}

// An event's id can't hold what means something in a subject or is refused in the name of a stream.
func TestSubjects_EventIDsAreOneToken(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"a.b", "a.*", "*", ">", "a b", "a\tb", "a\n", "a/b", `a\b`, "A", "_a", "-a", "", "é", "$js"} {
		if sale.CheckEventID(id) == nil {
			t.Errorf("CheckEventID(%q) takes it", id)
		}
	}
}
