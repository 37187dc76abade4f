package sale

import (
	"errors"
	"fmt"
	"maps"
	"time"
)

// Kind says what an error means to whoever asked. Two tables translate it and nothing else does: kind to
// HTTP status (internal/problem) and kind to acknowledgement (nats).
type Kind uint8

const (
	Internal      Kind = iota // a defect or an unforeseen failure; may pass later
	Invalid                   // the input is malformed and never will be right
	Unauthorized              // no credential, or one that does not verify
	Forbidden                 // a good credential, for something else
	NotFound                  // no such thing, or none that the caller may know of
	Conflict                  // the state of the sale forbids it now
	Unprocessable             // well-formed, but contradicts what was accepted before
	TooLarge                  // the body is over the limit
	Unavailable               // a dependency or this node can't take it now; try again
	TooMany                   // the caller asks too often; try again later
)

// Error is the one error type that crosses package borders with a meaning.
type Error struct {
	Kind   Kind
	Code   string         // stable and machine-readable, like seats_taken
	Detail string         // one sentence for a person
	Fields map[string]any // what conflicted, such as the seats; may be nil
	Err    error          // the cause; never shown to a fan
	Wait   time.Duration  // after how long to try again, where that is known
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Detail, e.Err)
	}
	return e.Code + ": " + e.Detail
}

func (e *Error) Unwrap() error { return e.Err }

// Is lets errors.Is match e with an error of the same kind and code, so that a copy that With or Because made
// is still the error it was made from.
func (e *Error) Is(target error) bool {
	o, ok := target.(*Error)
	return ok && o.Kind == e.Kind && o.Code == e.Code
}

// With returns a copy of e that carries one more field.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Fields = make(map[string]any, len(e.Fields)+1)
	for k, v := range e.Fields {
		c.Fields[k] = v
	}
	c.Fields[key] = value
	return &c
}

// Because returns a copy of e with its cause.
func (e *Error) Because(err error) *Error {
	c := *e
	c.Fields = maps.Clone(e.Fields)
	c.Err = err
	return &c
}

// After returns a copy of e that says when to try again.
func (e *Error) After(wait time.Duration) *Error {
	c := *e
	c.Fields = maps.Clone(e.Fields)
	c.Wait = wait
	return &c
}

// Errorf makes an error of a kind, with a stable code and a sentence.
func Errorf(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// KindOf is the kind of the first *Error in err's chain, Internal where there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// CodeOf is the code of the first *Error in err's chain, "internal" where there is none.
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return "internal"
}
