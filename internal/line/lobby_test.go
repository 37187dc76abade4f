package line_test

import (
	"fmt"
	"strings"
	"testing"

	"onsale/events"
	"onsale/internal/draw"
	"onsale/internal/line"
)

// drawnLobby is the evidence of a draw with a beacon and two lanes.
func drawnLobby() (commitment string, d *events.Draw, e *events.Drawn) {
	secret := draw.Secret{1, 2, 3}
	d, e = line.Evidence(event, 8, secret, []byte{9, 9}, draw.Hash{5}, map[string]uint64{"": 2000, "presale": 30, "empty": 0})
	return draw.Commitment(secret).String(), d, e
}

func TestEvidence_Verifies(t *testing.T) {
	t.Parallel()
	commitment, d, e := drawnLobby()
	if err := line.CheckDraw(event, commitment, *d, *e); err != nil {
		t.Error(err)
	}
	if len(e.Lobby) != 2 || e.Lobby[""] != 2000 || e.Lobby["presale"] != 30 {
		t.Errorf("the lobby is told as %v", e.Lobby)
	}
	if _, e := line.Evidence(event, 1, draw.Secret{}, nil, draw.Hash{}, nil); len(e.Lobby) != 0 || e.Chunks != 0 {
		t.Errorf("the lobby that nobody joined is told as %+v", e)
	}
}

// None of what a draw follows from can be altered, not by a character.
func TestCheckDraw_RefusesAlterations(t *testing.T) {
	t.Parallel()
	commitment, d, e := drawnLobby()
	for name, alter := range map[string]func(d *events.Draw, e *events.Drawn){
		"another seal": func(d *events.Draw, _ *events.Drawn) { d.Sealed++ }, "fewer chunks": func(_ *events.Draw, e *events.Drawn) { e.Chunks-- },
		"more of both": func(d *events.Draw, e *events.Drawn) { d.Sealed, e.Chunks = 1<<40, 1<<40 },
		"no secret":    func(_ *events.Draw, e *events.Drawn) { e.Secret = "" }, "a longer secret": func(_ *events.Draw, e *events.Drawn) { e.Secret += "00" },
		"no beacon": func(_ *events.Draw, e *events.Drawn) { e.Beacon = "" }, "a longer beacon": func(_ *events.Draw, e *events.Drawn) { e.Beacon += "00" },
		"no root": func(_ *events.Draw, e *events.Drawn) { e.Root = "" }, "no seed": func(d *events.Draw, _ *events.Drawn) { d.Seed = "" },
	} {
		d, e := *d, *e
		if alter(&d, &e); line.CheckDraw(event, commitment, d, e) == nil {
			t.Errorf("%s: it verifies", name)
		}
	}
	for name, field := range map[string]func(d *events.Draw, e *events.Drawn) *string{
		"seed": func(d *events.Draw, _ *events.Drawn) *string { return &d.Seed }, "root": func(_ *events.Draw, e *events.Drawn) *string { return &e.Root },
		"secret": func(_ *events.Draw, e *events.Drawn) *string { return &e.Secret }, "beacon": func(_ *events.Draw, e *events.Drawn) *string { return &e.Beacon },
	} {
		for i := range len(*field(d, e)) {
			for _, by := range []byte{1, 0x40} {
				d, e := *d, *e
				text := []byte(*field(&d, &e))
				text[i] ^= by
				if *field(&d, &e) = string(text); line.CheckDraw(event, commitment, d, e) == nil {
					t.Errorf("%s, character %d altered: it verifies", name, i)
				}
			}
		}
	}
	if line.CheckDraw("other", commitment, *d, *e) == nil || line.CheckDraw(event, strings.Repeat("0", 64), *d, *e) == nil {
		t.Error("it verifies for another event, or another commitment")
	}
}

// The places of a lobby are a permutation of its arrival numbers, of its own in each lane and draw; who comes later
// keeps the arrival number.
func TestLobby_Places(t *testing.T) {
	t.Parallel()
	_, d, e := drawnLobby()
	lobby, err := line.NewLobby(*d, e.Lobby)
	if err != nil {
		t.Fatal(err)
	}
	if lobby.Sealed() != 8 {
		t.Errorf("sealed at %d", lobby.Sealed())
	}
	for lane, n := range e.Lobby {
		taken, kept := make([]bool, n), 0
		for arrival := range n {
			place := lobby.Place(lane, arrival)
			if place >= n || taken[place] {
				t.Fatalf("lane %q: arrival %d has place %d of %d, which was given already or never is", lane, arrival, place, n)
			}
			if taken[place] = true; place == arrival {
				kept++
			}
		}
		if kept > 8 {
			t.Errorf("lane %q: %d of %d kept their number: it was not drawn", lane, kept, n)
		}
		for _, arrival := range []uint64{n, n + 1, 1 << 50} {
			if place := lobby.Place(lane, arrival); place != arrival {
				t.Errorf("lane %q: the later arrival %d has place %d", lane, arrival, place)
			}
		}
	}
	if place := lobby.Place("empty", 4); place != 4 {
		t.Errorf("in a lane that nobody had joined: arrival 4 has place %d", place)
	}
	if like, err := line.NewLobby(*d, map[string]uint64{"": 30, "presale": 30}); err != nil || order(like, "") == order(like, "presale") {
		t.Errorf("two lanes with as many fans have the same order: %v", err)
	}
	other := *d
	other.Seed = strings.Repeat("7", 64)
	if again, err := line.NewLobby(other, e.Lobby); err != nil || order(again, "") == order(lobby, "") {
		t.Errorf("two draws have the same order: %v", err)
	}
}

// order is the places of a lane's first few.
func order(l *line.Lobby, lane string) string {
	var places []uint64
	for arrival := range uint64(20) {
		places = append(places, l.Place(lane, arrival)%30)
	}
	return fmt.Sprint(places)
}

func TestNewLobby_Refuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		seed   string
		joined uint64
	}{
		"no seed": {"", 5}, "a short seed": {"ab", 5}, "no hash": {strings.Repeat("x", 64), 5}, "too many": {strings.Repeat("0", 64), draw.MaxJoins + 1},
	} {
		if _, err := line.NewLobby(events.Draw{Sealed: 1, Seed: c.seed}, map[string]uint64{"": c.joined}); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}
