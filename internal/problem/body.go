package problem

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"onsale/internal/sale"
)

// Body reads a JSON body into a T, a struct: one object, known fields alone, each once, nothing after it. What it
// returns outlives the request.
func Body[T any](r *fasthttp.Request) (T, error) {
	var v, none T
	if media, _, _ := strings.Cut(string(r.Header.ContentType()), ";"); !strings.EqualFold(strings.TrimSpace(media), fiber.MIMEApplicationJSON) {
		return none, sale.Errorf(sale.Invalid, "not_json", "Content-Type must be application/json")
	}
	// A compressed body may grow a thousandfold past the limit that the listener has set.
	if coding := string(r.Header.ContentEncoding()); coding != "" && !strings.EqualFold(coding, "identity") {
		return none, sale.Errorf(sale.Invalid, "encoded_body", "the body must not be compressed")
	}
	raw := r.Body()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return none, sale.Errorf(sale.Invalid, "bad_json", "the body can't be read: %s", explain(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return none, sale.Errorf(sale.Invalid, "bad_json", "the body has more than one JSON value")
	}
	if err := strict(raw, reflect.TypeFor[T]()); err != nil {
		return none, sale.Errorf(sale.Invalid, "bad_json", "the body can't be read: %s", err)
	}
	return v, nil
}

// explain says what is wrong in the terms of the body, not of Go.
func explain(err error) string {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Sprintf("%s can't be a %s", wrong.Field, wrong.Value)
	case errors.As(err, &wrong):
		return "it must be an object, not a " + wrong.Value
	case errors.Is(err, io.EOF):
		return "it is empty"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// strict refuses what encoding/json lets pass: a null in the object's place, a field given twice, of which
// readers would disagree on the one that counts, and a field in another case, which is the same by another name.
// The body was decoded before, so it is JSON and not nested deeper than the decoder's limit.
func strict(raw []byte, t reflect.Type) error {
	if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		return errors.New("it must be an object, not a null")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return strictValue(d, t)
}

// strictValue checks the next value, which is read into a t; nil stands for anything.
func strictValue(d *json.Decoder, t reflect.Type) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('['):
		for err == nil && d.More() {
			err = strictValue(d, inner(t))
		}
	case json.Delim('{'):
		seen := map[string]bool{}
		for err == nil && d.More() {
			err = strictField(d, t, seen)
		}
	default:
		return nil
	}
	if err == nil {
		_, err = d.Token() // the closing bracket
	}
	return err
}

func strictField(d *json.Decoder, t reflect.Type, seen map[string]bool) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	name := token.(string)
	if seen[name] {
		return fmt.Errorf("the field %q is given twice", name)
	}
	seen[name] = true
	t = decoded(t)
	if t == nil || t.Kind() != reflect.Struct {
		return strictValue(d, inner(t))
	}
	field, known := fieldsOf(t)[name]
	if !known {
		return fmt.Errorf("unknown field %q", name)
	}
	return strictValue(d, field)
}

var fieldsByStruct sync.Map // what fieldsOf returned, by its t

// fieldsOf is the fields of a struct's JSON, by name.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if known, ok := fieldsByStruct.Load(t); ok {
		return known.(map[string]reflect.Type)
	}
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" && !f.Anonymous {
			name = f.Name
		}
		if _, taken := fields[name]; name != "" && !taken {
			fields[name] = f.Type
		}
	}
	fieldsByStruct.Store(t, fields)
	return fields
}

// inner is the type of the elements of a t.
func inner(t reflect.Type) reflect.Type {
	if t = decoded(t); t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array || t.Kind() == reflect.Map) {
		return t.Elem()
	}
	return nil
}

// decoded is t without its pointers, nil where t reads JSON by itself and has its own idea of what is in it.
func decoded(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	return t
}

// Bearer is the token of the Authorization header, "" for none.
func Bearer(r *fasthttp.Request) string {
	scheme, token, _ := strings.Cut(string(r.Header.Peek(fiber.HeaderAuthorization)), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}
