package double

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Limits of metadata: https://docs.stripe.com/api/metadata
const (
	maxMetadataKeys  = 50
	maxMetadataKey   = 40  // characters
	maxMetadataValue = 500 // characters
	maxText          = 1000
)

// form reads the parameters of one call. Each getter takes its parameter out; err then refuses what no
// getter has asked for, as Stripe does. The first problem is kept, and all later getters are harmless.
type form struct {
	values url.Values
	first  *apiError
}

func newForm(values url.Values) *form {
	f := &form{values: make(url.Values, len(values))}
	for name, v := range values {
		if name == "expand" || strings.HasPrefix(name, "expand[") {
			continue // answers are never expanded
		}
		f.values[name] = v
	}
	return f
}

// err is the answer to a call with unknown or invalid parameters, or nil. Call it after all getters.
func (f *form) err() *apiError {
	if len(f.values) == 0 {
		return f.first
	}
	names := make([]string, 0, len(f.values))
	for name := range f.values {
		names = append(names, name)
	}
	slices.Sort(names)
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

// take removes the parameter; the last of repeated values counts, as at Stripe.
func (f *form) take(name string) (value string, given bool) {
	values, given := f.values[name]
	delete(f.values, name)
	if len(values) > 0 {
		value = values[len(values)-1]
	}
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
	if _, given := f.values[name]; !given {
		f.fail(invalid("parameter_missing", name, "Missing required param: %s.", name))
		return ""
	}
	return f.text(name)
}

// integer returns the parameter, or 0 and false when it was not given.
func (f *form) integer(name string, least int64) (int64, bool) {
	if _, given := f.values[name]; !given {
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
	for param, values := range f.values {
		inside, ok := bracketed(param, name)
		if !ok {
			continue
		}
		index, err := strconv.Atoi(inside)
		if inside != "" && err != nil {
			continue // stays behind as unknown
		}
		delete(f.values, param)
		for _, v := range values {
			found = append(found, element{index, v})
		}
	}
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
func (f *form) metadata() map[string]string {
	f.take("metadata") // an empty one unsets nothing of a new object
	pairs := map[string]string{}
	for param, values := range f.values {
		key, ok := bracketed(param, "metadata")
		if !ok || len(values) == 0 {
			continue
		}
		delete(f.values, param)
		value := values[len(values)-1]
		switch {
		case key == "":
			f.fail(invalid("parameter_invalid_empty", "metadata", "Metadata keys can't be empty."))
		case len([]rune(key)) > maxMetadataKey:
			f.fail(invalid("", "metadata", "Metadata keys can have up to %d characters; %q is longer.", maxMetadataKey, key))
		case len([]rune(value)) > maxMetadataValue:
			f.fail(invalid("", "metadata", "Metadata values can have up to %d characters; that of %q is longer.",
				maxMetadataValue, key))
		}
		pairs[key] = value
	}
	if len(pairs) > maxMetadataKeys {
		f.fail(invalid("", "metadata", "Metadata can have up to %d keys.", maxMetadataKeys))
	}
	return pairs
}

// merged returns old with the pairs laid over it; an empty value removes its key.
func merged(old, pairs map[string]string) map[string]string {
	all := make(map[string]string, len(old)+len(pairs))
	for k, v := range old {
		all[k] = v
	}
	for k, v := range pairs {
		if v == "" {
			delete(all, k)
			continue
		}
		all[k] = v
	}
	return all
}

// bracketed returns x of name[x].
func bracketed(param, name string) (string, bool) {
	inside, ok := strings.CutPrefix(param, name+"[")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(inside, "]")
}
