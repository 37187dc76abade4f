package double_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stripe/stripe-go/v76"

	"onsale/internal/stripe/double"
)

func TestPaymentMethods(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	for _, tc := range []struct {
		method  string
		status  stripe.PaymentIntentStatus
		code    stripe.ErrorCode
		decline stripe.DeclineCode
	}{
		{"pm_card_visa", "requires_capture", "", ""},
		{"pm_card_mastercard", "requires_capture", "", ""},
		{"pm_card_amex", "requires_capture", "", ""},
		{"pm_card_authenticationRequired", "requires_action", "", ""},
		{"pm_card_threeDSecure2Required", "requires_action", "", ""},
		{"pm_card_chargeDeclined", "", "card_declined", "generic_decline"},
		{"pm_card_visa_chargeDeclined", "", "card_declined", "generic_decline"},
		{"pm_card_chargeDeclinedInsufficientFunds", "", "card_declined", "insufficient_funds"},
		{"pm_card_visa_chargeDeclinedInsufficientFunds", "", "card_declined", "insufficient_funds"},
		{"pm_card_chargeDeclinedExpiredCard", "", "expired_card", "expired_card"},
	} {
		t.Run(tc.method, func(t *testing.T) {
			t.Parallel()
			in, err := r.intents.New(params(tc.method))
			if tc.code == "" {
				if err != nil || in.Status != tc.status {
					t.Fatalf("got status %q, error %v, want %q", in.Status, err, tc.status)
				}
				return
			}
			e := stripeError(t, err, 402, tc.code)
			if e.Type != stripe.ErrorTypeCard || e.DeclineCode != tc.decline || e.PaymentIntent == nil {
				t.Fatalf("got %+v", e)
			}
			in, err = r.intents.Get(e.PaymentIntent.ID, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range []*stripe.PaymentIntent{in, e.PaymentIntent} {
				last := got.LastPaymentError
				if got.Status != "requires_payment_method" || last == nil || last.Code != tc.code ||
					last.DeclineCode != tc.decline || last.PaymentMethod.ID != tc.method || got.LatestCharge.ID != e.ChargeID {
					t.Errorf("after the decline: %+v, last error %+v", got, last)
				}
			}
			// The same intent takes another card.
			in, err = r.intents.Confirm(in.ID, &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_visa")})
			if err != nil || in.Status != "requires_capture" || in.LastPaymentError != nil {
				t.Errorf("second attempt: %+v, %v", in, err)
			}
		})
	}
}

func TestManualCapture(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	r := start(t, double.Config{Now: func() time.Time { return now }})
	p := params("pm_card_visa")
	p.Metadata = map[string]string{"order_id": "o-1", "seat[a]": "A-1"}
	p.Description = stripe.String("two seats")
	p.AddExpand("latest_charge")
	in, err := r.intents.New(p)
	if err != nil {
		t.Fatal(err)
	}
	if in.Amount != 2500 || in.AmountCapturable != 2500 || in.AmountReceived != 0 || in.Currency != "usd" ||
		in.CaptureMethod != "manual" || in.Created != now.Unix() || in.Livemode || in.Object != "payment_intent" ||
		!strings.HasPrefix(in.ClientSecret, in.ID+"_secret_") || !strings.HasPrefix(in.LatestCharge.ID, "ch_") ||
		in.PaymentMethod.ID != "pm_card_visa" || in.Description != "two seats" || in.LastResponse.RequestID == "" {
		t.Errorf("authorized: %+v", in)
	}
	if diff := cmp.Diff(p.Metadata, in.Metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	_, err = r.intents.Capture(in.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(2501)})
	stripeError(t, err, 400, stripe.ErrorCodeAmountTooLarge)
	in, err = r.intents.Capture(in.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(2000)})
	if err != nil || in.Status != "succeeded" || in.AmountReceived != 2000 || in.AmountCapturable != 0 {
		t.Fatalf("captured: %+v, %v", in, err)
	}
	_, err = r.intents.Capture(in.ID, nil)
	if e := stripeError(t, err, 400, stripe.ErrorCodePaymentIntentUnexpectedState); e.PaymentIntent == nil ||
		e.PaymentIntent.ID != in.ID || e.PaymentIntent.Status != "succeeded" || e.Type != stripe.ErrorTypeInvalidRequest {
		t.Errorf("second capture: %+v", e)
	}
	_, err = r.intents.Cancel(in.ID, nil)
	stripeError(t, err, 400, stripe.ErrorCodePaymentIntentUnexpectedState)
	_, err = r.intents.Confirm(in.ID, nil)
	stripeError(t, err, 400, stripe.ErrorCodePaymentIntentUnexpectedState)
}

func TestConfirmLater(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	p := &stripe.PaymentIntentParams{
		Amount: stripe.Int64(100), Currency: stripe.String("EUR"), PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
	}
	in, err := r.intents.New(p)
	if err != nil || in.Status != "requires_payment_method" || in.Currency != "eur" {
		t.Fatalf("created: %+v, %v", in, err)
	}
	_, err = r.intents.Confirm(in.ID, nil)
	stripeError(t, err, 400, stripe.ErrorCodePaymentIntentUnexpectedState)
	p.PaymentMethod = stripe.String("pm_card_visa")
	in, err = r.intents.New(p)
	if err != nil || in.Status != "requires_confirmation" {
		t.Fatalf("created with a method: %+v, %v", in, err)
	}
	in, err = r.intents.Confirm(in.ID, nil)
	if err != nil || in.Status != "succeeded" || in.AmountReceived != 100 {
		t.Fatalf("confirmed: %+v, %v", in, err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	r := start(t, double.Config{Now: func() time.Time { return now }})
	for _, method := range []string{"pm_card_visa", "pm_card_authenticationRequired"} {
		in, err := r.intents.Cancel(r.pay(method).ID, &stripe.PaymentIntentCancelParams{
			CancellationReason: stripe.String("abandoned"),
		})
		if err != nil || in.Status != "canceled" || in.AmountCapturable != 0 || in.CanceledAt != now.Unix() ||
			in.CancellationReason != "abandoned" || in.NextAction != nil {
			t.Fatalf("%s: canceled: %+v, %v", method, in, err)
		}
		_, err = r.intents.Cancel(in.ID, nil)
		if e := stripeError(t, err, 400, stripe.ErrorCodePaymentIntentUnexpectedState); e.PaymentIntent.Status != "canceled" {
			t.Errorf("%s: second cancel: %+v", method, e.PaymentIntent)
		}
		_, err = r.intents.Capture(in.ID, nil)
		stripeError(t, err, 400, stripe.ErrorCodePaymentIntentUnexpectedState)
	}
	_, err := r.intents.Cancel(r.pay("pm_card_visa").ID, &stripe.PaymentIntentCancelParams{
		CancellationReason: stripe.String("bored"),
	})
	stripeError(t, err, 400, "")
	if got := r.stats().PaymentIntents; got["canceled"] != 2 || got["requires_capture"] != 1 {
		t.Errorf("stats: %v", got)
	}
}

func TestRefund(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	in := r.pay("pm_card_visa")
	full := &stripe.RefundParams{PaymentIntent: stripe.String(in.ID)}
	_, err := r.refunds.New(full)
	stripeError(t, err, 400, stripe.ErrorCodePaymentIntentUnexpectedState)
	if in, err = r.intents.Capture(in.ID, nil); err != nil {
		t.Fatal(err)
	}
	part := &stripe.RefundParams{
		PaymentIntent: stripe.String(in.ID), Amount: stripe.Int64(1000), Reason: stripe.String("requested_by_customer"),
	}
	part.AddMetadata("order_id", "o-1")
	first, err := r.refunds.New(part)
	if err != nil || first.Amount != 1000 || first.Status != "succeeded" || first.PaymentIntent.ID != in.ID ||
		first.Charge.ID != in.LatestCharge.ID || first.Reason != "requested_by_customer" || first.Metadata["order_id"] != "o-1" {
		t.Fatalf("first refund: %+v, %v", first, err)
	}
	_, err = r.refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(in.ID), Amount: stripe.Int64(1501)})
	if e := stripeError(t, err, 400, ""); e.Param != "amount" {
		t.Errorf("too large a refund: %+v", e)
	}
	rest, err := r.refunds.New(full)
	if err != nil || rest.Amount != 1500 {
		t.Fatalf("the rest: %+v, %v", rest, err)
	}
	_, err = r.refunds.New(full)
	stripeError(t, err, 400, stripe.ErrorCodeChargeAlreadyRefunded)
	if got, err := r.refunds.Get(first.ID, nil); err != nil || got.Amount != 1000 {
		t.Errorf("get refund: %+v, %v", got, err)
	}
	other := r.pay("pm_card_visa")
	if _, err := r.intents.Capture(other.ID, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(other.ID)}); err != nil {
		t.Fatal(err)
	}
	var ids []string
	list := &stripe.RefundListParams{PaymentIntent: stripe.String(in.ID)}
	list.Limit = stripe.Int64(1)
	it := r.refunds.List(list)
	for it.Next() {
		ids = append(ids, it.Refund().ID)
	}
	if diff := cmp.Diff([]string{rest.ID, first.ID}, ids); diff != "" || it.Err() != nil {
		t.Errorf("refunds of the intent (-want +got):\n%s%v", diff, it.Err())
	}
	if got := r.stats().Refunds["succeeded"]; got != 3 {
		t.Errorf("stats: %d refunds", got)
	}
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	in := r.pay("pm_card_authenticationRequired")
	if in.NextAction == nil || in.NextAction.Type != "use_stripe_sdk" || in.ClientSecret == "" || in.AmountCapturable != 0 {
		t.Errorf("requires action: %+v", in)
	}
	resp, body := r.raw("POST", "/_double/authenticate/"+in.ID, testKey, "", `{"outcome":"success"}`)
	if resp.StatusCode != 200 {
		t.Fatalf("authenticate: %d %s", resp.StatusCode, body)
	}
	in, err := r.intents.Get(in.ID, nil)
	if err != nil || in.Status != "requires_capture" || in.AmountCapturable != 2500 || in.NextAction != nil {
		t.Errorf("authenticated: %+v, %v", in, err)
	}
	if resp, _ = r.raw("POST", "/_double/authenticate/"+in.ID, testKey, "", `{"outcome":"success"}`); resp.StatusCode != 400 {
		t.Errorf("second authentication: %d", resp.StatusCode)
	}

	p := params("pm_card_threeDSecure2Required")
	p.CaptureMethod, p.ReturnURL = stripe.String("automatic"), stripe.String("https://tickets.example/back")
	redirected, err := r.intents.New(p)
	if err != nil || redirected.NextAction == nil || redirected.NextAction.RedirectToURL == nil ||
		redirected.NextAction.RedirectToURL.ReturnURL != "https://tickets.example/back" {
		t.Fatalf("redirect: %+v, %v", redirected, err)
	}
	r.raw("POST", "/_double/authenticate/"+redirected.ID, testKey, "", `{"outcome":"success"}`)
	if got, err := r.intents.Get(redirected.ID, nil); err != nil || got.Status != "succeeded" {
		t.Errorf("automatic capture: %+v, %v", got, err)
	}

	failed := r.pay("pm_card_threeDSecure2Required")
	r.raw("POST", "/_double/authenticate/"+failed.ID, testKey, "", `{"outcome":"failure"}`)
	got, err := r.intents.Get(failed.ID, nil)
	if err != nil || got.Status != "requires_payment_method" || got.LastPaymentError == nil ||
		got.LastPaymentError.Code != stripe.ErrorCodePaymentIntentAuthenticationFailure {
		t.Errorf("failed authentication: %+v, %v", got, err)
	}
	for body, want := range map[string]int{`{"outcome":"maybe"}`: 400, `{`: 400, `{"outcome":"success"}{}`: 400} {
		if resp, _ := r.raw("POST", "/_double/authenticate/"+failed.ID, testKey, "", body); resp.StatusCode != want {
			t.Errorf("body %s: %d", body, resp.StatusCode)
		}
	}
	if resp, _ := r.raw("POST", "/_double/authenticate/pi_none", testKey, "", `{"outcome":"success"}`); resp.StatusCode != 404 {
		t.Errorf("unknown intent: %d", resp.StatusCode)
	}
}

func TestUnattendedAuthenticationDeclines(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	for _, set := range []func(*stripe.PaymentIntentParams){
		func(p *stripe.PaymentIntentParams) { p.OffSession = stripe.Bool(true) },
		func(p *stripe.PaymentIntentParams) { p.ErrorOnRequiresAction = stripe.Bool(true) },
	} {
		p := params("pm_card_authenticationRequired")
		set(p)
		_, err := r.intents.New(p)
		if e := stripeError(t, err, 402, stripe.ErrorCodeAuthenticationRequired); e.PaymentIntent.Status != "requires_payment_method" {
			t.Errorf("status %s", e.PaymentIntent.Status)
		}
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	clock := make(chan time.Time, 1)
	clock <- now
	r := start(t, double.Config{Now: func() time.Time { t := <-clock; clock <- t; return t }})
	var want []string // newest first
	for i := range 25 {
		<-clock
		clock <- now.Add(time.Duration(i) * time.Second)
		want = append([]string{r.pay("pm_card_visa").ID}, want...)
	}
	<-clock
	clock <- now.Add(-time.Hour) // a clock that goes back doesn't disturb the order
	want = append([]string{r.pay("pm_card_visa").ID}, want...)
	list := func(change func(*stripe.PaymentIntentListParams)) (ids []string, more bool) {
		t.Helper()
		p := &stripe.PaymentIntentListParams{}
		p.Single = true
		change(p)
		it := r.intents.List(p)
		for it.Next() {
			ids = append(ids, it.PaymentIntent().ID)
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
		return ids, it.Meta().HasMore
	}
	for _, tc := range []struct {
		name   string
		change func(*stripe.PaymentIntentListParams)
		want   []string
		more   bool
	}{
		{"default", func(*stripe.PaymentIntentListParams) {}, want[:10], true},
		{"exactly all", func(p *stripe.PaymentIntentListParams) { p.Limit = stripe.Int64(26) }, want, false},
		{"next page", func(p *stripe.PaymentIntentListParams) {
			p.Limit, p.StartingAfter = stripe.Int64(20), stripe.String(want[5])
		}, want[6:], false},
		{"range", func(p *stripe.PaymentIntentListParams) {
			p.CreatedRange = &stripe.RangeQueryParams{GreaterThanOrEqual: now.Unix() + 3, LesserThanOrEqual: now.Unix() + 5}
		}, []string{want[20], want[21], want[22]}, false},
		{"range, first page", func(p *stripe.PaymentIntentListParams) {
			p.Limit = stripe.Int64(2)
			p.CreatedRange = &stripe.RangeQueryParams{GreaterThanOrEqual: now.Unix() + 3, LesserThanOrEqual: now.Unix() + 5}
		}, []string{want[20], want[21]}, true},
		{"since the clock went back", func(p *stripe.PaymentIntentListParams) {
			p.CreatedRange = &stripe.RangeQueryParams{GreaterThanOrEqual: now.Unix() + 24}
		}, want[:2], false},
		{"after the oldest", func(p *stripe.PaymentIntentListParams) { p.StartingAfter = stripe.String(want[25]) }, nil, false},
	} {
		ids, more := list(tc.change)
		if diff := cmp.Diff(tc.want, ids); diff != "" || more != tc.more {
			t.Errorf("%s: has_more %v, ids (-want +got):\n%s", tc.name, more, diff)
		}
	}
	if got := r.count(); got != 26 {
		t.Errorf("auto paging found %d intents", got)
	}
	it := r.intents.List(&stripe.PaymentIntentListParams{ListParams: stripe.ListParams{StartingAfter: stripe.String("pi_none")}})
	it.Next()
	stripeError(t, it.Err(), 400, stripe.ErrorCodeResourceMissing)
}

func TestInvalidParameters(t *testing.T) {
	t.Parallel()
	r := start(t, double.Config{})
	const valid = "amount=100&currency=usd"
	for _, tc := range []struct{ method, path, body, code, param string }{
		{"POST", "/v1/payment_intents", "currency=usd", "parameter_missing", "amount"},
		{"POST", "/v1/payment_intents", "amount=100", "parameter_missing", "currency"},
		{"POST", "/v1/payment_intents", "amount=0&currency=usd", "parameter_invalid_integer", "amount"},
		{"POST", "/v1/payment_intents", "amount=1.5&currency=usd", "parameter_invalid_integer", "amount"},
		{"POST", "/v1/payment_intents", "amount=100000000&currency=usd", "amount_too_large", "amount"},
		{"POST", "/v1/payment_intents", "amount=&currency=usd", "parameter_invalid_empty", "amount"},
		{"POST", "/v1/payment_intents", "amount=100&currency=dollars", "", "currency"},
		{"POST", "/v1/payment_intents", valid + "&colour=red", "parameter_unknown", "colour"},
		{"POST", "/v1/payment_intents", valid + "&automatic_payment_methods[x]=1", "parameter_unknown", "automatic_payment_methods[x]"},
		{"POST", "/v1/payment_intents", valid + "&payment_method_types[x]=card", "parameter_unknown", "payment_method_types[x]"},
		{"POST", "/v1/payment_intents", valid + "&payment_method=pm_mine", "resource_missing", "payment_method"},
		{"POST", "/v1/payment_intents", valid + "&confirm=perhaps", "", "confirm"},
		{"POST", "/v1/payment_intents", valid + "&confirm=true", "parameter_missing", "payment_method"},
		{"POST", "/v1/payment_intents", valid + "&confirm=true&payment_method=pm_card_visa", "", "return_url"},
		{"POST", "/v1/payment_intents", valid + "&off_session=true", "", "confirm"},
		{"POST", "/v1/payment_intents", valid + "&capture_method=later", "", "capture_method"},
		{"POST", "/v1/payment_intents", valid + "&metadata[" + strings.Repeat("k", 41) + "]=v", "", "metadata"},
		{"POST", "/v1/payment_intents", valid + "&metadata[k]=" + strings.Repeat("v", 501), "", "metadata"},
		{"POST", "/v1/payment_intents", valid + "&automatic_payment_methods[enabled]=true&payment_method_types[]=card",
			"parameters_exclusive", "payment_method_types"},
		{"POST", "/v1/payment_intents", "amount=%zz", "", ""},
		{"POST", "/v1/refunds", "amount=1", "parameter_missing", "payment_intent"},
		{"GET", "/v1/payment_intents?limit=0", "", "parameter_invalid_integer", "limit"},
		{"GET", "/v1/payment_intents?limit=101", "", "parameter_invalid_integer", "limit"},
		{"GET", "/v1/payment_intents?page=2", "", "parameter_unknown", "page"},
	} {
		resp, body := r.raw(tc.method, tc.path, testKey, "", tc.body)
		var want []string
		for name, value := range map[string]string{"code": tc.code, "param": tc.param, "type": "invalid_request_error"} {
			if value != "" {
				want = append(want, `"`+name+`":"`+value+`"`)
			}
		}
		for _, w := range want {
			if resp.StatusCode != 400 || !strings.Contains(body, w) || resp.Header.Get("Request-Id") == "" {
				t.Errorf("%s %s %s: got %d %s, want %s", tc.method, tc.path, tc.body, resp.StatusCode, body, w)
			}
		}
	}
	for path, method := range map[string]string{
		"/v1/payment_intents/pi_none": "GET", "/v1/payment_intents/pi_none/capture": "POST", "/v1/refunds/re_none": "GET",
	} {
		if resp, body := r.raw(method, path, testKey, "", ""); resp.StatusCode != 404 || !strings.Contains(body, "resource_missing") {
			t.Errorf("%s %s: %d %s", method, path, resp.StatusCode, body)
		}
	}
	if resp, _ := r.raw("POST", "/v1/refunds", testKey, "", "payment_intent="+strings.Repeat("x", 300<<10)); resp.StatusCode != 413 {
		t.Errorf("huge body: %d", resp.StatusCode)
	}
	if got := r.count(); got != 0 {
		t.Errorf("refused calls made %d intents", got)
	}
}
