package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onsale/internal/line"
)

// TestStandingIsJSON: what is written by hand is what a JSON writer would have said.
func TestStandingIsJSON(t *testing.T) {
	t.Parallel()
	position, eta := uint64(1<<40), line.ETA{Expected: 12, Low: 9, High: 21}
	expires := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	for name, a := range map[string]standing{
		"lobby":    {Standing: line.Standing{State: "lobby", PollIn: time.Second}, ticket: []byte("AbC-_")},
		"waiting":  {Standing: line.Standing{State: line.Waiting, Position: &position, ETA: &eta, PollIn: 1500 * time.Millisecond}},
		"reason":   {Standing: line.Standing{State: "paused", Position: &position, Reason: "\"quoted\"\\ \n<é>\u2028"}},
		"admitted": {Standing: line.Standing{State: line.Admitted, ETA: &eta}, place: line.Place{Lane: "presale", Arrival: 7, Number: 1 << 33, Drawn: true}, pass: "a.b.c", passExpiresAt: expires},
	} {
		want := map[string]any{"state": a.State, "position": nil, "eta": nil, "eta_low": nil, "eta_high": nil, "poll_after_ms": float64(a.PollIn.Milliseconds()), "arrival": float64(a.place.Arrival)}
		if a.place.Drawn {
			want["lane"], want["place"] = a.place.Lane, float64(a.place.Number)
		}
		if a.Position != nil {
			want["position"] = float64(position)
		}
		if a.ETA != nil {
			want["eta"], want["eta_low"], want["eta_high"] = 12.0, 9.0, 21.0
		}
		for key, value := range map[string]string{"ticket": string(a.ticket), "reason": a.Reason, "pass": a.pass} {
			if value != "" {
				want[key] = value
			}
		}
		if a.pass != "" {
			want["pass_expires_at"] = "2026-01-02T03:04:05.0000006Z"
		}
		var got map[string]any
		raw := a.appendJSON(nil)
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatalf("%s: %s: %v", name, raw, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func BenchmarkStanding(b *testing.B) {
	position, eta := uint64(1234567), line.ETA{Expected: 12, Low: 9, High: 21}
	a := standing{Standing: line.Standing{State: line.Waiting, Position: &position, ETA: &eta, PollIn: time.Second}, ticket: make([]byte, 90)}
	var room [512]byte
	b.ReportAllocs()
	for b.Loop() {
		_ = a.appendJSON(room[:0])
	}
}
