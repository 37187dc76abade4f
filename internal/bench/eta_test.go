package bench

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

// smallSale is a sale of the given kind with a few thousand fans.
func smallSale(seed uint64, d disturbance) etaFigures {
	r := rand.New(rand.NewPCG(seed, 0))
	p := planSale(r, d)
	smaller := float64(p.fans) / 6000
	p.fans, p.rate = 6000, p.rate/smaller
	for i := range p.shifts {
		p.shifts[i] = int(float64(p.shifts[i]) / smaller)
	}
	comes := p.comes
	p.comes = func(place int) float64 { return comes(int(float64(place) * smaller)) }
	return simulate(r, p).figures()
}

// On a few small sales of every kind: what onsale bench eta says of many.
func TestETA_IsHonest(t *testing.T) {
	t.Parallel()
	var all etaFigures
	for k, kind := range etaKinds {
		for i := range 3 {
			if kind.total {
				all.add(smallSale(uint64(7000+100*k+i), kind.disturbance))
			}
		}
	}
	if held := all.told.held(); held < 85 || held > 95 {
		t.Errorf("the interval held for %.1f %% of fans, want 85 to 95", held)
	}
	if miss := 100 * quantile(all.after, 0.5); miss > 10 {
		t.Errorf("the median error is %.1f %%, want less than 10", miss)
	}
	if all.unexplained > 0 || all.rises == 0 {
		t.Errorf("%d of %d rises had no reason", all.unexplained, all.rises)
	}
}

func TestETA_IsTheSameEachTime(t *testing.T) {
	t.Parallel()
	d := etaKinds[4].disturbance
	if a, b := smallSale(1, d), smallSale(1, d); !reflect.DeepEqual(a, b) {
		t.Error("the same seed made two sales")
	}
}

// A line that tells nonsense is found out: the figures can fail.
func TestETA_FiguresCanFail(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 0))
	p := planSale(r, disturbance{})
	p.fans, p.rate = 2000, 5
	s := simulate(r, p)
	for i := range s.history {
		s.history[i].Flow *= 3
		if i > len(s.history)/4 {
			s.history[i].Flow /= 6 // and nobody says why
		}
	}
	if f := s.figures(); f.told.held() > 60 || f.unexplained == 0 || 100*quantile(f.after, 0.5) < 10 {
		t.Errorf("the interval held for %.1f %%, %d rises had no reason", f.told.held(), f.unexplained)
	}
}
