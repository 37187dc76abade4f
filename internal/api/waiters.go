package api

import (
	"sync"

	"github.com/google/uuid"
)

// waiters are the requests that wait for an order to be decided.
type waiters struct {
	mu      sync.Mutex
	byOrder map[uuid.UUID]map[chan struct{}]struct{}
}

func newWaiters() *waiters {
	return &waiters{byOrder: map[uuid.UUID]map[chan struct{}]struct{}{}}
}

// add registers a waiter. Its channel gets a value, at least one, when something was told of the order; forget
// must be called in the end.
func (w *waiters) add(order uuid.UUID) (woken <-chan struct{}, forget func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byOrder[order] == nil {
		w.byOrder[order] = map[chan struct{}]struct{}{}
	}
	w.byOrder[order][c] = struct{}{}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.byOrder[order], c)
		if len(w.byOrder[order]) == 0 {
			delete(w.byOrder, order)
		}
	}
}

// wake tells all who wait for an order.
func (w *waiters) wake(order uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.byOrder[order] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
