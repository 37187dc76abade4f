package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/record"
	"onsale/internal/sale"
)

// recorded are the public records of a sale that was never held, made by the code that makes real ones.
type recorded struct {
	draw       record.Draw
	admissions [][]byte
	chunks     [][]byte // record.Message, as its page shows it
	proof      func(t line.Ticket) receiptPage

	tickets map[string]line.Ticket // by session
}

const (
	gala      = "gala"
	lobbySize = 300 // chunks, so that the tree has more than one tile
)

var (
	began  = time.Date(2026, 5, 2, 10, 0, 0, 0, time.UTC)
	secret = draw.Secret{1, 2, 3}
	signer = line.NewTickets(make([]byte, 32))
)

// session is the n-th session's.
func session(n int) string { return fmt.Sprintf("session-of-fan-%06d", n) }

// stage builds the records as a sale goes on.
type stage struct {
	*recorded
	index *line.Index
	tree  *draw.Tree
	fans  int
	now   time.Time
	want  line.Control
	draw  *events.Draw
	drawn *events.Drawn
	last  *events.Admission
	raw   []byte
}

// recordedSale holds a sale with 300 chunks in its lobby and some after; beacon is the value that its draw uses.
func recordedSale(t *testing.T, beaconName, beaconValue string) *recorded {
	t.Helper()
	s := &stage{
		recorded: &recorded{tickets: map[string]line.Ticket{}}, index: line.NewIndex(), tree: draw.NewTree(), now: began,
		want: line.Control{State: sale.Lobby, Rate: 100, SeatsLeft: 10, Secret: secret, Beacon: beaconName, Lanes: []line.LaneControl{{Name: "members", Share: 0.2, Granted: 50}}},
	}
	s.step(t)
	for i := range lobbySize {
		lane := ""
		if i%20 == 7 {
			lane = "members"
		}
		s.join(lane, 1+i%3)
	}
	lobby, root := s.index.Counts(), s.tree.Root()
	s.append(record.Message{Sequence: s.tree.Size() + 1, Sealed: events.Encode(events.Sealed{V: events.Version, EventID: gala, Secret: hex.EncodeToString(secret[:]), At: s.now})})
	value, err := hex.DecodeString(beaconValue)
	if err != nil {
		t.Fatal(err)
	}
	s.draw, s.drawn = line.Evidence(gala, s.tree.Size(), secret, value, root, lobby)
	s.want.State = sale.Open
	for i := range 40 {
		if i%10 == 5 {
			s.join("", 2)
		}
		s.step(t)
	}
	s.recorded.draw = record.Draw{
		EventID: gala, Commitment: draw.Commitment(secret).String(), Beacon: beaconName, Draw: s.draw, Drawn: s.drawn, Head: record.HeadOf(s.last.N, s.raw),
	}
	s.proof = s.receipts(t, lobby)
	return s.recorded
}

// step appends the record that is due.
func (s *stage) step(t *testing.T) {
	t.Helper()
	seen := line.Seen{Joined: s.index.Counts(), Draw: s.draw, Drawn: s.drawn}
	if s.tree.Size() > 0 {
		seen.Line = &events.LineHead{Read: s.tree.Size(), Root: s.tree.Root().String()}
	}
	s.now = s.now.Add(100 * time.Millisecond)
	next, due := line.Next(s.last, s.raw, gala, s.want, seen, s.now)
	if !due {
		t.Fatal("no record is due")
	}
	s.last, s.raw = &next, events.Encode(next)
	s.admissions = append(s.admissions, s.raw)
}

// join appends a chunk of n joins.
func (s *stage) join(lane string, n int) {
	c := events.Chunk{Lane: lane}
	for i := range n {
		hash := sale.HashSession(gala, session(s.fans))
		s.tickets[session(s.fans)] = line.Ticket{Epoch: 9, Sequence: s.tree.Size() + 1, Index: uint32(i), Session: hash}
		s.fans++
		c.Sessions = append(c.Sessions, hash)
		if lane != "" {
			c.Codes = append(c.Codes, events.CodeID{byte(s.fans)})
		}
	}
	s.index.Apply(s.tree.Size()+1, lane, uint16(n))
	s.append(record.Message{Sequence: s.tree.Size() + 1, Chunk: c.Encode()})
}

func (s *stage) append(m record.Message) {
	s.index.Apply(m.Sequence, "", 0) // a chunk has been applied
	s.tree.Append(m.Body())
	s.chunks = append(s.chunks, events.Encode(m))
}

// receipts answers /proof, from the records as they are when it is made.
func (s *stage) receipts(t *testing.T, joined map[string]uint64) func(line.Ticket) receiptPage {
	lobby, err := line.NewLobby(*s.draw, joined)
	if err != nil {
		t.Fatal(err)
	}
	tree, bodies := draw.NewTree(), make([][]byte, lobbySize)
	for i := range bodies {
		bodies[i] = s.message(t, i).Chunk
		tree.Append(bodies[i])
	}
	return func(ticket line.Ticket) receiptPage {
		first, count, err := tree.Tile(ticket.Sequence - 1)
		if err != nil {
			t.Error(err)
			return receiptPage{}
		}
		var tile []draw.Hash
		for _, b := range bodies[first : first+count] {
			tile = append(tile, draw.LeafHash(b))
		}
		path, err := tree.Proof(ticket.Sequence-1, tile)
		if err != nil {
			t.Error(err)
		}
		lane, arrival, _ := s.index.Arrival(ticket.Sequence, ticket.Index)
		return receiptPage{Root: tree.Root(), Arrival: arrival, Place: lobby.Place(lane, arrival), Receipt: draw.Receipt{
			EventID: gala, Lane: lane, Sequence: ticket.Sequence, Index: ticket.Index, Chunk: bodies[ticket.Sequence-1], Leaf: ticket.Sequence - 1,
			TreeSize: tree.Size(), Path: path, Before: arrival - uint64(ticket.Index),
		}}
	}
}

// message reads the i-th message of the line back.
func (r *recorded) message(t *testing.T, i int) record.Message {
	t.Helper()
	var m record.Message
	if err := json.Unmarshal(r.chunks[i], &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// served is a sale's public half of HTTP.
type served struct {
	*recorded
	busy    atomic.Int64 // so many answers more are 503
	lags    atomic.Int64 // so many pages more lack the last ten records
	early   atomic.Int64 // so many pages of the draw more name no record
	perPage int
	next    string // instead of the next page's address
	grows   func() // before each page
}

// serve serves records the way that the api does, in small pages, and returns the address of the line.
func serve(t *testing.T, s *served) string {
	t.Helper()
	if s.perPage == 0 {
		s.perPage = 50
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/queue/gala/draw", func(w http.ResponseWriter, _ *http.Request) {
		page := s.draw
		if s.early.Add(-1) >= 0 {
			page.Head = nil
		}
		w.Write(events.Encode(page))
	})
	mux.HandleFunc("GET /v1/queue/gala/admissions", func(w http.ResponseWriter, r *http.Request) { s.page(w, r, func() [][]byte { return s.admissions }) })
	mux.HandleFunc("GET /v1/queue/gala/chunks", func(w http.ResponseWriter, r *http.Request) { s.page(w, r, func() [][]byte { return s.chunks }) })
	mux.HandleFunc("GET /v1/queue/gala/proof", func(w http.ResponseWriter, r *http.Request) {
		ticket, err := signer.Verify(gala, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Write(events.Encode(s.proof(ticket)))
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.busy.Add(-1) >= 0 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/v1/queue/gala"
}

func (s *served) page(w http.ResponseWriter, r *http.Request, all func() [][]byte) {
	if s.grows != nil {
		s.grows()
	}
	after, _ := strconv.Atoi(r.URL.Query().Get("after"))
	records := all()
	if s.lags.Add(-1) >= 0 {
		records = records[:len(records)-10]
	}
	lines := records[min(after, len(records)):]
	lines = lines[:min(len(lines), s.perPage)]
	if len(lines) == 0 {
		return
	}
	next := s.next
	if next == "" {
		next = fmt.Sprintf("%s?after=%d", r.URL.Path, after+len(lines))
	}
	w.Header().Set("Link", fmt.Sprintf("<%s>; rel=\"next\"", next))
	for _, l := range lines {
		w.Write(append(l[:len(l):len(l)], '\n'))
	}
}

// rewrite changes an admission record as who owns the stream could.
func (r *recorded) rewrite(t *testing.T, i int, change func(*events.Admission)) {
	t.Helper()
	var a events.Admission
	if err := json.Unmarshal(r.admissions[i], &a); err != nil {
		t.Fatal(err)
	}
	a.Lanes = append([]events.Lane(nil), a.Lanes...)
	if a.Drawn != nil {
		drawn := *a.Drawn
		drawn.Lobby = maps.Clone(drawn.Lobby)
		a.Drawn = &drawn
	}
	change(&a)
	r.admissions[i] = events.Encode(a)
}
