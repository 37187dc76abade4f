package double

import (
	"fmt"
	"math"
	"regexp"
)

const (
	defaultPage = 10
	maxPage     = 100
)

// query reads the state for a GET, with Double.mu held. What it returns is rendered after that.
type query func(s *state) (any, *apiError)

// asker reads the parameters of a GET. id is that of the path.
type asker func(id string, f *form) query

// pageQuery chooses a page of a list: see shelf.page.
type pageQuery struct {
	limit       int
	first, last int64
	after       string
}

func (f *form) page() pageQuery {
	q := pageQuery{limit: defaultPage, last: math.MaxInt64}
	if n, given := f.integer("limit", 1); given {
		if n > maxPage {
			f.fail(invalid("parameter_invalid_integer", "limit", "This value must be less than or equal to %d.", maxPage))
		}
		q.limit = int(min(n, maxPage))
	}
	q.after = f.text("starting_after")
	return q
}

func askIntent(id string, _ *form) query {
	return func(s *state) (any, *apiError) {
		in, ok := s.intents.get(id)
		if !ok {
			return nil, missing("payment_intent", "intent", id)
		}
		return in, nil
	}
}

func askIntents(_ string, f *form) query {
	q := f.page()
	if from, given := f.integer("created[gte]", 0); given {
		q.first = from
	}
	if to, given := f.integer("created[lte]", 0); given {
		q.last = to
	}
	return func(s *state) (any, *apiError) {
		return pageOf(s.intents, q, "payment_intent")
	}
}

// searchable is the one key of metadata by which intents are searched for.
const searchable = "attempt_id"

var searchQuery = regexp.MustCompile(`^metadata\['` + searchable + `'\]:'([^'"\\]+)'$`)

// askSearch finds intents by an attempt, newest first. Of Stripe's query language it knows this one form. What is found
// is never more than a page, and nothing is late in the index as it may be at Stripe.
func askSearch(_ string, f *form) query {
	q, text := f.page(), f.required("query")
	parts := searchQuery.FindStringSubmatch(text)
	if parts == nil {
		f.fail(invalid("", "query", "We were unable to parse your search query: %q. Here it can only be metadata['%s']:'...'.", text, searchable))
		return nil
	}
	return func(s *state) (any, *apiError) {
		found := searchResult{Object: "search_result", Data: []*intent{}, URL: "/v1/payment_intents/search"}
		ids := s.intentsOf[parts[1]]
		for i := len(ids) - 1; i >= 0 && len(found.Data) < q.limit; i-- {
			if in, _ := s.intents.get(ids[i]); in.Metadata.get(searchable) == parts[1] {
				found.Data = append(found.Data, in)
			}
		}
		return found, nil
	}
}

func askRefund(id string, _ *form) query {
	return func(s *state) (any, *apiError) {
		re, ok := s.refunds.get(id)
		if !ok {
			return nil, missing("refund", "refund", id)
		}
		return re, nil
	}
}

func askDispute(id string, _ *form) query {
	return func(s *state) (any, *apiError) {
		d, ok := s.disputes.get(id)
		if !ok {
			return nil, missing("dispute", "dispute", id)
		}
		return d, nil
	}
}

func askDisputes(_ string, f *form) query {
	q := f.page()
	return func(s *state) (any, *apiError) { return pageOf(s.disputes, q, "dispute") }
}

func askRefunds(_ string, f *form) query {
	q, of := f.page(), f.text("payment_intent")
	if from, given := f.integer("created[gte]", 0); given {
		q.first = from
	}
	return func(s *state) (any, *apiError) {
		if of == "" {
			return pageOf(s.refunds, q, "refund")
		}
		if _, ok := s.intents.get(of); !ok {
			return nil, missing("payment_intent", "payment_intent", of)
		}
		shelf := s.refundsOf[of]
		if shelf == nil {
			shelf = newShelf[*refund]()
		}
		return pageOf(shelf, q, "refund")
	}
}

func pageOf[T object](s *shelf[T], q pageQuery, kind string) (any, *apiError) {
	items, more, ok := s.page(q)
	if !ok {
		return nil, invalid("resource_missing", "starting_after", "No such %s: '%s'", kind, q.after)
	}
	return list[T]{Object: "list", Data: items, HasMore: more, URL: fmt.Sprintf("/v1/%ss", kind)}, nil
}
