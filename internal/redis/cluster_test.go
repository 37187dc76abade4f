package redis

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"onsale/internal/line"
	"onsale/internal/sale"
	"onsale/internal/stack"
)

// TestOnACluster runs every script against three real masters, of Redis and of Valkey where this machine has both. It
// has many events, so that all masters have some.
func TestOnACluster(t *testing.T) {
	t.Parallel()
	ran := 0
	for _, name := range []string{"redis-server", "valkey-server"} {
		program, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		ran++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := clusterOf(t, program)
			t.Run("holds", func(t *testing.T) { holdsOnACluster(t, c) })
			t.Run("holds of many events at once", func(t *testing.T) { takeAllOnACluster(t, c) })
			t.Run("places", func(t *testing.T) { placesOnACluster(t, c) })
		})
	}
	if ran == 0 {
		t.Fatal("no redis-server or valkey-server on this machine: run scripts/setup")
	}
}

func clusterOf(t *testing.T, program string) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "onsale-cluster-") // which the servers' account can pass through
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	server, err := stack.StartRedisCluster(t.Context(), stack.Config{Dir: filepath.Join(dir, "data")}, program)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, err := range []error{c.Close(), server.Close(), os.RemoveAll(dir)} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return c
}

// clusterEvents are events whose keys are on all masters: with so many, it would take a miracle that one has none.
func clusterEvents() []string {
	events := make([]string, 40)
	for i := range events {
		events[i] = fmt.Sprintf("show-%d", i)
	}
	return events
}

func holdsOnACluster(t *testing.T, c *Client) {
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, event := range clusterEvents() {
		h, err := c.Take(ctx, event, fan(1), []string{"A-2", "A-1"}, time.Minute)
		must(err)
		if _, err := c.Take(ctx, event, fan(2), []string{"A-2", "A-3"}, time.Minute); takenSeats(t, err) == nil {
			t.Fatalf("%s: a seat was taken twice", event)
		}
		order := uuid.New()
		must(bind(ctx, c, h, order, [32]byte{1}, long, ""))
		if ok, err := c.Extend(ctx, h.EventID, h.Session, h.ID, order, 2*long); err != nil || !ok {
			t.Fatalf("%s: extended %v, %v", event, ok, err)
		}
		found, err := c.Find(ctx, event, h.Session, h.ID)
		must(err)
		if found.Order != order.String() || time.Until(found.ExpiresAt) < long {
			t.Errorf("%s: found %+v", event, found)
		}
		other, err := c.Take(ctx, event, fan(3), []string{"A-4"}, time.Minute)
		must(err)
		must(c.Release(ctx, other.EventID, other.Session, other.ID, ""))
		must(c.MarkSold(ctx, event, fan(1), h.ID, order, h.Seats))
		states, err := c.SeatStates(ctx, event, seats(1, 5))
		must(err)
		if diff := cmp.Diff([]sale.SeatState{{Sold: order.String()}, {Sold: order.String()}, {}, {}}, states); diff != "" {
			t.Errorf("%s: %s", event, diff)
		}
		must(c.MarkVoided(ctx, event, fan(1), order, h.Seats))
		if left, err := c.SeatKeys(ctx, event); err != nil || len(left) != 0 {
			t.Errorf("%s: left %+v, %v", event, left, err)
		}
	}
	must(c.c.(*redis.ClusterClient).ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		n, err := node.DBSize(ctx).Result()
		if n == 0 {
			t.Errorf("%s has no key: this proves nothing", node.Options().Addr)
		}
		return err
	}))
}

func takeAllOnACluster(t *testing.T, c *Client) {
	var wanted []sale.Wanted
	for _, event := range clusterEvents() {
		wanted = append(wanted, sale.Wanted{EventID: event, Session: fan(7), Seats: []string{"B-1", "B-2"}, TTL: long},
			sale.Wanted{EventID: event, Session: fan(8), Seats: []string{"B-2", "B-3"}, TTL: long})
	}
	all, err := c.TakeAll(t.Context(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	claims := make([]sale.Claim, 0, len(wanted))
	for i, got := range all {
		if i%2 == 0 && got.Err != nil {
			t.Errorf("%s: %v", wanted[i].EventID, got.Err)
		}
		if i%2 == 1 && takenSeats(t, got.Err) == nil {
			t.Errorf("%s: a seat was taken twice", wanted[i].EventID)
		}
		claims = append(claims, sale.Claim{EventID: wanted[i].EventID, Hold: uuid.New(), Seats: []string{"B-1"}})
	}
	held, err := c.HeldByOthers(t.Context(), claims)
	if err != nil {
		t.Fatal(err)
	}
	for i := range held {
		if len(held[i]) != 1 {
			t.Errorf("%s: held %v", claims[i].EventID, held[i])
		}
	}
}

func placesOnACluster(t *testing.T, c *Client) {
	for _, event := range clusterEvents() {
		k := line.Key{EventID: event, Epoch: 7}
		ticket := line.Ticket{Epoch: 7, Sequence: 3, Index: 4, Session: fan(1)}
		if err := c.Remember(t.Context(), k, []line.Ticket{ticket}); err != nil {
			t.Fatal(err)
		}
		found, err := c.Recall(t.Context(), k, []sale.SessionHash{fan(1), fan(2)})
		if err != nil || found[0] == nil || *found[0] != ticket || found[1] != nil {
			t.Errorf("%s: recalled %v, %v", event, found, err)
		}
		if err := c.Forget(t.Context(), k); err != nil {
			t.Error(err)
		}
	}
	order := uuid.New()
	if err := c.Accept(t.Context(), order, sale.Accepted{EventID: show, Session: fan(1)}); err != nil {
		t.Fatal(err)
	}
	if a, known, err := c.Accepted(t.Context(), order); err != nil || !known || a.EventID != show {
		t.Errorf("accepted %+v, %v, %v", a, known, err)
	}
}
