package entry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Solve finds the first nonce of 8 digits that solves a challenge, on one core; web/pow.js finds the same. It takes 2
// to the power of the difficulty hashes in the mean, and gives up when ctx ends, with its error, or in the one case in
// e^64 that has taken 64 times as many. A challenge of more than MaxProofBits is refused: no node asks for it.
func Solve(ctx context.Context, eventID, session string, c Challenge) (Solution, error) {
	if c.Difficulty > MaxProofBits {
		return Solution{}, fmt.Errorf("solve challenge: %d bits are more than any node asks for", c.Difficulty)
	}
	const digits, between = 8, 4096 // tries between two looks at ctx
	message := appendPrefix(nil, eventID, c.Challenge, session)
	prefix := len(message)
	message = append(message, make([]byte, digits)...)
	var count [digits / 2]byte
	for n := range uint64(64) << max(c.Difficulty, 0) {
		if n%between == 0 && ctx.Err() != nil {
			return Solution{}, fmt.Errorf("solve challenge: %w", context.Cause(ctx))
		}
		binary.BigEndian.PutUint32(count[:], uint32(n))
		hex.Encode(message[prefix:], count[:])
		if zeroBits(sha256.Sum256(message)) >= c.Difficulty {
			return Solution{Challenge: c.Challenge, Nonce: string(message[prefix:])}, nil
		}
	}
	return Solution{}, fmt.Errorf("solve challenge: no nonce of %d digits has %d zero bits", digits, c.Difficulty)
}
