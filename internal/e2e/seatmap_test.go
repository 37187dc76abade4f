package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/internal/app"
	"onsale/internal/redis"
	"onsale/internal/sale"
	"onsale/internal/testenv"
	"onsale/internal/up"
)

// beside runs a second api in this process, on a system's servers, and returns where it serves and what ends it.
func beside(t *testing.T, l *up.Local) (base string, end func()) {
	t.Helper()
	cfg := l.API
	cfg.AdminToken, cfg.OpsListen = "", ""
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.RunAPI(ctx, cfg, ln, quiet) }()
	end = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error("the second api:", err)
		}
	})
	t.Cleanup(end)
	return "http://" + ln.Addr().String(), end
}

// at is the visitor on another node, once the node knows the event.
func (v visitor) at(t *testing.T, base string) visitor {
	t.Helper()
	v.base = base
	testenv.Eventually(t, "second node", func() bool { return v.seats(t).status == http.StatusOK })
	return v
}

func (v visitor) seats(t *testing.T, headers ...string) answer {
	t.Helper()
	return call(t, "GET", v.base+"/v1/events/"+v.event+"/seats", nil, append(v.headers(), headers...)...)
}

// statusOf is a seat's status in an answer of seats or of changes.
func (a answer) statusOf(id string) string {
	for _, list := range []string{"seats", "changes"} {
		all, _ := a.fields[list].([]any)
		for _, one := range all {
			if seat := one.(map[string]any); seat["id"] == id {
				return seat["status"].(string)
			}
		}
	}
	return ""
}

func (v visitor) release(t *testing.T, hold string) {
	t.Helper()
	if a := call(t, "DELETE", v.base+"/v1/holds/"+hold, nil, v.headers()...); a.status != http.StatusNoContent {
		t.Fatalf("release: %d %s", a.status, a.body)
	}
}

// stream is a stream of changes as its client reads it.
type stream struct {
	t      *testing.T
	status int
	header http.Header
	frames chan frame // closed when the stream ends
	close  func()
}

type frame struct {
	id, event string
	data      struct {
		Version, Since string
		Changes        []struct{ ID, Status string }
	}
}

func (v visitor) stream(t *testing.T, headers ...string) *stream {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", v.base+"/v1/events/"+v.event+"/seats/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	headers = append(v.headers(), headers...)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableCompression: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{t: t, status: res.StatusCode, header: res.Header, frames: make(chan frame, 1000), close: stop}
	go func() {
		defer close(s.frames)
		defer res.Body.Close()
		var f frame
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case name == "id":
				f.id = value
			case name == "event":
				f.event = value
			case name == "data":
				if err := json.Unmarshal([]byte(value), &f.data); err != nil {
					t.Errorf("a frame with %q: %v", value, err)
				}
			case name == "" && f.event != "":
				s.frames <- f
				f = frame{}
			}
		}
	}()
	t.Cleanup(stop)
	return s
}

// next is the next frame, false at the end of the stream.
func (s *stream) next() (frame, bool) {
	s.t.Helper()
	select {
	case f, ok := <-s.frames:
		return f, ok
	case <-time.After(20 * time.Second):
		s.t.Fatal("the stream says nothing")
		return frame{}, false
	}
}

// until reads frames until a seat has a status; the chain of versions must have no gap.
func (s *stream) until(version, seat, status string) string {
	s.t.Helper()
	for {
		f, ok := s.next()
		if !ok {
			s.t.Fatalf("the stream ended before %s was %s", seat, status)
		}
		if f.event != "changes" || f.data.Since != version || f.id != f.data.Version {
			s.t.Fatalf("after version %s came %+v", version, f)
		}
		version = f.data.Version
		for _, c := range f.data.Changes {
			if c.ID == seat && c.Status == status {
				return version
			}
		}
	}
}

// A hold that is taken, bound or given back on one node is seen on another, both by asking and by its stream.
func TestSeatMap_AcrossNodes(t *testing.T) {
	t.Parallel()
	l := together(t)
	openSmall(t, l, "two-nodes", 40)
	other, end := beside(t, l)
	here := letIn(t, l, "two-nodes")
	there := here.at(t, other)
	first := here.seats(t)
	if first.status != 200 || first.statusOf("A-1") != "available" || first.text("version") == there.seats(t).text("version") {
		t.Fatalf("the first map: %d %s", first.status, first.body)
	}
	live := there.stream(t)
	began, _ := live.next()
	if live.header.Get("Content-Type") != "text/event-stream" || began.event != "version" || began.id != began.data.Version {
		t.Fatalf("a stream begins with %+v, %v", began, live.header)
	}
	version := began.data.Version
	var took []time.Duration
	for range 5 {
		start := time.Now()
		h := here.hold(t, "A-1", "A-2")
		if h.status != http.StatusCreated {
			t.Fatalf("hold: %d %s", h.status, h.body)
		}
		version = live.until(version, "A-1", "held")
		took = append(took, time.Since(start))
		if a := there.seats(t); a.statusOf("A-2") != "held" && a.text("version") == version {
			t.Errorf("the map says otherwise than the stream: %s", a.body)
		}
		here.release(t, h.text("hold_id"))
		version = live.until(version, "A-1", "available")
	}
	slices.Sort(took)
	t.Logf("a hold on another node was seen after %s at most", took[len(took)-1])
	if half := took[len(took)/2]; half > 700*time.Millisecond { // the comparison with Redis finds it in a second or so
		t.Errorf("half of the holds on another node were seen only after %s: nodes do not hear each other", half)
	}
	h := here.hold(t, "A-3")
	if a := here.checkout(t, h.text("hold_id"), "pm_card_visa", "k1", "Prefer", "wait=20"); a.text("status") != "confirmed" {
		t.Fatalf("checkout: %d %s", a.status, a.body)
	}
	live.until(version, "A-3", "sold")
	testenv.Eventually(t, "sold seat here", func() bool { return here.seats(t).statusOf("A-3") == "sold" })

	start := time.Now()
	end() // with a stream open
	for ok := true; ok; {
		_, ok = live.next()
	}
	t.Logf("the node with the stream ended within %s", time.Since(start))
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("a stream held up its node's end for %s", took)
	}
}

func TestSeatMap_Tags(t *testing.T) {
	t.Parallel()
	l := together(t)
	openSmall(t, l, "tags", 40)
	v := letIn(t, l, "tags")
	a := v.seats(t, "Accept-Encoding", "identity")
	tag := a.header.Get("ETag")
	if len(tag) < 10 || tag[0] != '"' || a.header.Get("Vary") != "Accept-Encoding" || a.header.Get("Cache-Control") != "private, no-cache" {
		t.Fatalf("headers %v", a.header)
	}
	for name, c := range map[string]struct {
		tag, accept string
		status      int
		encoding    string
	}{
		"the same":           {tag, "identity", 304, ""},
		"one of several":     {`"x", W/` + tag, "identity", 304, ""},
		"any":                {"*", "br", 304, ""},
		"another encoding's": {tag, "br", 200, "br"},
		"another":            {`"x"`, "gzip", 200, "gzip"},
		"none acceptable":    {"", "identity;q=0", 406, ""},
	} {
		got := v.seats(t, "If-None-Match", c.tag, "Accept-Encoding", c.accept)
		if got.status != c.status || got.header.Get("Content-Encoding") != c.encoding || got.status == 304 && (len(got.body) > 0 || got.header.Get("ETag") == "") {
			t.Errorf("%s: %d %v %s", name, got.status, got.header, got.body)
		}
	}
	if h := v.hold(t, "A-7"); h.status != http.StatusCreated {
		t.Fatalf("hold: %d %s", h.status, h.body)
	}
	testenv.Eventually(t, "new version", func() bool {
		got := v.seats(t, "If-None-Match", tag, "Accept-Encoding", "identity")
		return got.status == 200 && got.header.Get("ETag") != tag && got.statusOf("A-7") == "held"
	})
}

func TestSeatMap_Since(t *testing.T) {
	t.Parallel()
	l := together(t)
	openSmall(t, l, "since", 40)
	v := letIn(t, l, "since")
	version := v.seats(t).text("version")
	since := func(version string) answer {
		return call(t, "GET", v.base+"/v1/events/since/seats?since="+version, nil, v.headers()...)
	}
	if a := since(version); a.text("version") != version || fmt.Sprint(a.fields["changes"]) != "[]" {
		t.Errorf("since the version there is: %d %s", a.status, a.body)
	}
	h := v.hold(t, "A-1")
	testenv.Eventually(t, "change", func() bool {
		a := since(version)
		return a.text("since") == version && a.statusOf("A-1") == "held" && len(a.fields["changes"].([]any)) == 1
	})
	v.release(t, h.text("hold_id"))
	testenv.Eventually(t, "change back", func() bool { return since(version).statusOf("A-1") == "available" })
	for _, unknown := range []string{"nonsense", "other.1", strings.Split(version, ".")[0] + ".999999"} {
		if a := since(unknown); a.status != 200 || len(a.fields["seats"].([]any)) != 40 {
			t.Errorf("since %s: %d %s", unknown, a.status, a.body)
		}
	}
}

func TestSeatStream_GoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	l := together(t)
	openSmall(t, l, "resume", 40)
	v := letIn(t, l, "resume")
	version := v.seats(t).text("version")
	for seat, last := range map[string]string{"A-1": "held", "A-2": "available"} {
		u := letIn(t, l, "resume")
		if h := u.hold(t, seat); last == "available" {
			testenv.Eventually(t, "held seat", func() bool { return u.seats(t).statusOf(seat) == "held" })
			u.release(t, h.text("hold_id"))
		}
		testenv.Eventually(t, "change", func() bool { return u.seats(t).statusOf(seat) == last })
	}
	s := v.stream(t, "Last-Event-ID", version)
	f, _ := s.next()
	if f.event != "changes" || f.data.Since != version || len(f.data.Changes) != 2 {
		t.Errorf("a stream goes on with %+v", f)
	}
	for _, unknown := range []string{"nonsense", "other.1"} {
		s := v.stream(t, "Last-Event-ID", unknown)
		f, _ := s.next()
		if f.event != "reset" || f.id != "" || f.data.Version == "" {
			t.Errorf("after %s: %+v", unknown, f)
		}
		if f, more := s.next(); more {
			t.Errorf("after a reset: %+v", f)
		}
	}
	if a := call(t, "GET", v.base+"/v1/events/resume/seats/stream", nil); a.status != 401 {
		t.Errorf("without a pass: %d %s", a.status, a.body)
	}
	move(t, l, "resume", "close", "closed")
	for more := true; more; {
		_, more = s.next() // of a closed sale no stream is left
	}
}

// What a node was not told it finds out by itself: a hold in Redis of which there is no notice, and its end.
func TestSeatMap_FindsOutWhatItWasNotTold(t *testing.T) {
	t.Parallel()
	l := together(t)
	openSmall(t, l, "untold", 40)
	v := letIn(t, l, "untold")
	if a := v.seats(t); a.statusOf("A-5") != "available" {
		t.Fatalf("the first map: %s", a.body)
	}
	r, err := redis.Open(l.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h, err := r.Take(t.Context(), "untold", sale.HashSession("untold", uuid.NewString()), []string{"A-5", "A-6"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	testenv.Eventually(t, "hold that was found", func() bool { return v.seats(t).statusOf("A-6") == "held" })
	t.Logf("a lost notice was made up for after %s", time.Since(start))
	if err := r.Release(t.Context(), h.EventID, h.Session, h.ID, ""); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "release that was found", func() bool { return v.seats(t).statusOf("A-6") == "available" })
}

// A client that reads late misses nothing.
func TestSeatStream_LateReaderMissesNothing(t *testing.T) {
	t.Parallel()
	l := together(t)
	openSmall(t, l, "slow", 40)
	v := letIn(t, l, "slow")
	version := v.seats(t).text("version")
	conn, err := net.Dial("tcp", strings.TrimPrefix(l.BaseURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /v1/events/slow/seats/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nOnsale-Session: %s\r\nLast-Event-ID: %s\r\n\r\n", v.pass, v.session, version)
	seen := []string{version}
	for i := range 4 {
		u := letIn(t, l, "slow")
		if h := u.hold(t, fmt.Sprintf("A-%d", i+1)); h.status != http.StatusCreated {
			t.Fatalf("hold: %d %s", h.status, h.body)
		}
		testenv.Eventually(t, "new version", func() bool {
			now := v.seats(t).text("version")
			if !slices.Contains(seen, now) {
				seen = append(seen, now)
				return true
			}
			return false
		})
	}
	in := bufio.NewScanner(conn)
	for held := map[string]bool{}; len(held) < 4 && in.Scan(); {
		for i := range 4 {
			if id := fmt.Sprintf(`{"id":"A-%d","status":"held"}`, i+1); strings.Contains(in.Text(), id) {
				held[id] = true
			}
		}
	}
	if err := in.Err(); err != nil {
		t.Error(err)
	}
}
