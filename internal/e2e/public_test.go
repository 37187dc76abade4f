package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/entry"
	"onsale/internal/line"
	"onsale/internal/record"
	"onsale/internal/testenv"
)

// queuePage is the cacheable page of a line, as any page on the web would read it.
type queuePage struct {
	State  string  `json:"state"`
	Reason string  `json:"reason"`
	Rate   float64 `json:"rate"`
	lanePage
	Lanes []lanePage       `json:"lanes"`
	Draw  *events.Draw     `json:"draw"`
	Proof *entry.Challenge `json:"proof"`
	At    time.Time        `json:"at"`
}

type lanePage struct {
	Name    string  `json:"name"`
	Share   float64 `json:"share"`
	Serving uint64  `json:"serving"`
	Joined  uint64  `json:"joined"`
	Lobby   *uint64 `json:"lobby"`
	Waits   []struct {
		Position uint64 `json:"position"`
		ETA      int64  `json:"eta"`
	} `json:"waits"`
}

func queueOf(t *testing.T, base, event string) queuePage {
	t.Helper()
	a := call(t, "GET", base+"/v1/queue/"+event, nil)
	if a.status != http.StatusOK || a.header.Get("Cache-Control") != "public, max-age=1" {
		t.Fatalf("queue of %s: %d %s %s", event, a.status, a.header, a.body)
	}
	var q queuePage
	if err := json.Unmarshal(a.body, &q); err != nil {
		t.Fatal(err)
	}
	return q
}

// fan is one who joined, and what was said of it.
type fan struct {
	session, ticket, lane string
	arrival               uint64
	spot                  line.Ticket // what the ticket says
}

// join makes a session join; more is what else the body says. Any answer but 201 fails the test.
func join(t *testing.T, base, event, session string, more ...any) fan {
	t.Helper()
	a := call(t, "POST", base+"/v1/queue/"+event+"/join", joinBody(session, more...))
	if a.status != http.StatusCreated {
		t.Fatalf("join %s: %d %s", event, a.status, a.body)
	}
	return joined(t, session, a)
}

func joinBody(session string, more ...any) map[string]any {
	body := map[string]any{"session": session}
	for i := 0; i+1 < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	return body
}

// joined reads the answer to a join.
func joined(t *testing.T, session string, a answer) fan {
	t.Helper()
	spot, err := line.ReadTicket(a.text("ticket"))
	if err != nil {
		t.Fatalf("the ticket of %s: %v", a.body, err)
	}
	return fan{session: session, ticket: a.text("ticket"), lane: a.text("lane"), arrival: number(t, a, "arrival"), spot: spot}
}

func number(t *testing.T, a answer, field string) uint64 {
	t.Helper()
	n, ok := a.fields[field].(float64)
	if !ok {
		t.Fatalf("%s has no %s", a.body, field)
	}
	return uint64(n)
}

// sessionOf names a session of an event.
func sessionOf(event string, n int) string { return fmt.Sprintf("session-of-%s-%06d", event, n) }

// joinMany makes sessions from up to to join, so many at once.
func joinMany(t *testing.T, base, event string, from, to, atOnce int, more ...any) []fan {
	t.Helper()
	fans := make([]fan, to-from)
	each(to-from, atOnce, func(i int) { fans[i] = join(t, base, event, sessionOf(event, from+i), more...) })
	return fans
}

// each calls do for 0 to n-1, so many at once, and returns when all are done.
func each(n, atOnce int, do func(i int)) {
	var all sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	all.Wait()
}

// ask polls once; where that is too early, again when it may.
func ask(t *testing.T, base, event string, f fan) answer {
	t.Helper()
	var a answer
	testenv.Eventually(t, "answer to a poll that is not too early", func() bool {
		a = call(t, "GET", base+"/v1/queue/"+event+"/position", nil, "Authorization", "Bearer "+f.ticket)
		return a.status != http.StatusTooManyRequests
	})
	return a
}

// leave takes a fan out of the line.
func leave(t *testing.T, base, event string, f fan) {
	t.Helper()
	if a := call(t, "DELETE", base+"/v1/queue/"+event+"/position", nil, "Authorization", "Bearer "+f.ticket); a.status != http.StatusNoContent {
		t.Errorf("leave: %d %s", a.status, a.body)
	}
}

// published are the lines of a public record, over all of its pages.
func published(t *testing.T, base, event, what string) [][]byte {
	t.Helper()
	var all [][]byte
	for next := "/v1/queue/" + event + "/" + what; ; {
		a := call(t, "GET", base+next, nil)
		if a.status != http.StatusOK {
			t.Fatalf("%s: %d %s", next, a.status, a.body)
		}
		if len(a.body) == 0 {
			return all
		}
		all = append(all, bytes.Split(bytes.TrimSuffix(a.body, []byte{'\n'}), []byte{'\n'})...)
		if _, err := fmt.Sscanf(a.header.Get("Link"), "<%s", &next); err != nil {
			t.Fatalf("%s says nothing of a next page: %v", next, err)
		}
		next = next[:bytes.IndexByte([]byte(next), '>')]
	}
}

// admissions is an event's log.
func admissions(t *testing.T, base, event string) []events.Admission {
	t.Helper()
	var all []events.Admission
	for _, raw := range published(t, base, event, "admissions") {
		a, err := events.Decode[events.Admission](raw)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// mustVerify checks all public records of an event, as anyone can.
func mustVerify(t *testing.T, base, event string) record.Summary {
	t.Helper()
	c := record.NewChecker(event)
	c.Page(call(t, "GET", base+"/v1/queue/"+event+"/draw", nil).body)
	for _, raw := range published(t, base, event, "admissions") {
		c.Admission(raw)
	}
	for _, raw := range published(t, base, event, "chunks") {
		c.Line(raw)
	}
	s := c.Finish()
	for _, b := range s.Breaches {
		t.Errorf("%s: %s", event, b)
	}
	return s
}

// places finds every join of every session in the line, the earliest first.
func places(t *testing.T, base, event string) map[string][]line.Ticket {
	t.Helper()
	all := map[string][]line.Ticket{}
	for _, raw := range published(t, base, event, "chunks") {
		var m record.Message
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		if m.Chunk == nil {
			continue
		}
		chunk, err := events.DecodeChunk(m.Chunk)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range chunk.Sessions {
			all[s.String()] = append(all[s.String()], line.Ticket{Sequence: m.Sequence, Index: uint32(i), Session: s})
		}
	}
	return all
}
