package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// object reads an object and calls field for each key; field must read the value. A null is nothing.
func (d *decoder) object(at place, name string, field func(key string)) {
	if !d.enter(at, name, '{', "an object") {
		return
	}
	for d.full == "" && d.dec.More() {
		key, _ := d.token().(string)
		field(key)
	}
	d.token()
}

// list reads an array and calls element for each item; element must read it. have is how many items the
// list has already: a key that is given twice would leave it open which of them is meant. A null is
// nothing.
func (d *decoder) list(at place, name string, have int, all *quota, element func(i int)) {
	if start, _ := d.next(); have > 0 {
		d.mistake(at, start, name+" are given twice")
		d.skip()
		return
	}
	if !d.enter(at, name, '[', "an array") {
		return
	}
	for i := 0; d.full == "" && d.dec.More(); i++ {
		if all.used++; all.used > all.limit {
			d.full = fmt.Sprintf("the plan has more than %d %s", all.limit, name)
			return
		}
		element(i)
	}
	d.token()
}

// enter steps into an object or an array, or reports that there is something else and skips it.
func (d *decoder) enter(at place, name string, opens byte, want string) bool {
	switch start, found := d.next(); found {
	case opens:
		d.token()
		return true
	case 'n':
		d.skip()
	default:
		d.mistake(at, start, strings.TrimSpace(name+" must be "+want+", not "+kindOf(found)))
		d.skip()
	}
	return false
}

// value reads one value into v, and returns where it starts and whether it had the right types.
func (d *decoder) value(at place, name string, v any) (start int64, ok bool) {
	raw := d.raw()
	start = d.dec.InputOffset() - int64(len(raw))
	err := json.Unmarshal(raw, v)
	if err == nil {
		return start, true
	}
	var mismatch *json.UnmarshalTypeError
	if !errors.As(err, &mismatch) {
		d.mistake(at, start, err.Error())
		return start, false
	}
	field := strings.Trim(name+"."+strings.TrimPrefix(mismatch.Field, "RowPlace."), ".")
	want := wanted(mismatch.Type)
	if number, tooLarge := strings.CutPrefix(mismatch.Value, "number "); tooLarge && want == "a number" {
		d.mistake(at, start, field+" is out of range: "+number)
		return start, false
	}
	got := strings.Fields(mismatch.Value)[0]
	d.mistake(at, start, strings.TrimSpace(field+" must be "+want+", not "+article(got)))
	return start, false
}

func (d *decoder) mistake(at place, offset int64, text string) {
	d.broken[at] = true
	if len(d.wrong) == maxProblems {
		d.more++
		return
	}
	line, column := position(d.data, offset)
	d.wrong = append(d.wrong, mistyped{at: at, line: line, column: column, text: text})
}

// render writes the mistakes out, now that the plan has all its names.
func (d *decoder) render(p *Plan) *problems {
	found := &problems{more: d.more}
	for _, w := range d.wrong {
		where := fmt.Sprintf("line %d, column %d", w.line, w.column)
		if path := p.path(w.at); path != "" {
			where = path + " (" + where + ")"
		}
		found.add(where, "%s", w.text)
	}
	return found
}

// next returns where the next value starts, and its first byte.
func (d *decoder) next() (int64, byte) {
	for i := d.dec.InputOffset(); i < int64(len(d.data)); i++ {
		switch c := d.data[i]; c {
		case ' ', '\t', '\r', '\n', ',', ':':
		default:
			return i, c
		}
	}
	return int64(len(d.data)), 0
}

// token and raw read data whose syntax has been checked, so they can't fail; if they did, reading stops.

func (d *decoder) token() json.Token {
	if d.full != "" {
		return nil
	}
	token, err := d.dec.Token()
	if err != nil {
		d.full = err.Error()
	}
	return token
}

func (d *decoder) raw() json.RawMessage {
	var raw json.RawMessage
	if err := d.dec.Decode(&raw); err != nil {
		d.full = err.Error()
	}
	return raw
}

func (d *decoder) skip() { d.raw() }

// kindOf names a JSON value by its first byte.
func kindOf(first byte) string {
	switch first {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	default:
		return "a number"
	}
}

// article names a JSON value by encoding/json's word for it.
func article(word string) string {
	switch word {
	case "object", "array":
		return "an " + word
	case "bool":
		return "a boolean"
	default:
		return "a " + word
	}
}

// wanted names the JSON value that a Go type is read from.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Float64:
		return "a number"
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "an array"
	default:
		return "an object"
	}
}
