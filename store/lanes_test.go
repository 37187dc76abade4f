package store_test

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"onsale/internal/access"
	"onsale/internal/draw"
	"onsale/internal/line"
	"onsale/internal/sale"
	"onsale/store"
)

// control is what the operator wants of an event.
func (r *rig) control(id string) line.Control {
	r.Helper()
	controls, err := r.store.Controls(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return controls[id]
}

func batch(lane string, count, uses int) access.Batch {
	return access.Batch{ID: uuid.New(), Lane: lane, Count: count, Uses: uses}
}

// Lanes come in the order in which they were made, each with its share as it is now and all that was granted in it,
// and with the event that they are of.
func TestControlsHaveLanesAndTheDraw(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	other := event("other")
	other.Beacon, other.Cap = "chain/9", 40
	if err := r.store.CreateEvent(t.Context(), other, plan(2), draw.Secret{9}); err != nil {
		t.Fatal(err)
	}
	for _, l := range []struct {
		event, lane string
		share       float64
	}{{show, "vip", 0.1}, {"other", "vip", 0.5}, {show, "presale", 0.3}, {show, "access", 0.2}, {show, "vip", 0.15}, {show, "presale", 0}} {
		r.clock.Advance(time.Second)
		if err := r.store.SetLane(t.Context(), l.event, l.lane, l.share); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range []access.Batch{batch("presale", 1000, 2), batch("presale", 1, 1), batch("vip", access.MaxBatch, access.MaxUses)} {
		if err := r.store.GrantCodes(t.Context(), show, "a note", b); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.store.SetCap(t.Context(), show, 250); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]line.Control{
		show: {State: sale.Lobby, Rate: 12.5, Cap: 250, SeatsLeft: 1, PaymentWindow: 10 * time.Minute, Secret: secret, Lanes: []line.LaneControl{
			{Name: "vip", Share: 0.15, Granted: access.MaxBatch * access.MaxUses}, {Name: "presale", Share: 0, Granted: 2001}, {Name: "access", Share: 0.2},
		}},
		"other": {State: sale.Lobby, Rate: 12.5, Cap: 40, SeatsLeft: 2, PaymentWindow: 10 * time.Minute, Secret: draw.Secret{9}, Beacon: "chain/9", Lanes: []line.LaneControl{{Name: "vip", Share: 0.5}}},
	} {
		if diff := cmp.Diff(want, r.control(id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}

// What a lane can't be is refused, and nothing of it is kept.
func TestSetLaneRefuses(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	set := func(event, lane string, share float64) error { return r.store.SetLane(t.Context(), event, lane, share) }
	for _, lane := range []string{"vip", "presale"} {
		if err := set(show, lane, 0.4); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		lane  string
		share float64
		code  string
	}{
		"a lane too much":             {"new", 0.11, "shares_too_large"},
		"a share too large":           {"vip", 0.51, "shares_too_large"},
		"all of it":                   {"vip", 1, "internal"},
		"less than nothing":           {"vip", -0.1, "internal"},
		"no number":                   {"vip", math.NaN(), "internal"},
		"a name with other letters":   {"VIP", 0.1, "internal"},
		"the name of the general":     {"general", 0.1, "internal"},
		"no name":                     {"", 0.1, "internal"},
		"a name that is a bit longer": {"abcdefghijklmnopqrstu", 0.1, "internal"},
	} {
		if err := set(show, c.lane, c.share); err == nil || sale.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	want := []line.LaneControl{{Name: "presale", Share: 0.4}, {Name: "vip", Share: 0.4}}
	if diff := cmp.Diff(want, r.control(show).Lanes); diff != "" {
		t.Errorf("what was refused is there (-want +got):\n%s", diff)
	}
	if err := set(show, "vip", 0.5); err != nil {
		t.Errorf("nine tenths in all: %v", err)
	}
	if err := set("none", "vip", 0.1); sale.CodeOf(err) != "event_not_found" || sale.KindOf(err) != sale.NotFound {
		t.Errorf("unknown event: %v", err)
	}
	if err := r.store.MoveSale(t.Context(), show, sale.Closed); err != nil {
		t.Fatal(err)
	}
	if err := set(show, "vip", 0.1); sale.CodeOf(err) != "event_not_found" {
		t.Errorf("closed event: %v", err)
	}
}

// There are so many lanes and no more, taken away or not: what stands in the log never goes.
func TestSetLaneBoundsTheirNumber(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	for i := range line.MaxLanes {
		if err := r.store.SetLane(t.Context(), show, fmt.Sprint("lane-", i), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.store.SetLane(t.Context(), show, "one-more", 0); sale.CodeOf(err) != "shares_too_large" || sale.KindOf(err) != sale.Conflict {
		t.Errorf("a lane too many: %v", err)
	}
	if err := r.store.SetLane(t.Context(), show, "lane-3", 0.2); err != nil || len(r.control(show).Lanes) != line.MaxLanes {
		t.Errorf("one that is there: %v, %d lanes", err, len(r.control(show).Lanes))
	}
}

// Of operators who each take a share at once, so many get it as there is room for.
func TestSharesAreNeverGivenTwice(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	var given atomic.Int64
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			switch err := r.store.SetLane(t.Context(), show, fmt.Sprint("lane-", i), 0.2); {
			case err == nil:
				given.Add(1)
			case sale.CodeOf(err) != "shares_too_large":
				t.Error(err)
			}
		})
	}
	all.Wait()
	if given.Load() != 4 || len(r.control(show).Lanes) != 4 {
		t.Errorf("%d lanes have a fifth each, %d are there", given.Load(), len(r.control(show).Lanes))
	}
}

func TestGrantCodesRefuses(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	if err := r.store.SetLane(t.Context(), show, "vip", 0.1); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		event string
		b     access.Batch
		code  string
	}{
		"unknown lane":  {show, batch("presale", 1, 1), "lane_not_found"},
		"general lane":  {show, batch("", 1, 1), "lane_not_found"},
		"unknown event": {"none", batch("vip", 1, 1), "lane_not_found"},
		"no codes":      {show, batch("vip", 0, 1), "internal"},
		"no uses":       {show, batch("vip", 1, 0), "internal"},
		"too many":      {show, batch("vip", access.MaxBatch+1, 1), "internal"},
		"too much use":  {show, batch("vip", 1, access.MaxUses+1), "internal"},
	} {
		if err := r.store.GrantCodes(t.Context(), c.event, "", c.b); err == nil || sale.CodeOf(err) != c.code || c.code == "lane_not_found" && sale.KindOf(err) != sale.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := batch("vip", 3, 2)
	if err := r.store.GrantCodes(t.Context(), show, "", b); err != nil {
		t.Fatal(err)
	}
	if err := r.store.GrantCodes(t.Context(), show, "", b); err == nil || r.control(show).Lanes[0].Granted != 6 {
		t.Errorf("the same batch twice: %v, %+v", err, r.control(show).Lanes)
	}
}

// Events from before there was a draw are given secrets that nobody can tell: 32 bytes, of no two events the same.
func TestMigrationGivesOldEventsTheirSecrets(t *testing.T) {
	t.Parallel()
	url, conn := migrated(t, 1)
	const old = 50
	if _, err := conn.Exec(t.Context(), `INSERT INTO events (event_id, name, currency, rate, seats, max_seats_per_hold, hold_ttl_ms, payment_window_ms)
		SELECT 'e' || n, 'A show', 'eur', 5, 1, 6, 120000, 600000 FROM generate_series(1, $1) n`, old); err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), url, 0, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	controls, err := s.Controls(t.Context())
	if err != nil || len(controls) != old {
		t.Fatalf("%d events (%v)", len(controls), err)
	}
	seen := map[draw.Secret]string{}
	halves := map[[16]byte]bool{}
	for id, c := range controls {
		if other, known := seen[c.Secret]; known || c.Secret == (draw.Secret{}) {
			t.Errorf("%s has the secret of %q, or none", id, other)
		}
		seen[c.Secret] = id
		halves[[16]byte(c.Secret[:16])], halves[[16]byte(c.Secret[16:])] = true, true
		if c.Beacon != "" || c.Cap != 0 || c.Lanes != nil || c.State != sale.Lobby || c.Rate != 5 {
			t.Errorf("%s became %+v", id, c)
		}
	}
	if len(halves) != 2*old {
		t.Errorf("%d secrets have %d different halves", old, len(halves))
	}
	if _, err := conn.Exec(t.Context(), `UPDATE events SET draw_secret = '\x00'`); err == nil {
		t.Error("a secret of one byte is taken")
	}
}
