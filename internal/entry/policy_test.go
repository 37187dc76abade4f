package entry_test

import (
	"strings"
	"testing"

	"onsale/internal/entry"
	"onsale/internal/sale"
)

func TestMode_Text(t *testing.T) {
	t.Parallel()
	for mode, want := range map[entry.Mode]string{entry.Off: "off", entry.On: "on", entry.Auto: "auto"} {
		if mode.String() != want {
			t.Errorf("mode %d: %s, want %s", mode, mode, want)
		}
		var back entry.Mode
		if err := back.UnmarshalText([]byte(want)); err != nil || back != mode {
			t.Errorf("%s reads as %v, %v", want, back, err)
		}
	}
	mode := entry.On
	for _, text := range []string{"", "On", "on ", "1", "automatic"} {
		if err := mode.UnmarshalText([]byte(text)); sale.CodeOf(err) != "bad_mode" || mode != entry.On {
			t.Errorf("%q reads as %v, %v", text, mode, err)
		}
	}
	if got := entry.Mode(3).String(); got != "invalid" {
		t.Errorf("mode 3 is written %s", got)
	}
}

// policy asks for nothing.
var policy = entry.Policy{ProofBits: 16, ProofBitsMax: 20, AddressLimit: entry.Limit{Burst: 100, EveryMS: 200}, AutoAbove: 1000}

func TestPolicy_ValidateSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	if err := policy.Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	err := entry.Policy{Proof: 3, Address: 4, ProofBits: 25, ProofBitsMax: 26, AddressLimit: entry.Limit{Burst: 0, EveryMS: -1}}.Validate()
	if sale.KindOf(err) != sale.Invalid || sale.CodeOf(err) != "bad_entry_policy" {
		t.Fatalf("Validate = %v", err)
	}
	for _, field := range []string{"entry-proof must", "entry-address must", "proof-bits must", "proof-bits-max", "burst must", "every must", "auto-above"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("nothing is said of %s: %v", field, err)
		}
	}
	for what, change := range map[string]func(*entry.Policy){
		"proof-bits must":           func(p *entry.Policy) { p.ProofBits = 0 },
		"proof-bits-max":            func(p *entry.Policy) { p.ProofBitsMax = p.ProofBits - 1 },
		"times entry-address-every": func(p *entry.Policy) { p.AddressLimit = entry.Limit{Burst: 3600, EveryMS: 1001} },
		"auto-above":                func(p *entry.Policy) { p.AutoAbove = 0 },
	} {
		p := policy
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), "; ") {
			t.Errorf("%s: Validate = %v", what, err)
		}
	}
}

func TestPolicy_At(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		proof, address entry.Mode
		level          entry.Level
		want           entry.Demand
	}{
		{entry.Off, entry.Off, 0, entry.Demand{}},
		{entry.Off, entry.Off, 9, entry.Demand{}},
		{entry.Auto, entry.Auto, 0, entry.Demand{}},
		{entry.Auto, entry.Auto, 1, entry.Demand{ProofBits: 16, Limited: true}},
		{entry.Auto, entry.Off, 3, entry.Demand{ProofBits: 18}},
		{entry.Auto, entry.On, 63, entry.Demand{ProofBits: 20, Limited: true}},
		{entry.On, entry.Auto, 0, entry.Demand{ProofBits: 16}},
		{entry.On, entry.Off, 1, entry.Demand{ProofBits: 16}},
		{entry.On, entry.Off, 2, entry.Demand{ProofBits: 17}},
		{entry.Off, entry.On, 0, entry.Demand{Limited: true}},
	} {
		p := policy
		p.Proof, p.Address = c.proof, c.address
		if got := p.At(c.level); got != c.want {
			t.Errorf("proof %s, address %s, level %d: %+v, want %+v", c.proof, c.address, c.level, got, c.want)
		}
	}
}
