package admitter

import (
	"context"
	"time"

	"onsale/events"
)

// listenAgain is after how long listening that can't begin is tried again.
const listenAgain = 500 * time.Millisecond

// listen hears how payments go, until ctx ends.
func (m *manager) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := m.Notices.Listen(ctx, events.PaymentsNoticeSubject, func() {}, m.told); err != nil && ctx.Err() == nil {
			m.Log.Warn("listen to how payments go", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(listenAgain):
			}
		}
	}
}

func (m *manager) told(data []byte) {
	n, err := events.Decode[events.PaymentsNotice](data)
	if err != nil {
		m.Log.Error("read how payments go", "error", err)
		return
	}
	m.payments.Hear(n, m.Now())
}
