package double

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// maxBody bounds a request's body, bytes. Every allowed parameter at its limit fits.
const maxBody = 256 << 10

// routes lists every endpoint; anything else is an unrecognized URL.
func (d *Double) routes() http.Handler {
	mux := http.NewServeMux()
	posts := map[string]parser{
		"/v1/payment_intents":              parseCreate,
		"/v1/payment_intents/{id}/confirm": parseConfirm,
		"/v1/payment_intents/{id}/capture": parseCapture,
		"/v1/payment_intents/{id}/cancel":  parseCancel,
		"/v1/refunds":                      parseRefund,
	}
	for path, parse := range posts {
		d.route(mux, "POST "+path, func(c *call) { d.servePost(c, parse) })
	}
	gets := map[string]asker{
		"/v1/payment_intents":        askIntents,
		"/v1/payment_intents/search": askSearch,
		"/v1/payment_intents/{id}":   askIntent,
		"/v1/refunds":                askRefunds,
		"/v1/refunds/{id}":           askRefund,
		"/v1/disputes":               askDisputes,
		"/v1/disputes/{id}":          askDispute,
	}
	for path, ask := range gets {
		d.route(mux, "GET "+path, func(c *call) { d.serveGet(c, ask) })
	}
	d.route(mux, "GET /_double/faults", d.serveFaults)
	d.route(mux, "PUT /_double/faults", d.serveSetFaults)
	d.route(mux, "GET /_double/stats", d.serveStats)
	d.route(mux, "POST /_double/authenticate/{id}", d.serveAuthenticate)
	d.route(mux, "POST /_double/expire/{id}", d.serveExpire)
	d.route(mux, "POST /_double/refunds/{id}", d.serveSettleRefund)
	d.route(mux, "POST /_double/disputes", d.serveOpenDispute)
	d.route(mux, "POST /_double/disputes/{id}", d.serveMoveDispute)
	d.route(mux, "/", func(c *call) { c.refuse(unknownURL(c.r)) })
	return mux
}

// call is one request being answered.
type call struct {
	w       http.ResponseWriter
	r       *http.Request
	request string // its id
}

// route counts the calls of a pattern, gives each an id and checks its key.
func (d *Double) route(mux *http.ServeMux, pattern string, serve func(*call)) {
	counter := new(atomic.Int64)
	d.calls[pattern] = counter
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		counter.Add(1)
		c := &call{w: w, r: r, request: newID("req_")}
		w.Header().Set("Request-Id", c.request)
		w.Header().Set("Stripe-Version", apiVersion)
		key, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !bearer {
			key = ""
		}
		if subtle.ConstantTimeCompare([]byte(key), []byte(d.cfg.SecretKey)) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="Stripe"`)
			c.refuse(unauthorized(key))
			return
		}
		serve(c)
	})
}

// answer writes a whole answer.
func (c *call) answer(status int, body []byte) {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	c.w.Write(body) // the client may be gone: the effect stands, and its key finds the answer
}

func (c *call) refuse(e *apiError) { c.answer(e.status, e.body()) }

// cut ends the connection without an answer. It sends the first bytes of a status line before, since Go's
// client silently repeats a call whose reused connection ends without a single byte: the caller would never
// see the fault.
func (c *call) cut() {
	conn, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's way to drop the connection
	}
	io.WriteString(conn, "HTTP/1.1 ")
	conn.Close()
}

// form reads the parameters of the body.
func (c *call) form() (url.Values, *apiError) {
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		e := invalid("", "", "The request body is longer than %d bytes.", maxBody)
		e.status = http.StatusRequestEntityTooLarge
		return nil, e
	case err != nil:
		return nil, invalid("", "", "The request body could not be read.")
	}
	values, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, invalid("", "", "The request body is not valid application/x-www-form-urlencoded.")
	}
	return values, nil
}

// servePost answers a call that has an effect. The order is Stripe's: the key is looked up first, and what
// is refused before the effect could begin is not stored under it.
func (d *Double) servePost(c *call, parse parser) {
	values, bad := c.form()
	if bad != nil {
		c.refuse(bad)
		return
	}
	key := c.r.Header.Get("Idempotency-Key")
	if utf8.RuneCountInString(key) > maxKeyLength {
		c.refuse(invalid("", "", "Idempotency keys can have up to %d characters.", maxKeyLength))
		return
	}
	var rec *keyRecord
	if key != "" {
		c.w.Header().Set("Idempotency-Key", key)
		print := fingerprintOf(c.r, values)
		stored, refused := d.reserve(key, print)
		if refused != nil {
			c.refuse(refused)
			return
		}
		if stored != nil {
			d.replay(c, stored)
			return
		}
		defer d.release(key)
		rec = &keyRecord{key: key, print: print}
	}
	d.pause()
	faults := d.Faults()
	if d.limited() {
		c.refuse(rateLimited())
		return
	}
	if d.dice.hit(faults.TimeoutBeforeShare) {
		c.cut()
		return
	}
	f := newForm(values)
	run := parse(c.r.PathValue("id"), f)
	if err := f.err(); err != nil {
		c.refuse(err)
		return
	}
	if d.dice.hit(faults.ErrorShare) {
		run = func(*tx) (json.RawMessage, *apiError) { return nil, serverError() }
	} else if strings.HasSuffix(c.r.URL.Path, "/capture") && d.dice.hit(faults.CaptureRefuseShare) {
		run = func(*tx) (json.RawMessage, *apiError) { return nil, expired() }
	}
	status, body := d.commit(&tx{request: c.request, key: key}, rec, run)
	if d.dice.hit(faults.TimeoutAfterShare) {
		c.cut()
		return
	}
	c.answer(status, body)
}

// replay gives the stored answer of a key again.
func (d *Double) replay(c *call, rec *keyRecord) {
	d.pause()
	faults := d.Faults()
	if d.limited() {
		c.refuse(rateLimited())
		return
	}
	if d.dice.hit(faults.TimeoutBeforeShare) || d.dice.hit(faults.TimeoutAfterShare) {
		c.cut()
		return
	}
	c.w.Header().Set("Idempotent-Replayed", "true")
	c.w.Header().Set("Original-Request", rec.request)
	c.answer(rec.status, rec.body)
}

// serveGet answers a call that only reads.
func (d *Double) serveGet(c *call, ask asker) {
	d.pause()
	faults := d.Faults()
	if d.limited() {
		c.refuse(rateLimited())
		return
	}
	if d.dice.hit(faults.TimeoutBeforeShare) {
		c.cut()
		return
	}
	f := newForm(c.r.URL.Query())
	read := ask(c.r.PathValue("id"), f)
	err := f.err()
	var found any
	switch {
	case err != nil:
	case d.dice.hit(faults.ErrorShare):
		err = serverError()
	default:
		found, err = d.look(read)
	}
	if err == nil && d.dice.hit(faults.TimeoutAfterShare) {
		c.cut()
		return
	}
	if err != nil {
		c.refuse(err)
		return
	}
	body, ok := found.(json.RawMessage)
	if !ok {
		body = mustJSON(found)
	}
	c.answer(http.StatusOK, body)
}

func (d *Double) look(read query) (any, *apiError) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return read(d.state)
}

func (d *Double) reserve(key string, print fingerprint) (*keyRecord, *apiError) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.keys.reserve(key, print, d.cfg.Now().Unix())
}

func (d *Double) release(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys.release(key)
}
