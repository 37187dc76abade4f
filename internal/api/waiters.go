package api

import (
	"sync"

	"github.com/google/uuid"

	"onsale/internal/sale"
)

// waiters are the requests that wait for an order to be decided.
type waiters struct {
	mu      sync.Mutex
	byOrder map[uuid.UUID]map[chan outcome]struct{}
}

func newWaiters() *waiters {
	return &waiters{byOrder: map[uuid.UUID]map[chan outcome]struct{}{}}
}

// outcome is what was told of an order. A zero one says that there is more to read in Postgres.
type outcome struct {
	status sale.OrderStatus
	reason string
}

// add registers a waiter. Its channel gets the first thing that is told of the order; forget must be called in
// the end.
func (w *waiters) add(order uuid.UUID) (woken <-chan outcome, forget func()) {
	c := make(chan outcome, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byOrder[order] == nil {
		w.byOrder[order] = map[chan outcome]struct{}{}
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
func (w *waiters) wake(order uuid.UUID, o outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.byOrder[order] {
		select {
		case c <- o:
		default:
		}
	}
}
