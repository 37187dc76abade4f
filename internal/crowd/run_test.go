package crowd

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a network in memory: inside a synctest bubble a goroutine that waits for it is known to wait,
// so that a run of minutes takes as long as its work.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	down   atomic.Bool // refuses connections, as a host does whose server is away
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if p.down.Load() {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve starts the sale on a network in memory and returns a configuration of a crowd for it.
func serve(t *testing.T, s *testSale) (Config, *httptest.Server, *pipes) {
	t.Helper()
	p := newPipes()
	server := httptest.NewUnstartedServer(s.handler())
	server.Listener.Close()
	server.Listener = p
	server.Start()
	t.Cleanup(server.Close)
	return Config{BaseURL: server.URL, EventID: "show", Fans: 150, Spread: 10 * time.Second,
		Limit: 30 * time.Minute, Seed: 7, dial: p.dial}, server, p
}

// inBubble runs a test on virtual time.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, test)
}

func run(t *testing.T, cfg Config) Summary {
	t.Helper()
	got, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	return got
}

// agree checks that the crowd and the sale tell the same story, with nothing to complain of.
func agree(t *testing.T, s *testSale, got Summary) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	confirmed := 0
	for _, o := range s.orders {
		if o.status == orderConfirmed {
			confirmed++
		}
	}
	if got.Violations.Count != 0 || got.LimitReached || got.Count(Refused)+got.Count(Unsettled)+got.Count(OutOfTime) != 0 {
		t.Fatalf("an honest sale is complained of:\n%s", got)
	}
	if int(got.Joined) != len(s.sessions) || got.OrdersAccepted != len(s.orders) ||
		got.OrdersConfirmed != confirmed || got.SeatsConfirmed != len(s.sold) {
		t.Fatalf("the sale has %d sessions, %d orders, %d confirmed, %d seats sold; the crowd says:\n%s",
			len(s.sessions), len(s.orders), confirmed, len(s.sold), got)
	}
	if got.Count(Bought) == 0 {
		t.Fatalf("nobody bought:\n%s", got)
	}
}

func TestRunSellsOut(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newTestSale(5, 20)
		cfg, _, _ := serve(t, s)
		cfg.Authenticate = func(_ context.Context, intent string) error { return s.authenticate(intent) }
		got := run(t, cfg)
		agree(t, s, got)
		if len(s.sold) != len(s.seats) || got.Count(SoldOut) == 0 {
			t.Errorf("%d of %d seats are sold:\n%s", len(s.sold), len(s.seats), got)
		}
	})
}

func TestRunEveryBehaviourEndsAsItMeansTo(t *testing.T) {
	ends := map[Behaviour]Outcome{Buyer: Bought, Refresher: Bought, LeavesLine: LeftLine, LeavesHold: LeftHold,
		Releaser: Bought, DeclinedFirst: Bought, OutOfFunds: NotPaid, Retrier: Bought, Fighter: Bought, Authenticator: Bought}
	for b, want := range ends {
		t.Run(string(b), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := newTestSale(20, 20)
				cfg, _, _ := serve(t, s)
				cfg.Fans, cfg.Mix = 40, Mix{b: 1}
				cfg.Authenticate = func(_ context.Context, intent string) error { return s.authenticate(intent) }
				got := run(t, cfg)
				if got.Outcomes[b][want] != cfg.Fans || got.Violations.Count != 0 {
					t.Fatalf("not all ended as %s:\n%s", want, got)
				}
				if want == Bought {
					agree(t, s, got)
				}
			})
		})
	}
}

func TestRunWalksAwayFromChallengeWithoutBank(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		cfg, _, _ := serve(t, newTestSale(5, 20))
		cfg.Fans, cfg.Mix = 10, Mix{Authenticator: 1}
		if got := run(t, cfg); got.Count(WalkedAway) != 10 || got.Violations.Count != 0 {
			t.Fatalf("not all walked away:\n%s", got)
		}
	})
}

// Whatever is lost on the way, what the sale has accepted is known to the crowd.
func TestRunForgetsNothing(t *testing.T) {
	for name, f := range map[string]faults{
		"resets":    {resetEvery: 5},
		"throttles": {throttleEvery: 3},
		"slow":      {slowEvery: 40},
		"all":       {resetEvery: 7, throttleEvery: 11, slowEvery: 61},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := newTestSale(8, 20)
				s.faults, s.passTTL = f, 5*time.Second
				cfg, _, _ := serve(t, s)
				cfg.Fans = 100
				cfg.Authenticate = func(_ context.Context, intent string) error { return s.authenticate(intent) }
				got := run(t, cfg)
				agree(t, s, got)
				if f.throttleEvery > 0 && got.Throttled == 0 || f.resetEvery+f.slowEvery > 0 && got.Failed == 0 {
					t.Errorf("the faults left no trace:\n%s", got)
				}
			})
		})
	}
}

// A fan whose checkout was lost, and who then can't ask for it, does not know; that is never told as if
// nothing had been accepted.
func TestRunTellsWhatItCanNotKnow(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newTestSale(2, 10)
		s.faults = faults{loseCheckouts: true, shutInside: true}
		s.passTTL = time.Second
		cfg, _, _ := serve(t, s)
		cfg.Fans, cfg.Mix = 40, Mix{Buyer: 1}
		got := run(t, cfg)
		if got.Violations.Count != 0 || len(s.orders) == 0 || got.OrdersAccepted != 0 || got.Count(Unsettled) != len(s.orders) {
			t.Fatalf("the sale has %d orders, the crowd says:\n%s", len(s.orders), got)
		}
	})
}

func TestRunSurvivesRestarts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newTestSale(8, 20)
		cfg, server, network := serve(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		var chaos sync.WaitGroup
		chaos.Go(func() {
			for sleep(ctx, 2*time.Second) == nil {
				network.down.Store(true)
				server.CloseClientConnections()
				_ = sleep(ctx, 4*time.Second)
				network.down.Store(false)
			}
		})
		got := run(t, cfg)
		cancel()
		chaos.Wait()
		agree(t, s, got)
		if got.Refusals["position connection"] == 0 {
			t.Errorf("the restarts left no trace:\n%s", got)
		}
	})
}

func TestRunWaitsInLobby(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newTestSale(8, 20)
		s.opensAt = time.Now().Add(20 * time.Second)
		cfg, _, _ := serve(t, s)
		agree(t, s, run(t, cfg))
	})
}

func TestRunReportsLies(t *testing.T) {
	for want, lie := range map[string]struct {
		faults
		mix Mix
	}{
		"is sold twice":                     {faults{sellTwice: true}, Mix{Buyer: 1}},
		"place got worse":                   {faults{worsenPlace: true}, Mix{Buyer: 1}},
		"position is null while waiting":    {faults{nullPlace: true}, Mix{Buyer: 1}},
		"was accepted and is not found":     {faults{forgetOrders: true}, Mix{Buyer: 1}},
		"is confirmed without seats":        {faults{emptyOrders: true}, Mix{Buyer: 1}},
		"one idempotency key gave orders":   {faults{newOrderEachTime: true}, Mix{Retrier: 1}},
		"gave another ticket":               {faults{otherTicket: true}, Mix{Refresher: 1}},
		"its card is always declined":       {faults{declinedPays: true}, Mix{DeclinedFirst: 1}},
		"was released and is still there":   {faults{keepHolds: true}, Mix{Releaser: 1}},
		"is confirmed for an amount":        {faults{changeAmount: true}, Mix{Buyer: 1}},
		"admitted without a pass":           {faults{noPass: true}, Mix{Buyer: 1}},
		"was admitted, then told to wait":   {faults{sendBack: true}, Mix{Buyer: 1}},
		"was confirmed and became rejected": {faults{unconfirm: true}, Mix{Buyer: 1}},
		"is refused: bad_ticket":            {faults{refuseTicket: true}, Mix{Buyer: 1}},
		"eta lies outside its own interval": {faults{noETA: true}, Mix{Buyer: 1}},
	} {
		t.Run(want, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := newTestSale(3, 10)
				s.faults, s.rate = lie.faults, 5
				if lie.sendBack {
					s.passTTL = 500 * time.Millisecond // so that it has to ask for another
				}
				cfg, _, _ := serve(t, s)
				cfg.Fans, cfg.Mix, cfg.Limit = 40, lie.mix, time.Minute
				got := run(t, cfg)
				if got.Violations.Count == 0 || !strings.Contains(strings.Join(got.Violations.Texts, "\n"), want) {
					t.Fatalf("no violation says %q:\n%s", want, got)
				}
			})
		})
	}
}

func TestRunStopsAtLimit(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newTestSale(3, 10)
		s.opensAt = time.Now().Add(time.Hour)
		cfg, _, _ := serve(t, s)
		cfg.Fans, cfg.Limit = 50, time.Minute
		got := run(t, cfg)
		if !got.LimitReached || got.Count(OutOfTime)+got.Count(LeftLine) != cfg.Fans || got.Elapsed != time.Minute {
			t.Fatalf("the limit is not what stopped it:\n%s", got)
		}
	})
}

func TestRunOrderWithoutOutcomeIsUnsettled(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newTestSale(3, 10)
		s.payTime = time.Hour
		cfg, _, _ := serve(t, s)
		cfg.Fans, cfg.Mix, cfg.Limit = 5, Mix{Buyer: 1}, 2*time.Minute
		if got := run(t, cfg); got.Count(Unsettled) != 5 || got.OrdersAccepted != 5 || got.OrdersConfirmed != 0 {
			t.Fatalf("open orders are not told:\n%s", got)
		}
	})
}

// An order whose outcome comes only after the limit is found by the last look.
func TestRunRechecksOpenOrders(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newTestSale(3, 10)
		s.payTime, s.passTTL = time.Minute, time.Hour
		cfg, _, _ := serve(t, s)
		cfg.Fans, cfg.Mix, cfg.Limit, cfg.Spread = 5, Mix{Buyer: 1}, 30*time.Second, time.Second
		first := run(t, cfg)
		if first.Count(Unsettled) != 5 {
			t.Fatalf("not all are open at the limit:\n%s", first)
		}
		c := newCrowd(cfg.withDefaults())
		defer c.client.http.CloseIdleConnections()
		f := newFan(c, 0)
		for _, o := range s.orders {
			f.session, f.ticket, f.outcome = o.session, o.session, Unsettled
			f.owed, _ = c.ledger.accept(f, hold{ID: o.hold.id, Seats: o.seats}, o.method, o.id)
			break
		}
		if err := sleep(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		c.recheck(t.Context())
		if f.outcome != Bought || f.owed != nil {
			t.Fatalf("after the last look the fan's outcome is %s", f.outcome)
		}
	})
}

func TestRunCanceled(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		cfg, _, _ := serve(t, newTestSale(3, 10))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		got, err := Run(ctx, cfg)
		if !errors.Is(err, context.DeadlineExceeded) || got.Joined == 0 || got.LimitReached {
			t.Fatalf("Run = %v, %v", got, err)
		}
	})
}

func TestRunUnknownEvent(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		cfg, _, _ := serve(t, newTestSale(3, 10))
		cfg.EventID = "another"
		if _, err := Run(t.Context(), cfg); !errors.Is(err, ErrNoSuchEvent) {
			t.Fatalf("Run = %v, want %v", err, ErrNoSuchEvent)
		}
	})
}

// Where no sale answers, the run ends soon and says where it looked.
func TestRunWithoutASale(t *testing.T) {
	for name, setUp := range map[string]func(cfg *Config, p *pipes){
		"down":   func(_ *Config, p *pipes) { p.down.Store(true) },
		"silent": func(cfg *Config, _ *pipes) { cfg.dial = newPipes().dial }, // which nobody accepts from
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				cfg, server, p := serve(t, newTestSale(3, 10))
				setUp(&cfg, p)
				started := time.Now()
				_, err := Run(t.Context(), cfg)
				if err == nil || !strings.Contains(err.Error(), "reach the sale at "+server.URL) {
					t.Errorf("Run = %v, which does not name %s", err, server.URL)
				}
				if took := time.Since(started); took > preflightLimit {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// The same over real sockets and real time, to see the transport as it is.
func TestRunOverTCP(t *testing.T) {
	t.Parallel()
	s := newTestSale(10, 20)
	s.rate, s.resetEvery = 1000, 29
	server := httptest.NewServer(s.handler())
	defer server.Close()
	var log strings.Builder
	got := run(t, Config{BaseURL: server.URL + "/", EventID: "show", Fans: 40, Spread: 200 * time.Millisecond,
		Limit: time.Minute, Mix: Mix{Buyer: 3, Retrier: 1}, Out: &log})
	agree(t, s, got)
	if !strings.Contains(log.String(), "violations 0") {
		t.Errorf("progress is %q", log.String())
	}
	if tr, ok := newClient(Config{}, newMeter()).http.Transport.(*http.Transport); !ok || tr.MaxConnsPerHost != maxConns {
		t.Error("the connections to a host are not bounded")
	}
}
