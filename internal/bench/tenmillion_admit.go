package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"onsale/events"
	"onsale/internal/draw"
)

// admit has everyone who is called come, and looks at the admitter's ticks meanwhile.
func (t *tenMillion) admit(ctx context.Context) error {
	records, stop, err := t.follow(ctx)
	if err != nil {
		return err
	}
	defer stop()
	before, err := t.ticks(ctx)
	if err != nil {
		return err
	}
	var called uint64
	meanwhile, mctx := errgroup.WithContext(ctx)
	var syncs []float64
	meanwhile.Go(func() (err error) { syncs, err = t.syncs(mctx, t.pace, 0); return err })
	meanwhile.Go(func() (err error) { called, err = t.come(mctx, records); return err })
	if err := meanwhile.Wait(); err != nil {
		return err
	}
	after, err := t.ticks(ctx)
	if err != nil {
		return err
	}
	if called == 0 {
		return fmt.Errorf("nobody was admitted in %s", t.pace)
	}
	t.tell("  %.0f fans a second were admitted", float64(called)/t.pace.Seconds())
	t.figure("line-10m-disk-p99", "ms", 0, 1000*quantile(syncs, 0.99))
	for i, name := range tickMetrics {
		d, err := after[i].since(before[i])
		if err != nil {
			return err
		}
		if d.total() == 0 {
			return fmt.Errorf("the admitter had no tick in %s", t.pace)
		}
		t.figure(name.figure+"-p50", "ms", 0, 1000*d.quantile(0.5))
		t.figure(name.figure+"-p99", "ms", barTick, 1000*d.quantile(0.99))
		t.figure(name.figure+"-max", "ms", 0, 1000*d.most())
	}
	return nil
}

// rest waits until what millions of joins left to be written is on disk: it would be waited for at every tick.
func (t *tenMillion) rest(ctx context.Context) error {
	began := time.Now()
	_, err := t.syncs(ctx, diskLimit, diskRests)
	t.tell("  the disk was given %.0f s to come to rest", time.Since(began).Seconds())
	return err
}

// When the disk is at rest: after so many syncs in a row that were short. It is waited for no longer than the limit.
const (
	diskRests = 20
	diskShort = 5 * time.Millisecond
	diskLimit = 30 * time.Second
)

// syncs appends a little to a file and syncs it, as often as the admitter ticks, and returns the seconds that each
// took: what a record costs without a broker. It ends after a time, or, where rests is not 0, once so many in a row were
// short.
func (t *tenMillion) syncs(ctx context.Context, limit time.Duration, rests int) (took []float64, err error) {
	f, err := os.CreateTemp(t.Dir, "bench-*.disk")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	end := time.NewTimer(limit)
	defer end.Stop()
	again := time.NewTicker(syncEvery)
	defer again.Stop()
	short := 0
	for {
		began := time.Now()
		if _, err := f.Write(make([]byte, syncBytes)); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		lasted := time.Since(began)
		took = append(took, lasted.Seconds())
		if short++; lasted > diskShort {
			short = 0
		}
		if rests > 0 && short >= rests {
			return took, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-end.C:
			return took, nil
		case <-again.C:
		}
	}
}

// A sync of a record's size, as often as the admitter ticks.
const (
	syncEvery = 100 * time.Millisecond
	syncBytes = 512
)

// tickMetrics are what the admitter measures of its ticks.
var tickMetrics = [2]struct{ figure, metric string }{
	{"line-10m-tick", "onsale_admitter_tick_seconds"}, {"line-10m-tick-own", "onsale_admitter_tick_own_seconds"},
}

func (t *tenMillion) ticks(ctx context.Context) (all [len(tickMetrics)]times, err error) {
	m, err := t.admitter.metrics(ctx)
	if err != nil {
		return all, err
	}
	for i := range all {
		if all[i], err = timesOf(m, tickMetrics[i].metric); err != nil {
			return all, err
		}
	}
	return all, nil
}

// come reports everyone who is called as come, as api nodes do, and returns how many that were.
func (t *tenMillion) come(ctx context.Context, records <-chan events.Admission) (called uint64, err error) {
	end := time.NewTimer(t.pace)
	defer end.Stop()
	var order *draw.Permutation
	var serving uint64
	for {
		select {
		case <-ctx.Done():
			return called, ctx.Err()
		case <-end.C:
			return called, nil
		case a := <-records:
			first := order == nil
			if first {
				if order, err = t.order(a); err != nil {
					return 0, err
				}
			}
			to := min(a.Serving, t.line.fans)
			if err := t.report(ctx, order, serving, to); err != nil {
				return called, err
			}
			if !first { // the first record reports those who were called before it, too
				called += to - serving
			}
			serving = to
		}
	}
}

// order is the draw that a record names.
func (t *tenMillion) order(a events.Admission) (*draw.Permutation, error) {
	if a.Draw == nil {
		return nil, fmt.Errorf("the record %d has no draw", a.N)
	}
	seed, err := draw.ParseHash(a.Draw.Seed)
	if err != nil {
		return nil, err
	}
	return draw.NewPermutation(draw.LaneKey(seed, general), t.line.fans)
}

// report tells the admitter that the fans with the places from up to before to have come.
func (t *tenMillion) report(ctx context.Context, order *draw.Permutation, from, to uint64) error {
	if from == to {
		return nil
	}
	now := time.Now().UTC()
	r := events.TurnReport{V: events.Version, EventID: event10m, Outcome: events.TurnClaimed, At: now, Until: now.Add(t.API.PassTTL)}
	for place := from; place < to; place++ {
		arrival := order.Arrival(place)
		r.Fans = append(r.Fans, events.Turn{Arrival: arrival, Session: t.line.fan(arrival).Session})
	}
	_, err := t.streams.Publish(ctx, events.Outgoing{Subject: events.TurnSubject(event10m, r.Outcome), ID: uuid.NewString(), Data: events.Encode(r)})
	return err
}
