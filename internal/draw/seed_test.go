package draw_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"onsale/internal/draw"
	"onsale/internal/sale"
)

// Each part of a seed matters, and no part can pass for the end of the one before.
func TestSeed_DependsOnEveryPart(t *testing.T) {
	t.Parallel()
	secret, root, value := draw.Secret{1}, draw.Hash{2}, bytes.Repeat([]byte{3}, 32)
	seeds := map[draw.Hash]string{}
	add := func(what string, h draw.Hash) {
		if other, twice := seeds[h]; twice {
			t.Errorf("%s and %s give one hash", what, other)
		}
		seeds[h] = what
	}
	add("all", draw.Seed("gala", secret, root, value))
	add("event", draw.Seed("gal", secret, root, value))
	add("secret", draw.Seed("gala", draw.Secret{2}, root, value))
	add("root", draw.Seed("gala", secret, draw.Hash{}, value))
	add("beacon", draw.Seed("gala", secret, root, value[1:]))
	add("no beacon", draw.Seed("gala", secret, root, nil))
	add("commitment", draw.Commitment(secret))
	add("another commitment", draw.Commitment(draw.Secret{}))
	add("general lane", draw.LaneKey(root, ""))
	add("lane", draw.LaneKey(root, "early"))
	add("another lane", draw.LaneKey(root, "earl"))
	add("another seed", draw.LaneKey(draw.Hash{3}, "early"))
	if draw.Seed("gala", secret, root, []byte{}) != draw.Seed("gala", secret, root, nil) {
		t.Error("an empty value is not the same as none")
	}
}

func TestSecret_StaysOutOfLogs(t *testing.T) {
	t.Parallel()
	secret, err := draw.NewSecret(strings.NewReader(strings.Repeat("S", 40)))
	if err != nil || secret != draw.Secret(bytes.Repeat([]byte("S"), 32)) {
		t.Fatalf("%x, %v", secret[:], err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		if shown := fmt.Sprintf(format, secret); strings.Contains(shown, "SSS") || strings.Contains(shown, "5353") || strings.Contains(shown, "0x53") {
			t.Errorf("%s shows the secret: %s", format, shown)
		}
	}
	if _, err := draw.NewSecret(strings.NewReader("short")); sale.KindOf(err) != sale.Internal || err == nil {
		t.Errorf("%v, want an error from a source that ends", err)
	}
}
