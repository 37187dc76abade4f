package entry

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"math/bits"
	"sync"
	"time"

	"onsale/internal/sale"
)

// Challenge is what a page must solve before it joins. It is the same for all fans of an event within a window, so it
// may be cached; a solution is of use to one session alone.
type Challenge struct {
	Difficulty int       `json:"difficulty"` // leading zero bits
	Challenge  string    `json:"challenge"`
	ExpiresAt  time.Time `json:"expires_at"` // UTC
}

// Solution answers a challenge. Its nonce is 1 to 16 lower-case hex digits, such that
//
//	SHA-256("onsale proof v1\n" event "\n" challenge "\n" session "\n" spaces nonce)
//
// begins with as many zero bits as the challenge's difficulty, where the spaces fill what is before them up to a
// multiple of 64 bytes. So every try is one block of SHA-256 for whoever keeps the state after the blocks before it,
// however long the names are. The same solution may come again: a session has one place, however often it joins.
type Solution struct {
	Challenge string `json:"challenge"`
	Nonce     string `json:"nonce"`
}

// Window is how long one challenge is told. It is taken until the end of the window after, so a fan has Window to
// twice that, and nobody can work ahead for longer.
const Window = 2 * time.Minute

// A challenge is the number of its window (4 bytes), its difficulty (1) and the MAC (11), in base64url. It carries its
// own difficulty, so that any node takes what any other told, and a fan is never asked for more than was told.
const (
	challengeBody = 4 + 1
	challengeMAC  = 11
	challengeSize = challengeBody + challengeMAC
	challengeText = (challengeSize*8 + 5) / 6
	maxNonce      = 16
)

const (
	proofTag   = "onsale proof v1\n"
	maxEvent   = 40  // see sale.CheckEventID
	maxSession = 128 // see sale.CheckSession
	blockSize  = sha256.BlockSize
	maxMessage = (len(proofTag)+maxEvent+1+challengeText+1+maxSession+1+blockSize-1)/blockSize*blockSize + maxNonce
)

var (
	// ErrNoProof is a join without a solution where one is asked for.
	ErrNoProof = sale.Errorf(sale.Forbidden, "proof_required", "this event asks for a proof of work: solve the challenge and join again")
	// ErrStaleProof is a solution of a challenge that is no longer taken.
	ErrStaleProof = sale.Errorf(sale.Forbidden, "proof_expired", "the challenge has expired: solve the new one and join again")
	// ErrBadProof is a solution that solves nothing, or not for this event and session.
	ErrBadProof = sale.Errorf(sale.Forbidden, "bad_proof", "the proof of work is not one for this event and session")
)

// Proofs tells challenges and verifies solutions. It keeps nothing of either. Safe for concurrent use.
type Proofs struct{ desks *sync.Pool }

// desk is the room that one verification needs, kept because what is passed to a hash.Hash moves to the heap.
type desk struct {
	mac       hash.Hash
	sum       [sha256.Size]byte
	challenge [challengeSize]byte
	message   [maxMessage]byte
}

// NewProofs derives the key of challenges from the deployment's secret, of at least 32 bytes.
func NewProofs(secret []byte) Proofs {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("onsale proof challenge v1"))
	key := m.Sum(nil)
	return Proofs{desks: &sync.Pool{New: func() any { return &desk{mac: hmac.New(sha256.New, key)} }}}
}

// Challenge is what is told at a time to those who join an event. Difficulty is 1 to MaxProofBits bits.
func (p Proofs) Challenge(eventID string, difficulty int, now time.Time) Challenge {
	d := p.desks.Get().(*desk)
	defer p.desks.Put(d)
	window := windowOf(now)
	difficulty = min(max(difficulty, 1), MaxProofBits)
	binary.BigEndian.PutUint32(d.challenge[:], uint32(window))
	d.challenge[4] = byte(difficulty)
	copy(d.challenge[challengeBody:], d.sign(eventID))
	return Challenge{
		Difficulty: difficulty,
		Challenge:  base64.RawURLEncoding.EncodeToString(d.challenge[:]),
		ExpiresAt:  time.Unix((window+2)*int64(Window/time.Second), 0).UTC(),
	}
}

// Verify says whether a solution is one for an event and a session: nil, ErrNoProof, ErrStaleProof or ErrBadProof. The
// session must have passed sale.CheckSession. It costs one hash where the nonce is wrong, an HMAC more where it is
// right, and allocates nothing.
func (p Proofs) Verify(eventID, session string, s Solution, now time.Time) error {
	if s == (Solution{}) {
		return ErrNoProof
	}
	if len(s.Challenge) != challengeText || len(eventID) > maxEvent || len(session) > maxSession || !isNonce(s.Nonce) {
		return ErrBadProof
	}
	d := p.desks.Get().(*desk)
	defer p.desks.Put(d)
	return d.verify(eventID, session, s, now)
}

func (d *desk) verify(eventID, session string, s Solution, now time.Time) error {
	// The message's room holds the text first: the decoder wants bytes.
	text := append(d.message[:0], s.Challenge...)
	if n, err := strict.Decode(d.challenge[:], text); err != nil || n != challengeSize {
		return ErrBadProof
	}
	// One window ahead is taken too: another node's clock may be a little ahead of this one's, and nobody but a node
	// can make a challenge.
	ahead := int64(binary.BigEndian.Uint32(d.challenge[:])) - windowOf(now)
	if ahead < -1 || ahead > 1 {
		return ErrStaleProof
	}
	message := append(appendPrefix(d.message[:0], eventID, s.Challenge, session), s.Nonce...)
	if sum := sha256.Sum256(message); zeroBits(sum) < int(d.challenge[4]) {
		return ErrBadProof
	}
	// What nobody told, also a difficulty of 0, ends here.
	if !hmac.Equal(d.challenge[challengeBody:], d.sign(eventID)) {
		return ErrBadProof
	}
	return nil
}

// strict refuses a last symbol with bits to spare, so that a challenge has one spelling.
var strict = base64.RawURLEncoding.Strict()

// sign is the MAC of the desk's challenge for an event, valid until the next one.
func (d *desk) sign(eventID string) []byte {
	d.mac.Reset()
	d.mac.Write(d.challenge[:challengeBody])
	d.mac.Write(append(d.message[:0], eventID...))
	return d.mac.Sum(d.sum[:0])[:challengeMAC]
}

// appendPrefix appends all that is hashed but the nonce. None of the parts has a line break within.
func appendPrefix(b []byte, eventID, challenge, session string) []byte {
	b = append(b, proofTag...)
	b = append(append(b, eventID...), '\n')
	b = append(append(b, challenge...), '\n')
	b = append(append(b, session...), '\n')
	for len(b)%blockSize != 0 {
		b = append(b, ' ')
	}
	return b
}

func isNonce(s string) bool {
	if len(s) < 1 || len(s) > maxNonce {
		return false
	}
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return true
}

// zeroBits is how many zero bits a hash begins with, up to 64.
func zeroBits(sum [sha256.Size]byte) int {
	return bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:]))
}

// windowOf is the number of the window that a time is in.
func windowOf(now time.Time) int64 { return now.Unix() / int64(Window/time.Second) }
