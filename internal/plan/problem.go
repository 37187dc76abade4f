package plan

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrInvalid is what every error about the content of a plan or of its prices is, by errors.Is. An
// error that is not ErrInvalid is the reader's own.
var ErrInvalid = errors.New("invalid seating plan")

// maxProblems is how many problems an error lists before it only counts.
const maxProblems = 20

// problem is one thing that is wrong, and where.
type problem struct {
	place string
	text  string
}

func (p problem) Error() string {
	if p.place == "" {
		return p.text
	}
	return p.place + ": " + p.text
}

func (p problem) Unwrap() error { return ErrInvalid }

// problems gathers what is wrong, so that a person repairs a file in one go.
type problems struct {
	listed []error
	more   int
}

func (ps *problems) add(place, format string, args ...any) {
	if len(ps.listed) == maxProblems {
		ps.more++
		return
	}
	ps.listed = append(ps.listed, problem{place: place, text: fmt.Sprintf(format, args...)})
}

// err returns nil, or all problems joined.
func (ps *problems) err() error {
	all := ps.listed
	if ps.more > 0 {
		all = append(all[:len(all):len(all)], problem{text: fmt.Sprintf("and %d more", ps.more)})
	}
	return errors.Join(all...)
}

// place is a place in a plan. An index of -1 is no part of it.
type place struct {
	category, zone, row, seat int
}

func wholePlan() place                  { return place{category: -1, zone: -1, row: -1, seat: -1} }
func (at place) inCategory(i int) place { at.category = i; return at }
func (at place) inZone(i int) place     { at.zone = i; return at }
func (at place) inRow(i int) place      { at.row = i; return at }
func (at place) inSeat(i int) place     { at.seat = i; return at }

// path writes a place so that a person finds it, by index and by the names on the way.
func (p *Plan) path(at place) string {
	var parts []string
	if at.category >= 0 {
		parts = append(parts, named("categories", at.category, p.Categories[at.category].Name))
	}
	if at.zone >= 0 {
		parts = append(parts, named("zones", at.zone, p.Zones[at.zone].Name))
	}
	if at.row >= 0 {
		parts = append(parts, named("rows", at.row, p.Zones[at.zone].Rows[at.row].Number))
	}
	if at.seat >= 0 {
		parts = append(parts, named("seats", at.seat, ""))
	}
	return strings.Join(parts, " ")
}

func named(list string, index int, name string) string {
	at := fmt.Sprintf("%s[%d]", list, index)
	if name == "" {
		return at
	}
	return at + " " + quote(name)
}

// quote quotes a text from the file, cut where it is too long for a message.
func quote(s string) string {
	const longest = 80 // bytes
	if len(s) <= longest {
		return strconv.Quote(s)
	}
	cut := longest
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut] + "…")
}
