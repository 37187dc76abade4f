package double

import (
	"encoding/json"
	"slices"
	"sort"
)

// object is what a shelf holds: intents, charges, refunds, disputes.
type object interface {
	key() string
	born() int64 // unix seconds, never before that of an object made earlier
	status() string
}

// shelf keeps objects of a kind in the order of their creation, found by id or by time without a scan.
type shelf[T object] struct {
	at     map[string]int
	items  []T
	counts map[string]int // by status
}

func newShelf[T object]() *shelf[T] {
	return &shelf[T]{at: map[string]int{}, counts: map[string]int{}}
}

func (s *shelf[T]) get(id string) (found T, ok bool) {
	i, ok := s.at[id]
	if ok {
		found = s.items[i]
	}
	return found, ok
}

// put appends a new object, or replaces the one with its id.
func (s *shelf[T]) put(v T) {
	if i, ok := s.at[v.key()]; ok {
		s.counts[s.items[i].status()]--
		s.items[i] = v
	} else {
		s.at[v.key()] = len(s.items)
		s.items = append(s.items, v)
	}
	s.counts[v.status()]++
}

// newest is when the last object was created, 0 when there is none.
func (s *shelf[T]) newest() int64 {
	if len(s.items) == 0 {
		return 0
	}
	return s.items[len(s.items)-1].born()
}

// page returns up to limit objects created from first to last (unix seconds, both included), newest first,
// and whether there are more. It starts below the object after, if that isn't "", and is not ok when that
// doesn't exist.
func (s *shelf[T]) page(q pageQuery) (items []T, more, ok bool) {
	low := sort.Search(len(s.items), func(i int) bool { return s.items[i].born() >= q.first })
	high := sort.Search(len(s.items), func(i int) bool { return s.items[i].born() > q.last })
	if q.after != "" {
		at, known := s.at[q.after]
		if !known {
			return nil, false, false
		}
		high = min(high, at)
	}
	if high <= low {
		return nil, false, true
	}
	from := max(low, high-q.limit)
	items = slices.Clone(s.items[from:high])
	slices.Reverse(items)
	return items, from > low, true
}

// state is everything the account owns. Double.mu guards it.
type state struct {
	intents   *shelf[*intent]
	intentsOf map[string][]string // their ids by the attempt in their metadata, oldest first
	charges   *shelf[*charge]
	refunds   *shelf[*refund]
	refundsOf map[string]*shelf[*refund] // by intent
	disputes  *shelf[*dispute]
}

func newState() *state {
	return &state{
		intents:   newShelf[*intent](),
		intentsOf: map[string][]string{},
		charges:   newShelf[*charge](),
		refunds:   newShelf[*refund](),
		refundsOf: map[string]*shelf[*refund]{},
		disputes:  newShelf[*dispute](),
	}
}

// apply makes a change part of the state: the one way in, for calls and for the journal alike.
func (s *state) apply(c *change) {
	for _, in := range c.intents {
		s.intents.put(in)
		if of := in.Metadata.get(searchable); of != "" && !slices.Contains(s.intentsOf[of], in.ID) {
			s.intentsOf[of] = append(s.intentsOf[of], in.ID)
		}
	}
	for _, ch := range c.charges {
		s.charges.put(ch)
	}
	for _, re := range c.refunds {
		s.refunds.put(re)
		of := s.refundsOf[re.PaymentIntent]
		if of == nil {
			of = newShelf[*refund]()
			s.refundsOf[re.PaymentIntent] = of
		}
		of.put(re)
	}
	for _, d := range c.disputes {
		s.disputes.put(d)
	}
}

// change is all that one call does: it is written to the journal as one line, then applied.
type change struct {
	intents  []*intent
	charges  []*charge
	refunds  []*refund
	disputes []*dispute
	events   []*event
	keys     []*keyRecord
	done     []string // ids of events that were delivered or given up

	renders []rendering
}

// rendering is an object's JSON as it is at the end of a call, which its answer, its event and the journal share.
type rendering struct {
	of  object
	raw json.RawMessage
}

// rendered is what encoded has made of an object, nil where it was not asked.
func (c *change) rendered(o object) json.RawMessage {
	for _, r := range c.renders {
		if r.of == o {
			return r.raw
		}
	}
	return nil
}

// encoded renders an object of the change, once.
func (c *change) encoded(o object) json.RawMessage {
	raw := c.rendered(o)
	if raw != nil {
		return raw
	}
	raw = mustJSON(o)
	c.renders = append(c.renders, rendering{o, raw})
	return raw
}

// save adds an object to those of its kind. It may be called again for the same one, which may have changed.
func save[T object](c *change, all []T, o T) []T {
	c.renders = slices.DeleteFunc(c.renders, func(r rendering) bool { return r.of == object(o) })
	if n := len(all); n > 0 && object(all[n-1]) == object(o) {
		return all
	}
	return append(all, o)
}

func (c *change) empty() bool {
	return len(c.intents)+len(c.charges)+len(c.refunds)+len(c.disputes)+len(c.events)+len(c.keys)+len(c.done) == 0
}

// tx is one call in progress: it reads the state and gathers a change.
type tx struct {
	change
	state   *state
	now     int64                  // unix seconds
	request string                 // id of the API request, "" for a control call
	key     string                 // idempotency key
	mute    func(kind string) bool // no events: nobody receives them
}

func (t *tx) saveIntent(in *intent)  { t.intents = save(&t.change, t.intents, in) }
func (t *tx) saveCharge(c *charge)   { t.charges = save(&t.change, t.charges, c) }
func (t *tx) saveRefund(r *refund)   { t.refunds = save(&t.change, t.refunds, r) }
func (t *tx) saveDispute(d *dispute) { t.disputes = save(&t.change, t.disputes, d) }

// emit queues an event about an object as it is now.
func (t *tx) emit(kind string, of object) {
	if t.mute(kind) {
		return
	}
	t.events = append(t.events, &event{
		ID: newID("evt_"), Type: kind, Created: t.now, Request: t.request, Key: t.key, object: t.encoded(of),
	})
}

// command is the part of a call that has an effect. It returns the object to answer with, or an error,
// in which case the change it gathered still counts: a decline leaves a failed intent behind.
type command func(t *tx) (object, *apiError)
