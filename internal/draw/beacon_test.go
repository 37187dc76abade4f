package draw_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"onsale/internal/draw"
	"onsale/internal/sale"
)

func TestBeaconRef(t *testing.T) {
	t.Parallel()
	const quicknet = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971" // a chain of the League of Entropy
	text := quicknet + "/1000"
	ref, err := draw.ParseBeaconRef(text)
	if err != nil || ref.Round != 1000 || hex.EncodeToString(ref.Chain[:]) != quicknet || ref.String() != text {
		t.Errorf("%v, %v", ref, err)
	}
	for _, bad := range []string{"", quicknet, quicknet + "/", quicknet + "/0", quicknet + "/01", quicknet + "/+1", quicknet + "/1/2",
		quicknet + "/99999999999999", quicknet[2:] + "/1", strings.ToUpper(quicknet) + "/1", "zz" + quicknet[2:] + "/1"} {
		if _, err := draw.ParseBeaconRef(bad); sale.CodeOf(err) != "bad_beacon" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
