package nats

import (
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"
)

// failures counts how often records failed in this process for no known reason. What is forgotten, or was counted by
// another process, is tried more often: deliveries say nothing of a record, since a neighbour or a dependency that was
// away may have caused them all.
type failures struct{ of *lru.Cache[recordKey, int] }

// recordKey names a record of a worker's stream.
type recordKey struct {
	sequence uint64
	record   int
}

// maxFailing bounds the records of a worker whose failures are remembered: the oldest are forgotten.
const maxFailing = 16 << 10

func newFailures() failures {
	c, err := lru.New[recordKey, int](maxFailing)
	if err != nil {
		panic(fmt.Sprintf("nats: cache: %v", err)) // a size below 1
	}
	return failures{c}
}

// count adds one, and returns how many there are. A record is handled by one handler at a time.
func (f failures) count(sequence uint64, record int) int {
	k := recordKey{sequence, record}
	n, _ := f.of.Get(k)
	f.of.Add(k, n+1)
	return n + 1
}
