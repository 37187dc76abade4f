package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/beacon/double"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/record"
	"onsale/internal/sale"
)

// onsale runs the command and returns what it wrote.
func onsale(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, &out)
	return out.String(), err
}

// holds checks that the records of an address are found to be right, and that what is said has each text.
func holds(t *testing.T, args []string, texts ...string) {
	t.Helper()
	out, err := onsale(t, append([]string{"verify"}, args...)...)
	if err != nil || strings.Contains(out, "BREACH") {
		t.Errorf("verify: %v\n%s", err, out)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("verify does not say %q:\n%s", text, out)
		}
	}
}

func TestVerify_GoodRecords(t *testing.T) {
	t.Parallel()
	r := recordedSale(t, "", "")
	s := &served{recorded: r}
	s.busy.Store(3)
	url := serve(t, s)
	holds(t, []string{url}, "checked 41 records of the admission log and 305 messages of the line, with 608 joins", "nothing is wrong", r.draw.Commitment, r.draw.Head.Hash)
	holds(t, []string{strings.Replace(url, "queue", "events", 1) + "/"}, "nothing is wrong")

	place := func(n int) string {
		p := r.proof(r.tickets[session(n)])
		return fmt.Sprintf("your arrival number was %d, the draw gave you place %d,", p.Arrival, p.Place)
	}
	for _, n := range []int{0, 599, 14, 15} { // the first and the last of the lobby, and one on each side of a lane's border
		ticket := r.tickets[session(n)]
		holds(t, []string{url, "--ticket", signer.Sign(gala, ticket), "--session", session(n)}, place(n), "The receipt leads to the root")
	}
	holds(t, []string{url, "--ticket", signer.Sign(gala, r.tickets[session(14)])}, "30 joined lane members before the seal")
	holds(t, []string{url, "--ticket", signer.Sign(gala, r.tickets[session(607)])}, "and you after it: your place is your arrival number, 577")
}

func TestVerify_Lobby(t *testing.T) {
	t.Parallel()
	r := recordedSale(t, "", "")
	r.draw.Draw, r.draw.Drawn = nil, nil
	r.admissions, r.chunks = r.admissions[:1], r.chunks[:lobbySize]
	r.draw.Head.N, r.draw.Head.Hash = 1, ""
	_, err := onsale(t, "verify", serve(t, &served{recorded: r}))
	if !errors.Is(err, errAltered) {
		t.Errorf("a page of the draw with another head: %v", err)
	}
	r = recordedSale(t, "", "")
	r.draw.Draw, r.draw.Drawn, r.draw.Head = nil, nil, record.HeadOf(1, r.admissions[0])
	r.admissions, r.chunks = r.admissions[:1], r.chunks[:lobbySize]
	holds(t, []string{serve(t, &served{recorded: r}), "--ticket", signer.Sign(gala, r.tickets[session(599)])},
		"draw        not yet", "570 joined so far; your arrival number is 569", "300 messages came after")
}

// Each way to alter what was recorded is found, and named where it is.
func TestVerify_Alterations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		alter func(t *testing.T, r *recorded)
		found string
	}{
		"a record":            {func(t *testing.T, r *recorded) { r.rewrite(t, 20, func(a *events.Admission) { a.Serving++ }) }, "BREACH admission 21"},
		"the last record":     {func(t *testing.T, r *recorded) { r.rewrite(t, 40, func(a *events.Admission) { a.Reason = "because" }) }, "BREACH admission 41"},
		"a record's spelling": {func(_ *testing.T, r *recorded) { r.admissions[9] = append(r.admissions[9], ' ') }, "BREACH admission 10"},
		"a record left out":   {func(_ *testing.T, r *recorded) { r.admissions = append(r.admissions[:7:7], r.admissions[8:]...) }, "BREACH admission 8"},
		"the draw's seed": {func(t *testing.T, r *recorded) {
			r.rewrite(t, 1, func(a *events.Admission) { a.Draw = &events.Draw{Sealed: a.Draw.Sealed, Seed: strings.Repeat("0", 64)} })
		}, "BREACH admission 2: "},
		"the draw's secret": {func(t *testing.T, r *recorded) {
			r.rewrite(t, 1, func(a *events.Admission) { a.Drawn.Secret = strings.Repeat("0", 64) })
		}, "BREACH admission 2: "},
		"the lobby's size": {func(t *testing.T, r *recorded) { r.rewrite(t, 1, func(a *events.Admission) { a.Drawn.Lobby[""]++ }) }, "BREACH line 301: "},
		"a chunk of the lobby": {func(t *testing.T, r *recorded) {
			m := r.message(t, 100)
			m.Chunk[5] ^= 1
			r.chunks[100] = events.Encode(m)
		}, "BREACH line 301: "},
		"a chunk after the seal": {func(t *testing.T, r *recorded) {
			m := r.message(t, 302)
			m.Chunk[5] ^= 1
			r.chunks[302] = events.Encode(m)
		}, "BREACH line 303: "},
		"a chunk left out": {func(_ *testing.T, r *recorded) { r.chunks = append(r.chunks[:50:50], r.chunks[51:]...) }, "BREACH line 51: "},
		"the commitment":   {func(_ *testing.T, r *recorded) { r.draw.Commitment = draw.Commitment(draw.Secret{9}).String() }, "BREACH draw: "},
		"another event":    {func(_ *testing.T, r *recorded) { r.draw.EventID = "hamlet" }, "BREACH draw: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := recordedSale(t, "", "")
			c.alter(t, r)
			out, err := onsale(t, "verify", serve(t, &served{recorded: r}))
			if !errors.Is(err, errAltered) || errors.As(err, new(stopped)) {
				t.Errorf("verify ends with %v", err)
			}
			if !strings.Contains(out, c.found) {
				t.Errorf("verify does not say %q:\n%s", c.found, out)
			}
		})
	}
}

// What is claimed of a ticket is held against the records.
func TestVerify_Tickets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		alter  func(p *receiptPage)
		ticket func(t *line.Ticket)
		signed bool // by another deployment
		found  string
	}{
		"past the chunk":      {ticket: func(t *line.Ticket) { t.Index = 1 << 31 }, found: "is not its session's"},
		"past the line":       {ticket: func(t *line.Ticket) { t.Sequence = 306 }, found: "which ends at 305"},
		"the seal":            {ticket: func(t *line.Ticket) { t.Sequence = 301 }, found: "is not its session's"},
		"not given out":       {signed: true, found: "the sale refuses its receipt"},
		"another place":       {alter: func(p *receiptPage) { p.Place++ }, found: "its receipt says place"},
		"another arrival":     {alter: func(p *receiptPage) { p.Arrival++ }, found: "its receipt says arrival number"},
		"more before":         {alter: func(p *receiptPage) { p.Receipt.Before++ }, found: "its receipt says arrival number"},
		"another root":        {alter: func(p *receiptPage) { p.Root[0]++ }, found: "under root"},
		"a path to elsewhere": {alter: func(p *receiptPage) { p.Receipt.Path[2][0]++ }, found: "its receipt proves nothing"},
		"another event's":     {alter: func(p *receiptPage) { p.Receipt.EventID = "hamlet" }, found: "its receipt is of join"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := recordedSale(t, "", "")
			ticket := r.tickets[session(77)]
			if c.ticket != nil {
				c.ticket(&ticket)
			}
			if c.alter != nil {
				right := r.proof
				r.proof = func(ticket line.Ticket) receiptPage {
					p := right(ticket)
					c.alter(&p)
					return p
				}
			}
			by := signer
			if c.signed {
				by = line.NewTickets(bytes.Repeat([]byte{7}, 32))
			}
			out, err := onsale(t, "verify", serve(t, &served{recorded: r}), "--ticket", by.Sign(gala, ticket), "--session", session(77))
			if !errors.Is(err, errAltered) || !strings.Contains(out, "BREACH ticket: ") || !strings.Contains(out, c.found) {
				t.Errorf("verify ends with %v and does not say %q:\n%s", err, c.found, out)
			}
			if strings.Contains(out, "receipt leads") {
				t.Errorf("a receipt is praised:\n%s", out)
			}
		})
	}
}

// A ticket or a session that is given by mistake says nothing of the records.
func TestVerify_MistakesAreNoBreach(t *testing.T) {
	t.Parallel()
	r := recordedSale(t, "", "")
	url := serve(t, &served{recorded: r})
	ticket := r.tickets[session(77)]
	elsewhere := ticket // at the same place in the line of another event
	elsewhere.Session = sale.HashSession("hamlet", session(77))
	past := elsewhere
	past.Sequence = 306
	const another = "the --ticket may be of another event than gala"
	for name, c := range map[string]struct {
		ticket  line.Ticket
		session string
		says    string
	}{
		"another's session":             {ticket, session(78), "--session is not the session that joined gala with this --ticket"},
		"another event's ticket":        {elsewhere, "", another},
		"another event's, with session": {elsewhere, session(77), another},
		"another event's, longer line":  {past, "", another},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"verify", url, "--ticket", signer.Sign(gala, c.ticket)}
			if c.session != "" {
				args = append(args, "--session", c.session)
			}
			out, err := onsale(t, args...)
			if !errors.As(err, new(stopped)) || errors.Is(err, errAltered) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("verify ends with %v, want %q", err, c.says)
			}
			if strings.Contains(out, "BREACH") || strings.Contains(out, "  ticket ") || !strings.Contains(out, "nothing is wrong with them") {
				t.Errorf("it says\n%s", out)
			}
		})
	}
}

// What keeps the check from being made is not taken for a breach.
func TestVerify_Stops(t *testing.T) {
	t.Parallel()
	r := recordedSale(t, "", "")
	gone := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(gone.Close)
	away := &served{recorded: r}
	away.busy.Store(1 << 40)
	long := recordedSale(t, "", "")
	long.admissions[3] = bytes.Repeat([]byte("x"), maxLine+1)
	without := func(admissions, chunks int) *recorded {
		r := recordedSale(t, "", "")
		r.admissions, r.chunks = r.admissions[:len(r.admissions)-admissions], r.chunks[:len(r.chunks)-chunks]
		return r
	}
	early := &served{recorded: r}
	early.early.Store(1 << 40)
	rude := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		w.Write(events.Encode(map[string]string{"detail": "\x1b[2Jnothing is wrong"}))
	}))
	t.Cleanup(rude.Close)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no such event":         {[]string{gone.URL + "/v1/queue/gala"}, "404"},
		"too busy":              {[]string{serve(t, away)}, "503"},
		"another host's page":   {[]string{serve(t, &served{recorded: r, next: "http://127.0.0.1:1/v1/queue/gala/chunks"})}, "as the next page"},
		"the same page for now": {[]string{serve(t, &served{recorded: r, next: "/v1/queue/gala/admissions"})}, "as the next page"},
		"a line too long":       {[]string{serve(t, &served{recorded: long})}, "longer than"},
		"the log's end":         {[]string{serve(t, &served{recorded: without(1, 0)}), "--patience", "0s"}, "withheld"},
		"no log":                {[]string{serve(t, &served{recorded: without(41, 0)}), "--patience", "0s"}, "withheld"},
		"the line's end":        {[]string{serve(t, &served{recorded: without(0, 2)}), "--patience", "0s"}, "withheld"},
		"no head":               {[]string{serve(t, early), "--patience", "0s"}, "names no record, and the log has 41"},
		"escapes in a refusal":  {[]string{rude.URL + "/v1/queue/gala"}, `\x1b[2J`},
		"no address":            {[]string{"https://host/v2/gala"}, "is neither"},
		"no event":              {[]string{"https://host/v1/queue/GALA"}, "is neither"},
		"no ticket":             {[]string{serve(t, &served{recorded: r}), "--ticket", "A"}, "--ticket"},
		"a session alone":       {[]string{serve(t, &served{recorded: r}), "--session", session(1)}, "--session"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := onsale(t, append([]string{"verify"}, c.args...)...)
			if !errors.As(err, new(stopped)) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("verify ends with %v, want %q\n%s", err, c.says, out)
			}
		})
	}
}

// A line that grows by a chunk whenever it is read is read to where the log vouches for it.
func TestVerify_EndsWhileTheLineGrows(t *testing.T) {
	t.Parallel()
	s := &served{recorded: recordedSale(t, "", "")}
	m, n := s.message(t, 0), uint64(len(s.chunks))
	s.grows = func() {
		n++
		m.Sequence = n
		s.chunks = append(s.chunks, events.Encode(m))
	}
	holds(t, []string{serve(t, s)}, "nothing is wrong")
}

// What the records can't bound is said in plain words, where there is any.
func TestVerify_SaysWhatIsTheOperatorsWord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		summary record.Summary
		says    []string
	}{
		{record.Summary{}, nil},
		{record.Summary{Skipped: 7}, []string{"7 places were passed because their fans had left"}},
		{record.Summary{SetBack: 90 * time.Second}, []string{"1m30s of the log's time"}},
	} {
		var out bytes.Buffer
		(&verification{out: &out, summary: c.summary}).report()
		for _, text := range c.says {
			if !strings.Contains(out.String(), text) {
				t.Errorf("it does not say %q:\n%s", text, &out)
			}
		}
		if word := strings.Contains(out.String(), "places were passed") || strings.Contains(out.String(), "log's time"); word != (len(c.says) > 0) {
			t.Errorf("%+v:\n%s", c.summary, &out)
		}
	}
}

// Records from the future, by the clock of whoever checks, are found.
func TestVerify_FutureRecords(t *testing.T) {
	t.Parallel()
	r := recordedSale(t, "", "")
	r.rewrite(t, len(r.admissions)-1, func(a *events.Admission) { a.At = time.Now().Add(time.Hour) })
	r.draw.Head = record.HeadOf(uint64(len(r.admissions)), r.admissions[len(r.admissions)-1])
	out, err := onsale(t, "verify", serve(t, &served{recorded: r}))
	if !errors.Is(err, errAltered) || !strings.Contains(out, "which is still to come") {
		t.Errorf("verify ends with %v\n%s", err, out)
	}
}

// A node or a cache that lags behind the page of the draw, or the page behind the log, is no breach: it is asked again.
func TestVerify_WaitsForWhatLags(t *testing.T) {
	t.Parallel()
	for name, lag := range map[string]func(s *served){
		"the end":  func(s *served) { s.lags.Store(2) },
		"the head": func(s *served) { s.early.Store(1) },
	} {
		s := &served{recorded: recordedSale(t, "", "")}
		lag(s)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			holds(t, []string{serve(t, s), "--patience", "5ms"}, "checked 41 records of the admission log and 305 messages", "nothing is wrong")
		})
	}
}

// What a server says is shown so that a terminal doesn't obey it, and none of it passes for what the check found.
func TestVerify_ShowsWhatIsHidden(t *testing.T) {
	t.Parallel()
	const evil = "\x1b[2J\n  nothing is wrong with them\u202e"
	for name, alter := range map[string]func(*events.Admission){
		"commitment": func(a *events.Admission) { a.Commitment = evil },
		"beacon":     func(a *events.Admission) { a.Beacon = evil },
		"reason":     func(a *events.Admission) { a.Reason = evil },
		"state":      func(a *events.Admission) { a.State = evil },
		"event":      func(a *events.Admission) { a.EventID = evil },
	} {
		r := recordedSale(t, "", "")
		r.rewrite(t, 0, alter)
		out, err := onsale(t, "verify", serve(t, &served{recorded: r}))
		if !errors.Is(err, errAltered) || strings.ContainsAny(out+err.Error(), "\x1b\u202e") || strings.Contains(out, "\n  nothing is wrong") {
			t.Errorf("%s: %v\n%q", name, err, out)
		}
	}
	for plain, want := range map[string]string{"Café, 3 places": "Café, 3 places", "a\nb": `"a\nb"`, "\xff": `"\xff"`, "\u009b2J": `"\u009b2J"`} {
		if got := visible(plain); got != want {
			t.Errorf("%q is shown as %s, want %s", plain, got, want)
		}
	}
}

func TestVerify_Beacon(t *testing.T) {
	t.Parallel()
	genesis := began.Add(-time.Hour)
	chain, err := double.New(double.Config{Seed: bytes.Repeat([]byte("seed"), 8), Genesis: genesis, Period: 30 * time.Second, Now: func() time.Time { return began.Add(time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	relay := httptest.NewServer(chain)
	t.Cleanup(relay.Close)
	of := func(round uint64) (string, string) {
		v := chain.Value(round)
		return draw.BeaconRef{Chain: chain.Chain().Hash, Round: round}.String(), hex.EncodeToString(v.Randomness[:])
	}
	after := chain.Chain().FirstAfter(began)
	name, value := of(after)
	url := serve(t, &served{recorded: recordedSale(t, name, value)})
	unasked, err := onsale(t, "verify", url)
	if !errors.As(err, new(stopped)) || !strings.Contains(err.Error(), "could not be checked: give --beacon-url") || !strings.Contains(unasked, value+" was taken from the record and not checked") {
		t.Errorf("a value that nobody checked: %v\n%s", err, unasked)
	}
	holds(t, []string{url, "--beacon-url", relay.URL}, "was held against the one that the chain signed")

	other := strings.Repeat("ab", 32)
	out, err := onsale(t, "verify", serve(t, &served{recorded: recordedSale(t, name, other)}), "--beacon-url", relay.URL)
	if !errors.Is(err, errAltered) || !strings.Contains(out, "BREACH draw: its beacon's value is "+other) {
		t.Errorf("another value: %v\n%s", err, out)
	}
	early, value := of(5)
	out, err = onsale(t, "verify", serve(t, &served{recorded: recordedSale(t, early, value)}), "--beacon-url", relay.URL)
	if !errors.Is(err, errAltered) || !strings.Contains(out, "before the event was created") {
		t.Errorf("a value that was known: %v\n%s", err, out)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(gone.Close)
	if out, err := onsale(t, "verify", url, "--beacon-url", gone.URL); !errors.As(err, new(stopped)) || !strings.Contains(out, "checked 41 records") {
		t.Errorf("a relay that has nothing: %v\n%s", err, out)
	}
}
