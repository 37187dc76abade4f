package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math/bits"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"onsale/events"
	"onsale/internal/line"
)

// asked is how many fans each node is asked for after the opening.
const asked = 100

// openLimit bounds the wait for an opening.
const openLimit = time.Minute

// placed is what a fan is told of the own place.
type placed struct {
	State   string  `json:"state"`
	Arrival uint64  `json:"arrival"`
	Place   *uint64 `json:"place"`
}

// answered sends one request of a load, and reads its answer.
func answered(l load, into any) error {
	answer, err := once(l)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, into)
}

// position asks for the position of a fan who has not asked before: one who asks again soon is refused.
func (t *tenMillion) position(c *conn) (placed, error) {
	keys, err := t.signer()
	if err != nil {
		return placed{}, err
	}
	ticket, arrival := t.line.someone()
	body, err := c.call(appendGet(nil, "/v1/queue/"+event10m+"/position", "Authorization: Bearer "+keys.Sign(event10m, ticket)+"\r\n"), http.StatusOK)
	if err != nil {
		return placed{}, err
	}
	var is placed
	if err := json.Unmarshal(body, &is); err != nil {
		return is, fmt.Errorf("read a position: %w", err)
	}
	if is.Arrival != arrival {
		return is, fmt.Errorf("the fan who came as %d is told %d", arrival, is.Arrival)
	}
	return is, nil
}

// open opens the sale, and measures how long it takes until both nodes tell every fan the place that was drawn.
func (t *tenMillion) open(ctx context.Context) error {
	records, stop, err := t.follow(ctx)
	if err != nil {
		return err
	}
	defer stop()
	asking, actx := errgroup.WithContext(ctx)
	nodes := []*node{t.api, t.second}
	knew, answers := make([]time.Time, len(nodes)), make([][]placed, len(nodes))
	for i, n := range nodes {
		asking.Go(func() (err error) {
			answers[i], knew[i], err = t.places100(actx, n)
			return err
		})
	}
	began := time.Now()
	if err := t.operator().Move(ctx, event10m, "open"); err != nil {
		return err
	}
	a, err := opening(ctx, records)
	if err != nil {
		return err
	}
	if err := asking.Wait(); err != nil {
		return err
	}
	t.figure("line-10m-open", "s", 0, a.At.Sub(began).Seconds())
	seal := make([]float64, len(nodes))
	for i := range nodes {
		seal[i] = knew[i].Sub(a.At).Seconds()
	}
	t.figure("line-10m-seal", "s", barSeal, seal...)
	lobby, err := line.NewLobby(*a.Draw, map[string]uint64{general: t.line.fans})
	if err != nil {
		return err
	}
	if err := check(lobby, slices.Concat(answers...)); err != nil {
		return err
	}
	rate, err := permutes(lobby, t.line.fans)
	if err != nil {
		return err
	}
	t.tell("  the %d places are a permutation", t.line.fans)
	t.figure("line-10m-places", "places/s", 0, rate)
	return nil
}

// follow hands over the records of the event's admission log from now on.
func (t *tenMillion) follow(ctx context.Context) (records <-chan events.Admission, stop func(), err error) {
	ctx, stop = context.WithCancel(ctx)
	into, begun, ended := make(chan events.Admission, 64), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- t.streams.Follow(ctx, events.Follow{Stream: events.Admissions, Subject: events.AdmissionSubject(event10m), From: events.FromNew},
			func() { close(begun) }, func(m events.Message) {
				a, err := events.Decode[events.Admission](m.Data)
				if err != nil {
					t.Log.Error("read admission", "stream_seq", m.Sequence, "error", err)
					return
				}
				select {
				case into <- a:
				case <-ctx.Done():
				}
			})
	}()
	select {
	case <-begun:
		return into, stop, nil
	case err := <-ended:
		stop()
		return nil, nil, fmt.Errorf("follow the admissions: %w", err)
	}
}

// opening is the record that opens the sale.
func opening(ctx context.Context, records <-chan events.Admission) (events.Admission, error) {
	limit := time.NewTimer(openLimit)
	defer limit.Stop()
	for {
		select {
		case a := <-records:
			if a.Reason == "opened" && a.Draw != nil {
				return a, nil
			}
		case <-ctx.Done():
			return events.Admission{}, ctx.Err()
		case <-limit.C:
			return events.Admission{}, fmt.Errorf("the sale did not open within %s", openLimit)
		}
	}
}

// places100 asks a node until it knows a place, then for the places of as many fans as asked says, and returns when it
// had told the last.
func (t *tenMillion) places100(ctx context.Context, n *node) ([]placed, time.Time, error) {
	c, err := dial(n.address, time.Now().Add(openLimit))
	if err != nil {
		return nil, time.Time{}, err
	}
	defer c.Close()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	limit := time.Now().Add(openLimit)
	for {
		is, err := t.position(c)
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("ask %s: %w", n.name, err)
		}
		if is.Place != nil {
			break
		}
		select {
		case <-ctx.Done():
			return nil, time.Time{}, ctx.Err()
		case now := <-again.C:
			if now.After(limit) {
				return nil, time.Time{}, fmt.Errorf("%s knows no places after %s", n.name, openLimit)
			}
		}
	}
	var all []placed
	for range asked {
		is, err := t.position(c)
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("ask %s: %w", n.name, err)
		}
		all = append(all, is)
	}
	return all, time.Now(), nil
}

// check compares what fans were told with the draw.
func check(lobby *line.Lobby, all []placed) error {
	for _, is := range all {
		want := lobby.Place(general, is.Arrival)
		if is.Place == nil || *is.Place != want {
			return fmt.Errorf("the fan who came as %d was drawn to %d, and is told %+v", is.Arrival, want, is)
		}
	}
	return nil
}

// placer gives places.
type placer interface {
	Place(lane string, arrival uint64) uint64
}

// permutes checks that so many fans have as many places, each once, and returns the places a second.
func permutes(lobby placer, fans uint64) (float64, error) {
	const workers = 2
	taken := make([]atomic.Uint64, (fans+63)/64)
	began := time.Now()
	var checking errgroup.Group
	for w := range uint64(workers) {
		checking.Go(func() error {
			for arrival := w * fans / workers; arrival < (w+1)*fans/workers; arrival++ {
				place := lobby.Place(general, arrival)
				if place >= fans {
					return fmt.Errorf("the fan who came as %d has the place %d of %d", arrival, place, fans)
				}
				bit := uint64(1) << (place % 64)
				if taken[place/64].Or(bit)&bit != 0 {
					return fmt.Errorf("two fans have the place %d", place)
				}
			}
			return nil
		})
	}
	if err := checking.Wait(); err != nil {
		return 0, err
	}
	took := time.Since(began)
	var sum uint64
	for i := range taken {
		sum += uint64(bits.OnesCount64(taken[i].Load()))
	}
	if sum != fans {
		return 0, fmt.Errorf("%d fans have %d places", fans, sum)
	}
	return float64(fans) / took.Seconds(), nil
}
