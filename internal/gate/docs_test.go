package gate_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"onsale/internal/pass"
	"onsale/internal/sale"
)

// What docs/gateway.md gives others to check their code with is what this code says.
func TestDocumentedVectors(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(raw)
	if hash := sale.HashSession("gala", fan).String(); !strings.Contains(doc, "the session `"+fan+"` it is\n`"+hash+"`") {
		t.Errorf("the hash of the session is documented as something else than %s", hash)
	}
	set := regexp.MustCompile(`(?m)^\{"keys".*$`).FindString(doc)
	token := regexp.MustCompile(`(?m)^eyJ\S*$`).FindString(doc)
	at := regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`).FindString(doc)
	noon, err := time.Parse(time.RFC3339, at)
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]error{0: nil, 3 * time.Minute: pass.ErrExpired} {
		v, err := pass.ParseJWKS([]byte(set), func() time.Time { return noon.Add(after) })
		if err != nil {
			t.Fatal(err)
		}
		claims, err := v.Verify(token)
		if err == nil {
			err = claims.Admit("gala", fan)
		}
		if !errors.Is(err, want) {
			t.Errorf("at %v: %v, want %v", noon.Add(after), err, want)
		}
	}
}
