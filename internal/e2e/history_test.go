package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"onsale/internal/admin"
	"onsale/internal/testenv"
)

// The sale of a recorded history.
const (
	historySeats    = 8
	historyFans     = 16
	historyCalls    = 3000
	historyTTL      = time.Second      // of a hold
	historyWindow   = 30 * time.Second // what a checkout extends it to: no payment takes so long
	historyDoubt    = 250 * time.Millisecond
	historyOld      = 250 * time.Millisecond // how old a node's knowledge of a held seat may be: goneAge in internal/api
	historyStall    = time.Second            // how long a node that shares its cores may take to note what Redis said
	historyBuyEvery = 400                    // calls; all others who pay are declined
	historyLostBuys = 2                      // buyers who do not wait for their answer
)

// recorder gathers the history of one event, from all its fans.
type recorder struct {
	start time.Time
	calls atomic.Int64

	mu       sync.Mutex
	history  []porcupine.Operation
	became   map[string]int  // calls by what they were and what became of them
	paid     map[string]bool // holds with which a checkout was begun
	lostBuys int
}

func (r *recorder) now() time.Duration { return time.Since(r.start) }

// record adds what became of a call to the history of each of its seats.
func (r *recorder) record(c seatCall, seats []string, became string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.became[c.verb+" "+became]++
	for _, seat := range seats {
		c.seat = seat
		r.history = append(r.history, c.operation(became))
	}
}

// complete is the history, with what is known only afterwards: a hold with which a checkout was begun may have been
// extended by it.
func (r *recorder) complete() []porcupine.Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.history {
		if c := r.history[i].Input.(seatCall); c.verb == callHold && (c.hold == "" || r.paid[c.hold]) {
			c.lapsesUntil = never
			r.history[i].Input = c
		}
	}
	return r.history
}

// shopper is a fan who holds, releases and buys, through both nodes in turn.
type shopper struct {
	visitor
	*recorder
	number int
	nodes  []string
}

// errFate is an answer that does not say what became of the call.
var errFate = errors.New("the outcome is unknown")

// ask makes a call to a node of its choice and records when. A caller with little patience gives up within a
// millisecond or two.
func (s *shopper) ask(c *seatCall, method, path string, body any, impatient bool, headers ...string) (answer, error) {
	patience := 20 * time.Second
	if impatient {
		patience = time.Duration(rand.IntN(1500)) * time.Microsecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	raw, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, method, s.nodes[rand.IntN(len(s.nodes))]+path, bytes.NewReader(raw))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	headers = append(headers, s.headers()...)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	s.calls.Add(1)
	c.session, c.called = s.number, s.now()
	defer func() { c.returned = s.now() }()
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, errFate
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil || a.status >= http.StatusInternalServerError {
		return a, errFate
	}
	_ = json.Unmarshal(a.body, &a.fields) // what isn't an object has no fields
	return a, nil
}

// hold asks for seats and returns the hold's id, "" for none. What it is not told it asks again.
func (s *shopper) hold(t *testing.T, seats []string) string {
	for s.calls.Load() < historyCalls {
		c := seatCall{verb: callHold}
		a, err := s.ask(&c, "POST", "/v1/events/"+s.event+"/holds", map[string]any{"seat_ids": seats, "session": s.session}, rand.IntN(30) == 0)
		c.lapsesFrom, c.lapsesUntil = c.called+historyTTL-historyDoubt, c.returned+historyTTL+historyDoubt
		switch {
		case err != nil:
			s.record(c, seats, becameUnknown)
			continue
		case a.status == http.StatusCreated:
			c.hold = a.text("hold_id")
			s.record(c, seats, becameHeld)
			return c.hold
		case a.text("code") == "seats_taken":
			c.called -= historyOld + historyStall
			var taken []string
			for _, seat := range a.fields["seats"].([]any) {
				taken = append(taken, seat.(string))
			}
			s.record(c, taken, becameRefused)
			<-time.After(time.Duration(rand.IntN(60)) * time.Millisecond) // a node goes on to refuse it for a while
		case a.text("code") == "session_has_hold":
			s.record(c, nil, becameNothing)
			<-time.After(20 * time.Millisecond) // it ends by itself
		default:
			t.Errorf("hold: %d %s", a.status, a.body)
		}
		return ""
	}
	return ""
}

func (s *shopper) release(t *testing.T, hold string, seats []string) {
	c := seatCall{verb: callRelease, hold: hold}
	a, err := s.ask(&c, "DELETE", "/v1/holds/"+hold, nil, rand.IntN(60) == 0)
	switch {
	case err != nil:
		s.record(c, seats, becameUnknown)
	case a.status == http.StatusNoContent:
		s.record(c, seats, becameReleased)
	case a.status == http.StatusNotFound:
		s.record(c, seats, becameGone)
	default:
		t.Errorf("release: %d %s", a.status, a.body)
	}
}

// buy pays with a hold and returns what became of that.
func (s *shopper) buy(t *testing.T, hold string, seats []string, method string, impatient bool) string {
	s.mu.Lock()
	s.paid[hold] = true
	s.mu.Unlock()
	c := seatCall{verb: callBuy, hold: hold}
	key := fmt.Sprint(s.calls.Load(), "-", s.number)
	a, err := s.ask(&c, "POST", "/v1/holds/"+hold+"/checkout",
		map[string]any{"payment": map[string]string{"payment_method": method}, "idempotency_key": key}, impatient, "Prefer", "wait=15")
	c.order, c.lapsesFrom = key+hold, c.called+historyWindow-historyDoubt
	became := becameUnknown
	switch {
	case err != nil, a.text("status") == "processing":
	case a.status == http.StatusAccepted && a.text("status") == "confirmed":
		became = becameSold
	case a.status == http.StatusAccepted && a.text("status") == "payment_failed":
		became = becameDeclined
	case a.status == http.StatusNotFound:
		became = becameGone
	case a.text("code") == "hold_over":
		became = becameReleased
	case a.text("code") == "seats_taken":
		became = becameNothing
	default:
		t.Errorf("checkout: %d %s", a.status, a.body)
	}
	s.record(c, seats, became)
	return became
}

// shop goes on until there were enough calls, or this fan has bought.
func (s *shopper) shop(t *testing.T) {
	for s.calls.Load() < historyCalls {
		first := rand.IntN(historySeats)
		seats := []string{fmt.Sprint("A-", first+1)}
		if rand.IntN(2) == 0 {
			seats = append(seats, fmt.Sprint("A-", (first+1)%historySeats+1))
		}
		hold := s.hold(t, seats)
		if hold == "" {
			continue
		}
		if s.buyer() {
			if became := s.buy(t, hold, seats, "pm_card_visa", s.loses()); became == becameSold || became == becameUnknown {
				return
			}
			continue
		}
		switch n := rand.IntN(20); {
		case n == 0: // walks away
		case n < 3:
			if s.buy(t, hold, seats, "pm_card_chargeDeclined", false) == becameDeclined {
				s.release(t, hold, seats)
			}
		default:
			s.release(t, hold, seats)
		}
	}
}

// buyer says whether it is time that someone buys.
func (r *recorder) buyer() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	due := int(r.calls.Load()/historyBuyEvery) > r.became["due"]
	if due {
		r.became["due"]++
	}
	return due
}

// loses says whether a buyer is not to learn what became of it.
func (r *recorder) loses() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.became["due"]%3 != 0 || r.lostBuys == historyLostBuys {
		return false
	}
	r.lostBuys++
	return true
}

// Fans hold, release, buy and walk away, through two nodes at once, and some answers are lost. Whatever they were told
// must be explained by some order of their calls in which each seat belongs to one at a time.
func TestHistoryOfSeats(t *testing.T) {
	t.Parallel()
	l := together(t)
	const event = "history"
	create(t, l, event, func(e *admin.CreateEvent) {
		e.Rate, e.Plan = 5000, smallPlan(historySeats)
		e.HoldTTLSeconds, e.PaymentWindowSeconds = int(historyTTL/time.Second), int(historyWindow/time.Second)
	})
	move(t, l, event, "open", "open")
	other := runNode(t, l, "api")
	testenv.Eventually(t, "open sale at the second node", func() bool { return queueOf(t, other.base, event).State == "open" })
	r := &recorder{start: time.Now(), became: map[string]int{}, paid: map[string]bool{}}
	var fans []*shopper
	for i := range historyFans {
		fans = append(fans, &shopper{visitor: letIn(t, l, event), recorder: r, number: i, nodes: []string{l.BaseURL, other.base}})
	}
	var shopping sync.WaitGroup
	for _, s := range fans {
		shopping.Go(func() { s.shop(t) })
	}
	shopping.Wait()
	history := r.complete()
	t.Logf("%d calls in %s: %v", r.calls.Load(), r.now().Round(time.Millisecond), r.became)
	began := time.Now()
	result, info := porcupine.CheckOperationsVerbose(seatModel.ToModel(), history, 2*time.Minute)
	t.Logf("%d operations checked in %s", len(history), time.Since(began).Round(time.Millisecond))
	if result != porcupine.Ok {
		path := t.ArtifactDir() + "/history.html"
		t.Errorf("no order of the calls explains the answers (%s): see %s, which go test -artifacts keeps (%v)", result, path, porcupine.VisualizePath(seatModel.ToModel(), info, path))
	}
	for _, must := range []string{"hold held", "hold refused", "hold unknown", "release released", "buy sold", "buy declined"} {
		if r.became[must] == 0 {
			t.Errorf("the history has no %q", must)
		}
	}
}
