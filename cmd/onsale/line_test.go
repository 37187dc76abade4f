package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"onsale/events"
	"onsale/internal/admin"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// operated is an operations listener and a public one that write down what they are asked for.
type operated struct {
	mu    sync.Mutex
	asked []string
	last  events.Admission
	codes int
	most  int // codes that are given out; 0 for any number
}

// operate serves it and returns the flags that make commands find it.
func operate(t *testing.T, o *operated) []string {
	t.Helper()
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	env := fmt.Sprintf("ONSALE_ADMIN_URL='%s'\nONSALE_URL='%[1]s'\nADMIN_TOKEN='a-token-of-16-signs'\n", server.URL)
	if err := os.WriteFile(filepath.Join(dir, "onsale.env"), []byte(env), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--data", dir}
}

func (o *operated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case r.URL.Path == "/v1/queue/gala":
		io.WriteString(w, `{"seats_left":412,"joined":9000,"serving":1200,"lanes":[{"name":"members","joined":60}]}`)
	case r.Header.Get("Authorization") != "Bearer a-token-of-16-signs":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/admin/events/gala/line":
		w.Write(events.Encode(o.last))
	case strings.HasSuffix(r.URL.Path, "/codes"):
		o.asked = append(o.asked, string(body))
		var req struct{ Count int }
		json.Unmarshal(body, &req)
		if o.most > 0 && o.codes+req.Count > o.most {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"code":"lane_not_found","detail":"there is no such lane"}`)
			return
		}
		var answer struct {
			Codes []string `json:"codes"`
		}
		for range req.Count {
			answer.Codes = append(answer.Codes, fmt.Sprint("CODE-", o.codes))
			o.codes++
		}
		w.Write(events.Encode(answer))
	case r.URL.Path == "/admin/events":
		o.asked = append(o.asked, string(body))
		io.WriteString(w, `{"event_id":"gala","state":"lobby","seats":800,"commitment":"c0ffee"}`)
	default:
		o.asked = append(o.asked, r.Method+" "+r.URL.Path+" "+string(body))
	}
}

func TestLine_Steers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args  string
		asked string
		says  string
	}{
		{"rate gala 25", `PUT /admin/events/gala/rate {"rate":25}`, "25 fans a second"},
		{"release gala", `PUT /admin/events/gala/rate {"rate":1000000}`, "`onsale line rate gala 10` sets that again"},
		{"cap gala 300", `PUT /admin/events/gala/cap {"cap":300}`, "at most 300 shoppers"},
		{"cap gala 0", `PUT /admin/events/gala/cap {"cap":0}`, "no limit"},
		{"lane gala members --share 0.2", `PUT /admin/events/gala/lanes/members {"share":0.2}`, "lane members has 20 %"},
		{"pause gala", "POST /admin/events/gala/pause null", "paused"},
		{"resume gala", "POST /admin/events/gala/resume null", "goes on"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			o := &operated{last: events.Admission{EventID: gala, N: 7, State: sale.Paused, Rate: 10, Cap: 30}}
			out, err := onsale(t, append(append(operate(t, o), "line"), strings.Fields(c.args)...)...)
			if err != nil || !strings.Contains(out, c.says) {
				t.Errorf("%v: it says %q", err, out)
			}
			if !slices.Equal(o.asked, []string{c.asked}) {
				t.Errorf("it asked for %q", o.asked)
			}
		})
	}
}

func TestLine_ReleaseSaysWhatHoldsItBack(t *testing.T) {
	t.Parallel()
	o := &operated{last: events.Admission{EventID: gala, N: 7, State: sale.Paused, Rate: 10, Cap: 30}}
	out, err := onsale(t, append(operate(t, o), "line", "release", gala)...)
	if err != nil || !strings.Contains(out, "By the last record the sale is paused") || !strings.Contains(out, "The cap of 30 shoppers stands") {
		t.Errorf("%v: it says %q", err, out)
	}
}

// Resume is the same move as open, which a lobby must not be moved by in error.
func TestLine_ResumeOpensNoLobby(t *testing.T) {
	t.Parallel()
	o := &operated{last: events.Admission{EventID: gala, N: 1, State: sale.Lobby}}
	out, err := onsale(t, append(operate(t, o), "line", "resume", gala)...)
	if err == nil || len(o.asked) != 0 {
		t.Errorf("%v: it asked for %q and says %q", err, o.asked, out)
	}
}

func TestLine_CodesAreAskedForInSeveralCalls(t *testing.T) {
	t.Parallel()
	o := &operated{}
	flags := operate(t, o)
	file := filepath.Join(t.TempDir(), "codes.txt")
	args := append(flags, "line", "codes", gala, "members", "--count", fmt.Sprint(admin.MaxCodes+3), "--uses", "2", "--note", "fan club", "--out", file)
	if out, err := onsale(t, args...); err != nil || out != "" {
		t.Fatalf("%v: %q", err, out)
	}
	want := []string{`{"count":100000,"note":"fan club","uses":2}`, `{"count":3,"note":"fan club","uses":2}`}
	if !slices.Equal(o.asked, want) {
		t.Errorf("it asked for %q", o.asked)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	codes := strings.Split(string(b), "\n")
	if len(codes) != admin.MaxCodes+4 || codes[0] != "CODE-0" || codes[admin.MaxCodes+2] != "CODE-100002" {
		t.Errorf("the file has %d lines, from %q to %q", len(codes), codes[0], codes[len(codes)-2])
	}
	if i, err := os.Stat(file); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others may read it", i.Mode(), err)
	}
	if _, err := onsale(t, args...); err == nil || len(o.asked) != 2 {
		t.Errorf("%v: the file was there, and %d calls were made", err, len(o.asked))
	}
	if out, err := onsale(t, append(flags, "line", "codes", gala, "members", "--count", "2")...); err != nil || out != "CODE-100003\nCODE-100004\n" {
		t.Errorf("%v: %q", err, out)
	}
	for _, count := range []string{"0", "10000001"} {
		if _, err := onsale(t, append(flags, "line", "codes", gala, "members", "--count", count)...); err == nil {
			t.Errorf("%s codes are asked for", count)
		}
	}
}

// A call that fails leaves no empty file in the way of the next try, and keeps the codes that were given out before.
func TestLine_CodesFail(t *testing.T) {
	t.Parallel()
	o := &operated{most: 1}
	file := filepath.Join(t.TempDir(), "codes.txt")
	args := append(operate(t, o), "line", "codes", gala, "members", "--out", file, "--count")
	if _, err := onsale(t, append(args, "2")...); err == nil || !strings.Contains(err.Error(), "lane_not_found") {
		t.Errorf("refused: %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file: %v", err)
	}
	o.most = admin.MaxCodes
	if _, err := onsale(t, append(args, fmt.Sprint(admin.MaxCodes+1))...); err == nil || !strings.Contains(err.Error(), "100000 of 100001 codes were written") {
		t.Errorf("refused after the first part: %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || strings.Count(string(b), "\n") != admin.MaxCodes {
		t.Errorf("the file has %d codes (%v)", strings.Count(string(b), "\n"), err)
	}
}

func TestLine_Shows(t *testing.T) {
	t.Parallel()
	last := events.Admission{
		EventID: gala, N: 812, State: sale.Open, Serving: 1200, Rate: 25, Release: 31.25, Cap: 300, Inside: 281, Reason: "admitted",
		At: time.Date(2026, 5, 2, 19, 3, 11, 0, time.UTC), Lanes: []events.Lane{{Name: "members", Share: 0.2, Serving: 60, Granted: 500}},
		Outlook: events.Outlook{Flow: 25, Yield: 1, Ran: 600, Rose: "rate_lowered"},
	}
	eta := line.NewView(&last).Wait("", 7800)
	want := strings.Replace(`gala: open; record 812, admitted, at 2026-05-02T19:03:11Z
  rate  25 fans a second; 31.25 places called a second, because not all who are called come
  cap   300 shoppers, 281 inside when some were called last
  left  412 seats
  waits have become longer: rate_lowered
  LANE     SHARE  CALLED  JOINED  WAITING  GRANTED  LAST IN LINE WAITS
  general  80 %   1200    9000    7800              wait-of-the-last
  members  20 %   60      60      0        500      -
`, "wait-of-the-last", fmt.Sprintf("5m12s (%s to %s)", time.Duration(eta.Low)*time.Second, time.Duration(eta.High)*time.Second), 1)
	o := &operated{last: last}
	out, err := onsale(t, append(operate(t, o), "line", "show", gala)...)
	if err != nil || out != want {
		t.Errorf("%v:\n%s\nwant\n%s", err, out, want)
	}
	var b bytes.Buffer
	printLine(&b, last, nil)
	if !strings.Contains(b.String(), "1200    ?") || strings.Contains(b.String(), "seats") {
		t.Errorf("without the public page:\n%s", b.String())
	}
}

func TestEvent_CreateTellsTheCommitment(t *testing.T) {
	t.Parallel()
	o := &operated{}
	out, err := onsale(t, append(operate(t, o), "event", "create", gala, "--plan", demoPlan, "--prices", demoPrices, "--cap", "300", "--beacon", strings.Repeat("0", 64)+"/7")...)
	if err != nil || !strings.Contains(out, "800 seats, in its lobby") || !strings.Contains(out, "commitment of the draw: c0ffee") {
		t.Errorf("%v: it says %q", err, out)
	}
	if len(o.asked) != 1 || !strings.Contains(o.asked[0], `"cap":300,"beacon":"`+strings.Repeat("0", 64)+`/7"`) {
		t.Errorf("it asked for %.200q", o.asked)
	}
}

// A value out of bounds is refused before anything is asked for; the server would take some for values that are not given.
func TestOutOfBoundsIsRefused(t *testing.T) {
	t.Parallel()
	create := []string{"event", "create", gala, "--plan", demoPlan, "--prices", demoPrices}
	for _, c := range []struct {
		args   []string
		values []string
		says   string
	}{
		{append(create[:len(create):len(create)], "--max-seats"), []string{"0", "-1", "101"}, "--max-seats must be 1 to 100"},
		{append(create[:len(create):len(create)], "--hold-ttl"), []string{"0s", "1500ms", "-1s", "1h1s"}, "--hold-ttl must be 1s to 1h0m0s, in whole seconds"},
		{append(create[:len(create):len(create)], "--payment-window"), []string{"0s", "999ms", "1h1s"}, "--payment-window must be 1s"},
		{[]string{"order", "list", "--limit"}, []string{"0", "-1", "1001"}, "--limit must be 1 to 1000"},
	} {
		for _, value := range c.values {
			o := &operated{}
			args := append(operate(t, o), c.args...)
			args[len(args)-1] += "=" + value
			if out, err := onsale(t, args...); err == nil || !strings.Contains(err.Error(), c.says) || len(o.asked) != 0 {
				t.Errorf("%v: %v, want %q; it asked for %.100q and says %q", args, err, c.says, o.asked, out)
			}
		}
	}
}

func TestEvent_CreateSaysHowItOpens(t *testing.T) {
	t.Parallel()
	for at, says := range map[string]string{
		"":                     "in its lobby; open it with `onsale event open gala`",
		"2020-05-02T19:00:00Z": "opening at once: 2020-05-02T19:00:00Z, when it was to open, has passed",
		"2999-05-02T19:00:00Z": "in its lobby; it opens by itself at 2999-05-02T19:00:00Z",
	} {
		args := append(operate(t, &operated{}), "event", "create", gala, "--plan", demoPlan, "--prices", demoPrices)
		if at != "" {
			args = append(args, "--opens-at", at)
		}
		if out, err := onsale(t, args...); err != nil || !strings.Contains(out, "800 seats, "+says) {
			t.Errorf("%q: %v: it says %q", at, err, out)
		}
	}
}
