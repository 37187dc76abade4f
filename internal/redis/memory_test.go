package redis

import "testing"

// What is stored shows in the figure.
func TestUsedMemory(t *testing.T) {
	t.Parallel()
	c := setup(t)
	before, err := c.UsedMemory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const stored = 64 << 20 // more than the other tests free meanwhile
	if err := c.db.Set(t.Context(), "much", make([]byte, stored), 0).Err(); err != nil {
		t.Fatal(err)
	}
	after, err := c.UsedMemory(t.Context())
	if err != nil || after-before < stored/2 {
		t.Errorf("%d bytes before, %d after %d more (%v)", before, after, stored, err)
	}
}
