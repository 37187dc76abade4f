package access

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"strings"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/sale"
)

// Batch is one issue of codes. It is all that has to be kept of them: the same batch gives the same codes again.
type Batch struct {
	ID    uuid.UUID // random; it sets the codes' ids
	Lane  string
	Count int // codes, 1 to MaxBatch
	Uses  int // joins that each code allows, 1 to MaxUses
}

// MaxBatch is how many codes one batch can have at most.
const MaxBatch = 1_000_000

// Check says all that is wrong with a batch, as Invalid.
func (b Batch) Check() error {
	var wrong []string
	if b.ID == uuid.Nil {
		wrong = append(wrong, "the batch has no id")
	}
	if sale.CheckLane(b.Lane) != nil {
		wrong = append(wrong, "lane must be the name of a priority lane")
	}
	if b.Count < 1 || b.Count > MaxBatch {
		wrong = append(wrong, "count must be 1 to 1000000 codes")
	}
	if b.Uses < 1 || b.Uses > MaxUses {
		wrong = append(wrong, "uses must be 1 to 65535 joins")
	}
	if len(wrong) > 0 {
		return sale.Errorf(sale.Invalid, "bad_batch", "%s", strings.Join(wrong, "; "))
	}
	return nil
}

// CodeID is the id of the n-th code, from 0: the first 8 bytes of SHA-256 over a tag, the batch and n in 4 bytes. Ids
// need no secret, for the MAC keeps codes from being made. Among a hundred batches of 100,000 codes for one event, the
// chance that any two ids are the same is below 3 in a million; those two would share their uses.
func (b Batch) CodeID(n int) events.CodeID {
	text := append([]byte("onsale access code id v1\n"), b.ID[:]...)
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(text, uint32(n)))
	return events.CodeID(sum[:])
}

// All writes the codes of a batch in order. The batch must have passed Check.
func (k Codes) All(eventID string, b Batch) iter.Seq[string] {
	return func(yield func(string) bool) {
		for n := range b.Count {
			if !yield(k.Issue(eventID, b.Lane, b.CodeID(n), b.Uses)) {
				return
			}
		}
	}
}
