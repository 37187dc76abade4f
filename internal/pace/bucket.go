package pace

import (
	"context"
	"math"
	"sync"
	"time"
)

// Limit is what an account allows.
type Limit struct {
	Rate  float64 // calls a second; 0 for no limit
	Burst int     // calls that may begin at once after a rest, at least 1
}

// How the rate follows refusals: it is halved by one, and raised by a step for each whole second since, up to the limit.
// A halving is not followed by another for CutEvery: the calls that were under way when the first was refused are no
// news. From a half it takes ten seconds to be whole again.
const (
	CutEvery  = time.Second
	RaiseStep = 1.0 / 20 // of the limit, a second
	LeastRate = 1.0 / 32 // of the limit: below it nothing would be learned
)

// Grant is a store's answer: when calls may begin, and the rate that holds now.
type Grant struct {
	Wait time.Duration // from now
	Rate float64       // calls a second
}

// Store keeps what the workers of an account share.
type Store interface {
	// Reserve takes n turns, at most the burst. All of them may be used after Wait; nobody else gets them.
	Reserve(ctx context.Context, n int) (Grant, error)
	// Slow tells of a refused call: the rate is halved, and after the turns that are given out already there are
	// none for pause.
	Slow(ctx context.Context, pause time.Duration) (Grant, error)
}

// Bucket is a Store for one process: the generic cell rate algorithm, at a rate that follows refusals. What is shared by
// many processes computes the same (internal/redis/lua/pace.lua).
type Bucket struct {
	limit Limit
	now   func() time.Time

	mu    sync.Mutex
	due   time.Time // when the bucket is full again: the theoretical arrival time
	cut   float64   // the rate after the last halving, 0 before the first
	cutAt time.Time
}

// mostAhead is how far ahead turns can be given out. A clock that was ahead for a while must not stop all calls until it is
// there again.
const mostAhead = 5 * time.Minute

// NewBucket makes a full bucket.
func NewBucket(l Limit, now func() time.Time) *Bucket { return &Bucket{limit: l, now: now} }

// Reserve never fails.
func (b *Bucket) Reserve(_ context.Context, n int) (Grant, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, g := b.look()
	if latest := now.Add(mostAhead + span(float64(b.limit.Burst), g.Rate)); b.due.After(latest) {
		b.due = latest
	}
	if b.due.Before(now) {
		b.due = now
	}
	b.due = b.due.Add(span(float64(n), g.Rate))
	// All n must conform, and not only the first: they begin together.
	g.Wait = max(0, b.due.Sub(now)-span(float64(b.limit.Burst), g.Rate))
	return g, nil
}

// Slow never fails.
func (b *Bucket) Slow(_ context.Context, pause time.Duration) (Grant, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, g := b.look()
	if b.cut == 0 || now.Sub(b.cutAt) >= CutEvery {
		g.Rate = Halved(b.limit.Rate, g.Rate)
		b.cut, b.cutAt = g.Rate, now
	}
	if pause > 0 {
		if full := now.Add(pause + span(float64(b.limit.Burst), g.Rate)); full.After(b.due) {
			b.due = full
		}
	}
	return g, nil
}

// look is the time and the rate that holds. A halving of a clock that was ahead counts from now on, or the rate would not
// move until the clock is there again.
func (b *Bucket) look() (time.Time, Grant) {
	now := b.now()
	if b.cutAt.After(now) {
		b.cutAt = now
	}
	return now, Grant{Rate: RateAfter(b.limit.Rate, b.cut, now.Sub(b.cutAt))}
}

// RateAfter is the rate so long after a halving to cut; a cut of 0 is none.
func RateAfter(limit, cut float64, since time.Duration) float64 {
	if cut == 0 {
		return limit
	}
	return min(limit, cut+limit*RaiseStep*math.Floor(max(0, since.Seconds())))
}

// Halved is the rate after a refusal.
func Halved(limit, rate float64) float64 { return max(rate/2, limit*LeastRate) }

// span is how long so many calls take.
func span(calls, rate float64) time.Duration {
	return time.Duration(math.Ceil(calls / rate * float64(time.Second)))
}
