// Package access makes and reads access codes, by which an operator gives some fans a priority lane of an event's
// line: a presale, or people who need an accessible seat. It is pure and keeps nothing: a code says by itself what it
// grants, and a whole issue of codes can be printed again from its Batch. How often a code has been used is counted
// elsewhere, by its id. Services and commands import it; it imports the domain and the wire contract.
package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash"
	"strings"
	"sync"

	"onsale/events"
	"onsale/internal/sale"
)

// Grant is what a code says: that so many joins may be made with it in a lane. All spellings of a code are the same
// id, and uses are counted by the id.
type Grant struct {
	Lane string
	ID   events.CodeID
	Uses int // at most, 1 to MaxUses
}

// MaxUses is how many joins one code can allow at most.
const MaxUses = 1<<16 - 1

// The body of a code is the id, the uses and the MAC: 160 bits, exactly 32 symbols, so that no symbol has bits to
// spare and one body has one spelling in upper case.
const (
	version    = '1'
	idSize     = len(events.CodeID{})
	macSize    = 10
	bodySize   = idSize + 2 + macSize
	symbols    = bodySize * 8 / 5
	groupSize  = 8 // symbols between two dashes
	maxCodeLen = 128
)

// Crockford's alphabet leaves out I, L, O and U, which are misread or make words: www.crockford.com/base32.html.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

var encoding = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// ErrBadCode is a code that was not given out by this deployment for this event, or was mistyped.
var ErrBadCode = sale.Errorf(sale.Forbidden, "bad_code", "the access code is mistyped, or it is not for this event")

// Codes makes and reads access codes. Safe for concurrent use.
type Codes struct{ macs *sync.Pool } // of HMACs with the key, which are dearer to make than to use

// NewCodes derives the signing key from the deployment's secret, of at least 32 bytes.
func NewCodes(secret []byte) Codes {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("onsale access code v1"))
	key := m.Sum(nil)
	return Codes{macs: &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// Issue writes the code of an id, good for that many joins in a lane of an event:
//
//	PRESALE-1-8GKQ2M4D-K0000AXV-...
//
// the lane, the version, then in Crockford's base32 the id (8 bytes), the uses (2 bytes, big-endian) and 10 bytes of
// HMAC-SHA-256 over event, lane and what was said before. The lane stands in clear, so that fans and those who help
// them can tell their codes apart. The lane must pass sale.CheckLane and uses be 1 to MaxUses; Batch.Check sees to
// both, and Issue panics where neither was done.
func (k Codes) Issue(eventID, lane string, id events.CodeID, uses int) string {
	if err := sale.CheckLane(lane); err != nil || uses < 1 || uses > MaxUses {
		panic(fmt.Sprintf("access: a code for lane %q with %d uses", lane, uses))
	}
	body := make([]byte, 0, bodySize)
	body = append(body, id[:]...)
	body = binary.BigEndian.AppendUint16(body, uint16(uses))
	mac := k.mac(eventID, lane, body)
	text := encoding.EncodeToString(append(body, mac[:]...))

	code := make([]byte, 0, len(lane)+2+symbols+symbols/groupSize)
	code = append(code, strings.ToUpper(lane)...)
	code = append(code, '-', version)
	for i := 0; i < symbols; i += groupSize {
		code = append(code, '-')
		code = append(code, text[i:i+groupSize]...)
	}
	return string(code)
}

// Read says what a code grants in an event, or ErrBadCode. It reads what people make of a code: either case, O for 0,
// I and L for 1, dashes left out or moved within the body, white space anywhere.
func (k Codes) Read(eventID, code string) (Grant, error) {
	lane, text, ok := split(code)
	if !ok || sale.CheckLane(lane) != nil {
		return Grant{}, ErrBadCode
	}
	var body [bodySize]byte
	if n, err := encoding.Decode(body[:], text[:]); err != nil || n != bodySize {
		return Grant{}, ErrBadCode
	}
	granted, mac := body[:bodySize-macSize], body[bodySize-macSize:]
	if want := k.mac(eventID, lane, granted); !hmac.Equal(mac, want[:]) {
		return Grant{}, ErrBadCode
	}
	g := Grant{Lane: lane, ID: events.CodeID(granted), Uses: int(binary.BigEndian.Uint16(granted[idSize:]))}
	if g.Uses == 0 {
		return Grant{}, ErrBadCode // never issued
	}
	return g, nil
}

// split takes a code apart: its lane in lower case and the symbols of its body. A lane's name may itself have dashes
// and digits, so a code is read from its end, where the number of symbols is known.
func split(code string) (lane string, body [symbols]byte, ok bool) {
	if len(code) > maxCodeLen {
		return "", body, false
	}
	rest := strings.ToUpper(strings.Join(strings.Fields(code), ""))
	for i := symbols - 1; i >= -1; i-- {
		rest = strings.TrimRight(rest, "-")
		if rest == "" {
			return "", body, false
		}
		symbol := canonical(rest[len(rest)-1])
		if rest = rest[:len(rest)-1]; i >= 0 {
			body[i] = symbol
		} else if symbol != version {
			return "", body, false
		}
	}
	return strings.ToLower(strings.TrimSuffix(rest, "-")), body, true
}

// canonical is the symbol that a misread one was.
func canonical(symbol byte) byte {
	switch symbol {
	case 'O':
		return '0'
	case 'I', 'L':
		return '1'
	}
	return symbol
}

// mac signs each part with its length, so that no two lists of parts read alike.
func (k Codes) mac(eventID, lane string, body []byte) [macSize]byte {
	m := k.macs.Get().(hash.Hash)
	defer k.macs.Put(m)
	m.Reset()
	b := []byte{version}
	for _, part := range []string{eventID, lane, string(body)} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	m.Write(b)
	return [macSize]byte(m.Sum(nil))
}
