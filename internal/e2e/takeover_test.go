package e2e

import (
	"os"
	"syscall"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/admin"
	"onsale/internal/line"
	"onsale/internal/sale"
	"onsale/internal/testenv"
	"onsale/internal/up"
	"onsale/nats"
)

// takenOver is a sale that two admitters move.
type takenOver struct {
	*up.Local
	t        *testing.T
	base     string
	event    string
	admitter [2]*node
}

const takeoverRate = 40

// startTakeover starts servers, an api and two admitters, and an open sale with enough fans in its line.
func startTakeover(t *testing.T, event string) *takenOver {
	t.Helper()
	l := start(t, up.Config{Dir: dataDir(t), Services: "none"})
	api := runNode(t, l, "api")
	l.BaseURL, l.AdminURL = api.base, api.ops
	s := &takenOver{Local: l, t: t, base: api.base, event: event}
	for i := range s.admitter {
		s.admitter[i] = runNode(t, l, "admitter")
	}
	create(t, l, event, func(e *admin.CreateEvent) { e.Rate = takeoverRate })
	joinMany(t, s.base, event, 0, 100, 25) // the lobby
	move(t, l, event, "open", "open")
	for n := range 3 {
		s.crowd(1000+n*events.MaxChunk, events.MaxChunk)
	}
	return s
}

// crowd publishes a chunk of joins, as a node does.
func (s *takenOver) crowd(from, n int) {
	s.t.Helper()
	sessions := make([]sale.SessionHash, n)
	for i := range sessions {
		sessions[i] = sale.HashSession(s.event, sessionOf(s.event, from+i))
	}
	publishChunk(s.t, s.Local, s.event, sessions)
}

// moves waits until so many more are called than were.
func (s *takenOver) moves(more uint64) {
	s.t.Helper()
	from := queueOf(s.t, s.base, s.event).Serving
	testenv.Eventually(s.t, "admission", func() bool { return queueOf(s.t, s.base, s.event).Serving >= from+more })
}

// check closes the sale and checks its log: everyone was called once, in order, at the pace, and never later than
// limit after those before.
func (s *takenOver) check(limit time.Duration) {
	s.t.Helper()
	move(s.t, s.Local, s.event, "close", "closed")
	log := admissions(s.t, s.base, s.event)
	mustKeepPace(s.t, log)
	var widest time.Duration
	for i := 1; i < len(log)-1; i++ {
		if log[i-1].N+1 != log[i].N || log[i].Serving < log[i-1].Serving {
			s.t.Errorf("record %d with serving %d comes after record %d with %d", log[i].N, log[i].Serving, log[i-1].N, log[i-1].Serving)
		}
		if log[i-1].State == sale.Open {
			widest = max(widest, log[i].At.Sub(log[i-1].At))
		}
	}
	last := log[len(log)-1]
	if last.Skipped != 0 {
		s.t.Errorf("%d places were skipped, and nobody left", last.Skipped)
	}
	if widest > limit {
		s.t.Errorf("the line stood for %v", widest)
	}
	summary := mustVerify(s.t, s.base, s.event)
	if summary.Admissions != last.N || !summary.Drawn || summary.Joined[""] != 100+3*events.MaxChunk {
		s.t.Errorf("checked: %+v", summary)
	}
	s.t.Logf("%d records, %d called, the line stood for %v at most", last.N, last.Serving, widest)
}

// mustKeepPace checks that in no stretch of a log more were called than the pace and the window for bursts allow. The
// pace may change, so its sum over time is what counts.
func mustKeepPace(t *testing.T, log []events.Admission) {
	t.Helper()
	due, called := make([]float64, len(log)), make([]float64, len(log))
	var fastest float64
	for i, a := range log {
		pace := 0.0
		if i > 0 && log[i-1].State == sale.Open {
			pace = line.Pace(log[i-1])
			due[i] = due[i-1] + a.At.Sub(log[i-1].At).Seconds()*pace
		} else if i > 0 {
			due[i] = due[i-1]
		}
		fastest = max(fastest, pace)
		for _, l := range line.Lanes(a) {
			called[i] += float64(l.Serving)
		}
		called[i] -= float64(a.Skipped)
	}
	for i := range log {
		for j := i + 1; j < len(log); j++ {
			if over := called[j] - called[i] - (due[j] - due[i] + fastest*line.BurstWindow.Seconds() + 1); over > 1e-6 {
				t.Errorf("between records %d and %d, %g more were called than the pace allows", log[i].N, log[j].N, over)
				return
			}
		}
	}
}

// publishChunk stores a chunk in an event's line, as a node does, and returns its sequence.
func publishChunk(t *testing.T, l *up.Local, event string, sessions []sale.SessionHash) uint64 {
	t.Helper()
	n, err := nats.Connect(nats.Config{URL: l.NATSURL, Name: "e2e", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	ack, err := n.Publish(t.Context(), chunkOf(event, sessions))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// One of two admitters is killed, and when it is back the other: each time the line goes on.
func TestAdmitterIsKilled(t *testing.T) {
	t.Parallel()
	s := startTakeover(t, "killed")
	s.moves(40)
	s.admitter[0].end(syscall.SIGKILL)
	s.moves(40)
	s.admitter[0].run()
	s.admitter[1].end(syscall.SIGKILL)
	s.moves(40)
	s.check(10 * time.Second)
}

// One of two admitters is stopped in whatever it was doing, long enough for the other to be far ahead, and goes on
// then with what it knew.
func TestAdmitterIsStoppedAndGoesOn(t *testing.T) {
	t.Parallel()
	stopped := 12 * time.Second
	if os.Getenv("ONSALE_LONG") != "" {
		stopped = 30 * time.Second
	}
	s := startTakeover(t, "stopped")
	s.moves(40)
	s.admitter[0].signal(syscall.SIGSTOP)
	since := time.Now()
	s.moves(40)
	testenv.Within(t, 2*stopped, "record of the other admitter", func() bool { return queueOf(t, s.base, s.event).At.Sub(since) >= stopped })
	s.admitter[0].signal(syscall.SIGCONT)
	s.moves(40)
	s.admitter[1].signal(syscall.SIGSTOP) // now it is up to the first alone
	s.moves(40)
	s.admitter[1].signal(syscall.SIGCONT)
	s.moves(40)
	s.check(10 * time.Second)
}
