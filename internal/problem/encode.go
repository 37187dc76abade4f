package problem

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"onsale/internal/sale"
)

// own are the members that every problem has. They mean what they mean, whatever an error's fields are called.
var own = [...]string{"code", "detail", "request_id", "status", "title", "type"}

// body is a problem's body, its members by name. Refusals are what a crowd gets most, so they are written without the
// work of a JSON writer; it would write the same. A field that JSON has no words for is left out.
func body(e *sale.Error, status int, id string) []byte {
	fields := make([]string, 0, len(own))
	for name := range e.Fields {
		if !slices.Contains(own[:], name) {
			fields = append(fields, name)
		}
	}
	slices.Sort(fields)
	b := append(make([]byte, 0, 384), '{')
	for _, name := range own {
		for len(fields) > 0 && fields[0] < name {
			b, fields = appendField(b, fields[0], e.Fields[fields[0]]), fields[1:]
		}
		b = append(append(append(b, '"'), name...), `":`...)
		switch name {
		case "code":
			b = appendString(b, e.Code)
		case "detail":
			b = appendString(b, e.Detail)
		case "request_id":
			b = appendString(b, id)
		case "status":
			b = strconv.AppendInt(b, int64(status), 10)
		case "title":
			b = appendString(b, http.StatusText(status))
		case "type":
			b = appendString(b, "urn:onsale:problem:"+e.Code)
		}
		b = append(b, ',')
	}
	for _, name := range fields {
		b = appendField(b, name, e.Fields[name])
	}
	b[len(b)-1] = '}'
	return b
}

// appendField appends a field and a comma, or nothing where its value can't be written.
func appendField(b []byte, name string, value any) []byte {
	before := len(b)
	b, err := appendValue(append(appendString(b, name), ':'), value)
	if err != nil {
		return b[:before]
	}
	return append(b, ',')
}

func appendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return appendString(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case []string:
		if v == nil {
			break
		}
		b = append(b, '[')
		for i, s := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, s)
		}
		return append(b, ']'), nil
	}
	raw, err := json.Marshal(v)
	return append(b, raw...), err
}

// appendString appends a JSON string. One that needs escapes is left to a JSON writer.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			raw, _ := json.Marshal(s) // a string can always be written
			return append(b, raw...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
