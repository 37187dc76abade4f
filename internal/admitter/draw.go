package admitter

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"onsale/events"
	"onsale/internal/line"
	"onsale/internal/sale"
)

// drawEvery is how often a draw is tried that waits for its beacon, or for a store.
const drawEvery = time.Second

// prepareDraw seals a lobby that is to open, draws it once the seal has come back with the stream, and, wherever the
// log already has a draw, takes note of it. The seal is durable before anything follows from it, and there is only
// one: its append is conditional. All admitters compute the same draw from it; the first to append its record wins.
func (g *gate) prepareDraw(ctx context.Context, want line.Control) error {
	if g.last != nil && g.last.Draw != nil {
		return g.know(*g.last.Draw)
	}
	if g.last != nil && g.last.State != sale.Lobby {
		g.knowUndrawn()
		return nil
	}
	opening := g.last != nil && g.last.State == sale.Lobby && want.State != sale.Lobby && want.State != sale.Closed
	now := g.Now()
	if !opening || g.draw != nil || now.Sub(g.drawTry) < drawEvery {
		return nil
	}
	sealed, err := g.seal(ctx, want)
	if err != nil || !sealed {
		return err // the seal is on its way back to us: the next tick sees it
	}
	g.drawTry = now
	beacon, err := g.beacon(ctx, want.Beacon)
	if err != nil {
		g.log.Warn("the draw waits for its beacon; the lobby stays as it is", "beacon", want.Beacon, "error", err)
		return nil
	}
	if g.draw, g.drawn, err = g.evidence(want, beacon); err != nil {
		g.log.Error("draw the lobby; the sale stays in its lobby", "error", err)
	}
	return nil
}

// seal appends the seal, unless it is there; false until it has been read back.
func (g *gate) seal(ctx context.Context, want line.Control) (bool, error) {
	g.mu.Lock()
	sealed := g.sealed
	g.mu.Unlock()
	if sealed > 0 || g.sealSent {
		return sealed > 0, nil
	}
	var none uint64
	bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := g.Streams.Publish(bounded, events.Outgoing{Subject: events.SealedSubject(g.eventID), ExpectLast: &none, Data: events.Encode(events.Sealed{
		V: events.Version, EventID: g.eventID, Secret: hex.EncodeToString(want.Secret[:]), At: g.Now().UTC(),
	})})
	if err != nil && sale.CodeOf(err) != "fenced" {
		return false, fmt.Errorf("seal the lobby: %w", err)
	}
	g.sealSent = true // by us or by another
	g.log.Info("the lobby is sealed")
	return false, nil
}

// beacon is the public random value that the draw waits for; none where the event named none.
func (g *gate) beacon(ctx context.Context, name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	if g.Beacon == nil {
		return nil, fmt.Errorf("this admitter knows no beacon: set --beacon-url")
	}
	bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return g.Beacon.Value(bounded, name)
}
