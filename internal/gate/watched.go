package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"onsale/internal/sale"
)

// errClosed refuses what the api answers with a conflict: gateways know of no other refusals than 401 and 403.
var errClosed = sale.Errorf(sale.Forbidden, "sale_closed", "the sale is over")

// watched is a sale whose state is followed.
type watched struct {
	ask   func() ([]byte, error)
	log   *slog.Logger
	state atomic.Pointer[sale.State] // the last known
}

// follow asks for the state at intervals. Closed is for good: nothing is asked after it, and a node of the api that
// has not heard of it yet can't open the sale again.
func (w *watched) follow(ctx context.Context, interval time.Duration) {
	away := false
	every(ctx, func() (time.Duration, bool) {
		state, err := w.read()
		if err != nil {
			if !away && ctx.Err() == nil {
				w.log.Warn("state of the sale can't be had; the last one stays", "known", w.state.Load() != nil, "error", err)
			}
			away = true
			return interval, false
		}
		away = false
		if was := w.state.Swap(&state); was == nil || *was != state {
			w.log.Info("state of the sale", "state", string(state))
		}
		return interval, state == sale.Closed
	})
}

func (w *watched) read() (sale.State, error) {
	raw, err := w.ask()
	if err != nil {
		return "", err
	}
	var queue struct {
		State sale.State `json:"state"`
	}
	if err := json.Unmarshal(raw, &queue); err != nil {
		return "", fmt.Errorf("read the queue: %w", err)
	}
	if queue.State == "" {
		return "", errors.New("read the queue: it has no state")
	}
	return queue.State, nil
}

// admits says whether the sale lets anyone in: nil, errClosed, or errNotReady where nothing is known yet.
func (w *watched) admits() error {
	switch state := w.state.Load(); {
	case state == nil:
		return errNotReady
	case *state == sale.Closed:
		return errClosed
	}
	return nil
}
