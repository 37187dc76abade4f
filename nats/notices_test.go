package nats

import (
	"context"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"onsale/internal/testenv"
)

// heard collects the notices of a subject, from when it returns.
func heard(t *testing.T, c *Client, subject string) func() []string {
	t.Helper()
	var mu sync.Mutex
	var all []string
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- c.Listen(ctx, subject, func() { close(ready) }, func(data []byte) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, string(data))
		})
	}()
	<-ready
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), all...)
	}
}

func TestNotify_IsHeardByAllOthersWhoListen(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	from, to := dial(t, url), dial(t, url)
	own, others, narrow := heard(t, from, "notices.*.seats"), heard(t, to, "notices.*.seats"), heard(t, to, "notices.b.seats")
	for _, n := range []string{"a 1", "b 2", "a 3"} {
		if err := from.Notify("notices."+n[:1]+".seats", []byte(n)); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Eventually(t, "all hear", func() bool { return len(others()) == 3 && len(narrow()) == 1 })
	same(t, []string{"a 1", "b 2", "a 3"}, others())
	same(t, []string{"b 2"}, narrow())
	if err := to.Notify("notices.a.seats", []byte("a 4")); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the first hears too", func() bool { return len(own()) > 0 })
	same(t, []string{"a 4"}, own()) // and never heard itself
}

// A notice that can't be sent now is not sent later.
func TestNotify_FailsWhileDisconnected(t *testing.T) {
	t.Parallel()
	c := dial(t, testenv.NATS(t))
	c.Close()
	testenv.Eventually(t, "disconnected", func() bool { return c.conn.Status() == nats.CLOSED })
	if err := c.Notify("notices.a.seats", nil); err == nil {
		t.Error("a notice went out without a connection")
	}
	if err := c.Listen(t.Context(), "notices.a.seats", func() {}, func([]byte) {}); err == nil {
		t.Error("nobody could hear")
	}
}
