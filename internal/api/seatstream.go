package api

import (
	"io"
	"sync"
	"time"

	"onsale/internal/sale"
	"onsale/internal/seatmap"
)

// seatStream is the body of a stream of changes, which the server reads as fast as its client does. All that it keeps is
// the version that its client has: a client that reads slowly is told what changed since in one piece, and what it is
// sent was made once for all who have the same version.
type seatStream struct {
	*server
	o       *onSale
	m       *watched
	session sale.SessionHash
	pass    string

	version string // that the client has
	rest    []byte // of a frame, to be read
	begun   bool
	over    bool // after the rest there is no more
	beat    *time.Ticker
	close   sync.Once
}

// heartbeat is how often a stream says something, and its pass is looked at again.
const heartbeat = 15 * time.Second

var heartbeatFrame = []byte(":\n\n")

func (s *server) newSeatStream(o *onSale, m *watched, session sale.SessionHash, pass, since string) *seatStream {
	return &seatStream{server: s, o: o, m: m, session: session, pass: pass, version: since, beat: time.NewTicker(s.heartbeat)}
}

// Read waits for the next frame, and gives as much of it as there is room for.
func (s *seatStream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		select { // where there is always something to say, nobody waits for the beat
		case <-s.beat.C:
			s.look()
		default:
		}
		if s.over || s.ended() {
			return 0, io.EOF
		}
		s.next()
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// Close ends the stream and makes room for another.
func (s *seatStream) Close() error {
	s.close.Do(func() {
		s.beat.Stop()
		s.streams.remove(s.session)
	})
	return nil
}

func (s *seatStream) ended() bool {
	return s.life.Err() != nil || s.o.last().State == sale.Closed
}

// next puts the next frame into rest, or leaves it empty where there is none yet.
func (s *seatStream) next() {
	e := s.m.Current()
	if e.Version == s.version && s.begun {
		s.wait(e)
		return
	}
	first := !s.begun
	s.begun = true
	if first && s.version == "" {
		s.version = e.Version
		s.rest = frame("version", e.Version)
		return
	}
	if d := e.Since(s.version); d != nil {
		s.version, s.rest = e.Version, d.Frame
		return
	}
	// The client must read the map. It has no id: who comes again has the version that it read.
	s.rest, s.over = []byte("event: reset\ndata: {\"version\":\""+e.Version+"\"}\n\n"), true
}

func frame(name, version string) []byte {
	return []byte("id: " + version + "\nevent: " + name + "\ndata: {\"version\":\"" + version + "\"}\n\n")
}

// wait returns when there is something to say after an edition, or the stream is over.
func (s *seatStream) wait(e *seatmap.Edition) {
	select {
	case <-e.Superseded():
	case <-s.m.over:
	case <-s.life.Done():
	case <-s.beat.C:
		s.look()
		s.rest = heartbeatFrame
	}
}

// look ends the stream where its pass has ended: its client comes again with another.
func (s *seatStream) look() {
	s.m.use(s.Now())
	if _, err := s.Passes.Verify(s.pass); err != nil {
		s.over = true
	}
}
