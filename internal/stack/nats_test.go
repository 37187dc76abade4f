package stack

import "testing"

// What a client was told is stored must be on the disk, which nothing outside the server can observe.
func TestNATSSyncsEachWriteWhenDurable(t *testing.T) {
	t.Parallel()
	for _, durable := range []bool{true, false} {
		if got := natsOptions(Config{Durable: durable}, "", 0, 0).SyncAlways; got != durable {
			t.Errorf("durable %v: SyncAlways %v", durable, got)
		}
	}
}
