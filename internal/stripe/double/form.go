package double

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of metadata: https://docs.stripe.com/api/metadata
const (
	maxMetadataKeys  = 50
	maxMetadataKey   = 40  // characters
	maxMetadataValue = 500 // characters
	maxText          = 1000
)

// param is one parameter of a call.
type param struct{ name, value string }

// parseParams reads application/x-www-form-urlencoded, sorted by name; those of one name stay in their order. It is
// not ok when some are malformed, which are left out.
func parseParams(encoded string) (params []param, ok bool) {
	ok = true
	params = make([]param, 0, strings.Count(encoded, "&")+1)
	for pair := range strings.SplitSeq(encoded, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, badName := url.QueryUnescape(name)
		value, badValue := url.QueryUnescape(value)
		if badName != nil || badValue != nil || strings.Contains(pair, ";") {
			ok = false
			continue
		}
		params = append(params, param{name, value})
	}
	slices.SortStableFunc(params, func(a, b param) int { return strings.Compare(a.name, b.name) })
	return params, ok
}

// form reads the parameters of one call. Each getter takes its parameter out; err then refuses what no
// getter has asked for, as Stripe does. The first problem is kept, and all later getters are harmless.
type form struct {
	params []param // sorted by name
	first  *apiError
}

// newForm takes params for its own.
func newForm(params []param) *form {
	return &form{params: slices.DeleteFunc(params, func(p param) bool {
		return p.name == "expand" || strings.HasPrefix(p.name, "expand[") // answers are never expanded
	})}
}

// err is the answer to a call with unknown or invalid parameters, or nil. Call it after all getters.
func (f *form) err() *apiError {
	if len(f.params) == 0 {
		return f.first
	}
	var names []string
	for _, p := range f.params {
		names = append(names, p.name)
	}
	names = slices.Compact(names)
	noun := "parameter"
	if len(names) > 1 {
		noun = "parameters"
	}
	return invalid("parameter_unknown", names[0], "Received unknown %s: %s", noun, strings.Join(names, ", "))
}

func (f *form) fail(e *apiError) {
	if f.first == nil {
		f.first = e
	}
}

func (f *form) has(name string) bool {
	return slices.ContainsFunc(f.params, func(p param) bool { return p.name == name })
}

// take removes the parameter; the last of repeated values counts, as at Stripe.
func (f *form) take(name string) (value string, given bool) {
	f.params = slices.DeleteFunc(f.params, func(p param) bool {
		if p.name != name {
			return false
		}
		value, given = p.value, true
		return true
	})
	return value, given
}

// text returns the parameter or "" when it was not given; given but empty is refused.
func (f *form) text(name string) string {
	value, given := f.take(name)
	switch {
	case given && value == "":
		f.fail(invalid("parameter_invalid_empty", name, "You passed an empty string for '%s'. We assume empty "+
			"values are an attempt to unset a parameter; however '%s' cannot be unset.", name, name))
	case len(value) > maxText:
		f.fail(invalid("", name, "Invalid string: must be at most %d characters", maxText))
	}
	return value
}

// required is text for a parameter that must be there.
func (f *form) required(name string) string {
	if !f.has(name) {
		f.fail(invalid("parameter_missing", name, "Missing required param: %s.", name))
		return ""
	}
	return f.text(name)
}

// integer returns the parameter, or 0 and false when it was not given.
func (f *form) integer(name string, least int64) (int64, bool) {
	if !f.has(name) {
		return 0, false
	}
	value := f.text(name)
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil:
		f.fail(invalid("parameter_invalid_integer", name, "Invalid integer: %s", value))
	case n < least:
		f.fail(invalid("parameter_invalid_integer", name, "This value must be greater than or equal to %d.", least))
	}
	return n, true
}

// flag returns the parameter, or false and false when it was not given.
func (f *form) flag(name string) (value, given bool) {
	switch text := f.text(name); text {
	case "":
		return false, false
	case "true":
		return true, true
	case "false":
		return false, true
	default:
		f.fail(invalid("", name, "Invalid boolean: %s", text))
		return false, true
	}
}

// choice returns the parameter, or "" when it was not given.
func (f *form) choice(name string, options ...string) string {
	value := f.text(name)
	if value != "" && !slices.Contains(options, value) {
		f.fail(invalid("", name, "Invalid %s: must be one of %s", name, strings.Join(options, ", ")))
	}
	return value
}

// texts returns an array, sent as name[] or name[0], name[1] and so on; nil when it was not given.
func (f *form) texts(name string) []string {
	type element struct {
		index int
		value string
	}
	var found []element
	f.params = slices.DeleteFunc(f.params, func(p param) bool {
		inside, ok := bracketed(p.name, name)
		if !ok {
			return false
		}
		index, err := strconv.Atoi(inside)
		if inside != "" && err != nil {
			return false // stays behind as unknown
		}
		found = append(found, element{index, p.value})
		return true
	})
	slices.SortStableFunc(found, func(a, b element) int { return a.index - b.index })
	var list []string
	for _, e := range found {
		if e.value == "" {
			f.fail(invalid("parameter_invalid_empty", name, "You passed an empty string in '%s'.", name))
		}
		list = append(list, e.value)
	}
	return list
}

// metadata returns the pairs that were given, empty values included: those unset a key.
func (f *form) metadata() (pairs []param) {
	f.take("metadata") // an empty one unsets nothing of a new object
	f.params = slices.DeleteFunc(f.params, func(p param) bool {
		key, ok := bracketed(p.name, "metadata")
		if !ok {
			return false
		}
		switch {
		case key == "":
			f.fail(invalid("parameter_invalid_empty", "metadata", "Metadata keys can't be empty."))
		case utf8.RuneCountInString(key) > maxMetadataKey:
			f.fail(invalid("", "metadata", "Metadata keys can have up to %d characters; %q is longer.", maxMetadataKey, key))
		case utf8.RuneCountInString(p.value) > maxMetadataValue:
			f.fail(invalid("", "metadata", "Metadata values can have up to %d characters; that of %q is longer.",
				maxMetadataValue, key))
		}
		if last := len(pairs) - 1; last >= 0 && pairs[last].name == key {
			pairs = pairs[:last]
		}
		pairs = append(pairs, param{key, p.value})
		return true
	})
	if len(pairs) > maxMetadataKeys {
		f.fail(invalid("", "metadata", "Metadata can have up to %d keys.", maxMetadataKeys))
	}
	return pairs
}

// bracketed returns x of name[x].
func bracketed(param, name string) (string, bool) {
	inside, ok := strings.CutPrefix(param, name+"[")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(inside, "]")
}
