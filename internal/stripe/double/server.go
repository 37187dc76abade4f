package double

import (
	"bytes"
	"crypto/subtle"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
)

const (
	maxBody    = 256 << 10   // bytes of a request's body; every allowed parameter at its limit fits
	maxRead    = 4 * maxBody // what comes over it is read this far, so that its sender sees the refusal
	maxHeaders = 16 << 10    // bytes, the request's line included
	elsewhere  = "/"         // the route of what has no other
)

// route is an endpoint.
type route struct {
	calls atomic.Int64
	serve func(*call)
}

// routes lists every endpoint by method and path; anything else is an unrecognized URL.
func (d *Double) routes() map[string]*route {
	all := map[string]*route{
		elsewhere:                         {serve: func(c *call) { c.refuse(unknownURL(c)) }},
		"GET /_double/faults":             {serve: d.serveFaults},
		"PUT /_double/faults":             {serve: d.serveSetFaults},
		"GET /_double/stats":              {serve: d.serveStats},
		"POST /_double/disputes":          {serve: d.serveOpenDispute},
		"POST /_double/authenticate/{id}": {serve: d.serveAuthenticate},
		"POST /_double/expire/{id}":       {serve: d.serveExpire},
		"POST /_double/refunds/{id}":      {serve: d.serveSettleRefund},
		"POST /_double/disputes/{id}":     {serve: d.serveMoveDispute},
	}
	posts := map[string]parser{
		"/v1/payment_intents":              parseCreate,
		"/v1/payment_intents/{id}/confirm": parseConfirm,
		"/v1/payment_intents/{id}/capture": parseCapture,
		"/v1/payment_intents/{id}/cancel":  parseCancel,
		"/v1/refunds":                      parseRefund,
	}
	for path, parse := range posts {
		all["POST "+path] = &route{serve: func(c *call) { d.servePost(c, parse) }}
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
		all["GET "+path] = &route{serve: func(c *call) { d.serveGet(c, ask) }}
	}
	return all
}

// find returns the route of a call and the id in its path, which is always the third part.
func (d *Double) find(method, path string) (r *route, id string) {
	if r = d.routed[method+" "+path]; r != nil {
		return r, ""
	}
	if parts := strings.SplitN(path, "/", 5); len(parts) > 3 && parts[3] != "" {
		id, parts[3] = parts[3], "{id}"
		if r = d.routed[method+" "+strings.Join(parts, "/")]; r != nil {
			return r, id
		}
	}
	return d.routed[elsewhere], ""
}

// call is one request being answered. Its strings are copies, since they may be kept and the server reuses its buffers.
type call struct {
	ctx          *fasthttp.RequestCtx
	method, path string
	id           string // in the path
	request      string // its own id
}

// serve counts a call, gives it an id and checks its key.
func (d *Double) serve(ctx *fasthttp.RequestCtx) {
	c := &call{ctx: ctx, method: string(ctx.Method()), path: string(ctx.Path()), request: newID("req_")}
	r, id := d.find(c.method, c.path)
	c.id = id
	r.calls.Add(1)
	ctx.Response.Header.Set("Request-Id", c.request)
	ctx.Response.Header.Set("Stripe-Version", apiVersion)
	key, bearer := bytes.CutPrefix(ctx.Request.Header.Peek("Authorization"), []byte("Bearer "))
	if !bearer {
		key = nil
	}
	if subtle.ConstantTimeCompare(key, []byte(d.cfg.SecretKey)) != 1 {
		ctx.Response.Header.Set("WWW-Authenticate", `Bearer realm="Stripe"`)
		c.refuse(unauthorized(string(key)))
		return
	}
	r.serve(c)
}

// answer writes a whole answer, of bytes that never change.
func (c *call) answer(status int, body []byte) {
	c.ctx.SetStatusCode(status)
	c.ctx.SetContentType("application/json")
	c.ctx.Response.SetBodyRaw(body)
}

func (c *call) refuse(e *apiError) { c.answer(e.status, e.body()) }

// cut ends the connection without an answer. It sends the first bytes of a status line before, since Go's
// client silently repeats a call whose reused connection ends without a single byte: the caller would never
// see the fault.
func (c *call) cut() {
	c.ctx.HijackSetNoResponse(true)
	c.ctx.Hijack(func(conn net.Conn) { io.WriteString(conn, "HTTP/1.1 ") }) // the server closes it after this
}

// body is the call's body, for as long as the call lasts.
func (c *call) body() ([]byte, *apiError) {
	body := c.ctx.PostBody()
	if len(body) > maxBody {
		e := invalid("", "", "The request body is longer than %d bytes.", maxBody)
		e.status = fasthttp.StatusRequestEntityTooLarge
		return nil, e
	}
	return body, nil
}

// params reads the parameters of the body.
func (c *call) params() ([]param, *apiError) {
	body, bad := c.body()
	if bad != nil {
		return nil, bad
	}
	params, ok := parseParams(string(body))
	if !ok {
		return nil, invalid("", "", "The request body is not valid application/x-www-form-urlencoded.")
	}
	return params, nil
}

// servePost answers a call that has an effect. The order is Stripe's: the key is looked up first, and what
// is refused before the effect could begin is not stored under it.
func (d *Double) servePost(c *call, parse parser) {
	params, bad := c.params()
	if bad != nil {
		c.refuse(bad)
		return
	}
	key := string(c.ctx.Request.Header.Peek("Idempotency-Key"))
	if utf8.RuneCountInString(key) > maxKeyLength {
		c.refuse(invalid("", "", "Idempotency keys can have up to %d characters.", maxKeyLength))
		return
	}
	var rec *keyRecord
	if key != "" {
		c.ctx.Response.Header.Set("Idempotency-Key", key)
		print := fingerprintOf(c.method, c.path, params)
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
	f := newForm(params)
	run := parse(c.id, f)
	if err := f.err(); err != nil {
		c.refuse(err)
		return
	}
	if d.dice.hit(faults.ErrorShare) {
		run = func(*tx) (object, *apiError) { return nil, serverError() }
	} else if strings.HasSuffix(c.path, "/capture") && d.dice.hit(faults.CaptureRefuseShare) {
		run = func(*tx) (object, *apiError) { return nil, expired() }
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
	c.ctx.Response.Header.Set("Idempotent-Replayed", "true")
	c.ctx.Response.Header.Set("Original-Request", rec.request)
	c.answer(rec.status, rec.answer())
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
	params, _ := parseParams(string(c.ctx.URI().QueryString())) // what is malformed is as if it was not there
	f := newForm(params)
	read := ask(c.id, f)
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
	c.answer(fasthttp.StatusOK, mustJSON(found))
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
