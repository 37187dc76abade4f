package bench

import (
	"log/slog"
	"math"
	"testing"
	"time"
)

func TestDrawMeasuresEveryFigure(t *testing.T) {
	t.Parallel()
	r := &runner{Config{Samples: 1, Duration: 10 * time.Millisecond, Log: slog.New(slog.DiscardHandler), Progress: func(string) {}}}
	for name, figures := range map[string]int{"places": 2, "making": 1, "tree": 2} {
		measure := r.drawPlaces
		switch name {
		case "making":
			measure = r.drawMaking
		case "tree":
			measure = r.drawTree
		}
		results, err := measure(t.Context())
		if err != nil || len(results) != figures {
			t.Fatalf("%s: %+v (%v)", name, results, err)
		}
		for _, x := range results {
			if x.Value <= 0 && x.Bench != "draw-places-allocs" || len(x.Samples) != 1 {
				t.Errorf("measured %+v", x)
			}
		}
	}
}

// Of a draw like chance, no p-value of these is next to impossible.
func TestDrawChance(t *testing.T) {
	t.Parallel()
	orders, err := chanceOfOrders()
	if err != nil {
		t.Fatal(err)
	}
	places, err := chanceOfPlaces(13)
	if err != nil {
		t.Fatal(err)
	}
	if orders < 1e-6 || places < 1e-6 {
		t.Errorf("p = %g and %g", orders, places)
	}
}

// Known values: with two degrees of freedom p is exp(-x/2); an order that is left out, or one that is favoured, shows.
func TestChiSquare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		counts []int
		x      float64
	}{{[]int{110, 100, 90}, 2}, {[]int{120, 100, 80}, 8}, {[]int{100, 100, 100}, 0}} {
		if p := chiSquare(c.counts); math.Abs(p-math.Exp(-c.x/2)) > 0.01 {
			t.Errorf("%v: p = %f, want %f", c.counts, p, math.Exp(-c.x/2))
		}
	}
	for _, unfair := range [][]int{{200, 200, 200, 0}, {300, 250, 250, 250, 200}} {
		if p := chiSquare(unfair); p > 0.001 {
			t.Errorf("%v: p = %f", unfair, p)
		}
	}
}
