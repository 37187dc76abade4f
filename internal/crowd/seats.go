package crowd

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// seatsFreshFor is how old the shared seat list may be. Fans look at the same picture of the hall, so
// thousands of them need it five times a second, not thousands of times.
const seatsFreshFor = 200 * time.Millisecond

// seatCache holds the event's seat list for all fans. The fan who finds it stale fetches it with its
// own pass; fans who come meanwhile wait for that answer.
type seatCache struct {
	client  *client
	eventID string
	flight  singleflight.Group

	mu      sync.Mutex
	list    *seatList
	etag    string
	fetched time.Time
}

// seatsFetch is what one fetch gave to everyone who waited for it.
type seatsFetch struct {
	list   *seatList
	answer answer
	pass   string
}

// get returns a list at most seatsFreshFor old, or the answer that refused it to this pass.
func (c *seatCache) get(ctx context.Context, path, pass, session string) (*seatList, answer, error) {
	const sharedTries = 3
	for range sharedTries {
		if l := c.fresh(); l != nil {
			return l, answer{status: http.StatusOK}, nil
		}
		v, err, _ := c.flight.Do("seats", func() (any, error) {
			if l := c.fresh(); l != nil {
				return seatsFetch{list: l, answer: answer{status: http.StatusOK}}, nil
			}
			return c.fetch(ctx, path, pass, session)
		})
		if err != nil {
			return nil, answer{}, err
		}
		if got := v.(seatsFetch); got.list != nil || got.pass == pass {
			return got.list, got.answer, nil
		}
		// Another fan's pass was refused, which says nothing of this one's.
	}
	got, err := c.fetch(ctx, path, pass, session)
	return got.list, got.answer, err
}

func (c *seatCache) fetch(ctx context.Context, path, pass, session string) (seatsFetch, error) {
	c.mu.Lock()
	old, etag := c.list, c.etag
	c.mu.Unlock()
	var l *seatList
	a, err := c.client.do(ctx, request{call: callSeats, method: http.MethodGet, path: path,
		bearer: pass, session: session, etag: etag}, func(body []byte) error {
		var got seatsAnswer
		if err := json.Unmarshal(body, &got); err != nil {
			return err
		}
		l = newSeatList(got, old)
		return nil
	})
	if err != nil {
		return seatsFetch{}, err
	}
	if a.status == http.StatusNotModified {
		l, a.etag = old, etag
	}
	if l != nil {
		c.mu.Lock()
		c.list, c.etag, c.fetched = l, a.etag, time.Now()
		c.mu.Unlock()
	}
	return seatsFetch{list: l, answer: a, pass: pass}, nil
}

func (c *seatCache) fresh() *seatList {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list == nil || time.Since(c.fetched) > seatsFreshFor {
		return nil
	}
	return c.list
}

// last returns the newest list however old, nil when no fan has fetched one.
func (c *seatCache) last() *seatList {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list
}

// seatList is one picture of the hall. It is shared, so it is never changed once made.
type seatList struct {
	*layout
	available []bool // by index in layout.ids
	gone      []bool // sold, by index in layout.ids
	free      int
	sold      int
}

// layout is the part of a seat list that stays the same between fetches.
type layout struct {
	served []string // ids as the server lists them
	ids    []string // in natural order: row by row, A-2 before A-10
	rank   []int    // index in ids of each served id
	beside []bool   // beside[i]: ids[i+1] is the next seat in the same row as ids[i]
}

func newSeatList(got seatsAnswer, old *seatList) *seatList {
	n := len(got.Seats)
	l := &seatList{available: make([]bool, n), gone: make([]bool, n)}
	if old != nil && old.serves(got) {
		l.layout = old.layout
	} else {
		l.layout = newLayout(got)
	}
	for i, s := range got.Seats {
		switch at := l.rank[i]; s.Status {
		case seatAvailable:
			l.available[at] = true
			l.free++
		case seatSold:
			l.gone[at] = true
			l.sold++
		}
	}
	return l
}

func (l *layout) serves(got seatsAnswer) bool {
	if len(l.served) != len(got.Seats) {
		return false
	}
	for i, s := range got.Seats {
		if l.served[i] != s.ID {
			return false
		}
	}
	return true
}

func newLayout(got seatsAnswer) *layout {
	n := len(got.Seats)
	l := &layout{served: make([]string, n), ids: make([]string, n), rank: make([]int, n), beside: make([]bool, n)}
	order := make([]int, n)
	for i, s := range got.Seats {
		l.served[i], order[i] = s.ID, i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compareNatural(l.served[a], l.served[b]) })
	for at, i := range order {
		l.ids[at], l.rank[i] = l.served[i], at
		if at > 0 {
			l.beside[at-1] = inARow(l.ids[at-1], l.ids[at])
		}
	}
	return l
}
