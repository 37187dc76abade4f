package crowd

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// visit gives one fan of a sale that consists of a handler.
func visit(t *testing.T, handler http.HandlerFunc) *fan {
	t.Helper()
	p := newPipes()
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = p
	server.Start()
	c := newCrowd(Config{BaseURL: server.URL, EventID: "show", Fans: 1, dial: p.dial}.withDefaults())
	t.Cleanup(server.Close)
	t.Cleanup(c.client.http.CloseIdleConnections)
	return newFan(c, 0)
}

func TestClientStaysAwayAsLongAsItIsTold(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var calls atomic.Int64
				f := visit(t, func(w http.ResponseWriter, _ *http.Request) {
					if calls.Add(1) == 1 {
						w.Header().Set("Retry-After", "20")
						refuse(w, status, "overloaded", nil)
						return
					}
					reply(w, http.StatusOK, map[string]any{"state": "open"})
				})
				started := time.Now()
				got, a, err := send[queueStatus](t.Context(), f.crowd.client, f.crowd.queueRequest())
				if err != nil || !a.ok() || got.State != "open" || a.unsure != (status == http.StatusServiceUnavailable) {
					t.Fatalf("send = %+v, %+v, %v", got, a, err)
				}
				if took := time.Since(started); took < 20*time.Second || took > 30*time.Second {
					t.Errorf("it came back after %s", took)
				}
			})
		})
	}
}

func TestClientTimesTheServerAndNotItsOwnQueue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := visit(t, func(w http.ResponseWriter, r *http.Request) {
			pause(r, 2*time.Second)
			reply(w, http.StatusOK, map[string]any{})
		})
		c := f.crowd
		for range maxInsideConns { // all connections are taken for three seconds
			c.client.inside <- struct{}{}
		}
		time.AfterFunc(3*time.Second, func() {
			for range maxInsideConns {
				<-c.client.inside
			}
		})
		if _, _, err := send[queueStatus](t.Context(), c.client, c.queueRequest()); err != nil {
			t.Fatal(err)
		}
		want := map[string]time.Duration{callSlot.String(): 3 * time.Second, callQueue.String(): 2 * time.Second}
		for _, got := range c.meter.stats() {
			if w := want[got.Call]; got.Count != 1 || got.P50 < w*98/100 || got.P50 > w*102/100 {
				t.Errorf("%s took %s, want about %s", got.Call, got.P50, w)
			}
			delete(want, got.Call)
		}
		if len(want) != 0 {
			t.Errorf("%v was not timed", want)
		}
	})
}

// When the answer to a join was lost, the session may have two places for a moment, of which the lowest
// counts; another ticket is then no breach.
func TestJoinAfterLostAnswerMayGiveAnotherTicket(t *testing.T) {
	for name, lost := range map[string]bool{"lost": true, "answered": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var calls atomic.Int64
				f := visit(t, func(w http.ResponseWriter, _ *http.Request) {
					n := calls.Add(1)
					if n == 1 && lost {
						hangUp(w)
						return
					}
					reply(w, http.StatusCreated, map[string]any{"ticket": string(rune('a' + n)), "state": stateWaiting, "position": 5})
				})
				for range 2 {
					if err := f.join(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if lost {
					wantViolations(t, f.crowd.ledger)
				} else {
					wantViolations(t, f.crowd.ledger, "gave another ticket")
				}
			})
		})
	}
}
