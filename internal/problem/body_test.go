package problem_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"onsale/internal/problem"
)

type request struct {
	Session string           `json:"session"`
	Seats   []string         `json:"seat_ids"`
	Payment payment          `json:"payment"`
	Lines   []payment        `json:"lines"`
	Other   *payment         `json:"other"`
	Prices  map[string]int64 `json:"prices"`
	Opens   *time.Time       `json:"opens_at"`
	Rate    float64          `json:"rate"`
	Plan    json.RawMessage  `json:"plan"`
	Any     any              `json:"any"`
	Bare    int
	embedded
}

type payment struct {
	Method string `json:"payment_method"`
	Count  int    `json:"count"`
}

type embedded struct {
	Inner string `json:"inner"`
}

// read is what an app makes of a body: the problem, or the request as it was read.
func read(t *testing.T, contentType string, body []byte, header ...string) answer {
	t.Helper()
	a, _ := app()
	a.Post("/", func(c *fiber.Ctx) error {
		r, err := problem.Body[request](c.Request())
		if err != nil {
			return err
		}
		r.Plan = nil // it may hold what this test's client can't read
		return c.JSON(r)
	})
	req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return call(t, a, req)
}

func readJSON(t *testing.T, body string) answer {
	t.Helper()
	return read(t, "application/json", []byte(body))
}

func TestBody_Reads(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON ;x=y"} {
		got := read(t, contentType, []byte(` {"session":"s","payment":{"payment_method":"pm","count":2},"rate":0.5,"inner":"i","Bare":3} `))
		if got.status != 200 || got.body["session"] != "s" || got.body["rate"] != 0.5 || got.body["inner"] != "i" || got.body["Bare"] != 3.0 {
			t.Errorf("%s: %d %s", contentType, got.status, got.text)
		}
	}
	for _, body := range []string{
		`{}`, "\t{ }\r\n", `{"session":null}`, `{"payment":{},"lines":[{"count":1},{"count":2}],"other":{"count":1}}`, `{"seat_ids":["a","a"]}`,
		`{"prices":{"vip":1,"VIP":2,"Session":3}}`, // keys of a map are not fields
		`{"plan":{"x":{"y":[{"x":1},{"x":2}]}},"any":[{"Session":1,"session":2}]}`,
		`{"plan":1e999,"opens_at":"2026-03-14T18:00:00Z"}`, `{"session":"{\"a\":1,\"a\":2}"}`,
	} {
		if got := readJSON(t, body); got.status != 200 {
			t.Errorf("%s: %d %s", body, got.status, got.text)
		}
	}
}

func TestBody_Refuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, detail string }{
		"nothing":                          {``, "empty"},
		"blanks":                           {" \n", "empty"},
		"cut off":                          {`{"session":"s`, "too early"},
		"not JSON":                         {`session=s`, "invalid character"},
		"a trailing comma":                 {`{"session":"s",}`, "invalid character"},
		"a comment":                        {`{} // so`, "more than one JSON value"},
		"two objects":                      {`{}{}`, "more than one JSON value"},
		"two objects, spaced":              {"{}\n{}", "more than one JSON value"},
		"an object and a bracket":          {`{}]`, "more than one JSON value"},
		"null":                             {`null`, "must be an object, not a null"},
		"null, spaced":                     {" null\n", "must be an object, not a null"},
		"an array":                         {`[]`, "must be an object, not a array"},
		"a string":                         {`"s"`, "must be an object, not a string"},
		"a number":                         {`1`, "must be an object, not a number"},
		"a number as text":                 {`{"session":1}`, "session can't be a number"},
		"an object as text":                {`{"session":{}}`, "session can't be a object"},
		"text as a list":                   {`{"seat_ids":"A-1"}`, "seat_ids can't be a string"},
		"a number in a list":               {`{"seat_ids":["a",1]}`, "seat_ids can't be a number"},
		"text within":                      {`{"payment":{"count":"1"}}`, "payment.count can't be a string"},
		"a fraction as a count":            {`{"payment":{"count":1.5}}`, "payment.count can't be a number 1.5"},
		"a count that is too large":        {`{"payment":{"count":99999999999999999999}}`, "payment.count can't be a number"},
		"unknown field":                    {`{"sesion":"s"}`, `unknown field "sesion"`},
		"unknown field within":             {`{"payment":{"method":"pm"}}`, `unknown field "method"`},
		"unknown field in a list":          {`{"lines":[{},{"method":"pm"}]}`, `unknown field "method"`},
		"another case":                     {`{"Session":"s"}`, `unknown field "Session"`},
		"another case within":              {`{"payment":{"Count":1}}`, `unknown field "Count"`},
		"another case in a list":           {`{"lines":[{"count":1},{"COUNT":1}]}`, `unknown field "COUNT"`},
		"another case by pointer":          {`{"other":{"Count":1}}`, `unknown field "Count"`},
		"a letter that folds":              {`{"ſession":"s"}`, `unknown field "ſession"`},
		"the same in two cases":            {`{"session":"s","Session":"t"}`, `unknown field "Session"`},
		"a name in Go":                     {`{"Seats":[]}`, `unknown field "Seats"`},
		"twice":                            {`{"session":"s","session":"s"}`, `"session" is given twice`},
		"twice, escaped":                   {`{"session":"s","\u0073ession":"t"}`, `"session" is given twice`},
		"twice, apart":                     {`{"session":"s","payment":{"count":1},"seat_ids":[],"session":"t"}`, `"session" is given twice`},
		"twice within":                     {`{"payment":{"count":1,"count":2}}`, `"count" is given twice`},
		"twice in a list":                  {`{"lines":[{"count":1},{"count":1,"count":2}]}`, `"count" is given twice`},
		"twice in a map":                   {`{"prices":{"vip":1,"vip":2}}`, `"vip" is given twice`},
		"twice in what is raw":             {`{"plan":{"x":[[{"y":{"z":1,"z":2}}]]}}`, `"z" is given twice`},
		"twice after a large number":       {`{"plan":{"x":1e999,"z":1,"z":2}}`, `"z" is given twice`},
		"twice after the end of an object": {`{"payment":{},"payment":{}}`, `"payment" is given twice`},
		"twice in anything":                {`{"any":[1,"any",{"any":1,"b":["any"],"any":2}]}`, `"any" is given twice`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := readJSON(t, c.body)
			isProblem(t, got, 400, "bad_json")
			if detail, _ := got.body["detail"].(string); !strings.Contains(detail, c.detail) || strings.Contains(detail, "json:") || strings.Contains(detail, "Go ") {
				t.Errorf("the detail is %q, want %q", detail, c.detail)
			}
		})
	}
}

func TestBody_RefusesOtherContentTypes(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/problem+json", "text/json", "x; application/json"} {
		isProblem(t, read(t, contentType, []byte(`{}`)), 400, "not_json")
	}
}

// A few bytes of a compressed body can be as many as the machine has: none is unpacked.
func TestBody_RefusesCompressed(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(`{"session":"s"}`)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, coding := range []string{"gzip", "br", "deflate", "gzip, gzip", "GZIP", "unheard-of"} {
		isProblem(t, read(t, "application/json", packed.Bytes(), "Content-Encoding", coding), 400, "encoded_body")
	}
	if got := read(t, "application/json", []byte(`{"session":"s"}`), "Content-Encoding", "identity"); got.status != 200 || got.body["session"] != "s" {
		t.Errorf("identity: %d %s", got.status, got.text)
	}
}

// A hundred thousand brackets are refused like any other nonsense: nothing recurses as deep.
func TestBody_DeepNesting(t *testing.T) {
	t.Parallel()
	const deep = 100_000
	for name, body := range map[string]string{
		"arrays":          strings.Repeat("[", deep),
		"closed arrays":   strings.Repeat("[", deep) + strings.Repeat("]", deep),
		"objects":         strings.Repeat(`{"a":`, deep),
		"in what is raw":  `{"plan":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + `}`,
		"objects, raw":    `{"plan":` + strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep) + `}`,
		"in anything":     `{"any":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + `}`,
		"after an object": `{}` + strings.Repeat("[", deep),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			isProblem(t, readJSON(t, body), 400, "bad_json")
		})
	}
	if got := readJSON(t, `{"plan":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+`}`); got.status != 200 {
		t.Errorf("nine thousand are %d", got.status)
	}
}

// What is refused leaves nothing behind: a caller that ignores the error has no half-read request.
func TestBody_RefusedIsZero(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"session":"s","rate":"x"}`, `{"session":"s"}{}`, `{"session":"s","session":"t"}`, `{"session":"s","x":1}`} {
		a, _ := app()
		a.Post("/", func(c *fiber.Ctx) error {
			r, err := problem.Body[request](c.Request())
			if err == nil || r.Session != "" {
				t.Errorf("%s: Body = %+v, %v", body, r, err)
			}
			return err
		})
		req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		isProblem(t, call(t, a, req), 400, "bad_json")
	}
}
