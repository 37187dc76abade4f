package record

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// once alters the first record with a reason.
func once(reason string, alter func(a *events.Admission)) func(*show) {
	return func(s *show) {
		done := false
		s.altered = func(a *events.Admission) {
			if !done && a.Reason == reason {
				done = true
				alter(a)
			}
		}
	}
}

// An operator who writes the whole log anew, with every hash as it should be, is found all the same wherever the log
// says what can't follow from the rest.
func TestChecker_FindsForgedLogs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		forge  func(s *show)
		record string // what the first breach names, or begins with
		what   string // in what it says
	}{
		"called too many":       {once("admitted", func(a *events.Admission) { a.Serving += 3 }), "admission", "uses up"},
		"sent a lane ahead":     {once("admitted", func(a *events.Admission) { a.Lanes[0].Serving += 3 }), "admission", "uses up"},
		"called at the opening": {once("opened", func(a *events.Admission) { a.Serving = 1 }), "admission 3", "calls 1"},
		"called nobody there":   {once("admitted", func(a *events.Admission) { a.Serving, a.Skipped = a.Serving+1000, a.Skipped+1000 }), "admission", "have joined"},
		"another seed":          {once("opened", func(a *events.Admission) { a.Draw = &events.Draw{Sealed: a.Draw.Sealed, Seed: strings.Repeat("0", 64)} }), "admission 3", "seed"},
		"evidence changed": {once("opened", func(a *events.Admission) {
			d := *a.Drawn
			d.Root = strings.Repeat("0", 64)
			a.Drawn = &d
		}), "admission 3", "seed"},
		"another secret":              {func(s *show) { s.control.Secret[0]++ }, "admission 3", "committed"},
		"a beacon that was not named": {func(s *show) { s.control.Beacon = "" }, "admission 3", "beacon"},
		"another secret in the seal":  {func(s *show) { s.secret[0]++ }, "line", "secret"},
		"fewer in the lobby": {once("opened", func(a *events.Admission) {
			d := *a.Drawn
			d.Lobby = map[string]uint64{"": 9, "presale": 6}
			a.Drawn = &d
		}), "line", "joined"},
		"a lane more in the lobby": {once("opened", func(a *events.Admission) {
			d := *a.Drawn
			d.Lobby = map[string]uint64{"": 10, "presale": 6, "friends": 4}
			a.Drawn = &d
		}), "line", "joined"},
		"another line, covered":   {once("cap_changed", func(a *events.Admission) { a.Line = &events.LineHead{Read: a.Line.Read, Root: strings.Repeat("0", 64)} }), "line 6", "root"},
		"reads what is not there": {once("closed", func(a *events.Admission) { a.Line = &events.LineHead{Read: 99, Root: a.Line.Root} }), "line", "it ends"},
		"drawn from what suits":   {func(s *show) { s.ground = draw.Hash{1} }, "line 8", "the draw says"},
		"never sealed":            {func(s *show) { s.sealing = func() {} }, "admission 3", "vouch"},
		"a join for a seal":       {func(s *show) { s.sealing = func() { s.join("", 1) } }, "line", "no seal"},
		"sealed twice":            {func(s *show) { s.sealing = func() { s.writeSeal(); s.writeSeal() } }, "line 9", "already"},
		"sealed after one more":   {func(s *show) { s.sealing = func() { s.join("", 1); s.writeSeal() } }, "line 9", "at 8"},
		"drawn from the start":    {once("created", func(a *events.Admission) { a.Draw = &events.Draw{Sealed: 1, Seed: strings.Repeat("0", 64)} }), "admission 1", "lobby"},
		"open from the start":     {once("created", func(a *events.Admission) { a.State = sale.Open }), "admission 1", "lobby"},
		"opened undrawn":          {once("opened", func(a *events.Admission) { a.Draw, a.Drawn = nil, nil }), "admission 3", "draw"},
		"of another event":        {once("opened", func(a *events.Admission) { a.EventID = "other" }), "admission 3", "other"},
		"released unseen":         {once("admitted", func(a *events.Admission) { a.Release = 4000 }), "admission", "pace"},
		"called before they joined": {func(s *show) {
			done := false
			s.altered = func(a *events.Admission) { // one too many, who joins a little later
				if a.Reason == "admitted" && a.Serving == s.index.Joined("") && !done {
					a.Serving, a.Skipped, done = a.Serving+1, a.Skipped+1, true
				}
			}
		}, "admission", "have joined it as far as"},
		"passed in silence":   {once("closed", func(a *events.Admission) { a.Serving, a.Skipped = a.Serving+1, a.Skipped+1 }), "admission", "passes places"},
		"nothing vouched for": {func(s *show) { s.altered = func(a *events.Admission) { a.Line = nil } }, "admission 3", "vouch"},
		"a share of five":     {once("no_shows", func(a *events.Admission) { a.Lanes[0].Share = 5 }), "admission", "share"},
		"a state of its own":  {once("no_shows", func(a *events.Admission) { a.State = "\x1b[2Jnothing is wrong" }), "admission", `"\x1b[2J`},
		"a reason of its own": {once("no_shows", func(a *events.Admission) { a.Reason = "\x1b[2Jnothing is wrong" }), "admission", `"\x1b[2J`},
		"a message for all": {func(s *show) {
			s.altered = func(a *events.Admission) {
				if a.N == 1 {
					a.Commitment = "\x1b[2Jnothing is wrong"
				}
			}
		}, "admission 1", `"\x1b[2J`},
		"more than were granted": {func(s *show) { s.control.Lanes[0].Granted = 1 }, "admission", "codes allow 1"},
		"from long ago": {once("admitted", func(a *events.Admission) {
			a.At, a.PacedTo = a.At.Add(time.Hour), a.PacedTo.Add(time.Hour)
			a.Serving, a.Skipped = a.Serving+1000, 0
		}), "admission", "long ago"},
	} {
		s := newShow(t)
		c.forge(s)
		got := s.play().check()
		if len(got.Breaches) == 0 || !strings.HasPrefix(got.Breaches[0].Record, c.record) || !strings.Contains(got.Breaches[0].What, c.what) {
			t.Errorf("%s: it finds %v, want %s: %s", name, got.Breaches, c.record, c.what)
		}
		for _, b := range got.Breaches {
			if strings.ContainsFunc(b.String(), unicode.IsControl) {
				t.Errorf("%s: what it says controls the terminal: %q", name, b)
			}
		}
	}
}

// Records that were written ahead of their time are found by whoever has a clock; a clock a little behind finds nothing.
func TestChecker_FindsRecordsOfTheFuture(t *testing.T) {
	t.Parallel()
	s := newShow(t)
	all := s.play()
	for late, found := range map[time.Duration]bool{0: false, 50 * time.Second: false, 62 * time.Second: true, 20 * 365 * 24 * time.Hour: true} {
		c := NewChecker(event)
		c.Now = func() time.Time { return s.now.Add(-late) }
		c.until(c.Admission, all.log)
		c.until(c.Line, all.lines)
		if got := c.Finish().Breaches; (len(got) > 0) != found || found && !strings.Contains(got[0].What, "still to come") {
			t.Errorf("%v before the last record it finds %v", late, got)
		}
	}
}

// Who joins with a code that was given out this minute is no breach; neither is a session that joined twice.
func TestChecker_TakesWhatCodesAllow(t *testing.T) {
	t.Parallel()
	s := newShow(t)
	s.control.Lanes[0].Granted = 3
	s.tick()
	s.join("presale", 3)
	s.control.Cap = 9
	s.tick()
	s.write(Message{Chunk: twice(t, s.lines[0])})
	s.index.Apply(s.tree.Size(), "presale", 3)
	s.control.Cap = 8
	s.tick()
	s.now = s.now.Add(2 * time.Minute)
	s.control.Cap = 7
	s.tick()
	if got := s.records().check(); len(got.Breaches) > 0 {
		t.Errorf("three joined twice, and it finds %v", got.Breaches)
	}
	s.join("presale", 1)
	s.control.Cap = 6
	s.tick()
	if got := s.records().check(); len(got.Breaches) > 0 {
		t.Errorf("a fourth joined just now, and it finds %v", got.Breaches)
	}
	s.now = s.now.Add(2 * time.Minute)
	s.control.Cap = 5
	s.tick()
	if got := s.records().check(); len(got.Breaches) != 1 || !strings.Contains(got.Breaches[0].What, "4 sessions joined") {
		t.Errorf("a fourth joined minutes ago, and it finds %v", got.Breaches)
	}
}

// twice is the body of a chunk, to be stored again.
func twice(t *testing.T, raw []byte) []byte {
	t.Helper()
	m, err := exact[Message](raw)
	if err != nil {
		t.Fatal(err)
	}
	return m.Chunk
}

// What the check can't bound it tells: places passed without a call, and time that was set back.
func TestChecker_SumsUpWhatItCannotBound(t *testing.T) {
	t.Parallel()
	s := newShow(t)
	s.tick()
	s.join("", 40)
	s.seal()
	s.control.State = sale.Open
	s.tick()
	s.tick()
	s.now = s.now.Add(time.Hour)
	s.tick()
	s.now = s.now.Add(-time.Hour)
	s.control.Rate = 50
	s.tick()
	got := s.records().check()
	if len(got.Breaches) > 0 || got.Skipped == 0 || got.Skipped != s.last.Skipped || got.SetBack < 59*time.Minute || got.SetBack > time.Hour {
		t.Errorf("it sums up %+v", got)
	}
}

// The line can't be written anew either: not by leaving joins out or slipping them in before the seal, nor by moving it.
func TestChecker_FindsForgedLines(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(bodies []Message) []Message{
		"a chunk less": func(b []Message) []Message { return slices.Delete(b, 1, 2) },
		"a chunk more": func(b []Message) []Message {
			return slices.Insert(b, 1, Message{Chunk: events.Chunk{Sessions: make([]sale.SessionHash, 1)}.Encode()})
		},
		"a later one less": func(b []Message) []Message { return slices.Delete(b, len(b)-2, len(b)-1) },
		"the last less":    func(b []Message) []Message { return b[:len(b)-1] },
		"no seal": func(b []Message) []Message {
			return slices.DeleteFunc(b, func(m Message) bool { return m.Sealed != nil })
		},
		"a second seal": func(b []Message) []Message {
			return append(b, b[slices.IndexFunc(b, func(m Message) bool { return m.Sealed != nil })])
		},
		"the seal earlier": func(b []Message) []Message { b[6], b[7] = b[7], b[6]; return b },
		"two in one":       func(b []Message) []Message { b[0].Sealed = b[0].Chunk; return b },
		"neither":          func(b []Message) []Message { b[0].Chunk = nil; return b },
		"no chunk":         func(b []Message) []Message { b[0].Chunk = []byte("joins, please"); return b },
		"nobody":           func(b []Message) []Message { return nil },
	} {
		all := newShow(t).play()
		var bodies []Message
		for _, raw := range all.lines {
			m, err := exact[Message](raw)
			if err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, m)
		}
		all.lines = nil
		for i, m := range forge(bodies) {
			m.Sequence = uint64(i + 1)
			all.lines = append(all.lines, events.Encode(m))
		}
		if got := all.check(); len(got.Breaches) == 0 || !strings.HasPrefix(got.Breaches[0].Record, "line") {
			t.Errorf("%s: it finds %v", name, got.Breaches)
		}
	}
}

// The page of the draw shows the draw that stands in the log, or none where it names a record from before.
func TestChecker_FindsForgedPages(t *testing.T) {
	t.Parallel()
	all := newShow(t).play()
	for name, c := range map[string]struct {
		forge func(p *Draw)
		found bool
	}{
		"no draw":             {func(p *Draw) { p.Draw, p.Drawn = nil, nil }, true},
		"no evidence":         {func(p *Draw) { p.Drawn = nil }, true},
		"evidence alone":      {func(p *Draw) { p.Draw = nil }, true},
		"no head":             {func(p *Draw) { p.Head = nil }, true},
		"a later head":        {func(p *Draw) { p.Head.N++ }, true},
		"another head":        {func(p *Draw) { p.Head.Hash = strings.Repeat("0", 64) }, true},
		"another event":       {func(p *Draw) { p.EventID = "other" }, true},
		"another commitment":  {func(p *Draw) { p.Commitment = draw.Hash{}.String() }, true},
		"no beacon":           {func(p *Draw) { p.Beacon = "" }, true},
		"another lobby":       {func(p *Draw) { p.Drawn.Lobby[""]++ }, true},
		"before the draw":     {func(p *Draw) { p.Draw, p.Drawn, p.Head = nil, nil, HeadOf(2, all.log[1]) }, false},
		"just before it":      {func(p *Draw) { p.Head = HeadOf(2, all.log[1]) }, false},
		"before, and half of": {func(p *Draw) { p.Draw, p.Head = nil, HeadOf(2, all.log[1]) }, true},
		"as it is":            {func(*Draw) {}, false},
	} {
		page, err := exact[Draw](all.page)
		if err != nil {
			t.Fatal(err)
		}
		c.forge(&page)
		forged := all
		forged.page = events.Encode(page)
		if got := forged.check(); (len(got.Breaches) > 0) != c.found {
			t.Errorf("%s: it finds %v", name, got.Breaches)
		}
	}
	if got := (records{page: all.page}).check(); len(got.Breaches) == 0 {
		t.Error("a page that names a record of an empty log: it finds nothing")
	}
	undrawn := newShow(t)
	undrawn.tick()
	early := undrawn.records()
	early.page = events.Encode(Draw{EventID: event, Commitment: draw.Commitment(secret).String(), Beacon: "chain/9", Head: HeadOf(1, early.log[0]), Draw: &events.Draw{Sealed: 1}})
	if got := early.check(); len(got.Breaches) == 0 {
		t.Error("a page with a draw that is not in the log: it finds nothing")
	}
}

// A follower that is given nonsense finds it, is bounded in what it tells, and breaks nowhere.
func TestChecker_IsBounded(t *testing.T) {
	t.Parallel()
	c := NewChecker(event)
	c.Page([]byte("{}"))
	for i := range 1000 {
		c.Admission(fmt.Appendf(nil, `{"v":1,"n":%d}`, i))
		c.Line([]byte(`{"sequence":1,"chunk":"AQ=="}`))
	}
	got := c.Finish()
	if len(got.Breaches) != maxBreaches {
		t.Errorf("%d breaches are told", len(got.Breaches))
	}
	if b := got.Breaches[0]; b.String() != b.Record+": "+b.What || b.Record != "draw" {
		t.Errorf("the first is %s", b)
	}
	if _, known := c.Place(line.Ticket{Sequence: 1 << 60}); known {
		t.Error("a chunk that was not read has places")
	}
}
