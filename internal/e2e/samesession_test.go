package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
	"onsale/internal/stack"
	"onsale/internal/testenv"
	"onsale/internal/up"
)

func chunkOf(event string, sessions []sale.SessionHash) events.Outgoing {
	return events.Outgoing{
		Subject: events.JoinedSubject(event), ID: uuid.NewString(), Data: events.Chunk{Sessions: sessions}.Encode(),
		Header: map[string]string{events.HeaderJoinCount: strconv.Itoa(len(sessions))},
	}
}

// mustBeLowest checks that each session was told one place only, and that it is the lowest it has in the line.
func mustBeLowest(t *testing.T, base, event string, told map[string][]line.Ticket) {
	t.Helper()
	all := places(t, base, event)
	bad := 0
	for session, tickets := range told {
		in := all[sale.HashSession(event, session).String()]
		if len(in) == 0 {
			t.Errorf("%s was given a ticket and is not in the line", session)
			continue
		}
		for _, got := range tickets {
			if bad < 10 && (got.Sequence != in[0].Sequence || got.Index != in[0].Index) {
				t.Errorf("%s was given the place %d/%d, its lowest of %d is %d/%d", session, got.Sequence, got.Index, len(in), in[0].Sequence, in[0].Index)
				bad++
			}
		}
	}
}

// storm is how two nodes are joined by the same sessions again and again.
type storm struct {
	nodes    [2]*node
	event    string
	sessions int
	answered atomic.Int64
}

// blow makes n joins, of each session in turn and through both nodes in turn, and returns what was told. An answer
// that isn't a ticket is failed's; a node that is gone gives none.
func (s *storm) blow(t *testing.T, n int, failed func(a answer, err error)) map[string][]line.Ticket {
	t.Helper()
	told := make([]line.Ticket, n)
	each(n, 48, func(i int) {
		session := sessionOf(s.event, i/2%s.sessions)
		a, err := try("POST", s.nodes[i%2].base+"/v1/queue/"+s.event+"/join", joinBody(session))
		if err != nil || a.status != http.StatusCreated {
			failed(a, err)
			return
		}
		s.answered.Add(1)
		told[i] = joined(t, session, a).spot
	})
	bySession := map[string][]line.Ticket{}
	for i, spot := range told {
		if spot.Sequence > 0 {
			session := sessionOf(s.event, i/2%s.sessions)
			bySession[session] = append(bySession[session], spot)
		}
	}
	return bySession
}

func mustNotFail(t *testing.T) func(answer, error) {
	return func(a answer, err error) { t.Errorf("a join: %d %s %v", a.status, a.body, err) }
}

func add(to, more map[string][]line.Ticket) {
	for session, tickets := range more {
		to[session] = append(to[session], tickets...)
	}
}

// The same session joins a thousand times through two nodes, of which one is killed midway: it has one place.
func TestSameSessionWhileANodeIsKilled(t *testing.T) {
	t.Parallel()
	l := together(t)
	for _, sessions := range []int{1, 100} {
		t.Run(fmt.Sprint(sessions, " sessions"), func(t *testing.T) {
			event := fmt.Sprint("same-", sessions)
			create(t, l, event, nil)
			s := &storm{nodes: [2]*node{runNode(t, l, "api"), runNode(t, l, "api")}, event: event, sessions: sessions}
			killed := make(chan struct{})
			go func() {
				defer close(killed)
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for limit := time.Now().Add(20 * time.Second); s.answered.Load() < 300 && time.Now().Before(limit); {
					<-tick.C
				}
				s.nodes[1].signal(syscall.SIGKILL)
			}()
			var lost atomic.Int64
			told := s.blow(t, 1000, func(a answer, err error) {
				if err == nil {
					t.Errorf("a join: %d %s", a.status, a.body)
				}
				lost.Add(1)
			})
			<-killed
			<-s.nodes[1].ended
			if lost.Load() == 0 || s.answered.Load() < 300 {
				t.Errorf("%d joins were answered and %d lost: the node was not killed midway", s.answered.Load(), lost.Load())
			}
			s.nodes[1].run()
			add(told, s.blow(t, 2*sessions+10, mustNotFail(t)))
			mustBeLowest(t, s.nodes[0].base, event, told)
			t.Logf("%d answered, %d lost with the node", s.answered.Load(), lost.Load())
		})
	}
}

// Many sessions race, each through both nodes at once.
func TestEachSessionRacesItself(t *testing.T) {
	t.Parallel()
	l := together(t)
	create(t, l, "raced", nil)
	s := &storm{nodes: [2]*node{{base: l.BaseURL}, runNode(t, l, "api")}, event: "raced", sessions: 400}
	told := s.blow(t, 2400, mustNotFail(t))
	if len(told) != 400 {
		t.Errorf("%d sessions were told of a place, want 400", len(told))
	}
	mustBeLowest(t, l.BaseURL, "raced", told)
}

// Redis goes away midway and comes back: sessions keep their places, joins and polls go on, and the node counts what it
// could not look up or store.
func TestSameSessionWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	l := together(t)
	cfg := stack.Config{Dir: dataDir(t), Log: quiet, Progress: func(string) {}}
	redis, err := stack.StartRedis(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Close() }) // it may have been stopped
	create(t, l, "forgetful", nil)
	s := &storm{event: "forgetful", sessions: 50}
	for i := range s.nodes {
		s.nodes[i] = runNode(t, l, "api", "REDIS_URL="+redis.URL)
	}
	told := s.blow(t, 300, mustNotFail(t))
	if err := redis.Close(); err != nil {
		t.Fatal(err)
	}
	add(told, s.blow(t, 400, mustNotFail(t)))
	s.sessions = 100 // and fifty who come only now
	add(told, s.blow(t, 400, mustNotFail(t)))
	late := join(t, s.nodes[0].base, "forgetful", sessionOf("forgetful", 99))
	if a := ask(t, s.nodes[1].base, "forgetful", late); a.status != http.StatusOK || a.text("state") != "lobby" || number(t, a, "arrival") != late.arrival {
		t.Errorf("a poll without Redis: %d %s", a.status, a.body)
	}
	testenv.Eventually(t, "count of what Redis did not do", func() bool {
		return s.nodes[0].metric("onsale_places_failures_total")+s.nodes[1].metric("onsale_places_failures_total") > 0
	})
	again, err := stack.StartRedis(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	if again.URL != redis.URL {
		t.Fatalf("Redis came back on %s, it was on %s", again.URL, redis.URL)
	}
	add(told, s.blow(t, 400, mustNotFail(t)))
	mustBeLowest(t, s.nodes[0].base, "forgetful", told)
}

// A node that was killed between storing a chunk and remembering it leaves places that only the stream has. Whatever
// node is asked then, the sessions have them: one that ran, and one that started later.
func TestPlacesThatOnlyTheStreamHas(t *testing.T) {
	t.Parallel()
	l := together(t)
	create(t, l, "orphans", nil)
	running := node{base: l.BaseURL}
	first := join(t, running.base, "orphans", sessionOf("orphans", 999))
	sequence := publishChunk(t, l, "orphans", orphans(t, l, "orphans", 6))
	if sequence <= first.spot.Sequence {
		t.Fatalf("the chunk is at %d, after one at %d", sequence, first.spot.Sequence)
	}
	testenv.Eventually(t, "reading of the chunk", func() bool { return queueOf(t, running.base, "orphans").Joined == 7 })
	told := map[string][]line.Ticket{}
	for i := range 3 {
		f := join(t, running.base, "orphans", sessionOf("orphans", i))
		told[f.session] = append(told[f.session], f.spot)
		if f.spot.Sequence != sequence || f.spot.Index != uint32(i) || f.arrival != uint64(i)+1 {
			t.Errorf("session %d has the place %d/%d and arrival %d, want %d/%d and %d", i, f.spot.Sequence, f.spot.Index, f.arrival, sequence, i, i+1)
		}
	}
	later := runNode(t, l, "api")
	for i := range 6 {
		f := join(t, later.base, "orphans", sessionOf("orphans", i))
		told[f.session] = append(told[f.session], f.spot)
		f = join(t, running.base, "orphans", sessionOf("orphans", i))
		told[f.session] = append(told[f.session], f.spot)
	}
	mustBeLowest(t, l.BaseURL, "orphans", told)
	if q := queueOf(t, l.BaseURL, "orphans"); q.Joined != 7 {
		t.Errorf("%d joined, want 7", q.Joined)
	}
}

func orphans(t *testing.T, l *up.Local, event string, n int) []sale.SessionHash {
	t.Helper()
	sessions := make([]sale.SessionHash, n)
	for i := range sessions {
		sessions[i] = sale.HashSession(event, sessionOf(event, i))
	}
	return sessions
}
