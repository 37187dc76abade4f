package entry_test

import (
	"sync"
	"testing"
	"time"

	"onsale/internal/entry"
)

const threshold = 1000

func TestPressure_RisesAtOnceAndFallsSlowly(t *testing.T) {
	t.Parallel()
	var p entry.Pressure
	for i, step := range []struct {
		at    time.Duration
		joins int64
		want  entry.Level
	}{
		{0, 0, 0}, {1 * time.Second, 999, 0},
		{2 * time.Second, 1000, 1}, {3 * time.Second, 1999, 1},
		{4 * time.Second, 2000, 2}, {5 * time.Second, 16_000, 5}, // several levels at once
		{6 * time.Second, 0, 5}, {34 * time.Second, 0, 5},
		{35 * time.Second, 0, 4}, {64 * time.Second, 0, 4}, {65 * time.Second, 0, 3},
		{66 * time.Second, 4000, 3}, // deserved again
		{95 * time.Second, 0, 3}, {96 * time.Second, 2500, 2},
		{97 * time.Second, 8000, 4},
		{10 * time.Minute, 1000, 1}, // as many levels as there was time for, and not below what is deserved
		{20 * time.Minute, 0, 0}, {21 * time.Minute, 0, 0},
		{30 * time.Minute, 4000, 3}, {30*time.Minute + 45*time.Second, 0, 2}, // asked late,
		{31 * time.Minute, 0, 1}, // it falls no later
	} {
		p = p.Next(step.joins, threshold, opens.Add(step.at))
		if p.Level != step.want {
			t.Errorf("step %d, at %v with %d joins: level %d, want %d", i, step.at, step.joins, p.Level, step.want)
		}
	}
	if p = p.Next(1<<62, 1, opens); p.Level != 63 {
		t.Errorf("the highest level is %d", p.Level)
	}
	if p = (entry.Pressure{}).Next(1<<62, 0, opens); p.Level != 0 {
		t.Errorf("with no threshold, the level is %d", p.Level)
	}
}

// join lets so many joins arrive at a time and gives the last level.
func join(l *entry.Load, joins int, at time.Duration) (level entry.Level) {
	for range joins {
		level = l.Arrived(threshold, opens.Add(at))
	}
	return level
}

func TestLoad_SeesASurgeInItsOwnSecond(t *testing.T) {
	t.Parallel()
	var l entry.Load
	for _, step := range []struct {
		joins int
		want  entry.Level
	}{{999, 0}, {1, 1}, {999, 1}, {1, 2}, {1999, 2}, {1, 3}} {
		if got := join(&l, step.joins, 100*time.Millisecond); got != step.want {
			t.Errorf("after %d more: level %d, want %d", step.joins, got, step.want)
		}
	}
}

func TestLoad_CountsEachSecondAnew(t *testing.T) {
	t.Parallel()
	var l entry.Load
	for second := range 60 {
		if got := join(&l, 900, time.Duration(second)*time.Second); got != 0 {
			t.Fatalf("900 a second are level %d in second %d", got, second)
		}
	}
	if got := join(&l, 100, 59*time.Second); got != 1 {
		t.Errorf("1000 in one second are level %d", got)
	}
}

func TestLoad_FallsAlsoWhileNobodyComes(t *testing.T) {
	t.Parallel()
	var l entry.Load
	join(&l, 4000, 0)
	for _, step := range []struct {
		at   time.Duration
		want entry.Level
	}{
		{0, 3}, {time.Second, 3}, {29 * time.Second, 3},
		{32 * time.Second, 2}, {45 * time.Second, 2}, {62 * time.Second, 1}, {10 * time.Minute, 0},
		{-time.Hour, 0}, // a clock that goes back changes nothing
	} {
		if got := l.Level(threshold, opens.Add(step.at)); got != step.want {
			t.Errorf("at %v: level %d, want %d", step.at, got, step.want)
		}
	}
	if got := join(&l, 1000, 10*time.Minute); got != 1 {
		t.Errorf("after calm: level %d", got)
	}
}

func TestLoad_IsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	var l entry.Load
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { join(&l, 1000, 0) })
	}
	wg.Wait()
	if got := l.Level(threshold, opens); got != 4 {
		t.Errorf("8000 joins in a second are level %d, want 4", got)
	}
}

func BenchmarkLoad_Arrived(b *testing.B) {
	var l entry.Load
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Arrived(threshold, opens)
		}
	})
}
