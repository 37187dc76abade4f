package nats

import (
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"onsale/events"
	"onsale/internal/testenv"
)

func TestStreamsAreMadeAsTheyMustBe(t *testing.T) {
	t.Parallel()
	c := connect(t)
	if err := c.EnsureLine(t.Context(), "show"); err != nil {
		t.Fatal(err)
	}
	subjects := map[string]string{events.Admissions: "admission.*", events.Turns: "turn.*.*", events.Checkouts: "checkout.*.requested", events.Payments: "payment.*.*",
		events.Orders: "order.*.*", events.Stripe: "stripe.>", events.Dead: "dead.*", events.Line("show"): "line.show.>"}
	n := 0
	for info := range c.js.ListStreams(t.Context()).Info() {
		n++
		cfg := info.Config
		if cfg.Subjects[0] != subjects[cfg.Name] {
			t.Errorf("%s has subjects %v", cfg.Name, cfg.Subjects)
		}
		if cfg.Storage != jetstream.FileStorage || cfg.Retention != jetstream.LimitsPolicy || !cfg.DenyDelete || !cfg.DenyPurge ||
			cfg.Duplicates < time.Hour || cfg.Replicas != 1 || cfg.MaxMsgs != -1 || cfg.MaxBytes != -1 || cfg.MaxAge != 0 || cfg.MaxMsgSize != MaxMessageSize {
			t.Errorf("%s: %+v", cfg.Name, cfg)
		}
		if s, err := c.js.Stream(t.Context(), cfg.Name); err != nil || s.Purge(t.Context()) == nil {
			t.Errorf("%s can be purged (%v)", cfg.Name, err)
		}
	}
	if n != len(subjects) {
		t.Errorf("%d streams", n)
	}
	publish(t, c, events.JoinedSubject("show"), "", "x")
	if s, err := c.js.Stream(t.Context(), events.Line("show")); err != nil || s.DeleteMsg(t.Context(), 1) == nil {
		t.Errorf("a message of the line can be deleted (%v)", err)
	}
}

// TestStreamsAreMadeOnceByMany is what several services that start together do.
func TestStreamsAreMadeOnceByMany(t *testing.T) {
	t.Parallel()
	c := dial(t, testenv.NATS(t))
	ensure := func() {
		if err := c.EnsureStreams(t.Context()); err != nil {
			t.Error(err)
		}
		if err := c.EnsureLine(t.Context(), "show"); err != nil {
			t.Error(err)
		}
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(ensure)
	}
	all.Wait()
	epoch, err := c.LineEpoch(t.Context(), "show")
	if err != nil {
		t.Fatal(err)
	}
	publish(t, c, events.CheckoutSubject("show"), "1", "kept")
	ensure()
	if again, err := c.LineEpoch(t.Context(), "show"); err != nil || again != epoch {
		t.Errorf("the line was made anew: %d, then %d (%v)", epoch, again, err)
	}
	if n := messages(t, c, events.Checkouts); n != 1 {
		t.Errorf("%d messages are left", n)
	}
}

// TestSettingsOfAnOperatorStay: what was changed by hand is not changed back.
func TestSettingsOfAnOperatorStay(t *testing.T) {
	t.Parallel()
	c := connect(t)
	s, err := c.js.Stream(t.Context(), events.Orders)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.Duplicates = 5 * time.Hour
	if _, err := c.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err = c.js.Stream(t.Context(), events.Orders); err != nil || s.CachedInfo().Config.Duplicates != 5*time.Hour {
		t.Errorf("now %+v (%v)", s.CachedInfo().Config, err)
	}
}

func TestReplicasComeFromTheConfig(t *testing.T) {
	t.Parallel()
	c := dial(t, testenv.NATS(t))
	c.replicas = 3 // one server can't have them, and says so
	if err := c.EnsureStreams(t.Context()); err == nil {
		t.Error("three replicas on one server")
	}
}

func TestLineEpochIsTheLinesOwn(t *testing.T) {
	t.Parallel()
	c := connect(t)
	if _, err := c.LineEpoch(t.Context(), "show"); err == nil {
		t.Error("a line that isn't there has an epoch")
	}
	epochs := map[uint64]bool{}
	for range 3 {
		before := time.Now()
		if err := c.EnsureLine(t.Context(), "show"); err != nil {
			t.Fatal(err)
		}
		epoch, err := c.LineEpoch(t.Context(), "show")
		if err != nil || epochs[epoch] || time.Unix(0, int64(epoch)).Before(before) || time.Unix(0, int64(epoch)).After(time.Now()) {
			t.Errorf("epoch %d (%v)", epoch, err)
		}
		epochs[epoch] = true
		if err := c.js.DeleteStream(t.Context(), events.Line("show")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheckNeedsTheServer(t *testing.T) {
	t.Parallel()
	server := testenv.NATSServer(t)
	c := dial(t, server.URL)
	if err := c.Check(t.Context()); err != nil {
		t.Error(err)
	}
	server.Stop()
	if err := c.Check(t.Context()); err == nil {
		t.Error("it is well without its server")
	}
	server.Start()
	testenv.Eventually(t, "the connection heals", func() bool { return c.Check(t.Context()) == nil })
}
