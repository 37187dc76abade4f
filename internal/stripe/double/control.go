package double

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// readJSON decodes a control call's body and refuses unknown fields and anything after the object.
func readJSON(c *call, into any) *apiError {
	sent, bad := c.body()
	if bad != nil {
		return bad
	}
	body := json.NewDecoder(bytes.NewReader(sent))
	body.DisallowUnknownFields()
	if err := body.Decode(into); err != nil {
		return invalid("", "", "Invalid JSON: %v", err)
	}
	if _, err := body.Token(); err != io.EOF {
		return invalid("", "", "Invalid JSON: more than one value")
	}
	return nil
}

func (d *Double) serveFaults(c *call) { c.answer(http.StatusOK, mustJSON(d.Faults())) }

// serveSetFaults replaces all faults: what the body leaves out is off.
func (d *Double) serveSetFaults(c *call) {
	var f Faults
	if err := readJSON(c, &f); err != nil {
		c.refuse(err)
		return
	}
	if err := f.Validate(); err != nil {
		c.refuse(invalid("", "", "Invalid faults: %v", err))
		return
	}
	d.SetFaults(f)
	d.log.Info("faults changed", "faults", f)
	d.serveFaults(c)
}

// serveAuthenticate plays the customer at the bank's page. Faults don't apply.
func (d *Double) serveAuthenticate(c *call) {
	var req struct {
		Outcome string `json:"outcome"`
	}
	if err := readJSON(c, &req); err != nil {
		c.refuse(err)
		return
	}
	if req.Outcome != "success" && req.Outcome != "failure" {
		c.refuse(invalid("", "outcome", "Invalid outcome: must be one of success, failure"))
		return
	}
	id := c.id
	status, body := d.commit(&tx{}, nil, onIntent(id, func(t *tx, in *intent) *apiError {
		return t.authenticate(in, req.Outcome == "success")
	}))
	c.answer(status, body)
}

// serveExpire plays the bank that lets an authorization go.
func (d *Double) serveExpire(c *call) {
	status, body := d.commit(&tx{}, nil, onIntent(c.id, func(t *tx, in *intent) *apiError { return t.expire(in) }))
	c.answer(status, body)
}

// served answers a control call with the object that it made or moved.
func served[T object](d *Double, c *call, do func(t *tx) (T, *apiError)) {
	status, body := d.commit(&tx{}, nil, func(t *tx) (object, *apiError) {
		made, err := do(t)
		if err != nil {
			return nil, t.dropUnlessDeclined(err)
		}
		return made, nil
	})
	c.answer(status, body)
}

// serveSettleRefund plays the bank that a refund waits for, or that sends it back.
func (d *Double) serveSettleRefund(c *call) {
	status, ok := readStatus(c, refundSucceeded, refundFailed)
	if ok {
		served(d, c, func(t *tx) (*refund, *apiError) { return t.settleRefund(c.id, status) })
	}
}

// serveOpenDispute plays the buyer who goes to the bank.
func (d *Double) serveOpenDispute(c *call) {
	var req struct {
		PaymentIntent string `json:"payment_intent"`
		Reason        string `json:"reason"`
	}
	if err := readJSON(c, &req); err != nil {
		c.refuse(err)
		return
	}
	served(d, c, func(t *tx) (*dispute, *apiError) { return t.openDispute(req.PaymentIntent, req.Reason) })
}

// serveMoveDispute plays the bank that decides.
func (d *Double) serveMoveDispute(c *call) {
	status, ok := readStatus(c, disputeReview, disputeWon, disputeLost)
	if ok {
		served(d, c, func(t *tx) (*dispute, *apiError) { return t.moveDispute(c.id, status) })
	}
}

// readStatus reads the one field of a control call, which must be one of some; else it refuses the call.
func readStatus(c *call, known ...string) (string, bool) {
	var req struct {
		Status string `json:"status"`
	}
	err := readJSON(c, &req)
	if err == nil && !slices.Contains(known, req.Status) {
		err = invalid("", "status", "Invalid status: must be one of %s", strings.Join(known, ", "))
	}
	if err != nil {
		c.refuse(err)
		return "", false
	}
	return req.Status, true
}

// stats is what GET /_double/stats answers. Counts of objects cover the account, the others this process.
type stats struct {
	PaymentIntents map[string]int   `json:"payment_intents"`         // by status
	Refunds        map[string]int   `json:"refunds"`                 // by status
	Disputes       map[string]int   `json:"disputes"`                // by status
	Calls          map[string]int64 `json:"calls"`                   // by endpoint
	Keys           int              `json:"idempotency_keys"`        // with a stored answer
	KeysInUse      int              `json:"idempotency_keys_in_use"` // by a call in progress
	RateLimited    int64            `json:"rate_limited"`            // calls answered 429
	Webhooks       webhookStats     `json:"webhooks"`
}

func (d *Double) serveStats(c *call) {
	s := stats{Calls: make(map[string]int64, len(d.routed)), RateLimited: d.RateLimited(), Webhooks: d.courier.stats()}
	for pattern, r := range d.routed {
		s.Calls[pattern] = r.calls.Load()
	}
	d.mu.Lock()
	s.PaymentIntents, s.Refunds = maps.Clone(d.state.intents.counts), maps.Clone(d.state.refunds.counts)
	s.Disputes = maps.Clone(d.state.disputes.counts)
	s.Keys, s.KeysInUse = len(d.keys.records), len(d.keys.inUse)
	d.mu.Unlock()
	c.answer(http.StatusOK, mustJSON(s))
}
