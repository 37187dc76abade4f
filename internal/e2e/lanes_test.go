package e2e

import (
	"math"
	"net/http"
	"testing"

	"onsale/internal/line"
	"onsale/internal/testenv"
)

// joinFails makes a session join and checks the refusal.
func joinFails(t *testing.T, base, event string, body map[string]any, status int, code string) answer {
	t.Helper()
	a := call(t, "POST", base+"/v1/queue/"+event+"/join", body)
	if a.status != status || a.text("code") != code {
		t.Errorf("join with %v: %d %s, want %d %s", body, a.status, a.body, status, code)
	}
	return a
}

// Access codes let fans into a lane of their own, each as often as it says. Both lanes move at their shares, and the
// general one takes all when the other is empty.
func TestLanes(t *testing.T) {
	t.Parallel()
	const early, all = 60, 150 // in the presale, in the general lane
	l := together(t)
	create(t, l, "lanes", nil)
	if err := operator(l).SetRate(t.Context(), "lanes", 40); err != nil {
		t.Fatal(err)
	}
	if err := operator(l).SetLane(t.Context(), "lanes", "presale", 0.5); err != nil {
		t.Fatal(err)
	}
	once, err := operator(l).Codes(t.Context(), "lanes", "presale", 3, 1, "members")
	if err != nil {
		t.Fatal(err)
	}
	club, err := operator(l).Codes(t.Context(), "lanes", "presale", 1, 200, "the club")
	if err != nil {
		t.Fatal(err)
	}
	codesAreKept(t, l.BaseURL, once[0], once[1])
	joinMany(t, l.BaseURL, "lanes", 0, all, 30)
	for _, f := range joinMany(t, l.BaseURL, "lanes", 1000, 1000+early-1, 30, "code", club[0]) { // and one with a code of its own
		if f.lane != "presale" || f.arrival >= early {
			t.Fatalf("joined with a code: %+v", f)
		}
	}
	testenv.Eventually(t, "grant in the log", func() bool {
		log := admissions(t, l.BaseURL, "lanes")
		if len(log) == 0 {
			return false
		}
		last := log[len(log)-1]
		return len(last.Lanes) == 1 && last.Lanes[0].Granted == 203 && last.Lanes[0].Share == 0.5
	})
	move(t, l, "lanes", "open", "open")
	testenv.Eventually(t, "admission of all", func() bool {
		q := queueOf(t, l.BaseURL, "lanes")
		return q.Serving == all && len(q.Lanes) == 1 && q.Lanes[0].Serving == early
	})
	generalTookAll := false
	log := admissions(t, l.BaseURL, "lanes")
	for i, a := range log {
		if i == 0 || a.Reason != "admitted" {
			continue
		}
		both := line.Lanes(a)
		switch general, presale := both[0].Serving, both[1].Serving; {
		case presale < early && math.Abs(float64(general)-float64(presale)) > 1.5:
			t.Errorf("record %d: general is at %d, the presale at %d, with half each", a.N, general, presale)
		case presale == early && log[i-1].Lanes[0].Serving == early:
			generalTookAll = generalTookAll || general >= log[i-1].Serving+4
		}
	}
	if !generalTookAll {
		t.Error("general moved no faster once the presale was empty")
	}
	mustKeepPace(t, log)
	if s := mustVerify(t, l.BaseURL, "lanes"); s.Joined["presale"] != early || s.Joined[""] != all {
		t.Errorf("checked: %+v", s)
	}
}

// codesAreKept checks a code that allows one join, and one that is mistyped.
func codesAreKept(t *testing.T, base, code, other string) {
	t.Helper()
	first := join(t, base, "lanes", "the-member-herself", "code", code)
	if first.lane != "presale" {
		t.Errorf("a code of the presale led to the lane %q", first.lane)
	}
	joinFails(t, base, "lanes", joinBody("somebody-with-her-code", "code", code), http.StatusForbidden, "code_used")
	if again := join(t, base, "lanes", "the-member-herself", "code", code); again.spot != first.spot {
		t.Errorf("the same session and code: %+v, then %+v", first.spot, again.spot)
	}
	wrong := []byte(other)
	wrong[len(wrong)-1] ^= 1
	joinFails(t, base, "lanes", joinBody("somebody-who-mistypes", "code", string(wrong)), http.StatusForbidden, "bad_code")
	joinFails(t, base, "lanes", joinBody("somebody-who-mistypes", "code", "PRESALE"), http.StatusForbidden, "bad_code")
	if q := queueOf(t, base, "lanes"); q.Joined != 0 {
		t.Errorf("%d joined the general lane, and all had codes", q.Joined)
	}
}
