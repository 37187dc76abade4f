package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"onsale/internal/admin"
	"onsale/internal/crowd"
	"onsale/plans"
)

// openTheatre puts the theatre on sale at a pace, with holds that lapse soon.
func openTheatre(t *testing.T, f *fleet, id string, rate float64) {
	t.Helper()
	r, err := plans.Open("theatre")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	c := admin.Client{URL: f.AdminURL, Token: f.AdminToken}
	err = c.Create(t.Context(), admin.CreateEvent{
		ID: id, Currency: "eur", Rate: rate, HoldTTLSeconds: 6, PaymentWindowSeconds: 6, Plan: raw,
		Prices: map[string]int64{"Premium": 9500, "Stalls": 7500, "First Balcony": 5500, "Second Balcony": 3500},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Move(t.Context(), id, "open"); err != nil {
		t.Fatal(err)
	}
}

// bank lets a challenged buyer pay.
func (f *fleet) bank(ctx context.Context, intent string) error {
	a, err := try("POST", f.StripeURL+"/_double/authenticate/"+intent, map[string]string{"outcome": "success"}, "Authorization", "Bearer "+f.StripeKey)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("the double answered %d: %s", a.status, a.body)
	}
	return err
}

func sendCrowd(t *testing.T, ctx context.Context, f *fleet, event string, fans int, limit time.Duration) crowd.Summary {
	t.Helper()
	s, err := crowd.Run(ctx, crowd.Config{BaseURL: f.BaseURL, EventID: event, Fans: fans, Spread: 10 * time.Second, Limit: limit, Seed: 7, Authenticate: f.bank})
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + s.String())
	for _, v := range s.Violations.Texts {
		t.Error("violation:", v)
	}
	return s
}

// Five thousand fans on the 800-seat theatre, over HTTP, against the four separate binaries.
func TestFiveThousandFansOnFourBinaries(t *testing.T) {
	f := startFleet(t)
	openTheatre(t, f, "premiere", 250)
	s := sendCrowd(t, t.Context(), f, "premiere", 5000, 4*time.Minute)
	if s.LimitReached {
		t.Error("the crowd was not done within its limit")
	}
	r := auditOf(t, f.Local, 30*time.Second)
	mustBeClean(t, r)
	t.Logf("audit: %+v", r)
	if r.Sold != 800 {
		t.Errorf("%d seats are sold, want all 800", r.Sold)
	}
	if r.Confirmed != r.Captured || r.Confirmed != s.OrdersConfirmed {
		t.Errorf("%d orders are confirmed, %d captured, and the crowd knows of %d", r.Confirmed, r.Captured, s.OrdersConfirmed)
	}
	if s.SeatsConfirmed != 800 {
		t.Errorf("the crowd walked away with %d seats, want 800", s.SeatsConfirmed)
	}
}

// Each of the four services is killed, more than once, while a crowd buys; nothing that was accepted is lost.
func TestKillEachServiceDuringACrowd(t *testing.T) {
	f := startFleet(t)
	openTheatre(t, f, "chaos", 120)
	ctx, done := context.WithCancel(t.Context())
	var chaos errgroup.Group
	chaos.Go(func() error {
		rng := rand.New(rand.NewPCG(1, 2))
		tick := time.NewTicker(1500 * time.Millisecond)
		defer tick.Stop()
		for round := 0; round < 2; round++ {
			for _, i := range rng.Perm(len(serviceNames)) {
				select {
				case <-ctx.Done():
					return fmt.Errorf("the crowd was done before every service was killed")
				case <-tick.C:
				}
				f.end(serviceNames[i], syscall.SIGKILL)
				f.start(serviceNames[i])
			}
		}
		return nil
	})
	s := sendCrowd(t, t.Context(), f, "chaos", 2500, 4*time.Minute)
	done()
	if err := chaos.Wait(); err != nil {
		t.Error(err)
	}
	r := auditOf(t, f.Local, 90*time.Second)
	mustBeClean(t, r)
	t.Logf("audit: %+v", r)
	if s.OrdersAccepted == 0 || r.Confirmed != r.Captured {
		t.Errorf("%d orders were accepted; %d confirmed, %d captured", s.OrdersAccepted, r.Confirmed, r.Captured)
	}
	if r.Orders < s.OrdersAccepted {
		t.Errorf("the crowd was promised %d orders, Postgres has %d", s.OrdersAccepted, r.Orders)
	}
}
