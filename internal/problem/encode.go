package problem

import (
	"encoding/json"
	"slices"
	"strconv"
)

// member is a name and its value in a problem's body.
type member struct {
	name  string
	value any
}

// encode writes the body of a problem, its members by name. Refusals are what a crowd gets most, so strings and lists
// of them are written without the work of a JSON writer; it writes the same.
func encode(members []member) ([]byte, error) {
	slices.SortFunc(members, func(a, b member) int {
		switch {
		case a.name < b.name:
			return -1
		case a.name > b.name:
			return 1
		}
		return 0
	})
	b := append(make([]byte, 0, 384), '{')
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendString(b, m.name); err == nil {
			b, err = appendValue(append(b, ':'), m.value)
		}
		if err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendValue(b []byte, v any) (_ []byte, err error) {
	switch v := v.(type) {
	case string:
		return appendString(b, v)
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
			if b, err = appendString(b, s); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	raw, err := json.Marshal(v)
	return append(b, raw...), err
}

// appendString appends a JSON string. One that needs escapes is left to a JSON writer.
func appendString(b []byte, s string) ([]byte, error) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			raw, err := json.Marshal(s)
			return append(b, raw...), err
		}
	}
	return append(append(append(b, '"'), s...), '"'), nil
}
